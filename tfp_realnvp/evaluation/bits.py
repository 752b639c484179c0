"""How well a distribution fits images: bits per dimension, and the share of labels that it recognizes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfp_realnvp.flows import pixels

__all__ = ["BATCH", "accuracy", "score"]

BATCH = 1000  # images that are scored at once, which bounds the memory


def score(
    log_prob: Callable, images: np.ndarray, *columns: np.ndarray | None, labels=None
) -> dict[str, float]:
    """Score images, a batch at a time, and take the mean.

    Args:
      log_prob: a function from a batch of images, and of the other columns if there are any, to nats [n]:
        `flow.log_prob`, or `flows.pixels.log_prob` with any other distribution.
      images: uint8 [n, height, width, channels], n at least 1.
      *columns: what else the function takes of each image, arrays [n, ...]; None is left out.
      labels: int [n], one more of them, for `log p(image | label)`.

    Returns:
      `bits_per_dim` (mean), `standard_error` (of that mean), `log_prob` (mean, nats per image), `images`
      (their number).

    Raises:
      TypeError, ValueError: what `log_prob` raises.

    Example:
      >>> uniform = lambda images: np.full(len(images), -4 * math.log(256))
      >>> score(uniform, np.zeros((10, 2, 2, 1), np.uint8))["bits_per_dim"]
      8.0
    """
    given = [images, *(column for column in (*columns, labels) if column is not None)]
    batches = [
        log_prob(*(column[start : start + BATCH] for column in given))
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
    """The share of images whose label is recognized, from 0 to 1.

    Args:
      classify: a function from a batch of images to labels [n]: `flow.classify`.
      images: uint8 [n, height, width, channels], n at least 1.
      labels: int [n], the true ones.

    Example:
      >>> accuracy(lambda images: np.zeros(len(images)), np.zeros((4, 2, 2, 1)), np.array([0, 1, 0, 0]))
      0.75
    """
    found = [classify(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return float(np.mean(np.concatenate(found) == labels))
