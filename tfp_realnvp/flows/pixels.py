"""Between grey levels and the unit cube: dequantization, its noise, units of scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import ALGORITHM, to_seed

__all__ = ["bits_per_dim", "dequantize", "image_noise", "log_prob", "quantize"]


def image_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Uniform noise in [0, 1) for each pixel, which depends on the image and the seed alone.

    So an image gets the same noise, and the same score, alone or in any batch. One pattern of noise is drawn
    from the seed. For each image it is shifted modulo 1 by a hash of the image's pixels (a Cranley-Patterson
    rotation). Every pixel's noise is uniform, and a mean over different images converges as with independent
    noise. (With one pattern for all images it would not: the many black pixels would all have the same
    error.)

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

    One draw of the right side of
    `log p(image) >= E[log density(image + noise) - log q(noise)] - D log(levels)`; q is 1 for uniform noise.

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
