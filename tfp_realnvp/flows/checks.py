"""Checks of what a flow is given: errors say what was expected and what was received."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

__all__ = [
    "check_images",
    "check_labels",
    "check_latents",
    "check_sample_shape",
    "check_temperature",
]


def check_images(images, image_shape: tuple[int, int, int], *, levels: int) -> tf.Tensor:
    """The images as a tensor, or an error that says what was expected and what was received.

    Args:
      images: integers in [0, levels), [..., height, width, channels].
      image_shape: (height, width, channels).
      levels: number of grey levels.

    Returns:
      Integer tensor of the same shape.

    Raises:
      TypeError: not integers.
      ValueError: another shape, or values outside the range (`tf.errors.InvalidArgumentError` if that
        shows when a `tf.function` runs).
    """
    images = tf.convert_to_tensor(images)
    if not images.dtype.is_integer:
        raise TypeError(
            f"`images` must be integers in [0, {levels - 1}] (uint8), received {images.dtype.name}. "
            f"Images scaled to [0, 1] go back by `(images * {levels - 1}).round().astype('uint8')`, "
            "after NaN and infinite values have been dealt with."
        )
    if tuple(images.shape[-3:]) != tuple(image_shape) or images.shape.rank < len(image_shape):
        raise ValueError(
            f"`images` must have the shape [..., {', '.join(map(str, image_shape))}] "
            f"(height, width, channels), received {images.shape.as_list()}."
        )
    if levels - 1 < images.dtype.max:
        images = _check_values(images, levels)
    return images


def check_labels(labels, known: Sequence[int]) -> tf.Tensor | None:
    """The labels as a tensor, or an error that says what was expected and what was received.

    Args:
      labels: integers [...], or None.
      known: the labels that a flow knows; none if it is not class-conditional.

    Returns:
      int32 tensor [...], or None if there is nothing to know.

    Raises:
      ValueError: labels that are missing, not asked for, or not known (`tf.errors.InvalidArgumentError` if
        that shows when a `tf.function` runs).
    """
    if not known:
        if labels is not None:
            raise ValueError("this flow knows no labels: leave them out.")
        return None
    expected = f"`labels` must be of {', '.join(map(str, known))}"
    if labels is None:
        raise ValueError(f"this flow is class-conditional: {expected}, received none.")
    labels = tf.cast(tf.convert_to_tensor(labels), tf.int32)
    are_known = tf.reduce_any(tf.equal(labels[..., tf.newaxis], list(known)), axis=-1)
    if tf.executing_eagerly():
        if not np.all(are_known):
            raise ValueError(f"{expected}, received {labels.numpy()[~are_known.numpy()][0]}.")
        return labels
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(are_known), [expected])]):
        return tf.identity(labels)


def _check_values(images: tf.Tensor, levels: int) -> tf.Tensor:
    expected = f"`images` must be in [0, {levels - 1}] for a model of {levels} levels"
    if not tf.executing_eagerly():
        low = tf.debugging.assert_non_negative(images, f"{expected}, received negative values.")
        high = tf.debugging.assert_less(
            images, tf.cast(levels, images.dtype), f"{expected}, received larger values."
        )
        with tf.control_dependencies([low, high]):
            return tf.identity(images)
    if tf.size(images) > 0:
        low, high = int(tf.reduce_min(images)), int(tf.reduce_max(images))
        if low < 0 or high >= levels:
            raise ValueError(f"{expected}, received values from {low} to {high}.")
    return images


def check_latents(latents, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The latents as a float32 tensor [..., height, width, channels].

    Raises:
      ValueError: another shape, or values that are not finite (`tf.errors.InvalidArgumentError` if that shows
        when a `tf.function` runs).
    """
    latents = tf.convert_to_tensor(latents, tf.float32)
    if tuple(latents.shape[-3:]) != tuple(image_shape):
        raise ValueError(
            f"`latents` must have the shape [..., {', '.join(map(str, image_shape))}], "
            f"received {latents.shape.as_list()}."
        )
    finite = tf.reduce_all(tf.math.is_finite(latents))
    expected = "`latents` must be finite, received NaN or infinite values."
    if tf.executing_eagerly():
        if not finite:
            raise ValueError(expected)
        return latents
    with tf.control_dependencies([tf.debugging.Assert(finite, [expected])]):
        return tf.identity(latents)


def check_sample_shape(n) -> tuple[int, ...] | tf.Tensor:
    """The shape of a sample: (n,) for a number, or the shape that was asked for.

    Returns:
      A tuple, or an int32 tensor [axes] if the numbers are only known when a `tf.function` runs.

    Raises:
      ValueError: not integers, or one below 1 (`tf.errors.InvalidArgumentError` if that shows when a
        `tf.function` runs).
    """
    known = tf.get_static_value(n) if tf.is_tensor(n) else n
    if known is None:
        shape = tf.reshape(tf.cast(n, tf.int32), [-1])
        check = tf.debugging.assert_positive(shape, "`n` must be at least 1.")
        with tf.control_dependencies([check]):
            return tf.identity(shape)
    shape = np.asarray(known)
    if not np.issubdtype(shape.dtype, np.integer) or shape.ndim > 1:
        raise ValueError(f"`n` must be an integer or a shape of integers, received {n!r}.")
    if np.any(shape < 1):
        raise ValueError(f"`n` must be at least 1, received {known}.")
    return tuple(int(size) for size in shape.reshape(-1))


def check_temperature(temperature) -> tf.Tensor:
    """The temperature as a float32 scalar.

    Raises:
      ValueError: not a number above 0 (`tf.errors.InvalidArgumentError` if that shows when a `tf.function`
        runs).
    """
    expected = "`temperature` must be above 0"
    known = tf.get_static_value(temperature) if tf.is_tensor(temperature) else temperature
    if np.ndim(temperature if known is None else known) != 0:
        raise ValueError(f"{expected}, a single number, received {temperature}.")
    if known is None:
        tensor = tf.cast(temperature, tf.float32)
        good = (tensor > 0) & tf.math.is_finite(tensor)
        with tf.control_dependencies([tf.debugging.Assert(good, [expected, tensor])]):
            return tf.identity(tensor)
    if not (known > 0 and math.isfinite(known)):
        raise ValueError(f"{expected}, received {temperature}.")
    return tf.constant(known, tf.float32)
