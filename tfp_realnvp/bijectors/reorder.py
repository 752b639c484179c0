"""Pixels in another order."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.compute.custom_gradient import custom_gradient

__all__ = ["Reorder"]


class Reorder(tfb.Bijector):
    """Flatten images to vectors, with their numbers in a given order.

    - Forward: [height, width, channels] to [size], `y[i] = flat(x)[order[i]]`
    - Inverse: the way back
    - Forward log-determinant: 0

    It is `tfb.Permute` after `tfb.Reshape`, in half the time.

    Args:
      image_shape: (height, width, channels).
      order: int array [height * width * channels], a permutation.
      name: name of the bijector.

    Raises:
      ValueError: `order` is not a permutation of the positions in an image.

    Example:
      >>> Reorder((1, 3, 1), [2, 0, 1]).forward(tf.constant([[[5.0], [6.0], [7.0]]])).numpy()
      array([7., 5., 6.], dtype=float32)
    """

    def __init__(self, image_shape, order, name="reorder"):
        parameters = dict(locals())
        self._image_shape = tuple(image_shape)
        self._order = np.asarray(order)
        size = math.prod(self._image_shape)
        if not np.array_equal(np.sort(self._order), np.arange(size)):
            raise ValueError(
                f"`order` must hold each of the numbers from 0 to {size - 1} once, received {order}."
            )
        super().__init__(
            forward_min_event_ndims=3,
            inverse_min_event_ndims=1,
            is_constant_jacobian=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return _reordered(x, 3, self._order, [len(self._order)])

    def _inverse(self, y):
        return _reordered(y, 1, np.argsort(self._order), self._image_shape)

    def _forward_log_det_jacobian(self, x):
        return tf.zeros([], x.dtype)

    def _forward_event_shape(self, x_shape):
        return tf.TensorShape([math.prod(self._image_shape)])

    def _inverse_event_shape(self, y_shape):
        return tf.TensorShape(self._image_shape)

    def _forward_event_shape_tensor(self, x_shape):
        return tf.constant([math.prod(self._image_shape)])

    def _inverse_event_shape_tensor(self, y_shape):
        return tf.constant(self._image_shape)


def _shuffle(vectors, order):
    """The numbers of vectors [n, size] in this order.

    The gradient of `tf.gather` sums up repeated indices. A permutation has none: its gradient is the inverse
    permutation.
    """

    @custom_gradient
    def shuffle(vectors):
        return _gather(vectors, order), lambda upstream: _gather(upstream, np.argsort(order))

    return shuffle(vectors)


def _gather(vectors, order):
    """`tf.gather` is fast for whole rows, so it gets the transposed vectors."""
    return tf.transpose(tf.gather(tf.transpose(vectors), order))


def _reordered(values, event_ndims, order, new_shape):
    vectors = _shuffle(tf.reshape(values, [-1, len(order)]), order)
    batch = tf.shape(values)[: values.shape.rank - event_ndims]
    return tf.reshape(vectors, tf.concat([batch, new_shape], axis=0))
