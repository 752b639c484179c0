"""Random numbers that depend on the content of a row: the same for a row in any batch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

__all__ = ["keys_of_rows", "signs", "uniforms"]

MIX = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1))  # shifts and factors


def keys_of_rows(rows: tf.Tensor) -> tf.Tensor:
    """A hash of each row.

    Args:
      rows: float32 [n, ...].

    Returns:
      uint32 [n]. Rows that differ in a single bit have different keys, but for a chance of 2**-32.
    """
    flat = tf.reshape(rows, [tf.shape(rows)[0], -1])
    places = tf.cast(tf.range(1, tf.shape(flat)[1] + 1), tf.uint32)
    mixed = _mix(tf.bitwise.bitwise_xor(tf.bitcast(flat, tf.uint32), _mix(places)))
    total = tf.reduce_sum(tf.bitcast(mixed, tf.int32), axis=1)
    return _mix(tf.bitcast(total, tf.uint32))


def signs(keys: tf.Tensor, shape: Sequence[int], *, salt: int) -> tf.Tensor:
    """-1 or 1, each with probability 1/2.

    Args:
      keys: uint32 [n], see `keys_of_rows`.
      shape: of each row, known.
      salt: another number gives other signs, independent of these.

    Returns:
      float32 [n, *shape].
    """
    bits = _bits(keys, tf.TensorShape(shape).num_elements(), salt)
    ones = tf.cast(tf.bitwise.right_shift(bits, tf.constant(31, tf.uint32)), tf.float32)
    return tf.reshape(2.0 * ones - 1.0, [-1, *shape])


def uniforms(keys: tf.Tensor, *, salt: int) -> tf.Tensor:
    """A number in [0, 1) for each key; arguments as in `signs`, float32 [n]."""
    bits = tf.bitwise.right_shift(_bits(keys, 1, salt), tf.constant(8, tf.uint32))
    return tf.cast(bits[:, 0], tf.float32) / 2.0**24


def _bits(keys, count, salt):
    """uint32 [n, count]."""
    places = tf.cast(tf.range(count), tf.uint32) + tf.constant(salt * 0x9E3779B9 % 2**32, tf.uint32)
    return _mix(keys[:, tf.newaxis] + _mix(places))


def _mix(numbers):
    """A permutation of all uint32, in which each bit of a number decides on every bit of the result.

    Reference:
      Wellons (2018), Prospecting for hash functions: lowbias32.
    """
    for shift, factor in MIX:
        shifted = tf.bitwise.right_shift(numbers, tf.constant(shift, tf.uint32))
        numbers = tf.bitwise.bitwise_xor(numbers, shifted) * tf.constant(factor, tf.uint32)
    return numbers
