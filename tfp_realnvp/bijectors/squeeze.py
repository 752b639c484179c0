"""The squeeze: blocks of pixels to channels."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

__all__ = ["Squeeze"]


class Squeeze(tfb.Bijector):
    """Each block of 2 x 2 pixels becomes one position with four times the channels.

    - Forward: [height, width, channels] to [height / 2, width / 2, 4 channels]
    - Inverse: the way back
    - Forward log-determinant: 0

    The pixels of a block are listed upper left, lower right, upper right, lower left, each with all its
    channels: the first half of the result is one colour of a checkerboard, the second half the other.

    Args:
      name: name of the bijector.

    Example:
      >>> pixels = tf.reshape(tf.range(4.0), [2, 2, 1])
      >>> Squeeze().forward(pixels).numpy()
      array([[[0., 3., 1., 2.]]], dtype=float32)

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 3.6.
    """

    def __init__(self, name="squeeze"):
        parameters = dict(locals())
        super().__init__(
            forward_min_event_ndims=3, is_constant_jacobian=True, parameters=parameters, name=name
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        blocks = _with_one_batch_axis(tf.nn.space_to_depth, x)
        upper_left, upper_right, lower_left, lower_right = tf.split(blocks, 4, axis=-1)
        return tf.concat([upper_left, lower_right, upper_right, lower_left], axis=-1)

    def _inverse(self, y):
        upper_left, lower_right, upper_right, lower_left = tf.split(y, 4, axis=-1)
        blocks = tf.concat([upper_left, upper_right, lower_left, lower_right], axis=-1)
        return _with_one_batch_axis(tf.nn.depth_to_space, blocks)

    def _forward_log_det_jacobian(self, x):
        return tf.zeros([], x.dtype)

    def _forward_event_shape(self, x_shape):
        height, width, channels = x_shape
        return tf.TensorShape([height // 2, width // 2, 4 * channels])

    def _inverse_event_shape(self, y_shape):
        height, width, channels = y_shape
        return tf.TensorShape([2 * height, 2 * width, channels // 4])

    def _forward_event_shape_tensor(self, x_shape):
        return x_shape // [2, 2, 1] * [1, 1, 4]

    def _inverse_event_shape_tensor(self, y_shape):
        return y_shape * [2, 2, 1] // [1, 1, 4]


def _with_one_batch_axis(reorder, values):
    """Call `reorder`, which takes one batch axis, on values with any number of them."""
    flat = reorder(tf.reshape(values, [-1, *values.shape[-3:]]), 2)
    return tf.reshape(flat, tf.concat([tf.shape(values)[:-3], flat.shape[1:]], axis=0))
