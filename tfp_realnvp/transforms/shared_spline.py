"""The quadratic spline of the tone curve: one function for all entries."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.custom_gradient import custom_gradient
from tfp_realnvp.transforms.transform import Transform

__all__ = ["SharedQuadraticSpline", "knots_up_to"]

STEPS = 4096  # in the table that finds the piece of a latent


class SharedQuadraticSpline(Transform):
    """A quadratic spline, the same for all entries, with linear tails.

    Its slope runs straight from knot to knot. In the piece that begins at the knot y0, where the curve is at
    x0, has the slope d and bends by c (the slope's slope), with `t = y - y0`:

    - Inverse (image to latent): `x = x0 + t (d + c t / 2)`
    - Forward (latent to image): `y = y0 + 2 r / (d + sqrt(d**2 + 2 c r))`, with `r = x - x0`
    - `log(dy / dx) = -log(d + c t)`

    The values from 0 to 1 of y are divided into equal cells, and knots lie between cells: a table says which
    piece a cell belongs to. So the inverse needs neither a search nor a square root, and training only needs
    the inverse.

    Its only parameter is `slopes`, float [knots], dx/dy at the knots, above 0.

    Args:
      knots: int array [knots], increasing: the number of cells before each knot. The first one is 0.
      cells: the number of cells, which is also the last one of `knots`.
      lowest: x at the first knot.

    Raises:
      ValueError: knots that do not rise from 0 to `cells`.

    Example:
      >>> spline = SharedQuadraticSpline([0, 4], cells=4, lowest=0.0)
      >>> x, _ = spline.inverse(tf.constant([-1.0, 0.5, 1.0, 2.0]), tf.constant([1.0, 3.0]))
      >>> x.numpy()
      array([-1.  ,  0.75,  2.  ,  5.  ], dtype=float32)

    Reference:
      Mueller, McWilliams, Rousselle, Gross, Novak (2019), Neural importance sampling, section 4.2
      (piecewise-quadratic transforms).
    """

    def __init__(self, knots, *, cells: int, lowest: float):
        self._places = np.asarray(knots)
        self._cells = cells
        self._lowest = lowest
        if self._places[0] != 0 or self._places[-1] != cells or np.any(np.diff(self._places) < 1):
            raise ValueError(f"`knots` must rise from 0 to {cells}, the `cells`, received {knots}.")

    def forward(self, x, slopes):
        """See the class."""
        table, heights = self._curve(slopes)
        y0, x0, slope, bend = _look_up(table, knots_up_to(heights, x))
        rise = x - x0
        t = 2 * rise / (slope + tf.sqrt(slope**2 + 2 * bend * rise))
        return y0 + t, -tf.math.log(slope + bend * t)

    def inverse(self, y, slopes):
        """See the class."""
        pieces = np.searchsorted(self._places, np.arange(-1, self._cells + 1), side="right")
        pieces = pieces.astype(
            np.min_scalar_type(len(self._places))
        )  # small: a SavedModel holds it
        cell = tf.clip_by_value(tf.cast(y * self._cells + 1, tf.int32), 0, self._cells + 1)
        table, _ = self._curve(slopes)
        y0, x0, slope, bend = _look_up(table, tf.cast(_lines(pieces, cell), tf.int32))
        t = y - y0
        return x0 + t * (slope + 0.5 * bend * t), -tf.math.log(slope + bend * t)

    def _curve(self, slopes):
        """(pieces, heights): y0, x0, d, c of each piece, tails included, and x at the knots."""
        y = (self._places / self._cells).astype(slopes.dtype.as_numpy_dtype)
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


@custom_gradient
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
