"""The monotonic rational-quadratic spline: a transform that bends."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.custom_gradient import custom_gradient
from tfp_realnvp.transforms.affine import Affine
from tfp_realnvp.transforms.transform import Transform

__all__ = ["RationalQuadraticSpline"]

LEAST_WEIGHT = 0.01  # of a bin; the weight of a number of 0 is 1.01, the greatest 2.01
LEAST_SLOPE = 1e-3  # at a knot


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class RationalQuadraticSpline(Transform):
    """An affine map, and on its latent side a monotonic rational-quadratic spline.

    `u = (y - shift) * exp(-log_scale)`, `x = spline(u)`. The spline maps [-bound, bound] to itself, and is the
    identity outside. In a bin that begins at the knot (u0, x0), has the width w, the height h, and the slopes
    d0 and d1 at its ends, with `s = h / w`, `t = (u - u0) / w` and `c = s + (d0 + d1 - 2 s) t (1 - t)`:

    - Inverse (image to latent): `x = x0 + h (s t**2 + d0 t (1 - t)) / c`
    - Forward (latent to image): the root in [0, 1] of this quadratic equation for t; then `u = u0 + w t`
    - `log(dx / du) = 2 log(s / c) + log(d1 t**2 + 2 s t (1 - t) + d0 (1 - t)**2)`

    So training, which goes from image to latent, takes no root.

    The parameters of an entry are `shift`, `log_scale`, and `3 bins - 1` numbers in `knots`, on an axis before
    all others: `bins` for the widths, `bins` for the heights, `bins - 1` for the slopes between bins. Bins
    share the interval by weights, `1.01 + tanh(number)`; a slope is `softplus(number)`, moved so that 0 gives
    1. Zeros give the identity, and all finite numbers a spline that has an inverse.

    Args:
      bins: at least 2.
      bound: where the spline ends, above 0.

    Raises:
      ValueError: too few bins, or a bound that is not above 0.

    Example:
      >>> spline = RationalQuadraticSpline(bins=2, bound=1.0)
      >>> knots = tf.constant([[0.0], [0.0], [0.0], [0.0], [1.0]])  # steeper in the middle
      >>> x, _ = spline.inverse(tf.constant([0.2]), tf.zeros([1]), tf.zeros([1]), knots)
      >>> x.numpy().round(3)
      array([0.284], dtype=float32)

    Reference:
      Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, section 3.1 and appendix A.
    """

    def __init__(self, *, bins: int = 8, bound: float = 4.0):
        if bins < 2:
            raise ValueError(f"`bins` must be at least 2, received {bins}.")
        if not 0 < bound < math.inf:
            raise ValueError(f"`bound` must be above 0 and finite, received {bound}.")
        self.bins = bins
        self.bound = bound
        self.knots = 3 * bins - 1
        self._affine = Affine()

    def forward(self, x, shift, log_scale, knots):
        """See the class."""
        return self._function("_forward", x)(x, shift, log_scale, knots)

    def inverse(self, y, shift, log_scale, knots):
        """See the class."""
        return self._function("_inverse", y)(y, shift, log_scale, knots)

    def get_config(self):
        """The constructor's arguments."""
        return {"bins": self.bins, "bound": self.bound}

    def _function(self, method, entries):
        return _function(method, self.bins, self.bound, tuple(entries.shape[1:]))

    def _forward(self, x, shift, log_scale, knots):
        inside = tf.clip_by_value(x, -self.bound, self.bound)
        place = self._place(inside, knots, side="x")
        t = _root((inside - place.x0) / place.height, place)
        u = place.u0 + place.width * t + (x - inside)
        y, log_slope = self._affine.forward(u, shift, log_scale)
        _, log_bend = _bin(t, place.height / place.width, place.slope0, place.slope1)
        return y, log_slope - log_bend

    def _inverse(self, y, shift, log_scale, knots):
        u, log_slope = self._affine.inverse(y, shift, log_scale)
        inside = tf.clip_by_value(u, -self.bound, self.bound)
        place = self._place(inside, knots, side="u")
        # rounding may leave the bin by a little, where a steep spline has no logarithm
        t = tf.clip_by_value((inside - place.u0) / place.width, 0, 1)
        rise, log_bend = _bin(t, place.height / place.width, place.slope0, place.slope1)
        return place.x0 + place.height * rise + (u - inside), log_slope - log_bend

    def _place(self, inside, knots, *, side: str) -> _Place:
        """The bin of each entry, whose values on this side of the spline are given."""
        widths, heights, slopes = tf.split(knots, [self.bins, self.bins, self.bins - 1], axis=0)
        rulers = {"u": self._ruler(widths), "x": self._ruler(heights)}
        marks, unit = rulers[side]
        bins_before = (inside + self.bound) / unit >= marks[1:-1]
        index = tf.reduce_sum(tf.cast(bins_before, tf.int32), axis=0)
        ends = []
        for step in (0, 1):
            at_knot = tf.one_hot(index + step, self.bins + 1, axis=0, dtype=knots.dtype)
            u, x = (_pick(marks, at_knot) * unit - self.bound for marks, unit in rulers.values())
            # at -bound and bound all of this are zeros, and the slope is 1
            at_slope = tf.one_hot(index + step - 1, self.bins - 1, axis=0, dtype=knots.dtype)
            ends.append((u, x, _slope(_pick(slopes, at_slope))))
        (u0, x0, slope0), (u1, x1, slope1) = ends
        return _Place(u0, x0, u1 - u0, x1 - x0, slope0, slope1)

    def _ruler(self, numbers):
        """(marks, unit): the knots' places are `marks * unit - bound`, marks is [bins + 1, ...]."""
        weights = 1 + LEAST_WEIGHT + tf.tanh(numbers)
        # a product of matrices is faster than tf.cumsum
        triangle = tf.constant(np.tri(self.bins + 1, self.bins, -1), numbers.dtype)
        marks = tf.matmul(triangle, tf.reshape(weights, [self.bins, -1]))
        marks = tf.reshape(marks, tf.concat([[self.bins + 1], tf.shape(numbers)[1:]], axis=0))
        return marks, 2 * self.bound / marks[-1]


