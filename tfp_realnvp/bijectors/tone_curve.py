"""The tone curve: one learned monotonic function for the value of every pixel."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.elementwise import Elementwise
from tfp_realnvp.transforms import SharedQuadraticSpline

__all__ = ["ToneCurve"]


class ToneCurve(Elementwise):
    """A quadratic spline, the same for every number of an image, with linear tails.

    Its formulas are those of `SharedQuadraticSpline`.

    Args:
      knots: int array [knots], increasing: the number of cells before each knot. The first one is 0.
      cells: the number of equal cells between the image values 0 and 1, which is also the last one of `knots`.
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
    """

    def __init__(self, knots, *, cells: int, slopes, lowest: float, name="tone_curve"):
        if not isinstance(slopes, (tf.Variable, tfp.util.DeferredTensor)):
            slopes = tf.convert_to_tensor(slopes)
            _check_slopes(tf.get_static_value(slopes))
        super().__init__(
            SharedQuadraticSpline(knots, cells=cells, lowest=lowest), [slopes], name=name
        )


def _check_slopes(slopes):
    if slopes is not None and not np.all(slopes > 0):
        raise ValueError(f"`slopes` must be above 0, received {slopes}.")
