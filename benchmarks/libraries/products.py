"""The matrix products of the dense flow in TensorFlow, and nothing else.

A training step has three for each layer: forward, and one each for the gradients of the input and the weights.
They are done in shards, as ours are.
"""

import tensorflow as tf

from libraries import COUPLINGS, HALF, PIXELS, layer_sizes
from tfp_realnvp import hardware


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Products(tf.as_dtype(precision))


class Products:
    """Only the shapes of what it is given matter."""

    def __init__(self, dtype):
        self._dtype = dtype
        self._weights = [
            [self._random([inputs, outputs]) for inputs, outputs in layer_sizes()]
            for _ in range(COUPLINGS)
        ]
        self._inputs = {}
        self.parameters = COUPLINGS * sum(inputs * outputs for inputs, outputs in layer_sizes())

    def _random(self, shape):
        return tf.cast(tf.random.normal(shape, stddev=0.02), self._dtype)

    def train(self, batches):
        """The products of a step for each batch."""
        shards = self._given(batches.shape[1])
        for _ in batches:
            results = self._step(shards)
        _wait(results)

    def log_prob(self, images):
        """The products of one direction."""
        self.sample(len(images))

    def sample(self, n):
        """The products of one direction."""
        _wait(self._forward(self._given(n)))

    def _given(self, n):
        """For each shard the input and the gradient of a coupling, made once for each n."""
        if n not in self._inputs:
            count = hardware.shards()
            self._inputs[n] = [
                (self._random([n // count, HALF]), self._random([n // count, PIXELS]))
                for _ in range(count)
            ]
        return self._inputs[n]

    # One number of each product is returned: without it TensorFlow would leave the product out.

    @tf.function(reduce_retracing=True)
    def _step(self, shards):
        results = []
        for weights in self._weights:
            for kept, gradient in shards:
                inputs, back = [kept], gradient
                for weight in weights:
                    inputs.append(tf.matmul(inputs[-1], weight))
                results.append(inputs.pop()[0, 0])
                for values, weight in zip(reversed(inputs), reversed(weights), strict=True):
                    results.append(tf.matmul(values, back, transpose_a=True)[0, 0])
                    back = tf.matmul(back, weight, transpose_b=True)
                results.append(back[0, 0])
        return results

    @tf.function(reduce_retracing=True)
    def _forward(self, shards):
        results = []
        for kept, _ in shards:
            for weights in self._weights:
                features = kept
                for weight in weights:
                    features = tf.matmul(features, weight)
                    results.append(features[0, 0])
        return results


def _wait(results):
    for result in results:
        result.numpy()
