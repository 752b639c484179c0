"""What share of samples is rarer than an image?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfp_realnvp.evaluation import BATCH

__all__ = ["Rarity", "Share", "rarer_probability", "share_of"]

Z = 1.96  # of a normal distribution, 95 % lie within so many standard deviations


class Share(NamedTuple):
    """Shares that were counted in a number of samples.

    Attributes:
      probability: float [n], the share of samples.
      standard_error: float [n], of that share.
      low, high: float [n], the ends of an interval that holds the true share with a probability of about 95 %
        (Wilson 1927).
    """

    probability: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray


def share_of(counted: np.ndarray, samples: int) -> Share:
    """The shares of so many samples that were counted, int [n], with their errors and intervals."""
    share = counted / samples
    middle = (share + Z**2 / (2 * samples)) / (1 + Z**2 / samples)
    spread = share * (1 - share) / samples
    half = Z * np.sqrt(spread + (Z / (2 * samples)) ** 2) / (1 + Z**2 / samples)
    low, high = np.maximum(middle - half, 0), np.minimum(middle + half, 1)
    return Share(share, np.sqrt(spread), low, high)


class Rarity:
    """What share of samples is rarer than an image: `P(log p(X) <= log p(image))`, X drawn from `p`.

    An image that 1 of 1,000 samples is rarer than lies in the distribution's tail. It may be noise. Read that
    the other way round with care: an image of something else, which is smooth and dark, can be likelier than
    all samples (Nalisnick et al. 2019).

    Args:
      distribution: a flow that is not told anything (or has labels), or an `ImageDistribution`.
      samples: how many are drawn, at least 1. They are drawn and scored once, here.
      seed: of the samples and of the dequantization noise.

    Raises:
      ValueError: fewer than one sample, or a flow with a context.

    Example:
      `shares = Rarity(flow, samples=10_000)(images).probability`

    Reference:
      Nalisnick, Matsukawa, Teh, Gorur, Lakshminarayanan (2019), Do deep generative models know what they don't
      know?; Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """

    def __init__(self, distribution, *, samples: int = 1000, seed: int = 0):
        if samples < 1:
            raise ValueError(f"`samples` must be at least 1, received {samples}.")
        self._distribution, self._seed = distribution, seed
        self._log_probs = np.sort(self._score(distribution.sample(samples, seed=seed).numpy()))

    def __call__(self, images) -> Share:
        """The share of samples that are at most as likely as each image.

        Args:
          images: uint8 [n, height, width, channels].

        Raises:
          TypeError, ValueError: images that do not fit the distribution.
        """
        rarer = np.searchsorted(self._log_probs, self._score(images), side="right")
        return share_of(rarer, len(self._log_probs))

    def _score(self, images) -> np.ndarray:
        starts = range(0, len(images), BATCH)
        return np.concatenate(
            [
                self._distribution.log_prob(images[start : start + BATCH], seed=self._seed)
                for start in starts
            ]
        )


def rarer_probability(distribution, images, *, samples: int = 1000, seed: int = 0) -> Share:
    """What share of samples is rarer than each image; see `Rarity`, which keeps the samples for other images.

    Args:
      distribution: as in `Rarity`.
      images: uint8 [n, height, width, channels].
      samples: how many are drawn, at least 1.
      seed: of the samples and of the dequantization noise.

    Raises:
      TypeError, ValueError: as `Rarity`.

    Example:
      `share, error, low, high = rarer_probability(flow, images)`
    """
    return Rarity(distribution, samples=samples, seed=seed)(images)
