"""Images of which a part is missing, for flows that are told the rest: masks, context, scores, completions.

Such a flow learns `p(missing pixels | observed pixels, mask)`, for all masks at once. Its context is the image
with zeros where it is missing, and the mask as one more channel. Its images are black where they are observed,
so it has nothing to learn there, and what is observed costs it hardly any bits.
"""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.compute.random_numbers import ALGORITHM
from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = [
    "complete",
    "context_shape",
    "hide",
    "is_told_the_rest",
    "log_prob_of_missing",
    "random_masks",
    "tell",
]

LEAST, MOST = 0.25, 0.75  # of the sides of what is missing, or of the pixels


def context_shape(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The `context_shape` of a flow over images of this shape that is told the rest of an image.

    Example:
      >>> context_shape((28, 28, 1))
      (28, 28, 2)
    """
    height, width, channels = image_shape
    return height, width, channels + 1


def is_told_the_rest(flow: ImageFlow) -> bool:
    """Whether the flow has the context that `tell` gives."""
    return flow.context_shape == context_shape(flow.image_shape)


def tell(images: tf.Tensor, mask: tf.Tensor, *, levels: int) -> tf.Tensor:
    """The context of images: what is observed of them, from -1 to 1, and the mask.

    Args:
      images: uint8 [n, height, width, channels]; what is missing may have any value.
      mask: bool [n, height, width, 1], True where the image is observed.
      levels: number of grey levels.

    Returns:
      float32 [n, height, width, channels + 1].
    """
    observed = tf.cast(images, tf.float32) * (2 / (levels - 1)) - 1
    return tf.concat([tf.where(mask, observed, 0.0), tf.cast(mask, tf.float32)], axis=-1)


def hide(images: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The images with black (0) where they are observed: what the flow learns given `tell`."""
    return tf.where(mask, tf.zeros_like(images), images)


def random_masks(count: int, image_shape: tuple[int, int, int], *, seed) -> tf.Tensor:
    """Masks of three kinds, equally often.

    What is missing is one side of the image, up to a straight line; a rectangle; or single pixels: a quarter to
    three quarters of the height, of the width, or of the pixels.

    Args:
      count: how many.
      image_shape: (height, width, channels).
      seed: int [2].

    Returns:
      bool [count, height, width, 1], True where an image is observed.
    """
    height, width, _ = image_shape
    y = (tf.range(height, dtype=tf.float32)[:, tf.newaxis] + 0.5) / height
    x = (tf.range(width, dtype=tf.float32)[tf.newaxis] + 0.5) / width
    seeds = tf.cast(seed, tf.int64) + tf.stack(
        [tf.zeros([5], tf.int64), tf.range(5, dtype=tf.int64)], axis=1
    )

    def uniform(shape, number):
        return tf.random.stateless_uniform([count, *shape], seeds[number], alg=ALGORITHM)

    sizes = LEAST + (MOST - LEAST) * uniform([2, 1, 1], 0)
    starts = (1 - sizes) * uniform([2, 1, 1], 1)
    tall, wide, top, left = sizes[:, 0], sizes[:, 1], starts[:, 0], starts[:, 1]
    sides = tf.stack([y + 0 * x, 1 - y + 0 * x, x + 0 * y, 1 - x + 0 * y])
    side = tf.gather(sides, _choice(4, uniform([], 2))) < tall
    rectangle = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
    pixels = uniform([height, width], 3) < tall
    kinds = tf.stack([side, rectangle, pixels], axis=1)
    missing = tf.gather(kinds, _choice(3, uniform([], 4)), axis=1, batch_dims=1)
    return tf.logical_not(missing)[..., tf.newaxis]


def log_prob_of_missing(flow: ImageFlow, images, mask, labels=None, *, seed: int = 0) -> tf.Tensor:
    """`log p(missing pixels | observed pixels, mask)` in nats, float32 [n], as the flow has learned it.

    Args:
      flow: one that is told the rest of an image.
      images: uint8 [n, height, width, channels].
      mask: bool [n, height, width, 1], True where an image is observed.
      labels: int [n], in a class-conditional flow.
      seed: as in `ImageFlow.log_prob`.
    """
    images, mask = tf.convert_to_tensor(images), tf.convert_to_tensor(mask)
    context = tell(images, mask, levels=flow.levels)
    return flow.log_prob(hide(images, mask), labels, context=context, seed=seed)


def complete(
    flow: ImageFlow, images, mask, labels=None, *, temperature: float = 1.0, seed: int | None = None
) -> tf.Tensor:
    """Draw what is missing of each image; what is observed stays as it is.

    Args:
      flow: one that is told the rest of an image.
      images: uint8 [n, height, width, channels]; what is missing may have any value.
      mask: bool [n, height, width, 1], True where an image is observed.
      labels: int [n], in a class-conditional flow; None draws them.
      temperature: as in `ImageFlow.sample`.
      seed: as in `ImageFlow.sample`.

    Returns:
      uint8 [n, height, width, channels].
    """
    images, mask = tf.convert_to_tensor(images), tf.convert_to_tensor(mask)
    context = tell(images, mask, levels=flow.levels)
    drawn = flow.sample(len(images), labels, context=context, temperature=temperature, seed=seed)
    return tf.where(mask, images, drawn)


def _choice(count: int, uniform: tf.Tensor) -> tf.Tensor:
    return tf.minimum(tf.cast(uniform * count, tf.int32), count - 1)
