"""Usefulness: what a classifier learns of a label from drawn pictures alone."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.datasets import LabelledImages
from tfp_realnvp.evaluation.classifier import Classifier

__all__ = ["recall_after_learning"]


def recall_after_learning(
    drawn: np.ndarray,
    label: int,
    others: LabelledImages,
    unseen: np.ndarray,
    *,
    levels: int,
    epochs: int = 3,
    seed: int = 0,
) -> float:
    """Train a classifier on drawn pictures of one label and real images of others; how much does it find?

    Args:
      drawn: uint8 [n, height, width, channels], what stands for the label.
      label: their label.
      others: real images of other labels.
      unseen: uint8 [m, height, width, channels], real images of the label.
      levels: number of grey levels.
      epochs: of training.
      seed: of the classifier.

    Returns:
      The share of the unseen images that the classifier gives the label, from 0 to 1.

    Raises:
      ValueError: others that have the label, or no unseen images.

    Example:
      `recall_after_learning(drawn_nines, 9, digits_0_to_8, test_nines, levels=256)`

    Reference:
      Ravuri, Vinyals (2019), Classification accuracy score for conditional generative models, section 3.
    """
    if label in others.labels:
        raise ValueError(
            f"`others` must be images of other labels, received some of label {label}."
        )
    if len(unseen) == 0:
        raise ValueError("`unseen` must be at least 1 image, received none.")
    images = np.concatenate([others.images, drawn])
    labels = np.concatenate([others.labels, np.full(len(drawn), label)])
    classifier = Classifier(images, labels, levels=levels, epochs=epochs, seed=seed)
    return float(np.mean(classifier.recognize(unseen) == label))