@functools.cache
def _function(method: str, bins: int, bound: float, shape: tuple):
    """A method of such a spline as a `tf.function`: a graph holds it once for all couplings of this shape."""
    spline = RationalQuadraticSpline(bins=bins, bound=bound)
    return tf.function(getattr(spline, method), autograph=False, reduce_retracing=True)


class _Place(NamedTuple):
    """The bin of each entry: its lower end (u0, x0), its size, the slopes at its ends."""

    u0: tf.Tensor
    x0: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    slope0: tf.Tensor
    slope1: tf.Tensor


def _slope(number):
    return tf.nn.softplus(number + math.log(math.expm1(1 - LEAST_SLOPE))) + LEAST_SLOPE


@custom_gradient
def _bin(t, mean, slope0, slope1):
    """How far up its bin the spline is at t, from 0 to 1, and log(dx / du) there.

    TensorFlow's own gradient sums many terms, in an order that depends on which thread was first: training
    would not give the same weights twice.

    Args:
      t: how far along the bin, from 0 to 1.
      mean: the slope of the whole bin, s in the class's formulas.
      slope0: at its lower end.
      slope1: at its upper end.
    """
    rest = 1 - t
    both = t * rest
    bends = slope0 + slope1 - 2 * mean
    divisor = mean + bends * both  # c
    rise = t * (mean * t + slope0 * rest) / divisor
    slope = slope1 * t**2 + 2 * mean * both + slope0 * rest**2

    def gradient(of_rise, of_log):
        uneven = rest - t
        per_slope, per_divisor = of_log / slope, 1 / divisor
        # of `divisor`: of log(dx / du) through -2 log(c), and of the rise through 1 / c
        of_divisor = -(2 * of_log + of_rise * rise) * per_divisor
        of_dividend = of_rise * per_divisor  # of s t**2 + d0 t (1 - t)
        of_t = of_rise * mean * slope * per_divisor**2 + (
            2 * per_slope * (slope1 * t + mean * uneven - slope0 * rest)
            - 2 * of_log * per_divisor * bends * uneven
        )
        of_mean = (
            of_dividend * t**2
            + of_divisor * (1 - 2 * both)
            + 2 * (of_log / mean + per_slope * both)
        )
        of_slope0 = (of_dividend + of_divisor) * both + per_slope * rest**2
        of_slope1 = of_divisor * both + per_slope * t**2
        return of_t, of_mean, of_slope0, of_slope1

    return (rise, 2 * tf.math.log(mean / divisor) + tf.math.log(slope)), gradient


def _root(rise, place):
    """The t at which the spline is so far up the bin."""
    mean = place.height / place.width
    bend = (place.slope0 + place.slope1 - 2 * mean) * rise
    linear = place.slope0 - bend
    square = tf.maximum(linear**2 + 4 * mean * rise * (mean - linear), 1e-12)
    # of two equal forms of the root, the one that subtracts no nearly equal numbers
    total = tf.abs(linear) + tf.sqrt(square)
    rises = linear >= 0
    dividend = tf.where(rises, 2 * mean * rise, total)
    divisor = tf.where(rises, total, 2 * (mean - linear))
    return tf.clip_by_value(dividend / divisor, 0, 1)


@custom_gradient
def _pick(table, one_hot):
    """The number of each entry, [...], that is marked in `one_hot`; both are [numbers, ...].

    TensorFlow's own gradient repeats the upstream gradient in memory, and takes several times as long.
    """

    def gradient(upstream):
        return one_hot * upstream, None

    return tf.reduce_sum(table * one_hot, axis=0), gradient
