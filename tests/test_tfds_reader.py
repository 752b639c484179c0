import gzip
import time

import numpy as np
import pytest

from tfp_realnvp import datasets
from tfp_realnvp.datasets import tfds_reader


@pytest.mark.parametrize("name", ["nonsense", "/some/folder", "my data", "mnist/1", "mnist/x=3"])
def test_unknown_set(name):
    with pytest.raises(ValueError, match=f"unknown data set '{name}'.*mnist, fashion_mnist"):
        datasets.load(name)


@pytest.mark.parametrize("name", ["imdb_reviews", "coco"])
def test_sets_that_are_not_labelled_images_of_one_size(name):
    with pytest.raises(ValueError, match="does not consist of labelled uint8 images of one size"):
        datasets.load(name)


@pytest.fixture
def no_network(monkeypatch):
    """A name server that hangs, as some do without a network."""

    def hangs(*args, **options):
        time.sleep(3)
        raise OSError("name or service not known")

    monkeypatch.setattr(tfds_reader.urllib.request, "urlopen", hangs)
    monkeypatch.setattr(tfds_reader, "NETWORK_SECONDS", 0.5)


def test_no_network_is_said_at_once(no_network, tmp_path):
    start = time.monotonic()
    with pytest.raises(OSError) as error:
        datasets.load("mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 10
    for words in (
        "mnist",
        str(tmp_path),
        "no answer within 0.5 s",
        "`manual_dir` (not given)",
        "idx:FOLDER",
        "npz:FILE",
        "digits",
    ):
        assert words in str(error.value)


def test_other_checksums_are_said_at_once(no_network, tmp_path):
    for part in ("train", "t10k"):
        for content in ("images-idx3", "labels-idx1"):
            with gzip.open(tmp_path / f"{part}-{content}-ubyte.gz", "wb") as file:
                file.write(b"other bytes")
    with pytest.raises(OSError, match=r"train-images-idx3-ubyte.gz.*with the expected checksums"):
        datasets.load("mnist", manual_dir=tmp_path, data_dir=tmp_path / "data")


def test_an_answer_is_a_network(monkeypatch):
    def forbidden(request, timeout):
        raise tfds_reader.urllib.error.HTTPError(request.full_url, 403, "forbidden", None, None)

    monkeypatch.setattr(tfds_reader.urllib.request, "urlopen", forbidden)
    assert tfds_reader._why_unreachable("https://example.org/file") is None


def test_why_the_network_is_out_of_reach_is_said(monkeypatch, tmp_path):
    def refused(request, timeout):
        raise tfds_reader.urllib.error.URLError("certificate verify failed")

    monkeypatch.setattr(tfds_reader.urllib.request, "urlopen", refused)
    with pytest.raises(
        OSError, match=r"cannot be downloaded \(.*certificate verify failed.*\)\. Put these"
    ):
        datasets.load("mnist", data_dir=tmp_path)


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist_prepared_without_network(mnist_dir, tmp_path, no_network):
    mnist = datasets.load("mnist", manual_dir=mnist_dir, data_dir=tmp_path)
    expected = datasets.load(f"idx:{mnist_dir}")
    for received, wanted in ((mnist.train, expected.train), (mnist.test, expected.test)):
        assert received.images.shape == wanted.images.shape
        assert np.bincount(received.labels).tolist() == np.bincount(wanted.labels).tolist()
        # the same images in another order
        sums = [
            np.sort(part.images.reshape(len(part), -1).sum(axis=1)) for part in (received, wanted)
        ]
        np.testing.assert_array_equal(*sums)
    prepared = datasets.load("mnist", data_dir=tmp_path)  # now without the files
    assert len(prepared.train) == 60_000
    [folder] = tmp_path.glob("mnist/*")
    on_disk = datasets.load(f"tfrecord:{folder}")  # the files that it wrote, from the disk
    np.testing.assert_array_equal(on_disk.test.images, prepared.test.images)
    np.testing.assert_array_equal(on_disk.train.labels, prepared.train.labels)
