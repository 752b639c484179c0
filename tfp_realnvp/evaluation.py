"""How good a distribution is on images: bits per dimension, and labels recognized."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfp_realnvp.flows import pixels

__all__ = ["BATCH", "accuracy", "score"]

BATCH = 1000  # images that are scored in one go


def score(
    log_prob: Callable, images: np.ndarray, labels: np.ndarray | None = None
) -> dict[str, float]:
    """The mean score of images.

    Args:
      log_prob: from images, and labels if they are given, to nats per image: `flow.log_prob`, or
        `pixels.log_prob` of any other distribution.
      images: uint8 [n, height, width, channels].
      labels: int [n], for scores given the label; None for those of images alone.

    Returns:
      `bits_per_dim` (mean), `standard_error` (of that mean), `log_prob` (mean, nats per image), `images`
      (their number).

    Raises:
      TypeError, ValueError: images that do not fit.

    Example:
      >>> uniform = lambda images: np.full(len(images), -4 * math.log(256))
      >>> score(uniform, np.zeros((10, 2, 2, 1), np.uint8))["bits_per_dim"]
      8.0
    """
    columns = (images,) if labels is None else (images, labels)
    batches = [
        log_prob(*(column[start : start + BATCH] for column in columns))
        for start in range(0, len(images), BATCH)
    ]
    values = np.concatenate(batches).astype(np.float64)
    bits = pixels.bits_per_dim(values, images.shape[1:])
    return {
        "bits_per_dim": float(np.mean(bits)),
        "standard_error": float(np.std(bits) / math.sqrt(len(bits))),
        "log_prob": float(np.mean(values)),
        "images": len(values),
    }


def accuracy(classify: Callable, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose label is recognized.

    Args:
      classify: from images to their labels: `flow.classify`.
      images: uint8 [n, height, width, channels].
      labels: int [n].

    Example:
      >>> accuracy(lambda images: np.zeros(len(images)), np.zeros((4, 2, 2, 1)), np.array([0, 1, 0, 0]))
      0.75
    """
    found = [classify(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return float(np.mean(np.concatenate(found) == labels))
