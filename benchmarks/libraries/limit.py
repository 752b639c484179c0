"""What no flow with these networks can do without in TensorFlow: products, the optimizer, random numbers.

A training step draws noise, does the products, and has Adam read and write all weights; `log_prob` draws noise
and `sample` latents before the products. Everything between these parts is left out.
"""

import itertools

import tensorflow as tf

from libraries import COUPLINGS, LEARNING_RATE, PIXELS, layer_sizes
from libraries.products import Products
from tfp_realnvp import hardware
from tfp_realnvp.optimizers import Adam


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Limit(tf.as_dtype(precision))


class Limit(Products):
    """`Products` of weights that are learned."""

    def __init__(self, dtype):
        super().__init__(dtype)
        self._variables = [
            tf.Variable(tf.cast(weight, tf.float32))
            for weights in self._weights
            for weight in weights
        ]
        self._optimizer = Adam(LEARNING_RATE)
        self._optimizer.build(self._variables)

    @tf.function(reduce_retracing=True)
    def _step(self, shards):
        variables = iter(self._variables)
        results = self._draw(tf.random.uniform, shards)
        pairs = []
        for _ in range(COUPLINGS):
            learned = list(itertools.islice(variables, len(layer_sizes())))
            weights = [tf.cast(variable, self._dtype) for variable in learned]
            gradients = []
            for kept, gradient in shards:
                *found, output, back = self._forth_and_back(weights, kept, gradient)
                gradients.append(found)
                results += [output[0, 0], back[0, 0]]
            pairs += zip(map(tf.add_n, zip(*gradients, strict=True)), learned, strict=True)
        self._optimizer.apply_gradients(pairs)
        return results

    @tf.function(reduce_retracing=True)
    def _log_prob(self, shards):
        return [*self._draw(tf.random.uniform, shards), *self._forward(shards)]

    @tf.function(reduce_retracing=True)
    def _sample(self, shards):
        return [*self._draw(tf.random.normal, shards), *self._forward(shards)]

    @staticmethod
    def _draw(random, shards):
        return [random([tf.shape(kept)[0], PIXELS])[0, 0] for kept, _ in shards]
