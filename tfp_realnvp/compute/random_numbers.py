"""Counter-based random numbers: the same seed gives the same numbers, and any rows can be made alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.tensors import to_tensor

__all__ = ["ALGORITHM", "normal_rows", "to_seed", "uniform_rows"]

# The same on all devices, so that a seed gives the same numbers. (XLA makes other fractions of the bits.)
ALGORITHM = "philox"
PHILOX = 1  # its number in TensorFlow's operations
PHILOX_NUMBERS = 4  # made at each count
SCRAMBLING_KEY = 0x02461E293EC8F720  # of TensorFlow, for what it makes of seeds
HALF = 2**31  # an int is quotient and remainder by this number
LARGEST = 2**62


def to_seed(seed: int | Sequence[int] | np.ndarray | tf.Tensor | None) -> tf.Tensor:
    """The seed of TensorFlow's stateless random numbers, from what a user may give.

    Args:
      seed: an int in [-2**62, 2**62), of Python, of NumPy, or a scalar tensor; or two integers, of which the
        lowest 32 bits count, as a sequence, an array or a tensor; or None for a new seed at each call, inside
        a `tf.function`, too. New seeds are TensorFlow's own random numbers: after
        `keras.utils.set_random_seed` they come again in the same order, unless XLA compiles them.

    Returns:
      int32 tensor [2]. Different ints give different seeds.

    Raises:
      TypeError: not integers.
      ValueError: an int out of that range, or another shape.

    Example:
      >>> to_seed(7).numpy()
      array([7, 0], dtype=int32)
    """
    if seed is None:
        return tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
    if isinstance(seed, (int, np.integer)):
        if not -LARGEST <= seed < LARGEST:
            raise ValueError(f"`seed` must be an int in [-2**62, 2**62), received {seed}.")
        seed = [int(seed) % HALF, int(seed) // HALF]
    pair = to_tensor(seed, "seed", "an int or two integers")
    if not pair.dtype.is_integer:
        raise TypeError(f"`seed` must be an int or two integers, received {pair.dtype.name}.")
    if pair.shape.rank == 0:
        number = tf.cast(pair, tf.int64)
        pair = tf.stack([number % HALF, number // HALF])
    if not pair.shape.is_compatible_with([2]):
        raise ValueError(
            f"`seed` must be an int or two integers, received integers of shape {pair.shape}."
        )
    return tf.ensure_shape(tf.cast(pair, tf.int32), [2])


def uniform_rows(row_shape: Sequence[int], seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    """Independent numbers in [0, 1) in an endless table, of which any rows can be made without the others.

    From row 0 on they are those of `tf.random.stateless_uniform` with this seed and `alg="philox"`.

    Args:
      row_shape: the shape of one row.
      seed: int32 [2].

    Returns:
      A function `rows(start, end)`, which gives float32 [end - start, *row_shape]: the rows from `start`, a
      multiple of 4, up to but not including `end`.
    """
    return _rows(tf.raw_ops.StatelessRandomUniformV2, row_shape, seed)


def normal_rows(row_shape: Sequence[int], seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    """As `uniform_rows`, with standard normal numbers.

    Example:
      >>> rows = normal_rows([2], to_seed(7))
      >>> bool(tf.reduce_all(rows(0, 8)[4:] == rows(4, 8)))
      True
    """
    return _rows(tf.raw_ops.StatelessRandomNormalV2, row_shape, seed)


def _rows(operation, row_shape, seed):
    # as in tf.random.stateless_normal and stateless_uniform, which always begin at the first row
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
