"""Gaussians fitted to a few points in many dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tensorflow_probability import distributions as tfd

from tfp_realnvp.fewshot.route import COVARIANCES
from tfp_realnvp.flows.gaussian_mixture import GaussianMixture

__all__ = ["FittedGaussian", "choose_floor", "fit"]


@dataclass(frozen=True)
class FittedGaussian:
    """A Gaussian fitted to points, and what the variance floor did to it.

    Attributes:
      distribution: the Gaussian, or a mixture of Gaussians, or a transformation of one of them.
      variance_floor: no direction of the Gaussian has a smaller variance, before the temperature.
      raised: the number of directions whose variance was raised to the floor.
      mixture: the Gaussian, or the mixture, over flattened points.
    """

    distribution: tfd.Distribution
    variance_floor: float
    raised: int
    mixture: GaussianMixture


def fit(
    points: np.ndarray,
    *,
    covariance: str = "diagonal",
    intrinsic_dimension: int | None = None,
    temperature: float = 1.0,
    variance_floor: float = 1e-4,
    bandwidth: float = 1.0,
) -> FittedGaussian:
    """Fit a Gaussian to points.

    The mean is the mean of the points. Variances are estimated without bias (divisor n - 1). The covariance
    is one of
    - "diagonal": the variance of each coordinate;
    - "spherical": one variance for all coordinates, the mean of theirs;
    - "full": with k = `intrinsic_dimension`, the covariance within the span of the k leading principal
      directions; all other directions have the same variance, the mean of what is left there
      (probabilistic PCA). n points span n - 1 directions, so k is at most n - 1, which is its default.

    With a bandwidth h below 1, the Gaussian becomes a mixture with the same mean and covariance: around each
    point, drawn towards the mean by the factor sqrt(1 - h**2), a Gaussian with h times the standard deviations
    (the smoothed bootstrap). What is drawn stays nearer to single points: between points that are unlike, there
    may be nothing that makes sense.

    Args:
      points: float array [n, d], n at least 2.
      covariance: "diagonal", "spherical" or "full".
      intrinsic_dimension: k, from 1 to min(n - 1, d), with "full" alone.
      temperature: above 0; standard deviations are multiplied by it, after the floor.
      variance_floor: smallest variance of a direction, above 0. A few points say nothing about most
        directions; without a floor the density there would be infinitely narrow.
      bandwidth: h, above 0 and at most 1.

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
      Silverman, Young (1987), The bootstrap: to smooth or not to smooth?
    """
    points = np.asarray(points, np.float64)
    _check(points, covariance, intrinsic_dimension, temperature, variance_floor, bandwidth)
    moments = _moments(points, covariance, intrinsic_dimension)
    centers = moments.centers(points, temperature, bandwidth)
    variances, factors = moments.covariance(variance_floor, temperature * bandwidth)
    mixture = GaussianMixture(_float32(centers), _float32(variances), _float32(factors))
    raised = moments.below(variance_floor)
    return FittedGaussian(mixture.distribution(), variance_floor, raised, mixture)


def choose_floor(
    points: np.ndarray,
    floors: Sequence[float] | np.ndarray,
    *,
    groups: np.ndarray | None = None,
    covariance: str = "diagonal",
    intrinsic_dimension: int | None = None,
    temperature: float = 1.0,
    bandwidth: float = 1.0,
) -> float:
    """The variance floor under which points are likeliest that the Gaussian was not fitted to.

    Each point in turn, or each group of points, is left out and scored under the Gaussian of the others.

    Args:
      points: float array [n, d], n at least 3, of which no n - 1 are all equal.
      floors: variances to choose among, each above 0.
      groups: int [n], equal for points that are left out together. None means each by itself.
      covariance: as in `fit`.
      intrinsic_dimension: as in `fit`; at most one less than the points that are left.
      temperature: as in `fit`.
      bandwidth: as in `fit`.

    Returns:
      One of the floors.

    Raises:
      ValueError: fewer than 3 points, no floors; and as `fit`.

    Example:
      >>> points = np.random.default_rng(0).normal(size=(5, 100))
      >>> choose_floor(points, [0.01, 1.0, 100.0], covariance="full")
      1.0
    """
    if len(points) < 3:
        raise ValueError(f"`points` must be at least 3 to leave one out, received {len(points)}.")
    if len(floors) < 1:
        raise ValueError("`floors` must be at least 1 variance, received none.")
    points = np.asarray(points, np.float64)
    groups = np.arange(len(points)) if groups is None else np.asarray(groups)
    scores = np.zeros(len(floors))
    for group in np.unique(groups):
        left_out, others = points[groups == group], points[groups != group]
        rank = intrinsic_dimension and min(intrinsic_dimension, len(others) - 1)
        _check(others, covariance, rank, temperature, min(floors), bandwidth)
        moments = _moments(others, covariance, rank)
        centers = moments.centers(others, temperature, bandwidth)
        scores += moments.log_likelihoods(left_out, centers, floors, temperature * bandwidth)
    return float(floors[int(np.argmax(scores))])


class _Moments(NamedTuple):
    """Mean and variances of points.

    Attributes:
      mean: float [d].
      directions: orthonormal rows [k, d]; None for the d axes.
      variances: along the directions, [k].
      rest: the variance in all other directions.
    """

    mean: np.ndarray
    directions: np.ndarray | None
    variances: np.ndarray
    rest: float

    @property
    def others(self) -> int:
        """The number of other directions."""
        return self.mean.size - self.variances.size

    def at_least(self, floor: float) -> tuple[np.ndarray, float]:
        """(variances, rest) with nothing below the floor, and no direction below the rest."""
        rest = max(self.rest, floor)
        return np.maximum(self.variances, rest), rest

    def below(self, floor: float) -> int:
        """How many directions have a smaller variance than the floor."""
        return int(np.sum(self.variances < floor)) + (self.others if self.rest < floor else 0)

    def centers(self, points: np.ndarray, temperature: float, bandwidth: float) -> np.ndarray:
        """The means of the mixture's Gaussians, [n, d], or of the one Gaussian, [1, d]."""
        if bandwidth == 1:
            return self.mean[None]
        return self.mean + temperature * math.sqrt(1 - bandwidth**2) * (points - self.mean)

    def covariance(self, floor: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """With standard deviations times a scale: the variances and factors of a `GaussianMixture`."""
        variances, rest = self.at_least(floor)
        if self.directions is None:
            return scale**2 * variances, np.zeros((self.mean.size, 0))
        factors = scale * self.directions.T * np.sqrt(variances - rest)
        return np.full(self.mean.size, scale**2 * rest), factors

    def log_likelihoods(
        self, points: np.ndarray, centers: np.ndarray, floors, scale: float
    ) -> np.ndarray:
        """Of points [n, d] under a mixture of such Gaussians around centers [c, d], for each floor."""
        floored = [self.at_least(floor) for floor in floors]
        variances = scale**2 * np.array([along for along, _ in floored])  # [floors, k]
        rests = scale**2 * np.array([rest for _, rest in floored])
        log_dets = np.sum(np.log(variances), axis=-1) + self.others * np.log(rests)
        constants = log_dets + self.mean.size * math.log(2 * math.pi)
        centers_along = self._along(centers)
        result = np.zeros(len(floored))
        for point, point_along in zip(points, self._along(points), strict=True):
            along = (point_along - centers_along) ** 2
            across = np.sum((point - centers) ** 2, axis=-1) - np.sum(along, axis=-1)
            squares = along @ (1 / variances).T + across[:, None] / rests
            log_probs = -0.5 * (squares + constants)
            result += np.logaddexp.reduce(log_probs, axis=0) - math.log(len(centers))
        return result

    def _along(self, points: np.ndarray) -> np.ndarray:
        """Points [n, d] in the coordinates of the directions, [n, k]."""
        return points if self.directions is None else points @ self.directions.T


def _moments(points, covariance, intrinsic_dimension) -> _Moments:
    count, size = points.shape
    mean = points.mean(axis=0)
    deviations = (points - mean) / np.sqrt(count - 1)
    if covariance == "full":
        rank = intrinsic_dimension or min(count - 1, size)
        _, scales, directions = np.linalg.svd(deviations, full_matrices=False)
        rest = np.sum(scales[rank:] ** 2) / max(size - rank, 1)
        return _Moments(mean, directions[:rank], scales[:rank] ** 2, rest)
    variances = np.sum(deviations**2, axis=0)
    if covariance == "spherical":
        variances = np.full(size, variances.mean())
    return _Moments(mean, None, variances, 0.0)


def _float32(values) -> np.ndarray:
    return np.asarray(values, np.float32)


def _check(points, covariance, intrinsic_dimension, temperature, variance_floor, bandwidth):
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
    if not 0 < bandwidth <= 1:
        raise ValueError(f"`bandwidth` must be above 0 and at most 1, received {bandwidth}.")
