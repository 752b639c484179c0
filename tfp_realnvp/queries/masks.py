"""Masks of images: which pixels are observed."""

from __future__ import annotations

import numpy as np

__all__ = ["NAMES", "check_mask", "named_mask"]

NAMES = ("lower", "upper", "left", "right", "square", "scattered")


def named_mask(name: str, image_shape: tuple[int, int, int], *, seed: int = 0) -> np.ndarray:
    """A mask by the name of what is missing.

    Args:
      name: "lower", "upper", "left" or "right" half; a centred "square" of half the height and width; or
        "scattered", half of the pixels, at random.
      image_shape: (height, width, channels).
      seed: of "scattered".

    Returns:
      bool [height, width, 1], True where an image is observed.

    Raises:
      ValueError: an unknown name.

    Example:
      >>> named_mask("left", (2, 4, 1))[..., 0].astype(int)
      array([[0, 0, 1, 1],
             [0, 0, 1, 1]])
    """
    height, width, _ = image_shape
    y, x = np.mgrid[:height, :width]
    missing = {
        "lower": y >= height // 2,
        "upper": y < height - height // 2,
        "left": x < width - width // 2,
        "right": x >= width // 2,
        "square": (abs(y - (height - 1) / 2) < height / 4) & (abs(x - (width - 1) / 2) < width / 4),
        "scattered": np.random.default_rng(seed).permutation(height * width).reshape(height, width)
        < height * width // 2,
    }
    if name not in missing:
        raise ValueError(f"`mask` must be one of {', '.join(NAMES)}, received {name!r}.")
    return ~missing[name][..., np.newaxis]


def check_mask(mask, images: np.ndarray) -> np.ndarray:
    """The mask of each image.

    Args:
      mask: bool, True where an image is observed: [height, width] or [height, width, 1] for all images, or
        [n, height, width, 1].
      images: [n, height, width, channels].

    Returns:
      bool [n, height, width, 1].

    Raises:
      TypeError: not bool.
      ValueError: another shape, or an image of which nothing or everything is missing.
    """
    mask, (count, height, width, _) = np.asarray(mask), images.shape
    if mask.dtype != bool:
        raise TypeError(
            f"`mask` must be bool, True where an image is observed, received {mask.dtype.name}."
        )
    rows = mask[..., np.newaxis] if mask.ndim == 2 else mask
    rows = rows[np.newaxis] if rows.ndim == 3 else rows
    if rows.shape not in ((1, height, width, 1), (count, height, width, 1)):
        raise ValueError(
            f"`mask` must have the shape [{height}, {width}], [{height}, {width}, 1] or [{count}, {height}, "
            f"{width}, 1], received {list(mask.shape)}."
        )
    for words, empty in (
        ("nothing", rows.all(axis=(1, 2, 3))),
        ("everything", ~rows.any(axis=(1, 2, 3))),
    ):
        if empty.any():
            raise ValueError(
                f"`mask` must be True at some pixels and False at others: {words} is missing of image "
                f"{int(np.argmax(empty))}."
            )
    return np.broadcast_to(rows, (count, height, width, 1))
