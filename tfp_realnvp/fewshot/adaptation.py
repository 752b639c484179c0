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

__all__ = ["adapt"]


def adapt(
    flow: ImageFlow,
    shots: np.ndarray,
    *,
    maps: AffineMaps | None = None,
    steps: int = 300,
    batch_size: int = 32,
    learning_rate: float = 5e-4,
    seed: int = 0,
    on_step: Callable[[int], object] = lambda step: None,
) -> ImageFlow:
    """A copy of a flow that is trained on from a few images, on small affine maps of them.

    Then fit a Gaussian to the latents of the shots in the copy: it draws better than one in the flow itself.

    Args:
      flow: a trained flow without labels. It is not changed.
      shots: uint8 [n, height, width, channels], n at least 1.
      maps: which maps are drawn. None means `AffineMaps()`.
      steps: of training, at least 1. On two cores a step of the default flow takes a sixth of a second.
      batch_size: maps of shots in a step, at least 1.
      learning_rate: at the first step, above 0; it falls to 0 along a cosine.
      seed: of the maps and of the dequantization noise.
      on_step: called after each step, with its number from 1 on.

    Returns:
      A flow of the same class and configuration.

    Raises:
      TypeError, ValueError: shots that do not fit the flow, a flow with labels, or a number below its limit.

    Example:
      `nines = fit_latent(adapt(flow, ten_nines), ten_nines, covariance="full", temperature=0.85)`
    """
    if flow.labels:
        raise ValueError("`flow` must be one without labels: there is no label for something new.")
    if len(shots) < 1:
        raise ValueError("`shots` must be at least 1 image, received none.")
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, received {value}.")
    if not learning_rate > 0:
        raise ValueError(f"`learning_rate` must be above 0, received {learning_rate}.")
    check_images(shots, flow.image_shape, levels=flow.levels)
    copy = type(flow).from_config(
        {**flow.get_config(), "dtype": hardware.default_precision(), "seed": seed}
    )
    copy.set_weights(flow.get_weights())
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    copy.compile(Adam(schedule, global_clipnorm=1.0))
    report = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: on_step(step + 1))
    copy.fit(
        _batches(shots, maps or AffineMaps(), batch_size, seed),
        steps_per_epoch=steps,
        shuffle=False,  # the batches are
        callbacks=[report],
        verbose=0,
    )
    adapted = type(flow).from_config(flow.get_config())
    adapted.set_weights(copy.get_weights())
    return adapted


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
