"""Counter-based random numbers: the same seed gives the same numbers, and any rows of them by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

__all__ = ["ALGORITHM", "normal_rows", "to_seed", "uniform_rows"]

ALGORITHM = (
    "philox"  # of random numbers, the same on all devices (XLA makes other fractions of its bits)
)
PHILOX = 1  # its number in TensorFlow's operations
PHILOX_NUMBERS = 4  # made at each count
SCRAMBLING_KEY = 0x02461E293EC8F720  # of TensorFlow, for what it makes of seeds


def to_seed(seed: int | tf.Tensor | None) -> tf.Tensor:
    """A stateless seed (int32 [2]) from an int, from such a pair, or, for None, from the system.

    Example:
      >>> to_seed(7).numpy()
      array([7, 0], dtype=int32)
    """
    if seed is None:
        seed = np.frombuffer(np.random.SeedSequence().generate_state(2).tobytes(), np.int32)
    if isinstance(seed, (int, np.integer)):
        seed = [seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF]
    return tf.convert_to_tensor(seed, tf.int32)


def uniform_rows(row_shape: Sequence[int], seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    """An endless table of numbers in [0, 1), of which one asks for the rows that one needs.

    The first ones are those of `tf.random.stateless_uniform` with this seed and Philox.

    Args:
      row_shape: of each row.
      seed: int32 [2].

    Returns:
      A function from the first row, a multiple of 4, and the one after the last, to float32 [rows, ...].
    """
    return _rows(tf.raw_ops.StatelessRandomUniformV2, row_shape, seed)


def normal_rows(row_shape: Sequence[int], seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    """As `uniform_rows`, of independent normals.

    Example:
      >>> rows = normal_rows([2], to_seed(7))
      >>> bool(tf.reduce_all(rows(0, 8)[4:] == rows(4, 8)))
      True
    """
    return _rows(tf.raw_ops.StatelessRandomNormalV2, row_shape, seed)


def _rows(operation, row_shape, seed):
    # what tf.random.stateless_normal and its kin do, which cannot begin in the middle
    random = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[4],
        key=tf.constant([SCRAMBLING_KEY], tf.uint64),
        counter=tf.cast(seed, tf.uint64),
        dtype=tf.uint32,
        alg=PHILOX,
    )
    key, counter = tf.unstack(tf.bitcast(tf.reshape(random, [2, 2]), tf.uint64))

    def rows(start, end):
        before = tf.cast(start, tf.uint64) * math.prod(row_shape) // PHILOX_NUMBERS
        return operation(
            shape=[end - start, *row_shape],
            key=[key],
            counter=[before, counter],
            alg=PHILOX,
        )

    return rows
