"""The way in: from the unit cube to values that are about standard normal, before any coupling."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp import preprocessing
from tfp_realnvp.bijectors import ActNorm, ToneCurve

__all__ = ["Normalization"]

LEVEL_KNOTS = 13  # of the tone curve, over the lowest and over the highest level
SLOPE_KNOTS = 10  # from there to the middle
PACE = 10  # of the curve's learning: Adam moves each weight by the learning rate, however much it matters
TAIL = 2e-3  # share of a normal distribution that the edges of a level cut off, on each side


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class Normalization(keras.layers.Layer):
    """Logit, tone curve and ActNorm: what a flow does with each number of an image by itself.

    The tone curve is a learned monotonic function, one for all pixels. Black and white pixels need it:
    dequantization spreads them evenly over one grey level, and since couplings only shift and scale what
    other pixels cannot tell, the even spread would stay. The best normal distribution for it costs
    `log2(2 pi e / 12) / 2 = 0.25` bits more than the pixel has. The curve starts as one that spreads the
    lowest and the highest level normally, and the levels between them as the logit does.

    ActNorm is a shift and a scale for each channel, from the data (`adapt`).

    Args:
      image_shape: (height, width, channels).
      levels: number of grey levels, 2 to 256.
      alpha: of the logit, in (0, 0.5).
      **kwargs: those of `keras.layers.Layer`.

    Reference:
      Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, section 3.1 (the spline);
      Kingma, Dhariwal (2018), Glow, section 3.1 (ActNorm).
    """

    def __init__(self, image_shape: tuple[int, int, int], *, levels: int, alpha: float, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.image_shape = tuple(image_shape)
        self.levels = levels
        self.alpha = alpha
        grey, y, slopes = _first_curve(levels)
        share = alpha + (1 - 2 * alpha) * grey / levels
        self._x = np.log(share / (1 - share))  # the logit
        slopes *= share * (1 - share) * levels / (1 - 2 * alpha)  # from those over grey values
        self._lowest = y[0]
        self._first_heights = np.log(np.diff(y)) / PACE
        self._first_slopes = np.log(slopes) / PACE
        self.build()

    def build(self, image_shape=None):
        """Make the weights."""
        self.curve_heights = self._weight(self._first_heights, "curve_heights")
        self.curve_slopes = self._weight(self._first_slopes, "curve_slopes")
        self.center = self._weight(np.zeros(self.image_shape[-1]), "center")
        self.log_spread = self._weight(np.zeros(self.image_shape[-1]), "log_spread")
        self.adapted = self._weight(np.zeros(()), "adapted", trainable=False)
        self.built = True

    def _weight(self, value, name, trainable=True):
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype: tf.constant(value, dtype),
            trainable=trainable,
            autocast=False,
            name=name,
        )

    @property
    def bijectors(self) -> list[tfb.Bijector]:
        """Logit, tone curve and ActNorm, the one next to the image first."""
        return [*self._curve(), ActNorm(self.center, self.log_spread)]

    def _curve(self) -> list[tfb.Bijector]:
        y = self._lowest + tf.concat([[0.0], tf.cumsum(tf.exp(PACE * self.curve_heights))], axis=0)
        curve = ToneCurve(tf.constant(self._x, tf.float32), y, tf.exp(PACE * self.curve_slopes))
        return [preprocessing.logit(self.alpha), tfb.Invert(curve)]

    def adapt(self, points: tf.Tensor) -> None:
        """Set ActNorm so that these points of the unit cube get mean 0 and standard deviation 1.

        Args:
          points: float32 [n, height, width, channels].
        """
        values = tfb.Chain(self._curve()).inverse(points)
        center, variance = tf.nn.moments(values, axes=[0, 1, 2])
        self.center.assign(center)
        self.log_spread.assign(0.5 * tf.math.log(variance + 1e-6))
        self.adapted.assign(1.0)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "levels": self.levels,
            "alpha": self.alpha,
        }


def _first_curve(levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Knots of the new curve: (grey values from 0 to `levels`, their images, with 0 in the middle, slopes)."""
    normal = tfd.Normal(np.float64(0), np.float64(1))
    edge = -normal.quantile(TAIL)
    # over a level, steps that are even on the normal side: they are small where the curve is steep
    z = np.linspace(-edge, edge, LEVEL_KNOTS)
    level = (normal.cdf(z).numpy() - TAIL) / (1 - 2 * TAIL)
    level_slopes = (1 - 2 * TAIL) / normal.prob(z).numpy()
    rise = np.geomspace(1, levels / 2, SLOPE_KNOTS)[1:] if levels > 2 else np.array([])
    grey = np.concatenate([level, rise])
    y = np.concatenate([z, edge + np.log(rise)])
    y -= y[-1]
    slopes = np.concatenate([level_slopes, 1 / rise])
    if levels > 2:
        slopes[LEVEL_KNOTS - 1] **= 0.5  # the geometric mean with the slope of the logarithm, 1
    # the upper half mirrors the lower one
    return (
        np.concatenate([grey, levels - grey[-2::-1]]),
        np.concatenate([y, -y[-2::-1]]),
        np.concatenate([slopes, slopes[-2::-1]]),
    )
