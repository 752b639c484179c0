"""Blocks: parts of many rows that are computed one after the other, which bounds the memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfp_realnvp.compute.sharding import UNIT

__all__ = ["in_blocks", "rows_of_block"]

VALUES = 1 << 20  # in a block: 1,336 images of 28x28


def rows_of_block(row_shape: Sequence[int]) -> int:
    """How many rows of this shape are computed at once, at most.

    Example:
      >>> rows_of_block([28, 28, 1])
      1336
    """
    return max(UNIT, VALUES // math.prod(row_shape) // UNIT * UNIT)


def in_blocks(function: Callable[[int, int], tf.Tensor], rows: int, *, largest: int) -> tf.Tensor:
    """Compute `function(0, rows)` in blocks, as few as can be, and all but the last of one size.

    Args:
      function: `function(start, end)` gives a tensor [end - start, ...], from rows that do not depend on
        others. `start` is a multiple of 4.
      rows: at least 0.
      largest: rows of a block, a multiple of 4.

    Returns:
      Tensor [rows, ...].

    Example:
      >>> in_blocks(tf.range, 10, largest=8).numpy()
      array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], dtype=int32)
    """
    if rows <= largest:
        return function(0, rows)
    size = -(-rows // (-(-rows // largest) * UNIT)) * UNIT
    starts = range(0, rows, size)
    return tf.concat([function(start, min(start + size, rows)) for start in starts], axis=0)
