"""Data sets by name: embedded digits, idx, npz and TFRecord files, TensorFlow Datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfp_realnvp.datasets.idx import read_idx_folder
from tfp_realnvp.datasets.images import ImageSet, LabelledImages
from tfp_realnvp.datasets.npz import read_npz
from tfp_realnvp.datasets.subsets import split
from tfp_realnvp.datasets.tfds_reader import check_tfds, read_tfds, unknown_source
from tfp_realnvp.datasets.tfrecords import check_tfrecords, read_tfrecords

__all__ = ["check", "load"]


def load(
    source: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> ImageSet:
    """Load a data set.

    Args:
      source: "digits" (8x8 pixels, 17 levels, embedded), "idx:FOLDER" (four idx files, raw or gzip),
        "npz:FILE" (with the keys `images` and `labels`, and for a test split `test_images` and
        `test_labels`), "tfrecord:FOLDER" (see `read_tfrecords`; images stay on disk, so the set may be
        larger than the memory), or the name of an image set of TensorFlow Datasets, "mnist" for example.
      manual_dir: for TensorFlow Datasets, a folder with the original files, downloaded beforehand.
      data_dir: for TensorFlow Datasets, the folder of prepared data sets (default: its own).

    Returns:
      ImageSet. If the source has no test split, a fifth of the images, always the same, becomes one.

    Raises:
      ValueError: the source is unknown, or its files do not hold what they should.
      OSError: a file is missing, or the data set cannot be downloaded.

    Example:
      >>> digits = load("digits")
      >>> digits.image_shape, digits.levels, len(digits.train), len(digits.test)
      ((8, 8, 1), 17, 1438, 359)
    """
    check(source, manual_dir=manual_dir, data_dir=data_dir)
    kind, _, place = source.partition(":")
    levels = 256
    if source == "digits":
        train_arrays, test_arrays, levels = _digits(), None, 17
    elif kind == "idx":
        train_arrays, test_arrays = read_idx_folder(Path(place))
    elif kind == "npz":
        train_arrays, test_arrays = read_npz(Path(place))
    elif kind == "tfrecord":
        train_arrays, test_arrays = read_tfrecords(Path(place))
    else:
        train_arrays, test_arrays = read_tfds(source, manual_dir=manual_dir, data_dir=data_dir)
    train = LabelledImages(*train_arrays)
    try:
        if test_arrays is None:
            train, test = split(train, fraction=0.2)
        else:
            test = LabelledImages(*test_arrays)
        return ImageSet(train, test, levels)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def check(
    source: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> None:
    """Check within seconds that a data set is there or can be downloaded, without reading it.

    Args:
      source: as in `load`.
      manual_dir: as in `load`.
      data_dir: as in `load`.

    Raises:
      ValueError, OSError: as in `load`, except for errors that only reading the files can find.
    """
    kind, colon, place = source.partition(":")
    if colon and (kind not in ("idx", "npz", "tfrecord") or not place):
        raise unknown_source(source)
    if kind == "idx" and not Path(place).is_dir():
        raise FileNotFoundError(f"there is no folder {place}.")
    if kind == "npz" and not Path(place).is_file():
        raise FileNotFoundError(f"there is no file {place}.")
    if kind == "tfrecord":
        check_tfrecords(Path(place))
    if not colon and source != "digits":
        check_tfds(source, manual_dir=manual_dir, data_dir=data_dir)


def _digits():
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow to import)

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., np.newaxis]
    return images, digits.target.astype(np.int64)
