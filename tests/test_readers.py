import gzip
import io
import os
import signal
import struct
import zipfile

import numpy as np
import pytest
from conftest import random_images
from PIL import Image

from tfp_realnvp import datasets
from tfp_realnvp.datasets import idx, npz, png

IMAGES = random_images(6, (5, 4, 1))[..., 0]
LABELS = np.arange(6, dtype=np.uint8)


def idx_bytes(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def write_folder(folder, suffix="", separator="-", opener=open):
    for part in ("train", "t10k"):
        for content, array in (("images", IMAGES), ("labels", LABELS)):
            name = f"{part}-{content}{separator}idx{array.ndim}-ubyte{suffix}"
            with opener(folder / name, "wb") as file:
                file.write(idx_bytes(array))
    return folder


@pytest.mark.parametrize(
    "options",
    [{}, {"suffix": ".gz", "opener": gzip.open}, {"separator": "."}],
    ids=["raw", "gzip", "dots"],
)
def test_idx_folder(tmp_path, options):
    train, test = idx.read_idx_folder(write_folder(tmp_path, **options))
    np.testing.assert_array_equal(train[0][..., 0], IMAGES)
    np.testing.assert_array_equal(test[1], LABELS)
    assert train[1].dtype == np.int64


def test_idx_colours(tmp_path):
    file = tmp_path / "images"
    colours = random_images(2, (3, 4, 3))
    file.write_bytes(idx_bytes(colours))
    np.testing.assert_array_equal(idx.read_idx(file), colours)


GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty", b"", "an empty file"),
        (
            "another type",
            b"\x00\x00\x0d\x03" + GOOD[4:],
            "not an idx file of unsigned bytes.*00 00 0d 03",
        ),
        ("text", b"hello world", "not an idx file"),
        ("cut header", GOOD[:9], "cut short or damaged"),
        ("cut content", GOOD[:-1], "cut short or damaged.*announces 120 bytes.*received 119"),
        ("too long", GOOD + b"x", "received more"),
        ("huge", b"\x00\x00\x08\x03" + b"\xff" * 12, "damaged: its header gives the shape"),
    ],
)
def test_damaged_idx(tmp_path, name, content, words):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        idx.read_idx(file)


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(GOOD)
    for content in (whole[:-10], whole[:20] + b"xxxx" + whole[24:], b"no gzip at all"):
        file = tmp_path / "images.gz"
        file.write_bytes(content)
        with pytest.raises(ValueError, match="cut short or damaged"):
            idx.read_idx(file)


def test_gzip_bomb_is_not_unpacked(tmp_path):
    """Ten megabytes behind a header that announces 120 bytes: reading stops at once."""
    file = tmp_path / "images.gz"
    file.write_bytes(gzip.compress(GOOD + bytes(10_000_000)))
    with pytest.raises(ValueError, match="received more"):
        idx.read_idx(file)


def test_idx_files_that_are_missing_or_do_not_belong_together(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"train-images-idx3-ubyte.gz.*expected the four files"
    ):
        idx.read_idx_folder(tmp_path)
    write_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:3]))
    with pytest.raises(ValueError, match="do not belong together"):
        idx.read_idx_folder(tmp_path)


def test_npz(tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, images=IMAGES, labels=LABELS)
    train, test = npz.read_npz(file)
    assert train[0].shape == (6, 5, 4, 1) and test is None
    np.savez_compressed(
        file, images=IMAGES, labels=LABELS, test_images=IMAGES[:2], test_labels=LABELS[:2]
    )
    assert len(npz.read_npz(file)[1][0]) == 2


def test_test_images_that_do_not_fit_are_found_when_they_are_read(tmp_path):
    file = tmp_path / "data.npz"
    for images in (IMAGES[:, :4], IMAGES[:0]):
        labels = LABELS[: len(images)]
        np.savez(file, images=IMAGES, labels=LABELS, test_images=images, test_labels=labels)
        with pytest.raises(ValueError, match=r"npz:.*data.npz: expected .*for testing"):
            datasets.load(f"npz:{file}")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": IMAGES}, "no key 'labels'.*received images"),
        ({"images": IMAGES / 255, "labels": LABELS}, "must be uint8.*received float64"),
        ({"images": IMAGES[0], "labels": LABELS}, r"received uint8 \[5, 4\]"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "must be 6 integers"),
        ({"images": IMAGES, "labels": LABELS / 2}, "must be 6 integers, received float64"),
        (
            {"images": IMAGES, "labels": LABELS.astype(np.int64) << 40},
            r"in \[-2147483648, .*received 1099",
        ),
        ({"images": IMAGES, "labels": LABELS + np.uint64(2**63)}, "must be in .*received 9223"),
        ({"images": np.array([{}], object), "labels": LABELS}, "allow_pickle"),
    ],
)
def test_bad_npz(tmp_path, arrays, words):
    file = tmp_path / "data.npz"
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=words):
        npz.read_npz(file)


