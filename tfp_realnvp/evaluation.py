"""How good a distribution is on images: bits per dimension."""

from __future__ import annotations

import math

import numpy as np
import tensorflow_probability as tfp

from tfp_realnvp import preprocessing

tfd = tfp.distributions

__all__ = ["BATCH", "score"]

BATCH = 1000  # images that are scored in one go


def score(
    distribution: tfd.Distribution, images: np.ndarray, *, levels: int = 256, seed: int = 0
) -> dict[str, float]:
    """The mean score of images under a distribution over the unit cube.

    Args:
      distribution: of a flow, or of `transfer.fit_latent` or `transfer.fit_pixels`.
      images: integers in [0, levels), [n, height, width, channels].
      levels: number of grey levels.
      seed: of the dequantization noise.

    Returns:
      `bits_per_dim` (mean), `standard_error` (of that mean), `log_prob` (mean, nats per image), `images`
      (their number).

    Raises:
      TypeError, ValueError: images that do not fit.
    """
    image_shape = tuple(distribution.event_shape)
    images = preprocessing.check_images(images, image_shape, levels=levels)
    values = [
        preprocessing.log_prob(
            distribution,
            images[start : start + BATCH],
            levels=levels,
            seed=preprocessing.to_seed(seed),
        )
        for start in range(0, len(images), BATCH)
    ]
    values = np.concatenate(values).astype(np.float64)
    bits = preprocessing.bits_per_dim(values, image_shape)
    return {
        "bits_per_dim": float(np.mean(bits)),
        "standard_error": float(np.std(bits) / math.sqrt(len(bits))),
        "log_prob": float(np.mean(values)),
        "images": len(values),
    }
