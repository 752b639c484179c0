"""Densely connected convolutions with a bounded Lipschitz constant."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_realnvp.layers.lipschitz_net import LipschitzNet, convolved, swish, transposed

__all__ = ["LipschitzDenseNet"]

CLIPSWISH = 1.1045  # above the largest norm of the slopes of x * sigmoid(x) and -x * sigmoid(-x)


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class LipschitzDenseNet(LipschitzNet):
    """Convolutions of which each sees the features of all before it, with a Lipschitz constant below 1.

    A layer appends to its values x what a convolution makes of them:
    `[cos(angle) * x, sin(angle) * CLipSwish(conv(x))]`, with a learned angle, which stretches nothing. The last
    convolution looks at single positions; its norm is that of the network.
    `CLipSwish(x) = [x * sigmoid(steepness * x), -x * sigmoid(-steepness * x)] / 1.1045`, with a learned
    steepness: twice as many features as x.

    Args:
      layers: number of layers before the last convolution, at least 1.
      **kwargs: as the arguments of `LipschitzNet`, and those of `keras.layers.Layer`. The call and what it
        returns are those of `LipschitzNet`, too.

    Example:
      >>> import tensorflow as tf
      >>> net = LipschitzDenseNet(layers=2, channels=8)
      >>> net(tf.ones([5, 4, 4, 2])).shape
      TensorShape([5, 4, 4, 2])

    Reference:
      Perugachi-Diaz, Tomczak, Bhulai (2021), Invertible DenseNets with concatenated LipSwish, section 3.
    """

    def __init__(self, *, layers: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.layers = layers

    @property
    def bound(self) -> float:
        """That of the last convolution."""
        return self.coefficient

    @property
    def activations(self) -> int:
        """One in each layer."""
        return self.layers

    @property
    def concatenations(self) -> int:
        """One in each layer."""
        return self.layers

    def kernel_shapes(self, size, *, one_pixel):
        """Each layer adds twice as many features as its convolution has."""
        side = 1 if one_pixel else 3
        features = [size + 2 * self.channels * number for number in range(self.layers + 1)]
        return [
            *[(side, before, self.channels) for before in features[:-1]],
            (1, features[-1], size),
        ]

    def linearize(self, values, weights):
        """See the base class."""
        *kernels, last = weights.kernels
        *biases, last_bias = weights.biases
        shares = [(tf.cos(angle), tf.sin(angle) / CLIPSWISH) for angle in weights.angles]
        slopes = []
        for kernel, bias, steepness, (old, new) in zip(
            kernels, biases, weights.steepness, shares, strict=True
        ):
            features = convolved(values, kernel) + bias
            rising, slope = swish(features, steepness)
            falling = rising - features  # the swish of -features
            values = tf.concat([old * values, new * rising, new * falling], axis=-1)
            slopes.append(slope)

        def product(vectors):
            vectors = transposed(vectors, last)
            for kernel, slope, (old, new) in zip(
                reversed(kernels), reversed(slopes), reversed(shares), strict=True
            ):
                sizes = [kernel.shape[2], self.channels, self.channels]
                of_old, of_rising, of_falling = tf.split(vectors, sizes, axis=-1)
                of_features = new * (of_rising * slope + of_falling * (slope - 1))
                vectors = old * of_old + transposed(of_features, kernel)
            return vectors

        return convolved(values, last) + last_bias, product

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "layers": self.layers}