def test_files_that_are_no_npz(tmp_path, monkeypatch):
    file = tmp_path / "data.npz"
    file.write_bytes(b"PK but no zip")
    with pytest.raises(ValueError, match="not an npz file"):
        npz.read_npz(file)
    np.save(tmp_path / "one.npy", IMAGES)
    with pytest.raises(ValueError, match="not an npz file"):
        npz.read_npz(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError):
        npz.read_npz(tmp_path / "nothing.npz")
    np.savez(file, images=IMAGES, labels=LABELS)
    monkeypatch.setattr(npz, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="more than the limit"):
        npz.read_npz(file)


def test_npz_with_pickled_code_runs_nothing(tmp_path):
    """A member that is a pickle, not an array."""
    file = tmp_path / "data.npz"
    buffer = io.BytesIO()
    np.save(buffer, LABELS)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels.npy", buffer.getvalue())
        archive.writestr("images.npy", b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(ValueError):
        npz.read_npz(file)
    assert not (tmp_path / "hacked").exists()


def write_pngs(folder, *pictures):
    folder.mkdir(exist_ok=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index:02d}.png")
    return folder


def test_png_folder(tmp_path):
    folder = write_pngs(tmp_path / "shots", *IMAGES)
    (folder / "notes.txt").write_text("no picture")
    np.testing.assert_array_equal(png.read_png_folder(folder, (5, 4, 1))[..., 0], IMAGES)
    colours = png.read_png_folder(folder, (5, 4, 3))
    np.testing.assert_array_equal(colours, np.repeat(IMAGES[..., None], 3, axis=-1))
    few = png.read_png_folder(folder, (5, 4, 1), levels=17)
    np.testing.assert_array_equal(few[..., 0], IMAGES.astype(int) * 17 // 256)


def test_png_of_another_size_is_resized(tmp_path):
    large = np.repeat(np.repeat(IMAGES[0] // 255 * 255, 4, axis=0), 4, axis=1)
    folder = write_pngs(tmp_path / "shots", large, np.stack([large] * 3, axis=-1))
    received = png.read_png_folder(folder, (5, 4, 1))
    assert received.shape == (2, 5, 4, 1)
    np.testing.assert_allclose(received[0], received[1], atol=1)


def test_16_bits_become_8(tmp_path):
    values = np.array([0, 37, 75, 113, 254, 255], np.uint16).reshape(2, 3)
    folder = write_pngs(tmp_path / "shots", values * 257, np.minimum(values * 257, 65415) + 120)
    for image in png.read_png_folder(folder, (2, 3, 1)):
        np.testing.assert_array_equal(image[..., 0], values)


INK = np.array([[255, 0], [0, 128]], np.uint8)


@pytest.mark.parametrize(
    ("grey", "expected"),
    [(0, [[0, 255], [255, 127]]), (255, [[255, 0], [0, 128]])],
    ids=["black ink", "white ink"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_ink_on_transparent_is_seen(tmp_path, grey, expected, channels):
    colours = [np.full_like(INK, grey)] * channels
    folder = write_pngs(tmp_path / "shots", np.stack([*colours, INK], axis=-1))
    np.testing.assert_array_equal(png.read_png_folder(folder, (2, 2, 1))[0, ..., 0], expected)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_transparent_level_of_grey(tmp_path, depth):
    largest = np.iinfo(depth).max
    folder = tmp_path / "shots"
    folder.mkdir()
    picture = Image.fromarray(np.array([[7, 0], [0, largest // 17]], depth))
    picture.save(folder / "a.png", transparency=7)
    image = png.read_png_folder(folder, (2, 2, 1))[0, ..., 0]
    np.testing.assert_array_equal(image, [[255, 0], [0, 15]])


def test_a_picture_that_shows_nothing(tmp_path):
    folder = write_pngs(tmp_path / "shots", np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(ValueError, match=r"00.png shows nothing.*Leave it out"):
        png.read_png_folder(folder, (2, 2, 1))


def test_only_regular_files_are_read(tmp_path):
    folder = write_pngs(tmp_path / "shots", *IMAGES)
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()

    def hangs(*arguments):
        pytest.fail("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(5)
    try:
        assert len(png.read_png_folder(folder, (5, 4, 1))) == len(IMAGES)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((5, 5), np.uint8), "ratio of 4x5 pixels .width x height., received 5x5"),
        (np.zeros((4000, 5000), np.uint8), "5000x4000 pixels, more than the limit"),
    ],
)
def test_png_that_does_not_fit(tmp_path, picture, words):
    with pytest.raises(ValueError, match=words):
        png.read_png_folder(write_pngs(tmp_path / "shots", picture), (5, 4, 1))


def test_bad_png_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no PNG files .*nowhere"):
        png.read_png_folder(tmp_path / "nowhere", (5, 4, 1))
    folder = write_pngs(tmp_path / "shots", *IMAGES)
    with pytest.raises(ValueError, match="1 or 3 channels, but images with 2"):
        png.read_png_folder(folder, (5, 4, 2))
    content = (folder / "00.png").read_bytes()
    for damaged in (b"", b"GIF89a", content[: len(content) // 2]):
        (folder / "00.png").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"00.png is not a PNG, or damaged"):
            png.read_png_folder(folder, (5, 4, 1))
    monkeypatch.setattr(png, "MAX_FILES", 3)
    with pytest.raises(ValueError, match="6 PNG files, more than the limit of 3"):
        png.read_png_folder(folder, (5, 4, 1))
