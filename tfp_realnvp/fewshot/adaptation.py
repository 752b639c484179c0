"""Adaptation: a flow is trained on for a little while, on a few images of something new."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp import hardware
from tfp_realnvp.compute.random_numbers import ALGORITHM
from tfp_realnvp.fewshot.affine_maps import AffineMaps
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.flows.checks import check_images
from tfp_realnvp.optimizers import Adam

__all__ = ["Adapter", "adapt"]


def adapt(
    flow: ImageFlow,
    shots: np.ndarray,
    *,
    seed: int = 0,
    on_step: Callable[[int], object] = lambda step: None,
    **options,
) -> ImageFlow:
    """A copy of a flow that is trained on from a few images, on small affine maps of them.

    Then fit a Gaussian to the latents of the shots and of maps of them (`with_maps`) in the copy: it draws
    better than one in the flow itself.

    Args:
      flow: a trained flow that is told nothing, see `ImageFlow.given`. It is not changed.
      shots: uint8 [n, height, width, channels], n at least 1.
      seed: of the maps and of the dequantization noise.
      on_step: called after each step, with its number from 1 on.
      **options: `maps`, `steps`, `batch_size` and `learning_rate` of `Adapter`.

    Returns:
      A flow of the same class and configuration.

    Raises:
      TypeError, ValueError: shots that do not fit the flow, and as `Adapter`.

    Example:
      `fit_latent(adapt(flow, nines), with_maps(nines, 300), covariance="full", intrinsic_dimension=60)`
    """
    return Adapter(flow, **options)(shots, seed=seed, on_step=on_step)


class Adapter:
    """Adapts a flow to some shots, and then to others.

    What is compiled for the first shots, which takes half a minute, serves for all others.

    Args:
      flow: a trained flow that is told nothing, see `ImageFlow.given`. It is not changed.
      maps: which maps are drawn. None means `AffineMaps()`.
      steps: of training, at least 1. On two cores a step of the default flow takes a sixth of a second.
      batch_size: maps of shots in a step, at least 1.
      learning_rate: at the first step, above 0; it falls to 0 along a cosine.

    Attributes:
      maps: as given, or the default.

    Raises:
      ValueError: a flow with labels or a context, or a number below its limit.

    Example:
      `adapted = Adapter(flow, steps=100)(ten_nines, seed=1)`
    """

    def __init__(
        self,
        flow: ImageFlow,
        *,
        maps: AffineMaps | None = None,
        steps: int = 300,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
    ):
        if flow.told.shape:
            raise ValueError(
                "`flow` must be told nothing, received one with labels or a context: take `flow.given(label)`, "
                "the flow for a label that it knows."
            )
        for name, value in (("steps", steps), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, received {value}.")
        if not learning_rate > 0:
            raise ValueError(f"`learning_rate` must be above 0, received {learning_rate}.")
        self.maps = maps or AffineMaps()
        self._steps = steps
        self._batch_size = batch_size
        self._start = flow.get_weights()
        precision = hardware.default_precision() if flow.half_precision else "float32"
        self._learner = type(flow).from_config({**flow.get_config(), "dtype": precision})
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        optimizer = Adam(schedule, global_clipnorm=1.0)
        optimizer.build(self._learner.trainable_variables)
        self._learner.compile(optimizer)
        self._fresh = [variable.numpy() for variable in optimizer.variables]
        self._adapted = type(flow).from_config(flow.get_config())

    def __call__(
        self,
        shots: np.ndarray,
        *,
        seed: int = 0,
        on_step: Callable[[int], object] = lambda step: None,
    ) -> ImageFlow:
        """Train a copy of the flow on from its weights.

        Args:
          shots: uint8 [n, height, width, channels], n at least 1.
          seed: of the maps and of the dequantization noise.
          on_step: called after each step, with its number from 1 on.

        Returns:
          A flow of the same class and configuration; the same object in every call, with other weights.

        Raises:
          TypeError, ValueError: shots that do not fit the flow.
        """
        if len(shots) < 1:
            raise ValueError("`shots` must be at least 1 image, received none.")
        check_images(shots, self._adapted.image_shape, levels=self._adapted.levels)
        self._learner.set_weights(self._start)
        self._learner.noise_count.assign(seed * self._steps % 2**31)
        for variable, value in zip(self._learner.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        report = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: on_step(step + 1)
        )
        self._learner.fit(
            _batches(shots, self.maps, self._batch_size, seed),
            steps_per_epoch=self._steps,
            shuffle=False,  # the batches are
            callbacks=[report],
            verbose=0,
        )
        self._adapted.set_weights(self._learner.get_weights())
        return self._adapted


def _batches(shots, maps: AffineMaps, batch_size: int, seed: int) -> tf.data.Dataset:
    """Batches without end of maps of shots that are drawn at random."""
    images = tf.constant(shots)

    def batch(step):
        own_seed = tf.stack([tf.cast(seed, tf.int64), step])
        index = tf.random.stateless_uniform(
            [batch_size], own_seed, 0, len(shots), tf.int32, alg=ALGORITHM
        )
        return maps(tf.gather(images, index), seed=tf.add(own_seed, [1, 0]))

    options = tf.data.Options()
    options.autotune.enabled = False  # an iterator's end waits for the tuner's sleep
    return tf.data.Dataset.counter().map(batch).prefetch(2).with_options(options)
