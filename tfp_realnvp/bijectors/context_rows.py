"""What is known of each row, beside the values that a bijector is given."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["as_rows", "batch_shape", "context_of_rows"]


def as_rows(
    values: tf.Tensor, context: tf.Tensor | None, event_ndims: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Values with one batch axis, as Keras layers want them; distributions have any number.

    Args:
      values: [..., *event].
      context: [n, ...], n being the last batch axis of the values, or None. A single value is repeated for each
        row of the context.
      event_ndims: number of axes of one event.

    Returns:
      The rows, and the shape of the values before, repeated ones included.
    """
    event = values.shape[values.shape.rank - event_ndims :]
    shape = tf.concat([batch_shape(values, context, event_ndims), event], axis=0)
    if _spreads(values, context, event_ndims):
        values = tf.broadcast_to(values, shape)
    return tf.reshape(values, [-1, *event]), shape


def batch_shape(values: tf.Tensor, context: tf.Tensor | None, event_ndims: int) -> tf.Tensor:
    """The batch axes of the values, int32, when single ones are repeated; arguments as in `as_rows`."""
    batch = tf.shape(values)[: values.shape.rank - event_ndims]
    if context is not None and _spreads(values, context, event_ndims):
        return tf.broadcast_dynamic_shape(batch, tf.shape(context)[:1])
    return batch


def context_of_rows(context: tf.Tensor | None, rows: tf.Tensor) -> tf.Tensor | None:
    """The context [n, ...] of each of the rows that `as_rows` gives."""
    if context is None or context.shape[0] == rows.shape[0]:
        return context
    repeats = tf.shape(rows)[0] // tf.shape(context)[0]
    return tf.tile(context, [repeats, *[1] * (context.shape.rank - 1)])


def _spreads(values, context, event_ndims) -> bool:
    """Whether a single value has to be repeated for each row of the context."""
    batch = values.shape[: values.shape.rank - event_ndims]
    return context is not None and (batch.rank == 0 or batch[-1] == 1)
