"""Memorization: whether drawn pictures are copies of the images that they were learned from."""

from __future__ import annotations

import math

import numpy as np

from tfp_realnvp.evaluation.pictures import squared_distances

__all__ = ["copying", "distances_to_nearest"]


def distances_to_nearest(points: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """The Euclidean distance of each point to the nearest one that was learned from.

    Args:
      points: float [n, features].
      learned: float [m, features], m at least 1.

    Returns:
      float64 [n].

    Example:
      >>> distances_to_nearest(np.array([[3.0], [7.0]]), np.array([[0.0], [8.0]]))
      array([3., 1.])
    """
    points, learned = np.asarray(points, np.float64), np.asarray(learned, np.float64)
    return np.sqrt(squared_distances(points, learned).min(axis=1))


def copying(drawn: np.ndarray, unseen: np.ndarray, learned: np.ndarray) -> float:
    """The C_T test: are drawn points nearer to what was learned from than other real points are?

    All pairs of a drawn point and an unseen one are compared by their distances to the nearest learned point
    (the test of Mann and Whitney), and the count is given in standard deviations of what chance would give.

    Args:
      drawn: float [n, features].
      unseen: float [m, features], real ones that nothing was learned from.
      learned: float [k, features].

    Returns:
      About 0 if drawn points are as far away as unseen ones, 1 standard deviation each way by chance; far below
      0 for copies, above 0 for points unlike any. It grows with the square root of the numbers of points.

    Raises:
      ValueError: no drawn, no unseen or no learned points.

    Example:
      >>> learned, near, far = np.zeros((1, 1)), np.full((20, 1), 0.1), np.full((20, 1), 2.0)
      >>> copying(near, far, learned) < -5 < 5 < copying(far, near, learned)
      True

    Reference:
      Meehan, Chaudhuri, Dasgupta (2020), A non-parametric test to detect data-copying in generative models,
      section 3.1, with one cell.
    """
    for name, points in (("drawn", drawn), ("unseen", unseen), ("learned", learned)):
        if len(points) == 0:
            raise ValueError(f"`{name}` must be at least 1 point, received none.")
    ours, theirs = (
        distances_to_nearest(drawn, learned),
        np.sort(distances_to_nearest(unseen, learned)),
    )
    below = np.searchsorted(theirs, ours, side="left")
    up_to = np.searchsorted(theirs, ours, side="right")
    farther = float(np.sum(below + up_to)) / 2  # of two equal distances, each counts half
    n, m = len(ours), len(theirs)
    return (farther - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
