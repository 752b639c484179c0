"""The judge of few-shot pictures: how good pictures of a label are that were drawn from a few shots of it."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.datasets import LabelledImages
from tfp_realnvp.evaluation.classifier import Classifier
from tfp_realnvp.evaluation.memorization import copying, distances_to_nearest
from tfp_realnvp.evaluation.pictures import density_and_coverage, frechet_distance
from tfp_realnvp.evaluation.usefulness import recall_after_learning

__all__ = ["Judge"]


class Judge:
    """Scores pictures of a label, drawn from a few shots, against real images of the label.

    Args:
      classifier: trained on real images of all labels, this one included. It takes no part in what it scores.
      label: what the pictures should show.
      unseen: uint8 [m, height, width, channels], real images of the label that neither the classifier nor the
        drawing knew; at least 6.
      others: real images of other labels, for `recall`; a few thousand are enough.
      levels: number of grey levels.

    Example:
      `Judge(classifier, 9, test_nines, digits_0_to_8, levels=256)(drawn, ten_nines)["recognized"]`
    """

    def __init__(
        self,
        classifier: Classifier,
        label: int,
        unseen: np.ndarray,
        others: LabelledImages,
        *,
        levels: int,
    ):
        self._classifier = classifier
        self._label = label
        self._unseen = unseen
        self._others = others
        self._levels = levels
        self._features, _ = classifier(unseen)

    def __call__(self, drawn: np.ndarray, shots: np.ndarray) -> dict[str, float]:
        """Score pictures.

        Args:
          drawn: uint8 [n, height, width, channels].
          shots: uint8 [k, height, width, channels], what they were drawn from.

        Returns:
          - `recognized`: share of the pictures in which the classifier sees the label;
          - `density`, `coverage`, `frechet`: against the unseen images, see `density_and_coverage` and
            `frechet_distance`;
          - `nearest`: median distance to the nearest shot, that of the unseen images being 1;
          - `copying`: the C_T test, see `copying`; far below 0 for copies of the shots;
          - `recall`: of the unseen images, by a classifier that learned the label from these pictures alone,
            see `recall_after_learning`.
        """
        features, _ = self._classifier(drawn)
        of_shots, _ = self._classifier(shots)
        density, coverage = density_and_coverage(features, self._features)
        ours = distances_to_nearest(features, of_shots)
        theirs = distances_to_nearest(self._features, of_shots)
        return {
            "recognized": float(np.mean(self._classifier.recognize(drawn) == self._label)),
            "density": density,
            "coverage": coverage,
            "frechet": frechet_distance(features, self._features),
            "nearest": float(np.median(ours) / np.median(theirs)),
            "copying": copying(features, self._features, of_shots),
            "recall": recall_after_learning(
                drawn, self._label, self._others, self._unseen, levels=self._levels
            ),
        }
