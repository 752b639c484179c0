"""The tone curve: one learned monotonic function for the value of every pixel."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed

__all__ = ["ToneCurve", "knots_up_to"]

STEPS = 4096  # in the table that finds the piece of a latent


class ToneCurve(tfb.Bijector):
    """A quadratic spline, the same for every number of an image, with linear tails.

    Its slope runs straight from knot to knot. In the piece that begins at the knot y0, where the curve is at
    x0, has the slope d and bends by c (the slope's slope), with `t = y - y0`:

    - Inverse (image to latent): `x = x0 + t (d + c t / 2)`
    - Forward (latent to image): `y = y0 + 2 r / (d + sqrt(d**2 + 2 c r))`, with `r = x - x0`
    - Inverse log-determinant: `sum(log(d + c t))`

    The image values from 0 to 1 are divided into equal cells, and knots lie between cells: a table says which
    piece a cell belongs to. So the inverse needs neither a search nor a square root, and training only needs
    the inverse.

    Args:
      knots: int array [knots], increasing: the number of cells before each knot. The first one is 0.
      cells: the number of cells, which is also the last one of `knots`.
      slopes: float tensor [knots], dx/dy at the knots, above 0; a variable or `tfp.util.DeferredTensor` is
        read at each use.
      lowest: x at the first knot.
      name: name of the bijector.

    Raises:
      ValueError: knots that do not rise from 0 to `cells`, or slopes that are not above 0.

    Example:
      >>> curve = ToneCurve([0, 4], cells=4, slopes=tf.constant([1.0, 3.0]), lowest=0.0)
      >>> curve.inverse([[[-1.0, 0.5, 1.0, 2.0]]]).numpy()
      array([[[-1.  ,  0.75,  2.  ,  5.  ]]], dtype=float32)

    Reference:
      Mueller, McWilliams, Rousselle, Gross, Novak (2019), Neural importance sampling, section 4.2
      (piecewise-quadratic transforms).
    """

    def __init__(self, knots, *, cells: int, slopes, lowest, name="tone_curve"):
        parameters = dict(locals())
        self._knots = np.asarray(knots)
        self._cells = cells
        self._lowest = lowest
        self._slopes = slopes
        if not isinstance(slopes, (tf.Variable, tfp.util.DeferredTensor)):
            self._slopes = tf.convert_to_tensor(slopes)
            _check_slopes(tf.get_static_value(self._slopes))
        if self._knots[0] != 0 or self._knots[-1] != cells or np.any(np.diff(self._knots) < 1):
            raise ValueError(f"`knots` must rise from 0 to {cells}, the `cells`, received {knots}.")
        super().__init__(forward_min_event_ndims=3, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        y0, t, *_ = renewed(self, "forward", x, self._place_of_x(x))
        return y0 + t

    def _inverse(self, y):
        _, t, x0, slope, bend = renewed(self, "inverse", y, self._place_of_y(y))
        return x0 + t * (slope + 0.5 * bend * t)

    def _forward_log_det_jacobian(self, x):
        _, t, _, slope, bend = kept(self, "forward", x, lambda: self._place_of_x(x))
        return -tf.reduce_sum(tf.math.log(slope + bend * t), axis=[-3, -2, -1])

    def _curve(self):
        """(pieces, heights): x at the knots, and y0, x0, d, c of each piece, tails included."""
        slopes = tf.convert_to_tensor(self._slopes)
        y = (self._knots / self._cells).astype(slopes.dtype.as_numpy_dtype)
        widths = np.diff(y)
        rises = widths * (slopes[1:] + slopes[:-1]) / 2
        bends = (slopes[1:] - slopes[:-1]) / widths
        heights = self._lowest + tf.concat([[0.0], tf.cumsum(rises)], axis=0)
        columns = [
            tf.concat([y[:1], y], axis=0),
            tf.concat([heights[:1], heights], axis=0),
            tf.concat([slopes[:1], slopes], axis=0),
            tf.concat([[0.0], bends, [0.0]], axis=0),
        ]
        return tf.stack(columns, axis=-1), heights

    def _place_of_x(self, x):
        """(y0, t, x0, d, c) of each entry."""
        table, heights = self._curve()
        y0, x0, slope, bend = _look_up(table, knots_up_to(heights, x))
        rise = x - x0
        t = 2 * rise / (slope + tf.sqrt(slope**2 + 2 * bend * rise))
        return y0, t, x0, slope, bend

    def _place_of_y(self, y):
        """(y0, t, x0, d, c) of each entry."""
        pieces = np.searchsorted(self._knots, np.arange(-1, self._cells + 1), side="right")
        cell = tf.clip_by_value(tf.cast(y * self._cells + 1, tf.int32), 0, self._cells + 1)
        table, _ = self._curve()
        y0, x0, slope, bend = _look_up(table, _lines(pieces.astype(np.int32), cell))
        return y0, y - y0, x0, slope, bend


def _check_slopes(slopes):
    if slopes is not None and not np.all(slopes > 0):
        raise ValueError(f"`slopes` must be above 0, received {slopes}.")


def knots_up_to(knots, values):
    """The number of knots at or below each value: `tf.searchsorted(side="right")` in a third of its time.

    The range from the first knot to the last one is divided into equal steps. A table says how many knots come
    before a step; the few in the step itself are compared one by one.

    Args:
      knots: float tensor [any], increasing.
      values: float tensor [...]; one that is not a number gets any count.

    Returns:
      int32 tensor [...].
    """

    def step(values):
        way = (values - knots[0]) * (STEPS / (knots[-1] - knots[0]))
        # `minimum` before `cast`: values that are not finite stay within the table
        return tf.maximum(tf.cast(tf.minimum(way, STEPS - 1), tf.int32), 0)

    before = tf.searchsorted(step(knots), tf.range(STEPS + 1))
    most = tf.reduce_max(before[1:] - before[:-1])
    next_knots = tf.concat([knots, [np.nan]], axis=0)  # no value is at or above NaN

    def compare(round_, count):
        return round_ + 1, count + tf.cast(values >= _lines(next_knots, count), tf.int32)

    _, count = tf.while_loop(
        lambda round_, _: round_ < most, compare, [tf.constant(0), _lines(before, step(values))]
    )
    return count


@tf.custom_gradient
def _look_up(table, index):
    """The columns of the table's rows at `index`. The first column, y0, is constant and gets no gradient.

    The gradients of a row are summed up by `DenseBincount`, in a tenth of the time that the gradient of
    `tf.gather` takes.
    """

    def gradient(_, *columns):
        flat = tf.reshape(index, [-1])
        sums = [
            tf.raw_ops.DenseBincount(
                input=flat,
                size=table.shape[0],
                weights=tf.reshape(column, [-1]),
                binary_output=False,
            )
            for column in columns
        ]
        return tf.stack([tf.zeros_like(sums[0]), *sums], axis=-1), None

    return tf.unstack(_lines(table, index), axis=-1), gradient


def _lines(table, index):
    """`tf.gather(table, index)`, in two thirds of its time."""
    return tf.gather_nd(table, index[..., tf.newaxis])
