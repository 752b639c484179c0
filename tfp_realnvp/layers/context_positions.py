"""A context image at the positions of a conditioner."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

__all__ = ["ContextPositions"]


class ContextPositions:
    """Brings a context image to the height and width of what a conditioner reads, without loss.

    Along each axis, several positions become channels of one (space to depth), or one is repeated.

    Args:
      context_shape: (height, width, channels) of the context.
      positions: (height, width) to bring it to.

    Attributes:
      shape: (height, width, channels) of the result.

    Raises:
      ValueError: a height or width that is neither a multiple nor a divisor of what it is brought to.

    Example:
      >>> ContextPositions((28, 28, 1), (14, 14)).shape, ContextPositions((7, 7, 3), (14, 14)).shape
      ((14, 14, 4), (14, 14, 3))
    """

    def __init__(self, context_shape: Sequence[int], positions: Sequence[int]):
        height, width, channels = context_shape
        pairs = list(zip((height, width), positions, strict=True))
        if any(given % wanted and wanted % given for given, wanted in pairs):
            raise ValueError(
                f"a context of {height}x{width} must have a height and a width that are multiples or divisors "
                f"of those of each scale, received one for a scale of {positions[0]}x{positions[1]}: resize "
                "it, or give a `context_encoder` that does."
            )
        self._blocks = [max(1, given // wanted) for given, wanted in pairs]
        self._repeats = [max(1, wanted // given) for given, wanted in pairs]
        self.shape = (*positions, channels * self._blocks[0] * self._blocks[1])

    def __call__(self, context: tf.Tensor) -> tf.Tensor:
        """A context [n, height, width, channels] as [n, *shape]."""
        for axis, repeats in enumerate(self._repeats, start=1):
            if repeats > 1:
                context = tf.repeat(context, repeats, axis=axis)
        (height, width, _), (rows, columns) = self.shape, self._blocks
        if rows * columns == 1:
            return context
        blocks = tf.reshape(context, [-1, height, rows, width, columns, context.shape[-1]])
        return tf.reshape(tf.transpose(blocks, [0, 1, 3, 2, 4, 5]), [-1, *self.shape])
