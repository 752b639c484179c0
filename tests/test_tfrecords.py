"""TFRecord files: what is read, what is refused, and training from them."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp import datasets, training
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import training_batches
from tfp_realnvp.training.run_folder import RunFolder

RANDOM = np.random.default_rng(0)


def make(folder, count=50, image_shape=(8, 8, 1), part="train", files=3, **options):
    images = RANDOM.integers(256, size=(count, *image_shape), dtype=np.uint8)
    labels = RANDOM.integers(10, size=count)
    datasets.write_tfrecords(images, labels, folder, part=part, files=files, **options)
    # images are dealt out to the files
    order = np.concatenate([np.arange(count)[first::files] for first in range(files)])
    return images[order], labels[order]


def load(folder):
    return datasets.load(f"tfrecord:{folder}")


@pytest.mark.parametrize("channels", [1, 3])
def test_reads_what_was_written(tmp_path, channels):
    images, labels = make(tmp_path, image_shape=(6, 4, channels))
    others, their_labels = make(tmp_path, 7, (6, 4, channels), part="test")
    data = load(tmp_path)
    assert isinstance(data.train.images, datasets.StoredImages)
    assert data.image_shape == (6, 4, channels) and data.levels == 256
    np.testing.assert_array_equal(data.train.images, images)
    np.testing.assert_array_equal(data.train.labels, labels)
    np.testing.assert_array_equal(data.test.images[:], others)
    np.testing.assert_array_equal(data.test.labels, their_labels)
    rows = RANDOM.permutation(50)[:20]
    np.testing.assert_array_equal(data.train.images[rows], images[rows])
    np.testing.assert_array_equal(data.train.images[3:9], images[3:9])
    np.testing.assert_array_equal(
        data.train.images[labels == labels[0]], images[labels == labels[0]]
    )
    np.testing.assert_array_equal(list(data.train.images), images)
    assert data.train.images[:0].shape == (0, 6, 4, channels)
    few = data.train.without([labels[0]]).take(np.arange(5))
    np.testing.assert_array_equal(few.images[:], images[labels != labels[0]][:5])


def test_more_than_is_read_at_once(tmp_path):
    images, labels = make(tmp_path, 2500, (2, 2, 1), files=1)
    expected = datasets.split(datasets.LabelledImages(images, labels), fraction=0.2)[0].images
    np.testing.assert_array_equal(load(tmp_path).train.images, expected)
    assert len(expected) > 1024


@pytest.mark.parametrize("columns", ["images", "both"])
def test_batches_are_those_of_arrays(tmp_path, columns):
    images, labels = make(tmp_path)
    stored = load(tmp_path)
    whole = datasets.split(datasets.LabelledImages(images, labels), fraction=0.2)[0]
    received = [
        list(
            training_batches(
                part.images if columns == "images" else {"images": part.images, "labels": part.labels},
                batch_size=8, seed=3, first_step=2, augment=0.5,
            ).take(9).as_numpy_iterator()
        )
        for part in (stored.train, whole)
    ]  # fmt: skip
    tf.nest.map_structure(np.testing.assert_array_equal, *received)


@pytest.mark.slow
def test_training_is_that_from_arrays(tmp_path):
    images, labels = make(tmp_path / "files", 100)
    others, their_labels = make(tmp_path / "files", 20, part="test")
    np.savez(
        tmp_path / "all.npz",
        images=images,
        labels=labels,
        test_images=others,
        test_labels=their_labels,
    )
    config = TrainingConfig("digits", flow="realnvp", width=8, depth=2, batch_size=20, epochs=2)
    ends = []
    for source in (f"tfrecord:{tmp_path / 'files'}", f"npz:{tmp_path / 'all.npz'}"):
        run = RunFolder(tmp_path / source[:3])
        metrics = training.train(dataclasses.replace(config, dataset=source), run.path)
        ends.append([metrics["test"]["bits_per_dim"], *run.load_model().get_weights()])
    for received, expected in zip(*ends, strict=True):
        np.testing.assert_array_equal(received, expected)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-3])


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rewrite(file, **features):
    """A file with one record that has these features, each a value."""
    kinds = {
        bytes: lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])),
        int: lambda value: tf.train.Feature(int64_list=tf.train.Int64List(value=[value])),
    }
    made = {name: kinds[type(value)](value) for name, value in features.items()}
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString())


def png(*shape, dtype=tf.uint8):
    return tf.io.encode_png(tf.zeros(shape, dtype)).numpy()


def bomb():
    """A small file that says that it is of 100,000 x 100,000 pixels."""
    content = bytearray(png(8, 8, 1))
    content[16:24] = 2 * (100_000).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncate, "is truncated or damaged after"),
        (damage, "is truncated or damaged after"),
        (lambda file: file.write_bytes(b""), "has no records"),
        (lambda file: file.write_bytes(b"not a record, but text"), "is truncated or damaged after 0 images"),
        (functools.partial(rewrite, image=png(8, 8, 1)), "label.*expected TFRecords of"),
        (functools.partial(rewrite, label=3), "image.*expected TFRecords of"),
        (functools.partial(rewrite, image=b"GIF89a..", label=3), "must be a PNG file, received one"),
        (functools.partial(rewrite, image=b"", label=3), "must be a PNG file"),
        (functools.partial(rewrite, image=png(8, 8, 4), label=3), "of 8 bits and colour type 6"),
        (functools.partial(rewrite, image=png(8, 8, 1, dtype=tf.uint16), label=3), "of 16 bits"),
        (functools.partial(rewrite, image=png(9, 8, 1), label=3), "must have one size and kind, received"),
        (functools.partial(rewrite, image=png(8, 8, 3), label=3), "must have one size and kind, received"),
        (functools.partial(rewrite, image=bomb(), label=3), "received 100000x100000"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, spoil, words):
    make(tmp_path)
    spoil(tmp_path / "train.tfrecord-00001-of-00003")
    with pytest.raises(ValueError, match=words):
        load(tmp_path)


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no TFRecord files for training in"):
        datasets.check(f"tfrecord:{tmp_path}")
    with pytest.raises(ValueError, match="unknown data set"):
        datasets.check("tfrecord:")


def test_no_half_set_is_left(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        datasets.write_tfrecords(
            np.zeros((3, 4, 4, 1), np.uint8), [1, 2], tmp_path, part="train", files=2
        )
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    make(tmp_path)
    with pytest.raises(FileExistsError, match="has TFRecord files for `part` train already"):
        make(tmp_path)
    with pytest.raises(ValueError, match="`part` must be train or test"):
        make(tmp_path, part="validation")
