"""The affine transform: a shift and a scale."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_realnvp.transforms.transform import Transform

__all__ = ["Affine"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class Affine(Transform):
    """A shift and a scale.

    - Forward (latent to image): `y = x * exp(log_scale) + shift`
    - Inverse (image to latent): `x = (y - shift) * exp(-log_scale)`
    - `log(dy / dx) = log_scale`

    Its parameters are `shift` and `log_scale`, each of the shape of `x`.

    Example:
      >>> y, log_slope = Affine().forward(tf.constant([1.0]), tf.constant([3.0]), tf.constant([0.0]))
      >>> y.numpy(), log_slope.numpy()
      (array([4.], dtype=float32), array([0.], dtype=float32))

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 3.2.
    """

    def forward(self, x, shift, log_scale):
        """See the class."""
        return x * tf.exp(log_scale) + shift, log_scale

    def inverse(self, y, shift, log_scale):
        """See the class."""
        return (y - shift) * tf.exp(-log_scale), log_scale
