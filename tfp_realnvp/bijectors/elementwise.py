"""A transform as a bijector: the same parameters for all entries."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed
from tfp_realnvp.transforms import Transform

__all__ = ["Elementwise"]


class Elementwise(tfb.Bijector):
    """A transform of every entry of an image, by parameters that do not depend on the image.

    - Forward (latent to image): `y, log_slope = transform.forward(x, *parameters)`
    - Inverse (image to latent): `x, log_slope = transform.inverse(y, *parameters)`
    - Forward log-determinant: `sum(log_slope)`

    Args:
      transform: what is done to an entry.
      parameters: float tensors, as the transform wants them; a variable or `tfp.util.DeferredTensor` is read at
        each use.
      name: name of the bijector.

    Example:
      >>> from tfp_realnvp.transforms import Affine
      >>> bijector = Elementwise(Affine(), [tf.constant(1.0), tf.constant(0.0)])
      >>> bijector.forward(tf.zeros([1, 2, 1])).numpy().ravel()
      array([1., 1.], dtype=float32)
    """

    def __init__(self, transform: Transform, parameters, name="elementwise"):
        arguments = dict(locals())
        self._transform = transform
        self._shared = list(parameters)
        super().__init__(forward_min_event_ndims=3, parameters=arguments, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        y, log_slope = self._apply("forward", x)
        renewed(self, "forward", x, log_slope)
        return y

    def _inverse(self, y):
        x, log_slope = self._apply("inverse", y)
        renewed(self, "inverse", y, log_slope)
        return x

    def _forward_log_det_jacobian(self, x):
        log_slope = kept(self, "forward", x, lambda: self._apply("forward", x)[1])
        return tf.reduce_sum(log_slope, axis=[-3, -2, -1])

    def _apply(self, direction, values):
        parameters = [tf.convert_to_tensor(parameter) for parameter in self._shared]
        result, log_slope = getattr(self._transform, direction)(values, *parameters)
        return result, tf.broadcast_to(log_slope, tf.shape(result))
