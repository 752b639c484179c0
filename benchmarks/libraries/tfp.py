"""TensorFlow Probability alone, in the obvious way: a chain of bijectors with masks of the whole image.

The conditioner is evaluated wherever a bijector's method needs it: twice in `log_prob`.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from libraries import ALPHA, COUPLINGS, HIDDEN, LEARNING_RATE, LEVELS, PIXELS, SIDE
from libraries.inputs import PlainFlow

MASK = (np.indices((SIDE, SIDE)).sum(0).ravel() % 2).astype(np.float32)


def make(flow, precision, images):
    """See `libraries`. Only the dense flow, in float32."""
    return PlainTfp()


class Coupling(tfb.Bijector):
    """An affine coupling of flat images; the mask is 1 where a pixel is kept."""

    def __init__(self, mask, network):
        super().__init__(forward_min_event_ndims=1)
        self._mask, self._network = mask, network

    def _shift_and_log_scale(self, values):
        shift, raw = tf.split(self._network(self._mask * values), 2, axis=-1)
        return (1 - self._mask) * shift, (1 - self._mask) * tf.tanh(raw)

    def _forward(self, x):
        shift, log_scale = self._shift_and_log_scale(x)
        return x * tf.exp(log_scale) + shift

    def _inverse(self, y):
        shift, log_scale = self._shift_and_log_scale(y)
        return (y - shift) * tf.exp(-log_scale)

    def _forward_log_det_jacobian(self, x):
        return tf.reduce_sum(self._shift_and_log_scale(x)[1], axis=-1)


class PlainTfp(PlainFlow):
    """A `TransformedDistribution` and a training step."""

    def __init__(self):
        self._networks = [_network() for _ in range(COUPLINGS)]
        couplings = [
            Coupling(MASK if step % 2 else 1 - MASK, network)
            for step, network in enumerate(self._networks)
        ]
        logit = [tfb.Scale(1 / (1 - 2 * ALPHA)), tfb.Shift(-ALPHA), tfb.Sigmoid()]
        self._distribution = tfd.TransformedDistribution(
            tfd.Sample(tfd.Normal(0.0, 1.0), [PIXELS]), tfb.Chain([*logit, *couplings])
        )
        self._weights = [w for network in self._networks for w in network.trainable_variables]
        self._optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self._optimizer.build(self._weights)
        self.parameters = sum(weight.shape.num_elements() for weight in self._weights)

    @tf.function
    def _step(self, images):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self._nats(images)) / PIXELS
        gradients = tape.gradient(loss, self._weights)
        self._optimizer.apply_gradients(zip(gradients, self._weights, strict=True))
        return loss

    @tf.function
    def _log_prob(self, images):
        return self._nats(images)

    def _nats(self, images):
        points = (tf.cast(images, tf.float32) + tf.random.uniform(tf.shape(images))) / LEVELS
        points = tf.reshape(points, [-1, PIXELS])
        return self._distribution.log_prob(points) - PIXELS * math.log(LEVELS)

    @tf.function
    def _sample(self, n):
        points = tf.reshape(self._distribution.sample(n), [-1, SIDE, SIDE, 1])
        grey = tf.clip_by_value(tf.floor(points * LEVELS), 0, LEVELS - 1)
        return tf.cast(grey, tf.uint8)


def _network():
    hidden = [keras.layers.Dense(units, activation="relu") for units in HIDDEN]
    last = keras.layers.Dense(2 * PIXELS, kernel_initializer="zeros")
    network = keras.Sequential([*hidden, last])
    network.build((None, PIXELS))
    return network
