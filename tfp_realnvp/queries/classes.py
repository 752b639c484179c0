"""Which class is it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_realnvp.evaluation import BATCH
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.queries.anomalies import AnomalyDetector

__all__ = ["ClassDistributions"]

STEPS = 60  # halvings of an interval: more than float64 can tell apart
COLDEST, HOTTEST = 1e-3, 1e6


class ClassDistributions:
    """Classes by their distributions, and Bayes' rule.

    `p(label | image) = prior(label) p(image | label)^(1/T) / sum over labels of the same`

    The temperature T is 1 in Bayes' rule. But learned distributions are off by more nats than those that tell
    labels apart. So probabilities are nearly 0 or 1, and too sure. `calibrate` chooses the T with which they
    are right on other images. Which label is the likeliest depends on T only if the priors differ.

    Args:
      distributions: one of each class, by its label: flows, or `ImageDistribution`s, at least two. Or a flow
        with labels.
      priors: the share of each class, by its label; they are divided by their sum. None: equal shares.

    Attributes:
      labels: int [k], in ascending order.
      temperature: T.

    Raises:
      ValueError: fewer than two classes, or priors that are not of these classes and above 0.

    Example:
      `ClassDistributions(flow).calibrate(validation.images, validation.labels).predict_proba(images)`

    Reference:
      Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, section 4.2.
    """

    def __init__(
        self,
        distributions: ImageFlow | Mapping[int, Any],
        *,
        priors: Mapping[int, float] | None = None,
    ):
        known = distributions if isinstance(distributions, Mapping) else distributions.labels
        if len(known) < 2:
            raise ValueError(
                "`distributions` must be of at least two classes, or a flow with labels, received "
                f"{len(known)}."
            )
        self.labels = np.array(sorted(known))
        self.temperature = 1.0
        self._distributions = distributions
        priors = dict.fromkeys(self.labels.tolist(), 1.0) if priors is None else priors
        if set(priors) != set(self.labels.tolist()) or not min(priors.values()) > 0:
            raise ValueError(
                f"`priors` must be above 0 for each of {', '.join(map(str, self.labels))}, received {priors}."
            )
        shares = np.array([priors[label] for label in self.labels.tolist()], float)
        self._log_priors = np.log(shares / shares.sum())

    def log_probs(self, images, *, seed: int = 0) -> np.ndarray:
        """`log p(image | label)` in nats, float64 [n, k].

        Args:
          images: uint8 [n, height, width, channels].
          seed: of the dequantization noise.

        Raises:
          TypeError, ValueError: images that do not fit.
        """
        starts = range(0, len(images), BATCH)
        batches = [self._log_probs(images[start : start + BATCH], seed) for start in starts]
        return np.concatenate(batches).astype(np.float64)

    def log_prob(self, images, *, seed: int = 0) -> np.ndarray:
        """`log p(image)` of the mixture of all classes, in nats, float64 [n]; arguments as in `log_probs`."""
        return np.logaddexp.reduce(self._log_priors + self.log_probs(images, seed=seed), axis=1)

    def predict_proba(self, images, *, seed: int = 0) -> np.ndarray:
        """`p(label | image)`, float64 [n, k]; arguments as in `log_probs`."""
        return self._probabilities(self.log_probs(images, seed=seed), 1 / self.temperature)

    def predict(
        self, images, *, detector: AnomalyDetector | None = None, none: int = -1, seed: int = 0
    ) -> np.ndarray:
        """The likeliest label of each image.

        Args:
          images: uint8 [n, height, width, channels].
          detector: what it calls an anomaly is none of the classes; None: every image is of one of them.
          none: the label of such images.
          seed: of the dequantization noise.

        Returns:
          int [n].

        Raises:
          ValueError: `none` is one of the labels.
          TypeError, ValueError: images that do not fit.
        """
        found = self.labels[np.argmax(self.predict_proba(images, seed=seed), axis=1)]
        if detector is None:
            return found
        if none in self.labels:
            raise ValueError(f"`none` must be none of the labels, received {none}.")
        return np.where(detector.predict(images) == 1, found, none)

    def calibrate(self, images, labels, *, seed: int = 0) -> ClassDistributions:
        """Set the temperature to the one with the smallest log loss on images that were not learned from.

        The loss is convex in 1 / T, and its slope is bisected.

        Args:
          images: uint8 [n, height, width, channels].
          labels: int [n], of those that are known.
          seed: of the dequantization noise.

        Returns:
          Itself.

        Raises:
          ValueError: no images, another number of labels, or labels that are not known.
        """
        labels = np.asarray(labels)
        if len(labels) != len(images) or not len(labels):
            raise ValueError(
                f"`labels` must be one for each of at least one image, received {len(labels)} for "
                f"{len(images)}."
            )
        if unknown := sorted(set(labels.tolist()) - set(self.labels.tolist())):
            raise ValueError(
                f"`labels` must be of {', '.join(map(str, self.labels))}, received {unknown[0]}."
            )
        log_probs = self.log_probs(images, seed=seed)
        log_probs -= log_probs.max(axis=1, keepdims=True)
        right = log_probs[np.arange(len(labels)), np.searchsorted(self.labels, labels)]

        def slope(share):
            expected = np.sum(self._probabilities(log_probs, share) * log_probs, axis=1)
            return np.mean(expected - right)

        low, high = 1 / HOTTEST, 1 / COLDEST
        for _ in range(STEPS):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        self.temperature = float(1 / low)
        return self

    def _log_probs(self, images, seed) -> np.ndarray:
        if not isinstance(self._distributions, Mapping):
            order = np.argsort(self._distributions.labels)
            return self._distributions.log_prob_given_each(images, seed=seed).numpy()[:, order]
        columns = [
            self._distributions[label].log_prob(images, seed=seed).numpy()
            for label in self.labels.tolist()
        ]
        return np.stack(columns, axis=1)

    def _probabilities(self, log_probs, share) -> np.ndarray:
        """Of log-probabilities that count by a share, 1 / T."""
        scores = self._log_priors + share * log_probs
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)
