"""Three convolutions, one after the other, with a bounded Lipschitz constant."""

from __future__ import annotations

import keras

from tfp_realnvp.layers.lipschitz_net import LipschitzNet, convolved, swish, transposed

__all__ = ["LipschitzConvNet"]

SIZES = (3, 1, 3)  # of the kernels, if there is more than one position
LIPSWISH = 1.1  # above the largest slope of x * sigmoid(x)


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class LipschitzConvNet(LipschitzNet):
    """Three convolutions, each after a LipSwish, with a Lipschitz constant of at most `coefficient**3`.

    `LipSwish(x) = x * sigmoid(steepness * x) / 1.1`, with a learned steepness. Arguments, the call and what it
    returns are those of `LipschitzNet`.

    Example:
      >>> import tensorflow as tf
      >>> net = LipschitzConvNet(channels=8)
      >>> net(tf.ones([5, 4, 4, 2])).shape
      TensorShape([5, 4, 4, 2])

    Reference:
      Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual flows, section 3.3 (LipSwish).
    """

    @property
    def bound(self) -> float:
        """That of all convolutions together."""
        return self.coefficient ** len(SIZES)

    @property
    def activations(self) -> int:
        """One before each convolution."""
        return len(SIZES)

    def kernel_shapes(self, size, *, one_pixel):
        """Both layers between the convolutions have as many features."""
        features = [size, self.channels, self.channels, size]
        sides = [1] * len(SIZES) if one_pixel else SIZES
        return list(zip(sides, features[:-1], features[1:], strict=True))

    def linearize(self, values, weights):
        """See the base class."""
        slopes = []
        for kernel, bias, steepness in zip(*weights[:3], strict=True):
            values, slope = swish(values, steepness)
            slopes.append(slope / LIPSWISH)
            values = convolved(values / LIPSWISH, kernel) + bias

        def product(vectors):
            for kernel, slope in zip(reversed(weights.kernels), reversed(slopes), strict=True):
                vectors = transposed(vectors, kernel) * slope
            return vectors

        return values, product
