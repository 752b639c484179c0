"""log |det (I + J)| for a matrix J of norm below 1, from products of vectors with J alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["Terms", "draw_terms", "log_det_series"]

MOST = 40  # terms beyond those that are always taken


class Terms(NamedTuple):
    """How many terms of a series are taken in each row, and what makes up for the others in the mean.

    Attributes:
      weights: float32 [largest number of terms + 1, n]; 0 for a term that is not taken.
      last: int32 [], the last term that some row takes.
    """

    weights: tf.Tensor
    last: tf.Tensor


def draw_terms(uniform: tf.Tensor, *, exact: int, more: float) -> Terms:
    """The first terms in any case, and then a number of others with a Poisson distribution.

    A term k that is taken with probability `P(number >= k)` gets the weight `1 / P(number >= k)`: so the mean
    of the sum is that of the whole series (Russian roulette).

    Args:
      uniform: float32 [n], in [0, 1), from which the numbers come.
      exact: terms that are always taken, at least 1.
      more: mean of the number of others, above 0.

    Reference:
      Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual flows for invertible generative modeling, section 3.1.
    """
    below, weights = _tables(exact, more)
    number = exact + tf.reduce_sum(tf.cast(uniform[:, tf.newaxis] >= below, tf.int32), axis=1)
    terms = tf.range(exact + MOST + 1)[:, tf.newaxis]
    taken = tf.where(terms <= number, weights[:, tf.newaxis], 0.0)
    return Terms(taken, tf.reduce_max(number))


@functools.cache
def _tables(exact: int, more: float) -> tuple[np.ndarray, np.ndarray]:
    """P(others <= k) for k = 0, 1, ... MOST - 1, and the weights of the terms from 0 on, float32."""
    counts = np.arange(MOST)
    logs = counts * np.log(more) - more - np.concatenate([[0], np.cumsum(np.log(counts[1:]))])
    below = np.cumsum(np.exp(logs))
    at_least = np.concatenate([np.ones(exact + 1), 1 - below])
    return below.astype(np.float32), (1 / np.maximum(at_least, 1e-30)).astype(np.float32)


def log_det_series(
    product: Callable[[tf.Tensor], tf.Tensor], probe: tf.Tensor, terms: Terms
) -> tuple[tf.Tensor, tf.Tensor]:
    """An estimate of `log |det (I + J)| = sum over k of (-1)**(k + 1) trace(J**k) / k`.

    With a probe of independent signs, `probe @ J**k @ probe` is `trace(J**k)` in the mean (Hutchinson).

    Args:
      product: from vectors u [n, ...] to `u @ J`, J being another matrix in each row.
      probe: float32 [n, ...], -1 or 1.
      terms: of the series.

    Returns:
      The estimates, float32 [n]; and [n, ...] estimates w of `probe @ inverse(I + J)`, with which
      `w @ dJ @ probe` is the change of the log-determinant in the mean. Neither has a gradient.

    Reference:
      Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), Invertible residual networks, section 3.2;
      Chen, Behrmann, Duvenaud, Jacobsen (2019), section 3.2 (the gradient as a Neumann series).
    """
    axes = list(range(1, probe.shape.rank))
    row = [-1] + [1] * len(axes)

    def add(k, power, log_det, solution):
        power = product(power)
        sign = tf.cast(1 - 2 * (k % 2), tf.float32)  # (-1)**k
        weight = sign * terms.weights[k]
        log_det -= weight / tf.cast(k, tf.float32) * tf.reduce_sum(power * probe, axes)
        return k + 1, power, log_det, solution + tf.reshape(weight, row) * power

    first = (tf.constant(1), probe, tf.zeros(tf.shape(probe)[:1]), probe)
    *_, log_det, solution = tf.while_loop(lambda k, *_: k <= terms.last, add, first)
    return tf.stop_gradient(log_det), tf.stop_gradient(solution)
