"""Shards: parts of a batch that are computed at the same time, each by a thread of its own."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = ["at_least_one_row", "in_shards", "on_devices", "shards", "use_shards"]

UNIT = 4  # rows: Philox makes four numbers at a time, so a shard starts at a multiple of four rows

_count = 1


def use_shards(count: int) -> None:
    """Set the number of shards in which this process computes a batch.

    Users call `hardware.use`, which also sets TensorFlow's threads.

    Args:
      count: at least 1.
    """
    global _count  # noqa: PLW0603  (one setting of the process, as TensorFlow's threads are)
    _count = count


def shards() -> int:
    """The number of shards in which this process computes a batch."""
    return _count


def in_shards(function: Callable[..., tf.Tensor], rows, *columns) -> tf.Tensor:
    """Compute `function(*columns)` in shards. The function must treat each row by itself.

    On a CPU, TensorFlow divides single operations among its threads, and many of ours are too small for that.
    Here each thread computes all operations for its share of the rows.

    Args:
      function: from tensors [n, ...] to a tensor [n, ...].
      rows: the number of rows, an int or a scalar tensor.
      *columns: the arguments of `function` for all rows. Each is a tensor [rows, ...]; or a function
        `column(start, end)` that gives such a tensor for the rows from `start` up to but not including `end`;
        or None, which is passed on.

    Returns:
      Tensor [rows, ...].

    Example:
      >>> in_shards(tf.square, 3, tf.constant([1, 2, 3])).numpy()
      array([1, 4, 9], dtype=int32)
    """
    count = shards()
    if count == 1:
        return function(*(_part(column, 0, rows) for column in columns))
    results = [_shard(function, rows, columns, number, count) for number in range(count)]
    return tf.concat(results, axis=0)


def on_devices(
    strategy: tf.distribute.Strategy, function: Callable[..., tf.Tensor], rows, *columns
) -> tf.Tensor:
    """As `in_shards`, with a shard for each device of a strategy that mirrors the weights.

    Args:
      strategy: a `MirroredStrategy`; with any other, the function gets the columns as they are.
      function: as in `in_shards`.
      rows: as in `in_shards`.
      *columns: as in `in_shards`.
    """
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        return function(*columns)
    count = strategy.num_replicas_in_sync

    def on_this_one():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return _shard(function, rows, columns, number, count)

    results = strategy.experimental_local_results(strategy.run(on_this_one))
    return tf.concat(results, axis=0)


def _shard(function, rows, columns, number, count):
    size = -(-rows // (count * UNIT)) * UNIT
    last = (rows - 1) // UNIT * UNIT
    # With few rows, the last shards repeat some of them: oneDNN's convolutions fail on an empty batch.
    start = tf.maximum(0, tf.minimum(number * size, last))
    end = tf.minimum(start + size, rows)
    result = function(*(_part(column, start, end) for column in columns))
    return result[number * size - start :]


def at_least_one_row(function: Callable[..., tf.Tensor], *columns) -> tf.Tensor:
    """Compute `function(*columns)`, also for no rows: oneDNN's convolutions fail on an empty batch.

    Args:
      function: from tensors [n, ...] to a tensor [n, ...], n at least 1.
      *columns: tensors [rows, ...], rows at least 0, or None, which is passed on.

    Returns:
      Tensor [rows, ...].

    Example:
      >>> at_least_one_row(lambda row: row[:1] + row, tf.zeros([0, 2])).shape
      TensorShape([0, 2])
    """
    if columns[0].shape[0]:  # known, and not 0
        return function(*columns)
    rows = tf.shape(columns[0])[0]
    missing = tf.cast(tf.equal(rows, 0), tf.int32)

    def filled(column):
        return tf.concat([column, tf.zeros([missing, *column.shape[1:]], column.dtype)], axis=0)

    result = function(*(column if column is None else filled(column) for column in columns))
    return result[:rows]


def _part(column, start, end):
    if column is None:
        return None
    return column(start, end) if callable(column) else column[start:end]
