"""Data augmentation: images that are moved a little."""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.compute.random_numbers import ALGORITHM

__all__ = ["move_some"]


def move_some(images: tf.Tensor, *, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Move some of the images by up to a pixel, up or down and to the left or right.

    What comes in from outside repeats the edge.

    Args:
      images: [n, height, width, channels].
      share: of the images that are moved, 0 to 1. All nine moves are equally likely, also the one by no pixel.
      seed: int [2].

    Returns:
      Tensor of the same shape and dtype.

    Example:
      >>> images = tf.constant([[[[0], [1]], [[2], [3]]]], tf.uint8)
      >>> move_some(images, share=1.0, seed=tf.constant([0, 8])).numpy().ravel()  # up
      array([2, 3, 2, 3], dtype=uint8)
    """
    count, height, width, _ = images.shape
    chosen = tf.random.stateless_uniform([count, 1], seed, alg=ALGORITHM) < share
    moves = tf.random.stateless_uniform([count, 2], seed + 1, -1, 2, tf.int32, alg=ALGORITHM)
    moves = tf.where(chosen, moves, 0)
    rows = tf.clip_by_value(tf.range(height) + moves[:, :1], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width) + moves[:, 1:], 0, width - 1)
    moved = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(moved, columns, axis=2, batch_dims=1)
