"""Is this image an anomaly?"""

# ruff: noqa: N803, N806  (scikit-learn calls it X)

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from tfp_realnvp.evaluation import BATCH, Classifier
from tfp_realnvp.queries.rarity import Share, share_of

__all__ = ["AnomalyDetector"]

NEIGHBOURS = 5
# The share of the false positives that each score may cause. Those that see meaning get the most.
SHARES = {"unlikely": 0.05, "too_likely": 0.05, "far": 0.3, "isolated": 0.6}
SHARES_WITH_LABELS = {
    "unlikely": 0.05,
    "too_likely": 0.05,
    "far": 0.1,
    "isolated": 0.2,
    "other_features": 0.1,
    "undecided": 0.5,
}
TAIL = 0.05  # share of the images put aside whose scores are the tail
LEAST = 20  # images put aside


class AnomalyDetector(OutlierMixin, BaseEstimator):
    """Finds images that are not like those that a distribution was learned from; in scikit-learn's interface.

    No single score sees all that is strange. Likelihood sees noise and not meaning: black images are likelier
    than digits, and digits of another kind are as likely (Nalisnick et al. 2019). So several scores are taken,
    each of which is large for another kind of anomaly:

    - `unlikely`: `-log p(image)`. Noise, damage, textures.
    - `too_likely`: `log p(image)`. Images with hardly anything on them.
    - `far`: the distance to the fifth nearest of the learned images. Another pose, another kind of image.
    - `isolated`: that distance beside those of the neighbours to theirs (the local outlier factor). What lies
      between kinds of images, such as a new digit.
    - with a classifier, `undecided`: minus its largest logit, and `other_features`: the distance to the fifth
      nearest learned image in its features. Things with another meaning.

    On images that were put aside, each score is made a surprise: `-log` of the share of these images whose
    score is at least as large, with an exponential tail (Siffer et al. 2017). Each score may cause a share of
    the false positives (`SHARES`; weighted Bonferroni): the surprise of an image is the largest of
    `surprise + log(share)`. The threshold is the one that the wanted share of the images put aside exceeds. No
    anomaly is needed for that, and none is used.

    Args:
      distribution: a flow that is told nothing or has labels, or an `ImageDistribution`.
      learned: uint8 [m, height, width, channels], m at least 6: images that were learned from. All pairs of
        them are compared: 16,000 take ten seconds on two cores.
      classifier: of their labels, `evaluation.Classifier(...)`; None where there are no labels.
      false_positives: the share of images like the learned ones that may be called anomalies, between 0 and 1.

    Attributes:
      offset_: minus the threshold: `score_samples` below it are anomalies.

    Example:
      `detector = AnomalyDetector(flow, train.images).fit(validation.images)`, then
      `detector.predict(images)` is 1, or -1 for an anomaly

    Reference:
      Nalisnick, Matsukawa, Teh, Gorur, Lakshminarayanan (2019), Do deep generative models know what they don't
      know?; Siffer, Fouque, Termier, Largouet (2017), Anomaly detection in streams with extreme value theory;
      Vaze, Han, Vedaldi, Zisserman (2022), Open-set recognition: a good closed-set classifier is all you need
      (the largest logit); Breunig, Kriegel, Ng, Sander (2000), LOF: identifying density-based local outliers.
    """

    def __init__(
        self,
        distribution: Any = None,
        learned: np.ndarray | None = None,
        *,
        classifier: Classifier | None = None,
        false_positives: float = 0.001,
    ):
        self.distribution = distribution
        self.learned = learned
        self.classifier = classifier
        self.false_positives = false_positives

    def fit(self, X, y=None) -> AnomalyDetector:
        """Choose the threshold on images like the learned ones that were put aside.

        Args:
          X: uint8 [n, height, width, channels], n at least 20. With fewer than `1 / false_positives` of them,
            the threshold rests on the tail alone.
          y: not used.

        Returns:
          Itself.

        Raises:
          TypeError, ValueError: images that do not fit the distribution, or too few of them; a share that is
            not between 0 and 1.
        """
        if not 0 < self.false_positives < 1:
            raise ValueError(
                f"`false_positives` must be between 0 and 1, received {self.false_positives}."
            )
        if len(X) < LEAST:
            raise ValueError(f"`X` must be at least {LEAST} images, received {len(X)}.")
        if self.learned is None or len(self.learned) <= NEIGHBOURS:
            raise ValueError(f"`learned` must be at least {NEIGHBOURS + 1} images.")
        near: dict[str, Any] = {"n_neighbors": NEIGHBOURS, "algorithm": "brute"}
        self.isolated_ = LocalOutlierFactor(**near, novelty=True).fit(_flat(self.learned))
        self.shares_ = SHARES
        if self.classifier is not None:
            self.shares_ = SHARES_WITH_LABELS
            features, _ = self.classifier(self.learned)
            self.features_ = NearestNeighbors(**near).fit(features)
        scores = self._scores(X)
        self.tails_ = {name: _Tail(values) for name, values in scores.items()}
        self.tail_ = _Tail(self._largest(scores))
        self.offset_ = -self.tail_.quantile(self.false_positives)
        return self

    def surprises(self, X) -> dict[str, np.ndarray]:
        """What each score says: `-log` of the share of images put aside that are at least as strange, [n].

        From that, the logarithm of `shares_` is not yet taken.
        """
        return {name: self.tails_[name](values) for name, values in self._scores(X).items()}

    def score_samples(self, X) -> np.ndarray:
        """Minus the surprise of each image, float [n]: small for an anomaly."""
        return -self._largest(self._scores(X))

    def decision_function(self, X) -> np.ndarray:
        """`score_samples(X) - offset_`, float [n]: below 0 for an anomaly."""
        return self.score_samples(X) - self.offset_

    def predict(self, X) -> np.ndarray:
        """1 for an image like those learned, -1 for an anomaly, int [n]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def find_anomalies(self, X) -> np.ndarray:
        """The positions of the anomalies among the images, the strangest first, int [number of anomalies]."""
        decisions = self.decision_function(X)
        order = np.argsort(decisions, kind="stable")
        return order[decisions[order] < 0]

    def without_anomalies(self, X) -> np.ndarray:
        """The images that are no anomalies, in their order."""
        return np.asarray(X)[self.predict(X) == 1]

    def false_positive_rate(self, X) -> Share:
        """The share of images like the learned ones that are called anomalies, with its interval.

        Args:
          X: images that neither the distribution nor the threshold has seen.
        """
        return share_of(np.array([np.sum(self.predict(X) == -1)]), len(X))

    def __sklearn_clone__(self) -> AnomalyDetector:
        """One that is not fitted, with the same distribution and images, which are not copied."""
        return type(self)(**self.get_params(deep=False))

    def _largest(self, scores) -> np.ndarray:
        weighed = [
            self.tails_[name](values) + np.log(self.shares_[name])
            for name, values in scores.items()
        ]
        return np.max(weighed, axis=0)

    def _scores(self, X) -> dict[str, np.ndarray]:
        """The scores of images, each larger for what is stranger."""
        check_is_fitted(self, "isolated_")
        X = np.asarray(X)
        starts = range(0, len(X), BATCH)
        log_probs = np.concatenate(
            [self.distribution.log_prob(X[start : start + BATCH]) for start in starts]
        )
        scores = {
            "unlikely": -log_probs,
            "too_likely": log_probs,
            "far": _farthest(self.isolated_, _flat(X)),
            "isolated": -self.isolated_.score_samples(_flat(X)),
        }
        if self.classifier is not None:
            features, _ = self.classifier(X)
            scores["other_features"] = _farthest(self.features_, features)
            scores["undecided"] = -self.classifier.logits(X).max(axis=1)
        return scores


class _Tail:
    """The distribution of a score: counted, with an exponential tail beyond its largest 5 %.

    The surprise of a value is `-log P(score >= value)`.
    """

    def __init__(self, values: np.ndarray):
        self._sorted = np.sort(np.asarray(values, np.float64))
        self._start = np.quantile(self._sorted, 1 - TAIL)
        beyond = self._sorted[self._sorted > self._start] - self._start
        self._mean = max(beyond.mean(), 1e-9) if len(beyond) else 1e-9

    def __call__(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, np.float64)
        count = len(self._sorted)
        at_least = count - np.searchsorted(self._sorted, values, side="left")
        counted = -np.log((at_least + 1) / (count + 1))
        extended = -np.log(TAIL) + (values - self._start) / self._mean
        return np.where(values > self._start, extended, np.minimum(counted, -np.log(TAIL)))

    def quantile(self, share: float) -> float:
        """The value that at most this share of new scores exceeds, in the mean over what was counted.

        It is one of the values that were counted (split conformal prediction), or in the tail beyond them.
        """
        rank = math.ceil((len(self._sorted) + 1) * (1 - share))
        if rank <= len(self._sorted):
            return float(self._sorted[rank - 1])
        return float(self._start + self._mean * np.log(TAIL / share))


def _farthest(neighbours, rows) -> np.ndarray:
    """The distance to the farthest of the nearest."""
    return neighbours.kneighbors(rows)[0][:, -1]


def _flat(images) -> np.ndarray:
    return np.reshape(images, (len(images), -1)).astype(np.float32)
