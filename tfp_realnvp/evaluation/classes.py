"""How well classes are recognized, and how sure of it a classifier may be."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["score_classes"]

BINS = 10
SMALLEST = 1e-12  # probability that counts in the log loss


def score_classes(
    probabilities: np.ndarray, labels: np.ndarray, known: np.ndarray
) -> dict[str, Any]:
    """Score the probabilities of labels.

    Args:
      probabilities: float [n, k], which add up to 1 in each row, n at least 1.
      labels: int [n], the true ones.
      known: int [k], the labels of the columns, in ascending order.

    Returns:
      `accuracy`; `log_loss`, in nats; `calibration_error`, the mean distance of the share that is right from
      what it was thought to be, over ten bins of the largest probability (expected calibration error);
      `reliability`, for each bin that is not empty its mean `confidence`, `accuracy` and number of `images`;
      `confusion`, images by true label (rows) and recognized label.

    Raises:
      ValueError: a true label that is not known.

    Example:
      >>> scores = score_classes(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([3, 5]), np.array([3, 5]))
      >>> scores["accuracy"], round(scores["calibration_error"], 3), scores["confusion"]
      (0.5, 0.4, [[1, 0], [1, 0]])

    Reference:
      Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, section 2.
    """
    from sklearn import metrics  # noqa: PLC0415  (slow to import)

    if unknown := sorted(set(np.asarray(labels).tolist()) - set(np.asarray(known).tolist())):
        raise ValueError(
            f"`labels` must be of {', '.join(map(str, known))}, received {unknown[0]}."
        )
    found, confidence = np.argmax(probabilities, axis=1), np.max(probabilities, axis=1)
    right = known[found] == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    reliability = [
        {
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
            "images": int(np.sum(bins == number)),
        }
        for number in range(BINS)
        if np.any(bins == number)
    ]
    gaps = [abs(row["confidence"] - row["accuracy"]) * row["images"] for row in reliability]
    clipped = np.clip(probabilities, SMALLEST, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(np.mean(right)),
        "log_loss": float(metrics.log_loss(labels, clipped, labels=known)),
        "calibration_error": float(sum(gaps) / len(right)),
        "reliability": reliability,
        "confusion": metrics.confusion_matrix(labels, known[found], labels=known).tolist(),
    }
