"""Data sets by name: embedded digits, idx files, npz files, TensorFlow Datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfp_realnvp.datasets.idx import read_idx_folder
from tfp_realnvp.datasets.images import ImageSet, LabelledImages
from tfp_realnvp.datasets.npz import read_npz
from tfp_realnvp.datasets.parts import split
from tfp_realnvp.datasets.tfds_reader import check_tfds, read_tfds, unknown_source

__all__ = ["check", "load"]


def load(
    source: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> ImageSet:
    """Load a data set.

    Args:
      source: "digits" (8x8, 17 levels, embedded), "idx:FOLDER" (four idx files, raw or gzip),
        "npz:FILE" (keys `images` and `labels`, and `test_images` and `test_labels` if there is a test
        split), or the name of an image set of TensorFlow Datasets, "mnist" for example.
      manual_dir: for TensorFlow Datasets, a folder with files that were fetched beforehand.
      data_dir: for TensorFlow Datasets, where prepared sets are kept (default: its own).

    Returns:
      ImageSet. Where the source has no test split, a fixed fifth is put aside as one.

    Raises:
      ValueError: an unknown source, or files that do not hold what they should.
      OSError: files that are not there, and data sets that cannot be fetched.

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
    else:
        train_arrays, test_arrays = read_tfds(source, manual_dir=manual_dir, data_dir=data_dir)
    train = LabelledImages(*train_arrays)
    if test_arrays is None:
        train, test = split(train, fraction=0.2)
    else:
        test = LabelledImages(*test_arrays)
    return ImageSet(train, test, levels)


def check(
    source: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> None:
    """Find out in a few seconds whether a data set can be had; `load` reads it.

    Args:
      source: as in `load`.
      manual_dir: as in `load`.
      data_dir: as in `load`.

    Raises:
      ValueError, OSError: as `load`, but for what only shows in the files' content.
    """
    kind, colon, place = source.partition(":")
    if colon and (kind not in ("idx", "npz") or not place):
        raise unknown_source(source)
    if kind == "idx" and not Path(place).is_dir():
        raise FileNotFoundError(f"there is no folder {place}.")
    if kind == "npz" and not Path(place).is_file():
        raise FileNotFoundError(f"there is no file {place}.")
    if not colon and source != "digits":
        check_tfds(source, manual_dir=manual_dir, data_dir=data_dir)


def _digits():
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow to import)

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., np.newaxis]
    return images, digits.target.astype(np.int64)
