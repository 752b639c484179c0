"""How much a convolution can stretch an image."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["conv_norm"]

FREQUENCIES = 20  # along each axis
SQUARINGS = 6
SMALLEST = 1e-12  # a trace of nothing, whose square is not 0


def conv_norm(kernel: tf.Tensor) -> tf.Tensor:
    """An upper bound of the spectral norm of a convolution on images of any size, padded with zeros.

    On an endless image a convolution multiplies each frequency by a matrix, and its norm is the largest one of
    these matrices; on a part of it the norm is smaller. The matrices are looked at on a grid of frequencies.

    - Between the frequencies, `|K v|**2` is a trigonometric polynomial of degree `d = side - 1` along each
      axis, and so at most `1 / cos(pi d / 20)**2` times its largest value on the grid (Ehlich, Zeller 1964).
    - The largest eigenvalue of `G = K K*` is at most `trace(G**64)**(1 / 64)`, and at least that over
      `channels**(1 / 64)`.

    So the bound is above the norm on endless images by at most 8 % for a kernel of 3 x 3 with 16 channels on
    one side; it needs no iteration, and has a gradient.

    Args:
      kernel: float32 [side, side, before, after], the sides at most 7.

    Returns:
      float32 [].

    Example:
      >>> float(conv_norm(tf.ones([1, 1, 1, 1]))), round(float(conv_norm(tf.ones([3, 3, 1, 1]))), 2)
      (1.0, 9.46)

    Reference:
      Sedghi, Gupta, Long (2019), The singular values of convolutional layers, section 2 (frequencies);
      Ehlich, Zeller (1964), Schwankung von Polynomen zwischen Gitterpunkten.
    """
    return _compiled(tuple(kernel.shape))(kernel)


@functools.cache
def _compiled(shape: tuple[int, int, int, int]) -> Callable:
    """A function for kernels of this shape: TensorFlow traces it once, and not once for each kernel."""
    return tf.function(functools.partial(_conv_norm), autograph=False)


def _conv_norm(kernel):
    side, _, before, after = kernel.shape
    if after < before:
        kernel = tf.transpose(kernel, [0, 1, 3, 2])
    waves = tf.constant(_waves(side))
    if side > 1:  # the gradient is that of the largest one: the others need none
        worst = tf.argmax(_log_norms(tf.stop_gradient(kernel), waves))
        waves = waves[worst : worst + 1]
    return tf.exp(_log_norms(kernel, waves)[0]) / math.cos(math.pi * (side - 1) / FREQUENCIES)


def _log_norms(kernel: tf.Tensor, waves: tf.Tensor) -> tf.Tensor:
    """Upper bounds of the logarithms of the norms at these frequencies, [n]."""
    flat = tf.reshape(kernel, [-1, kernel.shape[2] * kernel.shape[3]])
    matrices = tf.matmul(waves, _like(waves, flat))
    matrices = tf.reshape(matrices, [-1, *kernel.shape[2:]])
    gram = tf.matmul(matrices, matrices, adjoint_b=True)
    log_norm, power = 0.0, 1.0
    for _ in range(SQUARINGS):
        size = _trace(gram)
        log_norm += tf.math.log(size) / power
        gram = gram / _like(gram, size)[:, tf.newaxis, tf.newaxis]
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
