"""The smoothed bootstrap: one of several points, with noise around it."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import ALGORITHM, to_seed
from tfp_realnvp.flows.gaussian import gaussian

__all__ = ["SmoothedBootstrap"]


class SmoothedBootstrap(tfd.Distribution):
    """A mixture of Gaussians that differ in their means alone: draws a point, and adds noise.

    `log_prob(x) = log(mean_i(exp(noise.log_prob(x - points[i]))))`

    It is `tfd.MixtureSameFamily` for many points in many dimensions: that one draws from all components, and
    compares all points at the same time.

    Args:
      points: float32 [m, d], m at least 1.
      variances: float32 [d], above 0. The noise has the covariance `diag(variances) + factors @ factors.T`.
      factors: float32 [d, k]; k may be 0.

    Example:
      >>> points = tf.constant([[0.0, 0.0], [4.0, 2.0]])
      >>> SmoothedBootstrap(points, tf.fill([2], 0.01), tf.zeros([2, 0])).mean().numpy()
      array([2., 1.], dtype=float32)

    Reference:
      Silverman, Young (1987), The bootstrap: to smooth or not to smooth?
    """

    def __init__(self, points, variances, factors, name: str = "smoothed_bootstrap"):
        parameters = dict(locals())
        self._points = tf.convert_to_tensor(points)
        self._variances = tf.convert_to_tensor(variances)
        self._factors = tf.convert_to_tensor(factors)
        self._noise = gaussian(tf.zeros_like(self._variances), self._variances, self._factors)
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
        """By Woodbury's identity; what is the same for all pairs of a value and a point is computed once."""
        count, size = self._points.shape
        scaled = self._factors / self._variances[:, None]
        products = tf.matmul(self._factors, scaled, transpose_a=True)
        triangle = tf.linalg.cholesky(tf.eye(self._factors.shape[1]) + products)
        directions = tf.linalg.triangular_solve(triangle, tf.transpose(scaled))

        def white_and_along(points):  # squared distance: that of the first less that of the second
            along = tf.matmul(points, directions, transpose_b=True)
            return points / tf.sqrt(self._variances), along

        points_white, points_along = white_and_along(self._points)

        def of_row(row):
            white, along = row
            squares = tf.reduce_sum(tf.square(white - points_white), axis=-1)
            squares -= tf.reduce_sum(tf.square(along - points_along), axis=-1)
            return tf.reduce_logsumexp(-0.5 * squares)

        rows = white_and_along(tf.reshape(value, [-1, size]))
        log_probs = tf.map_fn(of_row, rows, fn_output_signature=self.dtype)
        log_det = tf.reduce_sum(tf.math.log(self._variances))
        log_det += 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(triangle)))
        log_probs -= 0.5 * (log_det + size * math.log(2 * math.pi)) + math.log(count)
        return tf.reshape(log_probs, tf.shape(value)[:-1])

    def _mean(self):
        return tf.reduce_mean(self._points, axis=0)
