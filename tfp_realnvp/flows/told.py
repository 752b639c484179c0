"""What a flow is told of each image: its label, a context, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.flows.checks import check_context, check_labels

__all__ = ["Told", "as_encoder"]


class Told:
    """What the conditioners of a flow are told of each image, as one tensor.

    A label becomes as many numbers as there are labels: 1 in its place, 0 elsewhere. A context is a vector or
    an image, or what the encoder makes of it. With both, the numbers of the label follow those of the context,
    at each position of an image.

    Args:
      labels: those that the flow knows; none if it is told none.
      context_shape: (features,) or (height, width, channels); None if the flow is told no context.
      encoder: from contexts [n, *context_shape] to a float tensor [n, features] or
        [n, height, width, channels]; None takes them as they are.

    Attributes:
      labels, context_shape, encoder: as given.
      shape: of what the conditioners are told of an image; empty for nothing.

    Raises:
      ValueError: labels, a shape or an encoder of another kind.
    """

    def __init__(
        self,
        labels: Sequence[int] = (),
        context_shape: Sequence[int] | None = None,
        encoder: Callable | None = None,
    ):
        if len(set(labels)) != len(labels) or len(labels) == 1:
            raise ValueError(f"`labels` must be two or more different ones, received {labels}.")
        self.labels = tuple(int(label) for label in labels)
        self.context_shape = _check_shape(context_shape)
        self.encoder = encoder
        self.shape = self._shape()

    def check(self, labels, context) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Labels and context as tensors.

        Args:
          labels: integers [...], if the flow knows labels.
          context: numbers [..., *context_shape], if it has a context.

        Raises:
          TypeError, ValueError: one that is missing, not asked for, or of another kind or shape.
        """
        return check_labels(labels, self.labels), self.check_context(context)

    def check_context(self, context) -> tf.Tensor | None:
        """The context alone; see `check`."""
        return check_context(context, self.context_shape)

    def check_rows(self, labels, context) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """As `check`, for labels [n] and context [n, *context_shape]: one batch axis, the same of both."""
        labels, context = self.check(labels, context)
        for name, column, axes in self._columns(labels, context):
            if column.shape.rank != 1 + axes:
                shape = ", ".join(["n", *map(str, column.shape[column.shape.rank - axes :])])
                raise ValueError(
                    f"`{name}` must have the shape [{shape}], received {column.shape.as_list()}."
                )
        if context is not None:
            self.check_batch(labels, None, context.shape[:1])
        return labels, context

    def check_batch(self, labels, context, batch: tf.TensorShape) -> None:
        """Labels and context, if there are any, have the batch axes that the images have.

        Raises:
          ValueError: other axes.
        """
        for name, column, axes in self._columns(labels, context):
            own = column.shape.rank - axes
            if not column.shape[:own].is_compatible_with(batch):
                expected = [*batch.as_list(), *column.shape[own:]]
                raise ValueError(
                    f"`{name}` must have the shape {expected} of the images' batch, received "
                    f"{column.shape.as_list()}."
                )

    def _columns(self, labels, context):
        """(name, values, number of axes of a row) of what there is."""
        axes = len(self.context_shape or ())
        columns = [("labels", labels, 0), ("context", context, axes)]
        return [column for column in columns if column[1] is not None]

    def encode(self, context: tf.Tensor | None) -> tf.Tensor | None:
        """What the encoder makes of contexts [n, *context_shape]."""
        return None if context is None else self._encode(context)

    def _encode(self, context: tf.Tensor) -> tf.Tensor:
        return context if self.encoder is None else tf.cast(self.encoder(context), tf.float32)

    def join(self, labels: tf.Tensor | None, encoded: tf.Tensor | None) -> tf.Tensor | None:
        """What the conditioners are told, float32 [n, *shape]; None for nothing.

        Args:
          labels: int32 [n], or None.
          encoded: the result of `encode`, or None.
        """
        if labels is None:
            return encoded
        of_labels = tf.cast(tf.equal(labels[:, tf.newaxis], self.labels), tf.float32)
        if encoded is None:
            return of_labels
        if encoded.shape.rank == 4:
            shape = tf.concat([tf.shape(encoded)[:-1], [len(self.labels)]], axis=0)
            of_labels = tf.broadcast_to(of_labels[:, tf.newaxis, tf.newaxis], shape)
        return tf.concat([encoded, of_labels], axis=-1)

    def _shape(self) -> tuple[int, ...]:
        if self.context_shape is None:
            if self.encoder is not None:
                raise ValueError(
                    "`context_encoder` needs `context_shape`, the shape of what it encodes."
                )
            return (len(self.labels),) if self.labels else ()
        encoded = self._encode(tf.zeros([1, *self.context_shape]))
        if encoded.shape.rank not in (2, 4) or encoded.shape[0] != 1:
            raise ValueError(
                "`context_encoder` must give [n, features] or [n, height, width, channels], received "
                f"{encoded.shape.as_list()} for a single context."
            )
        *positions, features = encoded.shape[1:]
        return (*positions, features + len(self.labels))


def as_encoder(encoder: Callable | dict | None) -> Callable | None:
    """An encoder, from what a constructor may be given: itself, its description in a file, or None.

    Raises:
      TypeError: something that cannot be called.
    """
    if isinstance(encoder, dict):
        encoder = keras.saving.deserialize_keras_object(encoder)
    if encoder is not None and not isinstance(encoder, keras.layers.Layer):
        raise TypeError(
            f"`context_encoder` must be a Keras model or layer, received {type(encoder).__name__}."
        )
    return encoder


def _check_shape(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    sizes = np.asarray(shape)
    if (
        sizes.ndim != 1
        or len(sizes) not in (1, 3)
        or sizes.dtype.kind not in "iu"
        or sizes.min() < 1
    ):
        raise ValueError(
            "`context_shape` must be (features,) or (height, width, channels), of integers of at least 1, "
            f"received {shape}."
        )
    return tuple(map(int, sizes))
