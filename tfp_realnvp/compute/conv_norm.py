"""How much convolutions can stretch an image."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["conv_norms"]

FREQUENCIES = 20  # along each axis
SQUARINGS = 6
SMALLEST = 1e-12  # a trace of nothing, whose square is not 0


def conv_norms(kernels: tf.Tensor) -> tf.Tensor:
    """Upper bounds of the spectral norms of convolutions on images of any size, padded with zeros.

    On an endless image a convolution multiplies each frequency by a matrix, and its norm is the largest one of
    these matrices; on a part of it the norm is smaller. The matrices are looked at on a grid of frequencies.

    - Between the frequencies, `|K v|**2` is a trigonometric polynomial of degree `d = side - 1` along each
      axis, and so at most `1 / cos(pi d / 20)**2` times its largest value on the grid (Ehlich, Zeller 1964).
    - The largest eigenvalue of `G = K K*` is at most `trace(G**64)**(1 / 64)`, and at least that over
      `channels**(1 / 64)`.

    So the bound is above the norm on endless images by at most 8 % for a kernel of 3 x 3 with 16 channels on
    one side; it needs no iteration, and has a gradient.

    Args:
      kernels: float32 [n, side, side, before, after], the sides at most 7.

    Returns:
      float32 [n].

    Example:
      >>> conv_norms(tf.ones([1, 3, 3, 1, 1])).numpy().round(2)
      array([9.46], dtype=float32)

    Reference:
      Sedghi, Gupta, Long (2019), The singular values of convolutional layers, section 2 (frequencies);
      Ehlich, Zeller (1964), Schwankung von Polynomen zwischen Gitterpunkten.
    """
    return _compiled(tuple(kernels.shape))(kernels)


@functools.cache
def _compiled(shape: tuple[int, ...]) -> Callable:
    """A function for kernels of this shape: TensorFlow traces it once, and not in each call."""
    return tf.function(_conv_norms, autograph=False)


def _conv_norms(kernels):
    _, side, _, before, after = kernels.shape
    if after < before:
        kernels = tf.transpose(kernels, [0, 1, 2, 4, 3])
    waves = tf.constant(_waves(side))[tf.newaxis]
    if side > 1:  # the gradient is that of the largest one: the others need none
        worst = tf.argmax(_log_norms(tf.stop_gradient(kernels), waves), axis=1)
        waves = tf.gather(waves[0], worst)[:, tf.newaxis]
    norms = tf.exp(_log_norms(kernels, waves)[:, 0])
    return norms / math.cos(math.pi * (side - 1) / FREQUENCIES)


def _log_norms(kernels: tf.Tensor, waves: tf.Tensor) -> tf.Tensor:
    """Upper bounds of the logarithms of the norms of n kernels at f frequencies, float32 [n, f].

    Args:
      kernels: float32 [n, side, side, before, after].
      waves: float32 [n, f, 2, side**4], cosines and sines, or [1, f, 2, side**4] for all kernels.
    """
    count, side, _, before, after = kernels.shape
    rows = tf.reshape(kernels, [count, side**2 * before, after])
    pairs = tf.matmul(rows, rows, transpose_b=True)  # of each two places
    pairs = tf.reshape(pairs, [count, side**2, before, side**2, before])
    pairs = tf.reshape(tf.transpose(pairs, [0, 1, 3, 2, 4]), [count, side**4, before**2])
    # one axis before the matrices: with two, TensorFlow 2.21 crashes if there is one kernel of one channel
    waves = tf.reshape(waves, [waves.shape[0], -1, side**4])
    parts = tf.reshape(tf.matmul(waves, pairs), [count, -1, 2, before, before])
    real, imaginary = tf.unstack(parts, axis=2)
    log_norm, power = 0.0, 1.0
    for _ in range(SQUARINGS):
        size = _trace(real)
        log_norm += tf.math.log(size) / power
        scale = 1 / size[..., tf.newaxis, tf.newaxis]
        real, imaginary = _square(scale * real, scale * imaginary)
        power *= 2
    return (log_norm + tf.math.log(_trace(real)) / power) / 2


def _square(real, imaginary):
    """The square of a Hermitian matrix; its parts are symmetric and antisymmetric."""
    both = tf.matmul(real, imaginary)
    turned = tf.linalg.matrix_transpose(both)
    return tf.matmul(real + imaginary, real - imaginary) + both + turned, both - turned


def _trace(matrices):
    return tf.linalg.trace(matrices) + SMALLEST


def _waves(side: int) -> np.ndarray:
    """Cosines and sines of each frequency at the differences of two places, float32 [f, 2, side**4].

    The other half of the frequencies is conjugate to these. To a kernel of one place all are the same.
    """
    if side == 1:
        return np.array([[[1], [0]]], np.float32)
    places = np.indices((side, side)).reshape(2, -1)
    apart = (places[:, :, np.newaxis] - places[:, np.newaxis]).reshape(2, -1)
    frequencies = np.indices((FREQUENCIES, FREQUENCIES // 2 + 1)).reshape(2, -1)
    angles = 2 * np.pi / FREQUENCIES * frequencies.T @ apart
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
