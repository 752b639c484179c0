"""Small random affine maps of images: what may vary in a picture without changing what it shows."""

from __future__ import annotations

import dataclasses
import math

import keras
import tensorflow as tf

from tfp_realnvp.compute.random_numbers import ALGORITHM

__all__ = ["AffineMaps"]


@dataclasses.dataclass(frozen=True)
class AffineMaps:
    """Small random affine maps of images: turned, stretched, slanted and moved.

    Each image gets a map of its own. All four are normal random numbers with mean 0; what comes in from
    outside repeats the edge. Leave out what changes the meaning of an image: `AffineMaps(rotation=0)`.

    Args:
      rotation: standard deviation of the angle, in degrees.
      stretch: standard deviation of the logarithm of the size, of height and width by themselves.
      shear: standard deviation of the slant, in pixels a row.
      shift: standard deviation of the move in each direction, in pixels.

    Raises:
      ValueError: one that is below 0 or not finite.

    Example:
      >>> images = tf.reshape(tf.range(9), [1, 3, 3, 1])
      >>> still = AffineMaps(rotation=0, stretch=0, shear=0, shift=0)
      >>> bool(tf.reduce_all(still(images, seed=tf.constant([0, 1])) == images))
      True
    """

    rotation: float = 8.0
    stretch: float = 0.1
    shear: float = 0.15
    shift: float = 0.5

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"`{field.name}` must be 0 or more, received {value}.")

    def __call__(self, images: tf.Tensor, *, seed) -> tf.Tensor:
        """Map images.

        Args:
          images: integers [n, height, width, channels].
          seed: int [2]; the same seed gives the same maps.

        Returns:
          Tensor of the same shape and dtype: values between four pixels are interpolated and rounded.
        """
        _, height, width, _ = images.shape
        numbers = tf.random.stateless_normal([tf.shape(images)[0], 6], seed, alg=ALGORITHM)
        angle, log_width, log_height, slant, right, down = tf.unstack(
            numbers
            * [
                math.radians(self.rotation),
                *[self.stretch] * 2,
                self.shear,
                *[self.shift] * 2,
            ],
            axis=1,
        )
        # [[a, b], [c, d]]: first stretched, then slanted, then turned
        cos, sin = tf.cos(angle), tf.sin(angle)
        a, c = cos * tf.exp(log_width), sin * tf.exp(log_width)
        b = (cos * slant - sin) * tf.exp(log_height)
        d = (sin * slant + cos) * tf.exp(log_height)
        x, y = (width - 1) / 2, (height - 1) / 2  # the middle stays in place
        zeros = tf.zeros_like(angle)
        rows = [a, b, x - a * x - b * y + right, c, d, y - c * x - d * y + down, zeros, zeros]
        mapped = keras.ops.image.affine_transform(
            tf.cast(images, tf.float32),
            tf.stack(rows, axis=1),
            fill_mode="nearest",
            data_format="channels_last",  # whatever the user's Keras is set to
        )
        return tf.cast(tf.round(mapped), images.dtype)
