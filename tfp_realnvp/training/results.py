"""What a run says of its models: their scores, those of drawn pictures, and the pictures themselves."""

from __future__ import annotations

import functools

import numpy as np

from tfp_realnvp import datasets, evaluation, views
from tfp_realnvp.flows import ImageFlow, missing
from tfp_realnvp.hardware import workers
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import RunImages
from tfp_realnvp.training.run_folder import SCORED

__all__ = ["Results"]

DRAWN = 40  # images in samples.png
SCORED_PICTURES = 5000  # that are drawn, and compared with as many test images
MOST_CLASSIFIED = 100_000  # images that the classifier of pictures learns from
MASKS_SEED = 2**31  # no step of training has it


class Results:
    """Scores and pictures of a run's models.

    Args:
      config: of the run.
      images: of the run.
      score_test: whether the images of the test split are scored.

    Raises:
      ValueError: drawn pictures are to be scored, and the images have too few labels for a classifier.
    """

    def __init__(self, config: TrainingConfig, images: RunImages, *, score_test: bool):
        self._config, self._images = config, images
        self._scored = images.scored(test=score_test)
        if config.score_pictures:
            evaluation.check_classes(images.train.labels)
        self._classifier: evaluation.Classifier | None = None

    @property
    def images_at_end(self) -> int:
        """How many images are scored or drawn when training is over."""
        scored = sum(map(len, self._scored.values()))
        return scored + self._config.score_pictures * SCORED_PICTURES

    def train_classifier(self) -> None:
        """Learn the features in which drawn pictures are compared with real ones."""
        train = self._images.train
        some = slice(MOST_CLASSIFIED)
        self._classifier = evaluation.Classifier(
            train.images[some], train.labels[some], levels=self._images.levels
        )

    def validate(self, model: ImageFlow) -> dict[str, float]:
        """The score of the validation images."""
        return self.score(model, self._images.validation)

    def score(self, model: ImageFlow, images: datasets.LabelledImages) -> dict[str, float]:
        """The score of images, given their labels where the flow knows them. All workers share the work."""
        known = bool(model.labels) and set(images.labels) <= set(model.labels)
        labels = images.labels if known else None
        if not self._config.fill:
            return evaluation.score(workers.share_out(model.log_prob), images.images, labels)
        log_prob = workers.share_out(functools.partial(missing.log_prob_of_missing, model))
        return evaluation.score(log_prob, images.images, self._masks(images.images), labels)

    def scores(self, model: ImageFlow) -> dict[str, dict[str, float] | None]:
        """The scores in metrics.json; None for images that are not scored."""
        scored = {name: self.score(model, images) for name, images in self._scored.items()}
        return {name: scored.get(name) for name in SCORED}

    def picture_scores(self, model: ImageFlow) -> dict[str, dict[str, float]]:
        """Those of drawn pictures, and for comparison of as many images that were learned from.

        There are none without a classifier.
        """
        if self._classifier is None:
            return {}
        random = np.random.default_rng(self._config.seed)
        real = _some(self._scored.get("test", self._images.validation), random)
        drawn = model.sample(len(real), seed=self._config.seed).numpy()
        learned = _some(self._images.train, random)[: len(real)]
        return {
            "pictures": evaluation.score_pictures(self._classifier, drawn, real),
            "pictures_learned": evaluation.score_pictures(self._classifier, learned, real),
        }

    def pictures(self, model: ImageFlow) -> np.ndarray:
        """The images in samples.png."""
        if self._config.fill:
            return self._completions(model)
        return model.sample(DRAWN, seed=self._config.seed).numpy()

    def _completions(self, model: ImageFlow) -> np.ndarray:
        """Of validation images: in each column of the grid what is observed of one, and three completions."""
        images = self._images.validation.images[: views.COLUMNS]
        masks = self._masks(images)
        drawn = [
            missing.complete(model, images, masks, seed=self._config.seed + number).numpy()
            for number in range(DRAWN // views.COLUMNS - 1)
        ]
        return np.concatenate([np.where(masks, images, self._images.levels // 2), *drawn])

    def _masks(self, images: np.ndarray) -> np.ndarray:
        """What is observed of images in scores and pictures."""
        seed = [self._config.seed, MASKS_SEED]
        return missing.random_masks(len(images), images.shape[1:], seed=seed).numpy()


def _some(data: datasets.LabelledImages, random: np.random.Generator) -> np.ndarray:
    """At most `SCORED_PICTURES` of the images, in a random order."""
    return data.images[random.permutation(len(data))[:SCORED_PICTURES]]
