"""A Gaussian, or several that differ in their means alone, as arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import normal_rows, uniform_rows
from tfp_realnvp.flows.gaussian import gaussian
from tfp_realnvp.flows.smoothed_bootstrap import SmoothedBootstrap

__all__ = ["GaussianMixture"]


class GaussianMixture(NamedTuple):
    """A mixture of equal shares of m Gaussians with the covariance `diag(variances) + factors @ factors.T`.

    Attributes:
      centers: float32 [m, d], their means; m is 1 for a single Gaussian.
      variances: float32 [d], above 0.
      factors: float32 [d, k]; k is 0 for a diagonal covariance.

    Example:
      >>> mixture = GaussianMixture(np.zeros([1, 2], "f"), np.ones(2, "f"), np.zeros([2, 0], "f"))
      >>> mixture.distribution().log_prob([0.0, 0.0]).numpy().round(3)
      np.float32(-1.838)
    """

    centers: np.ndarray | tf.Tensor
    variances: np.ndarray | tf.Tensor
    factors: np.ndarray | tf.Tensor

    def distribution(self) -> tfd.Distribution:
        """As a distribution over float32 [d]."""
        if self.centers.shape[0] == 1:
            return gaussian(self.centers[0], self.variances, self.factors)
        return SmoothedBootstrap(self.centers, self.variances, self.factors)

    def rows(self, seed: tf.Tensor, first, last, *, temperature=1.0) -> tf.Tensor:
        """Points from an endless table, of which any rows can be made without the others.

        Args:
          seed: int32 [2].
          first: of the rows, a multiple of 4.
          last: the row after the last one.
          temperature: what deviations from the mean are multiplied by.

        Returns:
          float32 [last - first, d].
        """
        size, rank = self.factors.shape
        which = uniform_rows([], seed)(first, last) * self.centers.shape[0]
        mean = tf.reduce_mean(self.centers, axis=0)
        deviations = tf.gather(self.centers, tf.cast(which, tf.int32)) - mean
        deviations += tf.sqrt(self.variances) * normal_rows([size], tf.add(seed, [1, 0]))(
            first, last
        )
        if rank:
            along = normal_rows([rank], tf.add(seed, [2, 0]))(first, last)
            deviations += tf.matmul(along, self.factors, transpose_b=True)
        return mean + temperature * deviations

    def standard_deviations(self) -> tf.Tensor:
        """Of each number by itself, float32 [d]."""
        within = self.variances + tf.reduce_sum(tf.square(self.factors), axis=1)
        return tf.sqrt(within + tf.math.reduce_variance(self.centers, axis=0))
