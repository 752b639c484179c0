"""Between grey levels and the unit cube: dequantization, noise, units of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = [
    "bits_per_dim",
    "check_images",
    "check_labels",
    "dequantize",
    "image_noise",
    "log_prob",
    "normal_rows",
    "quantize",
    "to_seed",
    "uniform_rows",
]

ALGORITHM = (
    "philox"  # of random numbers, the same on all devices (XLA makes other fractions of its bits)
)
PHILOX = 1  # its number in TensorFlow's operations
PHILOX_NUMBERS = 4  # made at each count
SCRAMBLING_KEY = 0x02461E293EC8F720  # of TensorFlow, for what it makes of seeds


def to_seed(seed: int | tf.Tensor | None) -> tf.Tensor:
    """A stateless seed (int32 [2]) from an int, from such a pair, or, for None, from the system.

    Example:
      >>> to_seed(7).numpy()
      array([7, 0], dtype=int32)
    """
    if seed is None:
        seed = np.frombuffer(np.random.SeedSequence().generate_state(2).tobytes(), np.int32)
    if isinstance(seed, (int, np.integer)):
        seed = [seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF]
    return tf.convert_to_tensor(seed, tf.int32)


def uniform_rows(row_shape: Sequence[int], seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    """An endless table of numbers in [0, 1), of which one asks for the rows that one needs.

    The first ones are those of `tf.random.stateless_uniform` with this seed and Philox.

    Args:
      row_shape: of each row.
      seed: int32 [2].

    Returns:
      A function from the first row, a multiple of 4, and the one after the last, to float32 [rows, ...].
    """
    return _rows(tf.raw_ops.StatelessRandomUniformV2, row_shape, seed)


def normal_rows(row_shape: Sequence[int], seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    """As `uniform_rows`, of independent normals.

    Example:
      >>> rows = normal_rows([2], to_seed(7))
      >>> bool(tf.reduce_all(rows(0, 8)[4:] == rows(4, 8)))
      True
    """
    return _rows(tf.raw_ops.StatelessRandomNormalV2, row_shape, seed)


def _rows(operation, row_shape, seed):
    # what tf.random.stateless_normal and its kin do, which cannot begin in the middle
    random = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[4],
        key=tf.constant([SCRAMBLING_KEY], tf.uint64),
        counter=tf.cast(seed, tf.uint64),
        dtype=tf.uint32,
        alg=PHILOX,
    )
    key, counter = tf.unstack(tf.bitcast(tf.reshape(random, [2, 2]), tf.uint64))

    def rows(start, end):
        before = tf.cast(start, tf.uint64) * math.prod(row_shape) // PHILOX_NUMBERS
        return operation(
            shape=[end - start, *row_shape],
            key=[key],
            counter=[before, counter],
            alg=PHILOX,
        )

    return rows


def image_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Uniform noise in [0, 1) for each pixel that depends on nothing but the image and the seed.

    An image so gets the same noise, and the same score, alone or in any batch. One pattern of noise,
    drawn from the seed, is shifted modulo 1 for each image by an amount that a hash of its pixels gives
    (a Cranley-Patterson rotation): every pixel's noise is uniform, and a mean over different
    images converges as with independent noise. (One pattern for all images would not: their many black
    pixels would all err to the same side.)

    Args:
      images: integer tensor [..., height, width, channels].
      seed: int32 [2].

    Returns:
      float32 tensor of the images' shape.

    Reference:
      Cranley, Patterson (1976), Randomization of number theoretic methods for multiple integration.
    """
    image_shape = images.shape[-3:]
    pattern = tf.random.stateless_uniform(image_shape, seed, alg=ALGORITHM)
    factors = tf.random.stateless_uniform(
        image_shape, seed + 1, minval=None, maxval=None, dtype=tf.int32, alg=ALGORITHM
    )
    hashes = tf.reduce_sum(tf.cast(images, tf.int32) * factors, axis=[-3, -2, -1], keepdims=True)
    shifts = tf.cast(tf.bitwise.bitwise_and(hashes, 0x7FFFFF), tf.float32) / 2.0**23
    noise = pattern + shifts
    return noise - tf.floor(noise)


def dequantize(images: tf.Tensor, noise: tf.Tensor | float, *, levels: int) -> tf.Tensor:
    """Images of `levels` grey levels as points of the unit cube: `(images + noise) / levels`.

    Args:
      images: integers in [0, levels).
      noise: in [0, 1); 0.5 gives the middle of each level.
      levels: number of grey levels.

    Returns:
      float32 tensor in [0, 1).

    Reference:
      Theis, van den Oord, Bethge (2016), A note on the evaluation of generative models, section 3.1.
    """
    return (tf.cast(images, tf.float32) + noise) / levels


def quantize(points: tf.Tensor, *, levels: int) -> tf.Tensor:
    """The images (uint8) whose grey levels hold the points; what lies outside the unit cube is clipped.

    Example:
      >>> quantize(tf.constant([-0.1, 0.0, 0.5, 0.999, 1.1]), levels=256).numpy()
      array([  0,   0, 128, 255, 255], dtype=uint8)
    """
    return tf.cast(tf.clip_by_value(tf.floor(points * levels), 0, levels - 1), tf.uint8)


def log_prob(
    distribution: tfd.Distribution,
    images: tf.Tensor,
    *,
    levels: int,
    noise: tf.Tensor | None = None,
    dequantizer: Callable | None = None,
) -> tf.Tensor:
    """Log-probability of images under a distribution over the unit cube, in nats per image.

    `log p(image) >= E[log density(image + noise) - log q(noise)] - D log(levels)`: one draw of the right
    side, where q is 1 for uniform noise.

    Args:
      distribution: over [height, width, channels] in units of the unit cube.
      images: integers in [0, levels), [..., height, width, channels].
      levels: number of grey levels.
      noise: uniform, of the images' shape. None means `image_noise` with the seed 0.
      dequantizer: what makes the noise that is added from that noise, see `VariationalDequantization`;
        None adds it as it is.

    Returns:
      float32 tensor [...].

    Reference:
      Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 3.1.
    """
    if noise is None:
        noise = image_noise(images, to_seed(0))
    log_det = 0.0
    if dequantizer is not None:
        noise, log_det = dequantizer(images, noise)
    points = dequantize(images, noise, levels=levels)
    dimensions = math.prod(images.shape[-3:])
    return distribution.log_prob(points) + log_det - dimensions * math.log(levels)


def bits_per_dim(log_prob: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Nats per image as bits per dimension, the literature's unit: `-log_prob / (D log 2)`.

    Example:
      >>> float(bits_per_dim(-4 * math.log(256), (2, 2, 1)))  # four pixels, all levels equally likely
      8.0
    """
    return -log_prob / (math.prod(image_shape) * math.log(2))


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
      labels: integers [n], or None.
      known: the labels that a flow knows; none if it is not class-conditional.

    Returns:
      int32 tensor [n], or None if there is nothing to know.

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
    if labels.shape.rank != 1:
        raise ValueError(f"`labels` must have the shape [n], received {labels.shape.as_list()}.")
    are_known = tf.reduce_any(tf.equal(labels[:, tf.newaxis], list(known)), axis=-1)
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
