"""Small random affine maps of images: what may vary in a picture without changing what it shows."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.random_numbers import ALGORITHM

__all__ = ["AffineMaps", "with_maps"]

# How many times images are enlarged before the rest is interpolated linearly. With an odd number, each pixel
# is the middle of what it becomes, and has its value there.
ENLARGED = 5


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
          Tensor of the same shape and dtype. Values between pixels are interpolated by cubic polynomials and
          rounded: linear interpolation blurs, and pictures drawn by what learns from the maps would be blurred,
          too. No value is below the least or above the greatest of its image.
        """
        _, height, width, _ = images.shape
        numbers = tf.random.stateless_normal([tf.shape(images)[0], 6, 1, 1], seed, alg=ALGORITHM)
        angle, log_width, log_height, slant, right, down = (
            size * number
            for size, number in zip(self._sizes(), tf.unstack(numbers, axis=1), strict=True)
        )
        # [[a, b], [c, d]]: first stretched, then slanted, then turned; the middle stays in place
        cos, sin = tf.cos(angle), tf.sin(angle)
        a, c = cos * tf.exp(log_width), sin * tf.exp(log_width)
        b = (cos * slant - sin) * tf.exp(log_height)
        d = (sin * slant + cos) * tf.exp(log_height)
        x, y = (width - 1) / 2, (height - 1) / 2
        to_right = tf.range(width, dtype=tf.float32) - x
        to_bottom = (tf.range(height, dtype=tf.float32) - y)[:, None]
        columns = a * to_right + b * to_bottom + x + right  # [n, height, width]
        rows = c * to_right + d * to_bottom + y + down
        return _take(images, rows, columns)

    def _sizes(self) -> list[float]:
        """The standard deviations of the six random numbers of a map."""
        stretch, shift = [self.stretch] * 2, [self.shift] * 2
        return [math.radians(self.rotation), *stretch, self.shear, *shift]


def with_maps(
    shots: np.ndarray, count: int, *, maps: AffineMaps | None = None, seed: int = 0
) -> np.ndarray:
    """Shots, and affine maps of them in turn.

    Args:
      shots: uint8 [n, height, width, channels], n at least 1.
      count: of the maps, 0 or more.
      maps: which maps are drawn. None means `AffineMaps()`.
      seed: of the maps.

    Returns:
      uint8 [n + count, height, width, channels]: the shots; then number i is a map of shot number i % n.

    Example:
      >>> with_maps(np.zeros((2, 4, 4, 1), np.uint8), 5).shape
      (7, 4, 4, 1)
    """
    if count == 0:
        return shots
    in_turn = shots[np.arange(len(shots), len(shots) + count) % len(shots)]
    mapped = (maps or AffineMaps())(tf.constant(in_turn), seed=[seed, count]).numpy()
    return np.concatenate([shots, mapped])


def _take(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The values of images at places between their pixels.

    Args:
      images: integers [n, height, width, channels].
      rows: float32 [n, height, width].
      columns: float32 [n, height, width].

    Returns:
      Tensor of the same shape and dtype as the images.
    """
    count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    values = tf.cast(images, tf.float32)
    enlarged = tf.image.resize(values, [ENLARGED * height, ENLARGED * width], "bicubic")
    middle = (ENLARGED - 1) / 2
    of_image, _, _, channel = tf.meshgrid(
        *map(tf.range, (count, height, width, channels)), indexing="ij"
    )
    places = [
        of_image,
        *(
            tf.repeat((ENLARGED * place + middle)[..., None], channels, axis=-1)
            for place in (rows, columns)
        ),
        channel,
    ]
    taken = keras.ops.image.map_coordinates(
        enlarged, [tf.cast(place, tf.float32) for place in places], order=1, fill_mode="nearest"
    )
    least, greatest = (
        reduce(values, axis=[1, 2, 3], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max)
    )
    return tf.cast(tf.round(tf.clip_by_value(taken, least, greatest)), images.dtype)
