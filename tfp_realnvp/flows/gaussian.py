"""A Gaussian of many dimensions that varies by itself in a few directions only."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["gaussian"]


def gaussian(mean: tf.Tensor, variances: tf.Tensor, factors: tf.Tensor) -> tfd.Distribution:
    """The Gaussian with the covariance `diag(variances) + factors @ factors.T`.

    Args:
      mean: float32 [d].
      variances: float32 [d], above 0.
      factors: float32 [d, k]; k may be 0.

    Example:
      >>> gaussian(tf.zeros(2), tf.ones(2), tf.zeros([2, 0])).log_prob([0.0, 0.0]).numpy().round(3)
      np.float32(-1.838)
    """
    if factors.shape[1] == 0:
        return tfd.MultivariateNormalDiag(mean, tf.sqrt(variances))
    return tfd.MultivariateNormalDiagPlusLowRankCovariance(
        loc=mean, cov_diag_factor=variances, cov_perturb_factor=factors
    )
