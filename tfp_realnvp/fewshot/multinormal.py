"""Gaussians fitted to a few points in many dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tensorflow_probability import distributions as tfd

from tfp_realnvp.fewshot.route import COVARIANCES

__all__ = ["FittedGaussian", "fit"]


@dataclass(frozen=True)
class FittedGaussian:
    """A Gaussian fitted to points, and what the variance floor did to it.

    Attributes:
      distribution: the Gaussian, or a transformation of it.
      variance_floor: no direction of the Gaussian has a smaller variance, before the temperature.
      raised: the number of directions whose variance was raised to the floor.
    """

    distribution: tfd.Distribution
    variance_floor: float
    raised: int


def fit(
    points: np.ndarray,
    *,
    covariance: str = "diagonal",
    intrinsic_dimension: int | None = None,
    temperature: float = 1.0,
    variance_floor: float = 1e-4,
) -> FittedGaussian:
    """Fit a Gaussian to points.

    The mean is the mean of the points. Variances are estimated without bias (divisor n - 1). The covariance
    is one of
    - "diagonal": the variance of each coordinate;
    - "spherical": one variance for all coordinates, the mean of theirs;
    - "full": with k = `intrinsic_dimension`, the covariance within the span of the k leading principal
      directions; all other directions have the same variance, the mean of what is left there
      (probabilistic PCA). n points span n - 1 directions, so k is at most n - 1, which is its default.

    Args:
      points: float array [n, d], n at least 2.
      covariance: "diagonal", "spherical" or "full".
      intrinsic_dimension: k, from 1 to min(n - 1, d), with "full" alone.
      temperature: above 0; standard deviations are multiplied by it, after the floor.
      variance_floor: smallest variance of a direction, above 0. A few points say nothing about most
        directions; without a floor the density there would be infinitely narrow.

    Returns:
      A `FittedGaussian` with a distribution over float32 [d].

    Raises:
      ValueError: an argument outside its range, or points that are all equal.

    Example:
      >>> points = np.array([[0.0, 1.0], [2.0, 1.0]])
      >>> gaussian = fit(points, variance_floor=0.01)
      >>> gaussian.distribution.variance().numpy().round(3)
      array([2.  , 0.01], dtype=float32)
      >>> gaussian.raised
      1

    Reference:
      Tipping, Bishop (1999), Probabilistic principal component analysis, section 3.2.
    """
    points = np.asarray(points, np.float64)
    _check(points, covariance, intrinsic_dimension, temperature, variance_floor)
    count, size = points.shape
    mean = points.mean(axis=0)
    deviations = (points - mean) / np.sqrt(count - 1)
    if covariance == "full":
        rank = intrinsic_dimension or min(count - 1, size)
        _, scales, directions = np.linalg.svd(deviations, full_matrices=False)
        rest = np.sum(scales[rank:] ** 2) / max(size - rank, 1)
        noise = max(rest, variance_floor)
        leading = np.maximum(scales[:rank] ** 2, noise)
        raised = int(np.sum(scales[:rank] ** 2 < variance_floor))
        raised += size - rank if rest < variance_floor else 0
        factor = directions[:rank].T * np.sqrt(leading - noise)
        distribution = tfd.MultivariateNormalDiagPlusLowRankCovariance(
            loc=_float32(mean),
            cov_diag_factor=_float32(np.full(size, temperature**2 * noise)),
            cov_perturb_factor=_float32(temperature * factor),
        )
    else:
        variances = np.sum(deviations**2, axis=0)
        if covariance == "spherical":
            variances = np.full(size, variances.mean())
        raised = int(np.sum(variances < variance_floor))
        scale = temperature * np.sqrt(np.maximum(variances, variance_floor))
        distribution = tfd.MultivariateNormalDiag(_float32(mean), _float32(scale))
    return FittedGaussian(distribution, variance_floor, raised)


def _float32(values) -> np.ndarray:
    return np.asarray(values, np.float32)


def _check(points, covariance, intrinsic_dimension, temperature, variance_floor):
    if points.ndim != 2 or len(points) < 2:
        raise ValueError(
            f"`points` must be at least 2 points [n, d], received the shape {list(points.shape)}."
        )
    if not np.all(np.isfinite(points)):
        raise ValueError("`points` must be finite, received NaN or infinite values.")
    if np.all(points == points[0]):
        raise ValueError("`points` are all equal: there is no spread to fit a Gaussian to.")
    if covariance not in COVARIANCES:
        raise ValueError(
            f"`covariance` must be one of {', '.join(COVARIANCES)}, received {covariance!r}."
        )
    if intrinsic_dimension is not None:
        most = min(len(points) - 1, points.shape[1])
        if covariance != "full":
            raise ValueError(
                f"`intrinsic_dimension` goes with the `covariance` 'full' alone, received {covariance!r}: "
                "leave it out, or choose 'full'."
            )
        if not 1 <= intrinsic_dimension <= most:
            raise ValueError(
                f"`intrinsic_dimension` must be from 1 to {most} for {len(points)} points in "
                f"{points.shape[1]} dimensions, received {intrinsic_dimension}."
            )
    for name, value in (("temperature", temperature), ("variance_floor", variance_floor)):
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"`{name}` must be above 0, received {value}.")
