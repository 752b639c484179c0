"""Checks of what a flow is given: errors say what was expected and what was received."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.tensors import in_short, is_numeric, to_tensor

__all__ = [
    "check_context",
    "check_context_fits",
    "check_images",
    "check_labels",
    "check_labels_fit",
    "check_latents",
    "check_sample_shape",
    "check_scales",
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
    images = to_tensor(images, "images", f"integers in [0, {levels - 1}] (uint8)")
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
      TypeError: not numbers.
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
    given = to_tensor(labels, "labels", "integers")
    if not is_numeric(given):
        raise TypeError(f"`labels` must be integers, received {given.dtype.name}.")
    # compared before they become int32, which would make 3 of 3.7 and of 2**32 + 3
    exact = tf.cast(given, tf.float64)
    are_known = tf.reduce_any(tf.equal(exact[..., tf.newaxis], list(known)), axis=-1)
    labels = tf.cast(given, tf.int32)
    if tf.executing_eagerly():
        if not np.all(are_known):
            raise ValueError(f"{expected}, received {given.numpy()[~are_known.numpy()][0]}.")
        return labels
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(are_known), [expected])]):
        return tf.identity(labels)


def check_labels_fit(labels: tf.Tensor, shape: tuple[int, ...] | tf.Tensor) -> tf.Tensor:
    """The labels of a sample, repeated to its shape.

    Args:
      labels: int32, [] or of a shape that TensorFlow broadcasts to that of the sample.
      shape: of the sample, as from `check_sample_shape`.

    Returns:
      int32 tensor of that shape.

    Raises:
      ValueError: the shapes do not fit (`tf.errors.InvalidArgumentError` if that shows when a `tf.function`
        runs).
    """
    given = labels.shape
    if isinstance(shape, tuple) and given.rank is not None and not _broadcasts(given, shape):
        raise ValueError(
            f"`labels` must be one for all images, or have the shape {list(shape)}, received "
            f"{given.as_list()}."
        )
    return tf.broadcast_to(labels, shape)


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
      TypeError: not numbers.
      ValueError: another shape, or values that are not finite (`tf.errors.InvalidArgumentError` if that shows
        when a `tf.function` runs).
    """
    return _check_numbers(latents, "latents", image_shape)


def check_context(context, shape: tuple[int, ...] | None) -> tf.Tensor | None:
    """The context as a float32 tensor [..., *shape], or an error that says what was expected.

    Args:
      context: numbers [..., *shape], or None.
      shape: of the context of an image; None if the flow is told none.

    Raises:
      TypeError: not numbers.
      ValueError: a context that is missing or not asked for, another shape, or values that are not finite
        (`tf.errors.InvalidArgumentError` if that shows when a `tf.function` runs).
    """
    if shape is None:
        if context is not None:
            raise ValueError("this flow takes no context: leave it out.")
        return None
    if context is None:
        raise ValueError(
            f"this flow needs a context: `context` must have the shape [..., {_in_words(shape)}], received "
            "none."
        )
    return _check_numbers(context, "context", shape)


def check_context_fits(
    context: tf.Tensor, context_shape: tuple[int, ...], shape: tuple[int, ...] | tf.Tensor
) -> tf.Tensor:
    """The context of a sample, repeated to its shape.

    Args:
      context: float32, of `context_shape`, or with more axes that TensorFlow broadcasts to those of the sample.
      context_shape: that of an image.
      shape: of the sample, as from `check_sample_shape`.

    Returns:
      float32 tensor [*shape, *context_shape].

    Raises:
      ValueError: as `check_labels_fit`.
    """
    given = context.shape[: context.shape.rank - len(context_shape)]
    if isinstance(shape, tuple) and not _broadcasts(given, shape):
        raise ValueError(
            f"`context` must be one for all images, or have the shape "
            f"[{_in_words((*shape, *context_shape))}], received {context.shape.as_list()}."
        )
    return tf.broadcast_to(context, tf.concat([shape, context_shape], axis=0))


def _broadcasts(given: tf.TensorShape, shape: tuple[int, ...]) -> bool:
    pairs = zip(reversed(given.as_list()), reversed(shape), strict=False)
    return given.rank <= len(shape) and all(size in (1, None, n) for size, n in pairs)


