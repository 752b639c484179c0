"""The smoothed bootstrap: one of several points, with noise around it."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import ALGORITHM, to_seed

__all__ = ["SmoothedBootstrap"]


class SmoothedBootstrap(tfd.Distribution):
    """A mixture of Gaussians that differ in their means alone: draws a point, and adds noise.

    `log_prob(x) = log(mean_i(exp(noise.log_prob(x - points[i]))))`

    It is `tfd.MixtureSameFamily` for many points in many dimensions: that one draws from all components, and
    compares all points at the same time.

    Args:
      points: float32 [m, d], m at least 1.
      noise: a distribution over float32 [d].

    Example:
      >>> noise = tfd.MultivariateNormalDiag(scale_diag=[0.1, 0.1])
      >>> SmoothedBootstrap(tf.constant([[0.0, 0.0], [4.0, 2.0]]), noise).mean().numpy()
      array([2., 1.], dtype=float32)

    Reference:
      Silverman, Young (1987), The bootstrap: to smooth or not to smooth?
    """

    def __init__(self, points, noise: tfd.Distribution, name: str = "smoothed_bootstrap"):
        parameters = dict(locals())
        self._points = tf.convert_to_tensor(points)
        self._noise = noise
        super().__init__(
            dtype=self._points.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _batch_shape(self):
        return tf.TensorShape([])

    def _batch_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _event_shape(self):
        return self._points.shape[1:]

    def _event_shape_tensor(self):
        return tf.constant(self._points.shape[1:], tf.int32)

    def _sample_n(self, n, seed=None):
        seed = to_seed(seed)
        index = tf.random.stateless_uniform(
            [n], seed, 0, self._points.shape[0], tf.int32, alg=ALGORITHM
        )
        noise = self._noise.sample(n, seed=tf.add(seed, [1, 0]))
        return tf.gather(self._points, index) + noise

    def _log_prob(self, value):
        rows = tf.reshape(value, [-1, *self._points.shape[1:]])

        def of_row(row):
            return tf.reduce_logsumexp(self._noise.log_prob(row - self._points))

        log_probs = tf.map_fn(of_row, rows) - math.log(self._points.shape[0])
        return tf.reshape(log_probs, tf.shape(value)[:-1])

    def _mean(self):
        return tf.reduce_mean(self._points, axis=0) + self._noise.mean()
