"""How good drawn pictures are: in the features of a classifier, against real images."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.evaluation.classifier import Classifier

__all__ = ["density_and_coverage", "frechet_distance", "score_pictures", "squared_distances"]

SURE = 0.9  # from this probability on, a classifier is sure of a label
BLOCK = 1000  # rows of distances that are computed at once, which bounds the memory


def score_pictures(
    classifier: Classifier, drawn: np.ndarray, images: np.ndarray
) -> dict[str, float]:
    """Compare drawn pictures with real ones.

    Bits per dimension tell how much probability a distribution gives to real images; they hardly show whether
    what it draws looks like them. Here, both are seen through a classifier that was trained on real images.

    Args:
      classifier: of such images.
      drawn: uint8 [n, height, width, channels].
      images: uint8 [m, height, width, channels], real ones that the classifier was not trained on. Their
        number matters, as that of the drawn ones does: the Frechet distance of few images is too large.

    Returns:
      `clear`: the share of drawn images of whose label the classifier is more than 90 % sure; `density` and
      `coverage`, see `density_and_coverage`; `frechet`, see `frechet_distance`.

    Raises:
      ValueError: fewer than 6 images.
    """
    features, probabilities = classifier(drawn)
    real, _ = classifier(images)
    density, coverage = density_and_coverage(features, real)
    return {
        "clear": float(np.mean(np.max(probabilities, axis=1) > SURE)),
        "density": density,
        "coverage": coverage,
        "frechet": frechet_distance(features, real),
    }


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Frechet (or Wasserstein-2) distance of the two Gaussians that fit these features.

    `|mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2))`; 0 if the Gaussians are equal.

    Args:
      a: float [n, features].
      b: float [m, features].

    Example:
      >>> points = np.array([[-1.0], [1.0]])
      >>> frechet_distance(points, points + 3)
      9.0

    Reference:
      Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017), GANs trained by a two time-scale update rule
      converge to a local Nash equilibrium, equation 6.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    root = _symmetric_root(np.atleast_2d(np.cov(a, rowvar=False)))
    cov_b = np.atleast_2d(np.cov(b, rowvar=False))
    # the trace of (cov_a cov_b)^(1/2) is that of the root of a symmetric matrix with the same eigenvalues
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_b @ root), 0, None)).sum()
    mean = np.mean(a, axis=0) - np.mean(b, axis=0)
    distance = mean @ mean + np.trace(root @ root) + np.trace(cov_b) - 2 * shared
    return max(0.0, float(distance))


def density_and_coverage(
    drawn: np.ndarray, real: np.ndarray, neighbors: int = 5
) -> tuple[float, float]:
    """How close drawn features lie to real ones, and how many of the real ones they reach.

    Each real image has a ball, as large as the distance to its `neighbors`-th nearest real neighbor. Density is
    the mean number of balls that a drawn image lies in, divided by `neighbors`: near 1 for real images, 0 for
    images unlike any, above 1 where they crowd at the most common ones. Coverage is the share of balls with a
    drawn image in it: at most 1, small if images of some kinds are never drawn.

    Args:
      drawn: float [n, features].
      real: float [m, features], m at least `neighbors + 1`.
      neighbors: see above.

    Returns:
      (density, coverage).

    Raises:
      ValueError: too few real images.

    Reference:
      Naeem, Oh, Uh, Choi, Yoo (2020), Reliable fidelity and diversity metrics for generative models, section 3.
    """
    if len(real) <= neighbors:
        raise ValueError(
            f"{neighbors} neighbors need at least {neighbors + 1} real images, received {len(real)}."
        )
    drawn, real = np.asarray(drawn, np.float64), np.asarray(real, np.float64)
    inside, reached = 0, 0
    for start in range(0, len(real), BLOCK):
        block = real[start : start + BLOCK]
        # the nearest one is the image itself
        radii = np.partition(squared_distances(block, real), neighbors, axis=1)[:, neighbors]
        within = squared_distances(block, drawn) < radii[:, None]
        inside += int(np.count_nonzero(within))
        reached += int(np.count_nonzero(within.any(axis=1)))
    return inside / (neighbors * len(drawn)), reached / len(real)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The squared Euclidean distances of all pairs, float [n, m], of points [n, features] and [m, features]."""
    distances = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T
    return np.clip(distances, 0, None)


def _symmetric_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