def _in_words(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def _check_numbers(values, name: str, shape: tuple[int, ...]) -> tf.Tensor:
    values = to_tensor(values, name, "numbers")
    if not is_numeric(values):
        raise TypeError(f"`{name}` must be numbers, received {values.dtype.name}.")
    values = tf.cast(values, tf.float32)
    if values.shape.rank < len(shape) or tuple(values.shape[-len(shape) :]) != tuple(shape):
        raise ValueError(
            f"`{name}` must have the shape [..., {_in_words(shape)}], received "
            f"{values.shape.as_list()}."
        )
    finite = tf.reduce_all(tf.math.is_finite(values))
    expected = f"`{name}` must be finite, received NaN or infinite values."
    if tf.executing_eagerly():
        if not finite:
            raise ValueError(expected)
        return values
    with tf.control_dependencies([tf.debugging.Assert(finite, [expected])]):
        return tf.identity(values)


def check_sample_shape(n) -> tuple[int, ...] | tf.Tensor:
    """The shape of a sample: (n,) for a number, or the shape that was asked for.

    Returns:
      A tuple, or an int32 tensor [axes] if the numbers are only known when a `tf.function` runs.

    Raises:
      ValueError: not integers, or one below 1 (`tf.errors.InvalidArgumentError` if that shows when a
        `tf.function` runs).
    """
    known = tf.get_static_value(n) if tf.is_tensor(n) else n
    if tf.is_tensor(n) and known is None:
        shape = tf.reshape(tf.cast(n, tf.int32), [-1])
        check = tf.debugging.assert_positive(shape, "`n` must be at least 1.")
        with tf.control_dependencies([check]):
            return tf.identity(shape)
    try:
        shape = np.asarray(known)
    except ValueError:  # lists of several lengths
        shape = np.asarray(known, object)
    if not np.issubdtype(shape.dtype, np.integer) or shape.ndim > 1:
        raise ValueError(f"`n` must be an integer or a shape of integers, received {in_short(n)}.")
    if np.any(shape < 1):
        raise ValueError(f"`n` must be at least 1, received {known}.")
    return tuple(int(size) for size in shape.reshape(-1))


def check_scales(image_shape: tuple[int, int, int], scales: int) -> None:
    """Make sure that images can be squeezed so often.

    Args:
      image_shape: (height, width, channels).
      scales: how often 2x2 pixels become channels.

    Raises:
      ValueError: height or width are no multiples of `2**scales`.
    """
    height, width, _ = image_shape
    block = 2**scales
    if height % block == 0 and width % block == 0:
        return
    possible = 0
    while height % 2 ** (possible + 1) == 0 and width % 2 ** (possible + 1) == 0:
        possible += 1
    fewer = f"choose `scales` of at most {possible}, or " if possible else ""
    padded = f"{-(-height // block) * block}x{-(-width // block) * block}"
    raise ValueError(
        f"height and width must be multiples of {block} for {scales} scales, received {height}x{width}: "
        f"{fewer}pad the images to {padded}, or take the flow with dense conditioners, which has no scales."
    )


def check_temperature(temperature) -> tf.Tensor:
    """The temperature as a float32 scalar.

    Raises:
      TypeError: not a number.
      ValueError: several, or one that is not above 0 and finite in float32 (`tf.errors.InvalidArgumentError`
        if that shows when a `tf.function` runs).
    """
    number = np.float64(temperature) if isinstance(temperature, float) else temperature
    given = to_tensor(number, "temperature", "a number that float32 can hold")
    if not is_numeric(given):
        raise TypeError(f"`temperature` must be a number, received {given.dtype.name}.")
    expected = "`temperature` must be above 0 and finite, in float32"
    if given.shape.rank not in (0, None):
        raise ValueError(
            f"`temperature` must be a single number, received the shape {given.shape.as_list()}."
        )
    tensor = tf.cast(given, tf.float32)
    known = tf.get_static_value(tensor)
    if known is None:
        good = (tensor > 0) & tf.math.is_finite(tensor)
        with tf.control_dependencies([tf.debugging.Assert(good, [expected, tensor])]):
            return tf.identity(tensor)
    if not (known > 0 and np.isfinite(known)):
        raise ValueError(f"{expected}, received {temperature}.")
    return tensor
