"""The images of a training run, and the batches of its epochs."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np
import tensorflow as tf

from tfp_realnvp import datasets
from tfp_realnvp.flows import missing
from tfp_realnvp.training.augmentation import move_some
from tfp_realnvp.training.config import TrainingConfig

__all__ = ["RunImages", "load_images", "training_batches"]


@dataclasses.dataclass(frozen=True)
class RunImages:
    """The images of a run.

    Attributes:
      train: those that are learned from.
      validation: those by which the best model is chosen.
      test: those of the test split with labels that are learned.
      held_out: those of the test split with labels that are held out; None if there are none.
      levels: number of grey levels.
    """

    train: datasets.LabelledImages
    validation: datasets.LabelledImages
    test: datasets.LabelledImages
    held_out: datasets.LabelledImages | None
    levels: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.train.images.shape[1:]

    def checksum(self) -> str:
        """The SHA-256 of the images and labels for training and validation, as hexadecimal digits."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            for array in (part.images, part.labels.astype("<i8")):
                digest.update(str(array.shape).encode())
                if isinstance(array, datasets.StoredImages):
                    digest.update(array.fingerprint())
                else:
                    digest.update(array.tobytes())
        return digest.hexdigest()

    def scored(self, *, test: bool) -> dict[str, datasets.LabelledImages]:
        """The images that the best model is scored on, by their name in metrics.json.

        Of the training images, as many as there are for validation.

        Args:
          test: whether those of the test split are among them.
        """
        scored = {
            "train": self.train.take(np.arange(min(len(self.train), len(self.validation)))),
            "validation": self.validation,
        }
        if test:
            scored["test"] = self.test
            if self.held_out is not None:
                scored["held_out"] = self.held_out
        return scored


def load_images(config: TrainingConfig) -> RunImages:
    """Load the data set of a run, and divide it into what is learned, validated, tested and held out.

    Raises:
      ValueError, OSError: as `datasets.load`; a held-out label that is not there.
    """
    data = datasets.load(config.dataset, manual_dir=config.manual_dir)
    learned, test, held_out = data.train, data.test, None
    if config.hold_out:
        learned, test = data.train.without(config.hold_out), data.test.without(config.hold_out)
        held_out = data.test.only(config.hold_out)
    train, validation = datasets.split(learned, fraction=config.validation)
    return RunImages(train, validation, test, held_out, data.levels)


def training_batches(
    columns: dict[str, np.ndarray] | np.ndarray,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augment: float = 0.0,
    fill_levels: int | None = None,
) -> tf.data.Dataset:
    """Batches without end: one pass over the images after the other, each in another random order.

    The order of a pass depends only on the seed and on the number of the pass.

    Args:
      columns: uint8 images [n, height, width, channels], or a dictionary of them (`images`) and other arrays
        with the same n; kept in memory as they are. `StoredImages` stay on disk.
      batch_size: images in a batch; at the end of a pass, what does not fill a batch is left out.
      seed: of the orders and moves.
      first_step: how many batches to skip at the start, for a run that goes on.
      augment: share of the images that are moved, see `move_some`.
      fill_levels: number of grey levels, for a flow that learns what is missing of an image: then the images
        get random masks, and there is a `context`, see `flows.missing`. None for any other flow.

    Returns:
      Dataset of batches, each of the structure of `columns` (or a dictionary) with n replaced by batch_size;
      prefetched.
    """
    size = len(tf.nest.flatten(columns)[0])
    steps = size // batch_size
    columns = tf.nest.map_structure(
        lambda column: column if isinstance(column, datasets.StoredImages) else tf.constant(column),
        columns,
    )

    def batches_of_pass(number):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size), seed=[tf.cast(seed, tf.int64), number]
        )
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(order[: steps * batch_size], [steps, batch_size])
        )

    def take(index):
        def rows(column):
            if isinstance(column, datasets.StoredImages):
                return tf.ensure_shape(column.gather(index), [batch_size, *column.image_shape])
            return tf.ensure_shape(tf.gather(column, index), [batch_size, *column.shape[1:]])

        return tf.nest.map_structure(rows, columns)

    def moved(step, batch):
        own_seed = tf.stack([tf.cast(seed, tf.int64), step])
        if isinstance(batch, dict):
            return {**batch, "images": move_some(batch["images"], share=augment, seed=own_seed)}
        return move_some(batch, share=augment, seed=own_seed)

    options = tf.data.Options()
    # workers take each their part of every batch
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.autotune.enabled = (
        False  # an iterator's end waits for the tuner's sleep, up to a minute
    )
    indices = tf.data.Dataset.counter(first_step // steps).flat_map(batches_of_pass)
    batches = indices.skip(first_step % steps).map(take)
    if augment:
        batches = batches.enumerate(first_step).map(moved)
    if fill_levels is not None:
        with_holes = functools.partial(_with_holes, seed=seed, levels=fill_levels)
        batches = batches.enumerate(first_step).map(with_holes)
    return batches.prefetch(2).with_options(options)


def _with_holes(step, batch, *, seed, levels):
    """A batch for a flow that learns what is missing of its images."""
    columns = batch if isinstance(batch, dict) else {"images": batch}
    images = columns["images"]
    own_seed = tf.stack([tf.cast(seed, tf.int64) + 1, step])
    mask = missing.random_masks(images.shape[0], images.shape[1:], seed=own_seed)
    context = missing.tell(images, mask, levels=levels)
    return {**columns, "images": missing.hide(images, mask), "context": context}
