"""`LabelledImages`, in memory or on disk, and `ImageSet`, which has two of them, for training and testing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tfp_realnvp.datasets.tfrecords import StoredImages

__all__ = ["Arrays", "ImageSet", "LabelledImages", "concatenate"]

# images uint8 [n, height, width, channels], labels int64 [n]
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    Attributes:
      images: uint8 [n, height, width, channels], an array or `StoredImages`.
      labels: int64 [n].
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                "`images` must be uint8 [n, height, width, channels], received "
                f"{self.images.dtype} {list(self.images.shape)}."
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"`labels` must have the shape [{len(self.images)}], one for each image, received "
                f"{list(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray) -> LabelledImages:
        """The images at these positions, or those for which this bool array is True."""
        if isinstance(self.images, StoredImages):
            return LabelledImages(self.images.some(index), self.labels[index])
        return LabelledImages(self.images[index], self.labels[index])

    def only(self, labels: Iterable[int]) -> LabelledImages:
        """The images that have one of these labels.

        Raises:
          ValueError: no image has one of them.
        """
        labels = list(labels)
        known = np.unique(self.labels)
        missing = [label for label in labels if label not in known]
        if missing:
            raise ValueError(f"label {missing[0]} is not there; the labels are {_ranges(known)}.")
        return self.take(np.isin(self.labels, labels))

    def without(self, labels: Iterable[int]) -> LabelledImages:
        """The images that have none of these labels.

        Raises:
          ValueError: no image has one of them, or all images have.
        """
        labels = list(labels)
        self.only(labels)
        rest = self.take(~np.isin(self.labels, labels))
        if len(rest) == 0:
            raise ValueError(f"no images are left when the labels {_ranges(labels)} are held out.")
        return rest


def concatenate(parts: Iterable[LabelledImages]) -> LabelledImages:
    """All images of several parts, in their order."""
    parts = list(parts)
    return LabelledImages(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


@dataclass(frozen=True)
class ImageSet:
    """Training and test images.

    Attributes:
      train: the images to learn from.
      test: the data set's own test split, if it has one.
      levels: number of grey levels; pixels are in [0, levels).

    Raises:
      ValueError: no training or no test images, or images of two shapes.
    """

    train: LabelledImages
    test: LabelledImages
    levels: int = 256

    def __post_init__(self):
        if len(self.train) == 0 or len(self.test) == 0:
            raise ValueError(
                "expected at least one image for training and one for testing, received "
                f"{len(self.train):,} and {len(self.test):,}."
            )
        shape, of_test = self.image_shape, self.test.images.shape[1:]
        if shape != of_test or min(shape) < 1:
            raise ValueError(
                "expected images of one shape [height, width, channels], each at least 1, received "
                f"{list(shape)} for training and {list(of_test)} for testing."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.train.images.shape[1:]


def _ranges(labels) -> str:
    """Labels in short form: 0, 1, 2, 3, 7 become "0-3, 7"."""
    labels = sorted(int(label) for label in set(labels))
    starts = [label for label in labels if label - 1 not in labels]
    ends = [label for label in labels if label + 1 not in labels]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
