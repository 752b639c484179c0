"""The convolutional conditioner: a residual network."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_realnvp.layers.context_positions import ContextPositions
from tfp_realnvp.layers.self_attention import SelfAttention
from tfp_realnvp.layers.transform_parameters import (
    Conv2D,
    Dense,
    TransformParameters,
    as_shape,
    as_transform,
    read_kernel,
)
from tfp_realnvp.transforms import Transform

__all__ = ["ConvResNet"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class ConvResNet(keras.layers.Layer):
    """A convolutional residual network that keeps the height and width, and ends in `TransformParameters`.

    A 3x3 convolution, then `blocks` times `features + conv(act(conv(act(features))))` (pre-activation)
    with 3x3 convolutions, the second of which starts at zero. With `gated`, the second one gives a gate,
    too: `features + values * sigmoid(gate)`. With `heads`, `SelfAttention` goes before each block.

    Args:
      size: number of transformed channels.
      channels: features at each position.
      blocks: number of residual blocks, at least 0.
      activation: of the hidden features, a name that Keras knows or a function.
      gated: whether the blocks are gated.
      heads: of the self-attention before each block; 0 for none.
      transform: whose parameters it gives; None is affine.
      context: shape of the context of an event: (features,), which enters as a bias of the first convolution;
        or (height, width, channels), which enters through a 3x3 convolution of its own, after its positions
        were brought to those of the kept part: several become channels of one, or one is repeated. Empty for
        none. A number is the size of a vector, 0 for none.
      seed: of the initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the convolutions.

    Call arguments:
      kept: float tensor [n, height, width, number of kept channels].
      context: float tensor [n, *context], what else is known of each event; None if there is no `context`.
      kernels: the result of `read_kernels()`, if the layer is called several times with the same weights; None
        reads them in this call.

    Raises:
      ValueError: when it is built: a context image whose height or width is neither a multiple nor a divisor of
        that of the kept part.

    Returns:
      (shift, log_scale), each [n, height, width, size], or (shift, log_scale, knots), with knots of
      [knots, n, height, width, size].

    Example:
      >>> conditioner = ConvResNet(2, channels=8, blocks=1)
      >>> shift, log_scale = conditioner(keras.ops.ones((5, 4, 4, 2)))
      >>> tuple(shift.shape), tuple(log_scale.shape)
      ((5, 4, 4, 2), (5, 4, 4, 2))

    Reference:
      He, Zhang, Ren, Sun (2016), Identity mappings in deep residual networks, section 3;
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 4.1;
      Salimans, Karpathy, Chen, Kingma (2017), PixelCNN++, section 2.4 (gates in residual blocks).
    """

    def __init__(
        self,
        size: int,
        *,
        channels=64,
        blocks=2,
        activation="relu",
        gated=False,
        heads=0,
        transform: Transform | None = None,
        context: Sequence[int] | int = (),
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.channels = channels
        self.blocks = blocks
        self.activation = keras.activations.get(activation)
        self.gated = gated
        self.heads = heads
        self.transform = as_transform(transform)
        self.context = as_shape(context)
        self.seed = seed
        he_normal = keras.initializers.HeNormal(keras.random.SeedGenerator(seed))
        self.first = self._convolution(channels, he_normal)
        # The second convolution has no bias: with one, TensorFlow fuses no bias and no activation of the
        # network.
        self.residuals = []  # two per block, in a flat list: Keras before 3.13 does not save lists of pairs
        for _ in range(blocks):
            self.residuals.append(self._convolution(channels, he_normal))
            second = self._convolution((1 + gated) * channels, "zeros", use_bias=False)
            self.residuals.append(second)
        self.attentions = [
            SelfAttention(heads, seed=seed + block, dtype=self.dtype_policy)
            for block in range(blocks if heads else 0)
        ]
        if len(self.context) == 1:
            self.context_layer = Dense(
                channels, use_bias=False, kernel_initializer="zeros", dtype=self.dtype_policy
            )
        elif self.context:
            self.context_layer = self._convolution(channels, "zeros", use_bias=False)
        self.output_layer = TransformParameters(size, self.transform, dtype=self.dtype_policy)

    def _convolution(self, channels, initializer, use_bias=True):
        return Conv2D(
            channels,
            kernel_size=3,
            padding="same",
            use_bias=use_bias,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
        )

    def build(self, kept_shape):
        """Make the weights."""
        self.first.build(kept_shape)
        if len(self.context) == 1:
            self.context_layer.build((None, *self.context))
        elif self.context:
            self.context_positions = ContextPositions(self.context, kept_shape[1:3])
            self.context_layer.build((None, *self.context_positions.shape))
        features_shape = (*kept_shape[:-1], self.channels)
        for layer in [*self.residuals, *self.attentions, self.output_layer]:
            layer.build(features_shape)
        super().build(kept_shape)

    def read_kernels(self) -> list:
        """The kernels as tensors; see `DenseConditioner.read_kernels`."""
        layers = (self.first, *self.residuals, self.output_layer.dense)
        return [
            *map(read_kernel, layers),
            *(attention.read_kernels() for attention in self.attentions),
        ]

    def call(self, kept, context=None, kernels=None):
        """The parameters; see the class."""
        kernels = kernels or [None] * (2 * self.blocks + 2 + len(self.attentions))
        first, *residual, last = kernels[: 2 * self.blocks + 2]
        of_attentions = kernels[2 * self.blocks + 2 :]
        features = self.first(kept, kernel=first)
        if self.context:
            features += self._features_of(context)
        for block in range(0, 2 * self.blocks, 2):
            if self.attentions:
                number = block // 2
                features = self.attentions[number](features, kernels=of_attentions[number])
            values = self.residuals[block](self.activation(features), kernel=residual[block])
            values = self.residuals[block + 1](self.activation(values), kernel=residual[block + 1])
            if self.gated:
                values, gate = keras.ops.split(values, 2, axis=-1)
                values *= keras.ops.sigmoid(gate)
            features += values
        return self.output_layer(self.activation(features), kernel=last)

    def _features_of(self, context):
        if len(self.context) == 1:
            return self.context_layer(context)[:, None, None, :]
        return self.context_layer(self.context_positions(context))

    def compute_output_shape(self, kept_shape):
        """The shapes of the parameters."""
        return self.transform.shapes((*kept_shape[:-1], self.size))

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "channels": self.channels,
            "blocks": self.blocks,
            "activation": keras.activations.serialize(self.activation),
            "gated": self.gated,
            "heads": self.heads,
            "transform": keras.saving.serialize_keras_object(self.transform),
            "context": self.context,
            "seed": self.seed,
        }
