"""Where images come from: embedded digits, TensorFlow Datasets, idx files, npz files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfp_realnvp.readers import read_idx_folder, read_npz, unknown_source
from tfp_realnvp.tfds_reader import check_tfds, read_tfds

__all__ = ["Dataset", "LabelledImages", "check", "draw_shots", "load", "split"]

SPLIT_SEED = 20170227  # one fixed split for every run, whatever the run's own seed


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    Attributes:
      images: uint8 [n, height, width, channels].
      labels: int64 [n].
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                "images must be uint8 [n, height, width, channels], received "
                f"{self.images.dtype} {list(self.images.shape)}."
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be one an image, received {list(self.labels.shape)} labels for "
                f"{len(self.images)} images."
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray) -> LabelledImages:
        """The images at these positions, or where this bool array is True."""
        return LabelledImages(self.images[index], self.labels[index])

    def only(self, labels: Iterable[int]) -> LabelledImages:
        """The images with one of these labels.

        Raises:
          ValueError: there is none with one of them.
        """
        labels = list(labels)
        known = np.unique(self.labels)
        missing = [label for label in labels if label not in known]
        if missing:
            raise ValueError(f"label {missing[0]} is not there; the labels are {_ranges(known)}.")
        return self.take(np.isin(self.labels, labels))

    def without(self, labels: Iterable[int]) -> LabelledImages:
        """The images with none of these labels.

        Raises:
          ValueError: one of them is not there, or nothing is left.
        """
        labels = list(labels)
        self.only(labels)
        rest = self.take(~np.isin(self.labels, labels))
        if len(rest) == 0:
            raise ValueError(f"nothing is left when the labels {_ranges(labels)} are held out.")
        return rest


@dataclass(frozen=True)
class Dataset:
    """Training and test images.

    Attributes:
      train: what may be learned from.
      test: the official test split where there is one.
      levels: number of grey levels; images are in [0, levels).
    """

    train: LabelledImages
    test: LabelledImages
    levels: int = 256

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.train.images.shape[1:]


def load(
    source: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> Dataset:
    """Load a data set.

    Args:
      source: "digits" (8x8, 17 levels, embedded), "idx:FOLDER" (four idx files, raw or gzip),
        "npz:FILE" (keys `images` and `labels`, and `test_images` and `test_labels` if there is a test
        split), or the name of an image set of TensorFlow Datasets, "mnist" for example.
      manual_dir: for TensorFlow Datasets, a folder with files that were fetched beforehand.
      data_dir: for TensorFlow Datasets, where prepared sets are kept (default: its own).

    Returns:
      Dataset. Where the source has no test split, a fixed fifth is put aside as one.

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
    return Dataset(train, test, levels)


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


def split(
    data: LabelledImages, *, fraction: float, seed: int = SPLIT_SEED
) -> tuple[LabelledImages, LabelledImages]:
    """Cut a random part off; the same seed cuts off the same images.

    Args:
      data: what to cut.
      fraction: size of the part, between 0 and 1.
      seed: of the choice.

    Returns:
      (the rest, the part), each in the original order.

    Raises:
      ValueError: one of them would be empty.
    """
    count = round(fraction * len(data))
    if not 0 < count < len(data):
        raise ValueError(
            f"cannot cut a fraction of {fraction} off {len(data)} images: both parts need at least one."
        )
    chosen = np.zeros(len(data), bool)
    chosen[np.random.default_rng(seed).permutation(len(data))[:count]] = True
    return data.take(~chosen), data.take(chosen)


def draw_shots(data: LabelledImages, label: int, count: int, seed: int) -> np.ndarray:
    """Draw a few examples of a label, none twice.

    Args:
      data: to draw from.
      label: of the shots.
      count: how many, at least 2 (a Gaussian is fitted to them).
      seed: of the choice.

    Returns:
      uint8 array [count, height, width, channels].

    Raises:
      ValueError: a label that is not there, a count below 2, or fewer images than asked for.
    """
    if count < 2:
        raise ValueError(f"at least 2 shots are needed to fit a Gaussian, received {count}.")
    images = data.only([label]).images
    if len(images) < count:
        raise ValueError(
            f"{count} shots of label {label} were asked for, but there are {len(images)}."
        )
    return images[np.random.default_rng(seed).permutation(len(images))[:count]]


def _digits():
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow to import)

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., np.newaxis]
    return images, digits.target.astype(np.int64)


def _ranges(labels) -> str:
    """0, 1, 2, 3, 7 as "0-3, 7"."""
    labels = sorted(int(label) for label in set(labels))
    starts = [label for label in labels if label - 1 not in labels]
    ends = [label for label in labels if label + 1 not in labels]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
