"""The limit: the couplings of the dense flow in plain TensorFlow, and nothing around them.

They are the layers, `tanh`, `exp`, the affine map and the squares of the latents; in training, gradients and
Adam; in `sample`, random latents. The rest of a flow is left out: noise, the tone curve, the order of the
pixels.
"""

import tensorflow as tf

from libraries import LEVELS, PIXELS, SIDE
from libraries.bare import Bare
from libraries.ours import make_flow
from tfp_realnvp import hardware


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Limit(make_flow(flow, precision), precision, images)


class Limit(Bare):
    """As `Bare`, with the least that turns images into the input of the couplings, and back."""

    def _learned(self):
        return [w for layer in self._flow.conditioners for w in layer.trainable_variables]

    def _way_in(self, images):
        points = tf.reshape(tf.cast(images, tf.float32) / LEVELS, [-1, PIXELS])
        return *tf.split(points, 2, axis=1), 0.0

    def _way_out(self, kept, other):
        points = tf.concat([kept, other], axis=1)
        return tf.reshape(tf.cast(points * LEVELS, tf.uint8), [-1, SIDE, SIDE, 1])
