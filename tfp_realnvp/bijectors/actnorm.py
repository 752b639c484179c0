"""ActNorm: a shift and a scale for each channel, or for each number of an image."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

__all__ = ["ActNorm"]


class ActNorm(tfb.Bijector):
    """A shift and a scale that take the images' side to mean 0 and standard deviation 1.

    - Forward (latent to image): `y = x * exp(log_spread) + center`
    - Inverse (image to latent): `x = (y - center) * exp(-log_spread)`
    - Forward log-determinant: `sum(log_spread)`, each counted as often as it is used

    Args:
      center: float tensor or variable that broadcasts to [height, width, channels]; a variable is read at
        each use.
      log_spread: likewise.
      name: name of the bijector.

    Example:
      >>> bijector = ActNorm(tf.constant([3.0]), tf.constant([0.0]))
      >>> bijector.forward(tf.zeros([1, 2, 1])).numpy().ravel()
      array([3., 3.], dtype=float32)

    Reference:
      Kingma, Dhariwal (2018), Glow, section 3.1.
    """

    def __init__(self, center, log_spread, name="actnorm"):
        parameters = dict(locals())
        self._center = center
        self._log_spread = log_spread
        super().__init__(
            forward_min_event_ndims=3, is_constant_jacobian=True, parameters=parameters, name=name
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return x * tf.exp(tf.convert_to_tensor(self._log_spread)) + self._center

    def _inverse(self, y):
        return (y - self._center) * tf.exp(-tf.convert_to_tensor(self._log_spread))

    def _forward_log_det_jacobian(self, x):
        return tf.reduce_sum(tf.broadcast_to(self._log_spread, x.shape[-3:]))
