"""Shards: the rows of a batch, computed in several places at the same time, with the same weights."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

__all__ = ["in_shards", "kernel_for_all", "row_by_row", "shards", "use_shards"]

IMAGE_AXES = 3
UNIT = 4  # rows: Philox makes four numbers at a time, and a shard's first row begins such a four

# of the shards that are being made, by weight, dtype and graph
_kernels: contextvars.ContextVar[dict | None] = contextvars.ContextVar("kernels", default=None)


_count = 1


def use_shards(count: int) -> None:
    """Set in how many shards this process computes a batch; `hardware.use` does so with the threads for it.

    Args:
      count: at least 1.
    """
    global _count  # noqa: PLW0603  (one setting of the process, as TensorFlow's threads are)
    _count = count


def shards() -> int:
    """In how many shards this process computes a batch."""
    return _count


def in_shards(function: Callable[..., tf.Tensor], rows, *columns) -> tf.Tensor:
    """`function(*columns)`, for a function that treats each row by itself.

    On a CPU TensorFlow cuts single operations for its threads, and many of them are too small for that. Here
    each thread takes a share of the rows through all operations: `use_shards` says how many.

    Args:
      function: from tensors [n, ...] to a tensor [n, ...].
      rows: how many there are, an int or a scalar tensor.
      *columns: tensors [rows, ...]; functions from the first row and the one after the last to such a tensor;
        None, which is handed on.

    Returns:
      Tensor [rows, ...].

    Example:
      >>> in_shards(tf.square, 3, tf.constant([1, 2, 3])).numpy()
      array([1, 4, 9], dtype=int32)
    """
    count = shards()
    if count == 1:
        return function(*(_part(column, 0, rows) for column in columns))
    size = -(-rows // (count * UNIT)) * UNIT
    last = (rows - 1) // UNIT * UNIT
    results = []
    outside = _kernels.set({})
    try:
        for number in range(count):
            # Of few rows the last shards do some again, for oneDNN has no convolutions of nothing.
            start = tf.maximum(0, tf.minimum(number * size, last))
            end = tf.minimum(start + size, rows)
            result = function(*(_part(column, start, end) for column in columns))
            results.append(result[number * size - start :])
    finally:
        _kernels.reset(outside)
    return tf.concat(results, axis=0)


def kernel_for_all(kernel: keras.Variable, dtype: str) -> keras.Variable | tf.Tensor:
    """The kernel of a layer; in shards, the same tensor for all of them.

    If each shard reads and casts the weights for itself, a dense training step in bfloat16 takes about a tenth
    longer: millions of numbers are cast, and so are their gradients, before they are summed up.

    Args:
      kernel: the variable.
      dtype: in which the layer computes.

    Returns:
      In shards, the tensor in that dtype; elsewhere the variable, which Keras casts.
    """
    kernels = _kernels.get()
    if kernels is None:
        return kernel
    # a loop's body, say, is a graph of its own, from which no tensor comes out
    key = (id(kernel), dtype, tf.compat.v1.get_default_graph())
    if key not in kernels:
        kernels[key] = tf.cast(tf.convert_to_tensor(kernel.value), dtype)
    return kernels[key]


class row_by_row:  # noqa: N801  (a decorator)
    """A method from columns, and other things by keyword, that treats each row by itself.

    Called from Python, it is compiled, and works in shards. In a graph of its caller's it becomes a part of
    that as it stands: a SavedModel does not depend on the machine that wrote it.
    """

    def __init__(self, method: Callable[..., tf.Tensor]):
        @functools.wraps(method)
        def sharded(self, first, *columns, **others):
            function = functools.partial(method, self, **others)
            if first.shape.rank == IMAGE_AXES:  # one image, not many
                return function(first, *columns)
            return in_shards(function, tf.shape(first)[0], first, *columns)

        self._method = method
        self._compiled = tf.function(sharded, reduce_retracing=True)

    def __get__(self, instance, owner=None):
        """The method of an instance."""
        method = self._compiled if tf.executing_eagerly() else self._method
        return method.__get__(instance, owner)


def _part(column, start, end):
    if column is None:
        return None
    return column(start, end) if callable(column) else column[start:end]
