"""The arithmetic of our dense flow, written by hand in plain TensorFlow: no `fit`, no chain of bijectors.

It has the same weights and optimizer as our flow and does as many steps in a call. Only the tone curve and the
shards are those of the library.
"""

import math

import numpy as np
import tensorflow as tf
from internals import OPTIONS, in_shards

from libraries import HALF, LEVELS, PIXELS, SIDE
from libraries.inputs import PlainFlow, as_dataset
from libraries.ours import make_flow
from tfp_realnvp import hardware

COLOURS = np.indices((SIDE, SIDE)).sum(0).ravel() % 2
ORDER = np.argsort(COLOURS, kind="stable")  # one colour of the checkerboard comes first
BACK = np.argsort(ORDER)
STEPS = OPTIONS["realnvp"].steps_per_call  # in a call from Python
NORMALIZER = PIXELS * (0.5 * math.log(2 * math.pi) + math.log(LEVELS))


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Bare(make_flow(flow, precision), precision, images)


class Bare(PlainFlow):
    """Both directions of the flow, and the training step."""

    def __init__(self, flow, precision, images):
        flow.adapt(images)
        self._flow = flow
        self._dtype = tf.as_dtype(precision)
        self._weights = self._learned()
        self.parameters = sum(weight.shape.num_elements() for weight in self._weights)

    def _learned(self):
        return self._flow.trainable_variables

    def train(self, batches):
        """A step for each batch. The number of batches must be a multiple of the steps in a call."""
        calls, rest = divmod(len(batches), STEPS)
        if rest:
            raise ValueError(
                f"the number of batches must be a multiple of {STEPS}, received {len(batches)}."
            )
        iterator = iter(as_dataset(batches))
        for _ in range(calls):
            loss = self._steps(iterator)
        loss.numpy()

    @tf.function
    def _steps(self, iterator):
        loss = 0.0
        for _ in tf.range(STEPS):
            loss = self._step(next(iterator))
        return loss

    def _step(self, images):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(in_shards(self._nats, tf.shape(images)[0], images)) / PIXELS
        gradients = tape.gradient(loss, self._weights)
        self._flow.optimizer.apply_gradients(zip(gradients, self._weights, strict=True))
        return loss

    @tf.function
    def _log_prob(self, images):
        return in_shards(self._nats, tf.shape(images)[0], images)

    def _nats(self, images):
        kept, other, log_det = self._way_in(images)
        for conditioner in self._flow.conditioners:
            shift, log_scale = self._condition(conditioner, kept)
            other = (other - shift) * tf.exp(-log_scale)
            log_det -= tf.reduce_sum(log_scale, axis=1)
            kept, other = other, kept
        squares = tf.reduce_sum(kept**2, axis=1) + tf.reduce_sum(other**2, axis=1)
        return log_det - 0.5 * squares - NORMALIZER

    def _way_in(self, images):
        """The input of the couplings: both halves of the pixels, and the log-determinant so far."""
        noise = tf.random.uniform(tf.shape(images))
        points = (tf.cast(images, tf.float32) + noise) / LEVELS
        curve, center, log_spread = self._normalization()
        values = (curve.inverse(points) - center) * tf.exp(-log_spread)
        log_det = curve.inverse_log_det_jacobian(points, event_ndims=3) - PIXELS * log_spread
        values = tf.gather(tf.reshape(values, [-1, PIXELS]), ORDER, axis=1)
        return values[:, :HALF], values[:, HALF:], log_det

    @tf.function
    def _sample(self, n):
        return in_shards(
            self._images, n, lambda start, end: tf.random.normal([end - start, PIXELS])
        )

    def _images(self, latents):
        first, second = tf.split(latents, 2, axis=1)
        # the number of couplings is even, so the last one leaves the halves in their first order
        kept, other = first, second
        for conditioner in reversed(self._flow.conditioners):
            kept, other = other, kept
            shift, log_scale = self._condition(conditioner, kept)
            other = other * tf.exp(log_scale) + shift
        return self._way_out(kept, other)

    def _way_out(self, kept, other):
        values = tf.gather(tf.concat([kept, other], axis=1), BACK, axis=1)
        curve, center, log_spread = self._normalization()
        values = tf.reshape(values, [-1, SIDE, SIDE, 1]) * tf.exp(log_spread) + center
        grey = tf.floor(curve.forward(values) * LEVELS)
        return tf.cast(tf.clip_by_value(grey, 0, LEVELS - 1), tf.uint8)

    def _normalization(self):
        layer = self._flow.normalization
        return layer.bijectors[0], layer.center[0], layer.log_spread[0]

    def _condition(self, conditioner, features):
        features = tf.cast(features, self._dtype)
        for layer in conditioner.hidden:
            features = tf.nn.relu(self._dense(layer, features))
        last = conditioner.output_layer
        parameters = tf.cast(self._dense(last.dense, features), tf.float32)
        shift, raw = tf.split(parameters, 2, axis=1)
        return shift, last.bound * tf.tanh(raw)

    def _dense(self, layer, features):
        kernel, bias = tf.cast(layer.kernel, self._dtype), tf.cast(layer.bias, self._dtype)
        return tf.nn.bias_add(tf.matmul(features, kernel), bias)
