"""A SavedModel that `export` wrote, as workers of a pipeline use it."""

from __future__ import annotations

from typing import cast

import numpy as np
import tensorflow as tf

from tfp_realnvp.errors import one_line

__all__ = ["ExportedModel"]


class ExportedModel:
    """A SavedModel that scores and draws.

    Args:
      folder: of one version.

    Attributes:
      image_shape: (height, width, channels).
      takes_labels: whether it is told the label of each image.

    Raises:
      ValueError: it cannot be loaded, lacks what is needed, or is told more of an image than its label.
    """

    def __init__(self, folder: str):
        try:
            signatures = tf.saved_model.load(folder).signatures
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ValueError(f"{folder} cannot be loaded: {one_line(error)}") from error
        if missing := {"log_prob", "sample_rows"} - set(signatures):
            raise ValueError(
                f"{folder} lacks {' and '.join(sorted(missing))}: expected a SavedModel that `export` wrote."
            )
        self._log_prob, self._sample_rows = signatures["log_prob"], signatures["sample_rows"]
        inputs = self._log_prob.structured_input_signature[1]
        if others := set(inputs) - {"images", "labels"}:
            raise ValueError(
                f"{folder} must be told {', '.join(sorted(others))} of each image, which files do not have."
            )
        self.takes_labels = "labels" in inputs
        self.image_shape = cast(tuple[int, int, int], tuple(inputs["images"].shape[1:]))

    def log_prob(self, images: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Nats, float64 [n], of uint8 images [n, *image_shape] and labels [n], or None.

        Raises:
          ValueError: the model refuses them.
        """
        return self._call(self._log_prob, "log_prob", labels, images=images).astype(np.float64)

    def draw(
        self, numbers: np.ndarray, labels: np.ndarray | None, *, seed: int, temperature: float
    ) -> np.ndarray:
        """The images of these numbers, uint8: number k is that of the seed [seed, k].

        Args:
          numbers: int [n], from 0 to 2**31 - 1.
          labels: int [n], or None.
          seed: from 0 to 2**31 - 1.
          temperature: as in `ImageFlow.sample`.

        Raises:
          ValueError: the model refuses them.
        """
        seeds = np.stack([np.full_like(numbers, seed), numbers], axis=1).astype(np.int32)
        temperatures = np.full(len(numbers), temperature, np.float32)
        return self._call(self._sample_rows, "images", labels, seed=seeds, temperature=temperatures)

    def _call(self, signature, output, labels, **inputs) -> np.ndarray:
        if self.takes_labels:
            if labels is None:
                raise ValueError("the model is told the label of each image, and there are none.")
            inputs["labels"] = labels.astype(np.int32)
        try:
            tensors = {key: tf.constant(value) for key, value in inputs.items()}
            return signature(**tensors)[output].numpy()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"the model refuses that: {one_line(error)}") from error
