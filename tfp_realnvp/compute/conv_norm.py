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
    return tf.function(functools.partial(_conv_norms), autograph=False)


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
      waves: [n, f, side * side], or [1, f, side * side] for the same ones of all kernels.
    """
    count, side, _, before, after = kernels.shape
    flat = tf.reshape(kernels, [count, side * side, before * after])
    matrices = tf.matmul(waves, _like(waves, flat))
    matrices = tf.reshape(matrices, [count, -1, before, after])
    gram = tf.matmul(matrices, matrices, adjoint_b=True)
    log_norm, power = 0.0, 1.0
    for _ in range(SQUARINGS):
        size = _trace(gram)
        log_norm += tf.math.log(size) / power
        gram = gram / _like(gram, size)[..., tf.newaxis, tf.newaxis]
        gram, power = tf.matmul(gram, gram), 2 * power
    return (log_norm + tf.math.log(_trace(gram)) / power) / 2


def _like(other, values):
    """Real numbers as numbers of the kind that others are; the gradient of `tf.cast` would warn."""
    return tf.complex(values, tf.zeros_like(values)) if other.dtype.is_complex else values


def _trace(matrices):
    return tf.math.real(tf.linalg.trace(matrices)) + SMALLEST


def _waves(side: int) -> np.ndarray:
    """complex64 [frequencies, side * side]; the other half of the frequencies is conjugate to these.

    A kernel of one pixel does the same to all of them: float32 [1, 1].
    """
    if side == 1:
        return np.ones([1, 1], np.float32)
    count = FREQUENCIES
    places = np.arange(side)
    along = np.exp(-2j * np.pi * np.outer(np.arange(count), places) / count)
    half = along[: count // 2 + 1]
    return np.einsum("fa,gb->fgab", along, half).reshape(-1, side * side).astype(np.complex64)
