"""Normalization: from the unit cube to values that are about standard normal, before any coupling."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.bijectors import ActNorm, ToneCurve

__all__ = ["Normalization"]

CELLS = 256  # of the tone curve, per grey level
LEVEL_KNOTS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # knots in the lower half of a level, in cells
RISE_KNOTS = 10  # knots from the lowest level to the middle of the curve
PACE = (
    10  # the curve's learning rate, as a multiple: Adam moves all weights by about the same amount
)
TAIL = 2e-3  # probability of a normal distribution beyond the edges of a level, on each side


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class Normalization(keras.layers.Layer):
    """Tone curve and ActNorm: the part of a flow that transforms each number of an image by itself.

    The tone curve is a learned monotonic function, the same for all pixels, from the unit cube to unbounded
    reals. Black and white pixels need it: dequantization spreads them uniformly over one grey level. Couplings
    only shift and scale a pixel, which leaves a uniform distribution uniform, and coding that by a normal
    distribution costs `log2(2 pi e / 12) / 2 = 0.25` bits for each such pixel. At its start the curve makes the
    lowest and the highest level normal, and maps the levels between them as a logit does.

    ActNorm is a shift and a scale for each channel, from the data (`adapt`).

    This is not `keras.layers.Normalization`. The name is part of the file format of saved models.

    Args:
      image_shape: (height, width, channels).
      levels: number of grey levels, 2 to 256.
      **kwargs: those of `keras.layers.Layer`.

    Reference:
      Kingma, Dhariwal (2018), Glow, section 3.1 (ActNorm); for the tone curve see there.
    """

    def __init__(self, image_shape: tuple[int, int, int], *, levels: int, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.image_shape = tuple(image_shape)
        self.levels = levels
        self._knots, self._first_slopes = _first_curve(levels)
        # so that the middle of the new curve is 0
        widths = np.diff(self._knots) / (CELLS * levels)
        self._lowest = -np.sum(widths * (self._first_slopes[1:] + self._first_slopes[:-1])) / 4
        self.build((None, *self.image_shape))

    def build(self, images_shape):
        """Make the weights."""
        self.log_slopes = self._weight(np.log(self._first_slopes) / PACE, "log_slopes")
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
        """Tone curve and ActNorm, the one next to the image first; they read the weights at each use."""
        return [self._curve(), ActNorm(self.center.value, self.log_spread.value)]

    def _curve(self) -> ToneCurve:
        slopes = tfp.util.DeferredTensor(
            self.log_slopes.value, lambda weight: tf.exp(PACE * weight)
        )
        return ToneCurve(self._knots, cells=CELLS * self.levels, slopes=slopes, lowest=self._lowest)

    def adapt(self, points: tf.Tensor) -> None:
        """Set ActNorm so that these points of the unit cube get mean 0 and standard deviation 1.

        Args:
          points: float32 [n, height, width, channels].
        """
        values = self._curve().inverse(points)
        center, variance = tf.nn.moments(values, axes=[0, 1, 2])
        self.center.assign(center)
        self.log_spread.assign(0.5 * tf.math.log(variance + 1e-6))
        self.adapted.assign(1.0)

    def compute_output_shape(self, images_shape):
        """The same."""
        return images_shape

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "image_shape": self.image_shape, "levels": self.levels}


def _first_curve(levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(knots in cells, slopes over the unit interval) of the new curve."""
    normal = tfd.Normal(np.float64(0), np.float64(1))
    half = np.array(LEVEL_KNOTS)
    level = np.concatenate([half, CELLS - half[-2::-1]])
    level_slopes = 1 / normal.prob(normal.quantile(TAIL + (1 - 2 * TAIL) * level / CELLS)).numpy()
    rise = np.geomspace(1, levels / 2, RISE_KNOTS)[1:] if levels > 2 else np.array([])
    knots = np.concatenate([level, np.round(CELLS * rise).astype(int)])
    slopes = np.concatenate([level_slopes, 1 / rise])
    if levels > 2:
        slopes[len(level) - 1] = 1  # the slope of the logarithm, which begins here
    # the upper half mirrors the lower one
    knots = np.concatenate([knots, CELLS * levels - knots[-2::-1]])
    return knots, np.concatenate([slopes, slopes[-2::-1]]) * levels
