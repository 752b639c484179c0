"""Masks: which pixels a coupling keeps (True) and which it transforms (False)."""

from __future__ import annotations

import numpy as np

__all__ = ["checkerboard", "kept_first"]


def checkerboard(image_shape: tuple[int, int, int], parity: int = 0) -> np.ndarray:
    """A checkerboard over the pixels, the same for all channels of a pixel.

    Args:
      image_shape: (height, width, channels).
      parity: 0 keeps the pixels whose row + column is even, the upper left corner among them; 1 keeps
        the others.

    Returns:
      Bool array of shape `image_shape`, True where a pixel is kept.

    Example:
      >>> checkerboard((2, 3, 1))[..., 0].astype(int)
      array([[1, 0, 1],
             [0, 1, 0]])

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 3.4.
    """
    height, width, _ = image_shape
    rows, columns = np.indices((height, width))
    mask = (rows + columns) % 2 == parity
    return np.broadcast_to(mask[..., np.newaxis], image_shape)


def kept_first(mask: np.ndarray) -> np.ndarray:
    """The order of a flattened image's entries that puts the kept ones first.

    Args:
      mask: bool array, any shape.

    Returns:
      Int array of `mask.size` positions: first those where the mask is True, then the others, each in
      their original order.

    Example:
      >>> kept_first(np.array([False, True, False, True]))
      array([1, 3, 0, 2])
    """
    return np.argsort(~mask.reshape(-1), kind="stable")
