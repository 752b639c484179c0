"""Conditioners: Keras networks from the kept pixels to the others' shift and log_scale."""

from __future__ import annotations

import keras

from tfp_realnvp.sharding import kernel_for_all

__all__ = ["ConvResNet", "DenseConditioner", "ShiftAndLogScale"]


class Dense(keras.layers.Dense):
    """Keras's, one kernel for all shards."""

    @property
    def kernel(self):
        """See `kernel_for_all`."""
        return kernel_for_all(super().kernel, self.compute_dtype)


class Conv2D(keras.layers.Conv2D):
    """Keras's, one kernel for all shards."""

    @property
    def kernel(self):
        """See `kernel_for_all`."""
        return kernel_for_all(super().kernel, self.compute_dtype)


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class ShiftAndLogScale(keras.layers.Layer):
    """The last step of every conditioner: features to a shift and a bounded log_scale.

    `log_scale = bound * tanh(raw)`, with a learned bound for each output, starting at 1. The weights
    start at zero, so that a new flow is the identity.

    Args:
      size: number of transformed entries.
      **kwargs: those of `keras.layers.Layer`.

    Call arguments:
      features: [..., any].

    Returns:
      (shift, log_scale), each [..., size], in the dtype of the weights: only the matrix product is done
      in half precision where the layer's policy says so.

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 4.1.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.dense = Dense(2 * size, kernel_initializer="zeros", dtype=self.dtype_policy)

    def build(self, features_shape):
        """Make the weights."""
        self.dense.build(features_shape)
        self.bound = self.add_weight(
            shape=(self.size,), initializer="ones", autocast=False, name="bound"
        )
        super().build(features_shape)

    def call(self, features):
        """(shift, log_scale); see the class."""
        shift, raw = (
            keras.ops.cast(half, self.variable_dtype)
            for half in keras.ops.split(self.dense(features), 2, axis=-1)
        )
        return shift, self.bound * keras.ops.tanh(raw)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class DenseConditioner(keras.layers.Layer):
    """A fully connected network: `depth - 1` hidden layers, then `ShiftAndLogScale`.

    Args:
      size: number of transformed entries.
      depth: number of dense layers, the output layer included; at least 1.
      width: units of a hidden layer.
      activation: of the hidden layers, a name that Keras knows or a function.
      context: size of the context, 0 for none.
      seed: of the hidden layers' initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the matrix products.

    Call arguments:
      kept: float tensor [n, number of kept entries].
      context: float tensor [n, context], what else is known of each event; None if its size is 0.

    Returns:
      (shift, log_scale), each [n, size].

    Example:
      >>> conditioner = DenseConditioner(3, width=16)
      >>> shift, log_scale = conditioner(keras.ops.ones((5, 4)))
      >>> tuple(shift.shape), tuple(log_scale.shape)
      ((5, 3), (5, 3))
    """

    def __init__(
        self, size: int, *, depth=4, width=512, activation="relu", context=0, seed=0, **kwargs
    ):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.depth = depth
        self.width = width
        self.activation = keras.activations.get(activation)
        self.context = context
        self.seed = seed
        seeds = keras.random.SeedGenerator(seed)
        self.hidden = [
            Dense(
                width,
                activation=self.activation,
                kernel_initializer=keras.initializers.GlorotUniform(seeds),
                dtype=self.dtype_policy,
            )
            for _ in range(depth - 1)
        ]
        self.output_layer = ShiftAndLogScale(size, dtype=self.dtype_policy)

    def build(self, kept_shape):
        """Make the weights."""
        shape = (*kept_shape[:-1], kept_shape[-1] + self.context)
        layers: list[keras.layers.Layer] = [*self.hidden, self.output_layer]
        for layer in layers:
            layer.build(shape)
            shape = (*kept_shape[:-1], self.width)
        super().build(kept_shape)

    def call(self, kept, context=None):
        """(shift, log_scale); see the class."""
        features = keras.ops.concatenate([kept, context], axis=-1) if self.context else kept
        for layer in self.hidden:
            features = layer(features)
        return self.output_layer(features)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "depth": self.depth,
            "width": self.width,
            "activation": keras.activations.serialize(self.activation),
            "context": self.context,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class ConvResNet(keras.layers.Layer):
    """A convolutional residual network: positions and channels stay, `ShiftAndLogScale` ends it.

    A 3x3 convolution, then `blocks` times `features + conv(act(conv(act(features))))` (pre-activation)
    with 3x3 convolutions, the second of which starts at zero. With `gated`, the second one gives a gate,
    too: `features + values * sigmoid(gate)`.

    Args:
      size: number of transformed channels.
      channels: features at each position.
      blocks: number of residual blocks, at least 0.
      activation: of the hidden features, a name that Keras knows or a function.
      gated: whether the blocks are gated.
      context: size of the context, 0 for none; it enters as a bias of the first convolution.
      seed: of the initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the convolutions.

    Call arguments:
      kept: float tensor [n, height, width, number of kept channels].
      context: float tensor [n, context], what else is known of each event; None if its size is 0.

    Returns:
      (shift, log_scale), each [n, height, width, size].

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
        context=0,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.channels = channels
        self.blocks = blocks
        self.activation = keras.activations.get(activation)
        self.gated = gated
        self.context = context
        self.seed = seed
        he_normal = keras.initializers.HeNormal(keras.random.SeedGenerator(seed))
        self.first = self._convolution(channels, he_normal)
        # A bias before the sum would keep TensorFlow from fusing biases and activations at all.
        self.residuals = []  # two a block, in one list: older Keras does not save lists of pairs
        for _ in range(blocks):
            self.residuals.append(self._convolution(channels, he_normal))
            second = self._convolution((1 + gated) * channels, "zeros", use_bias=False)
            self.residuals.append(second)
        if context:
            self.context_layer = Dense(
                channels, use_bias=False, kernel_initializer="zeros", dtype=self.dtype_policy
            )
        self.output_layer = ShiftAndLogScale(size, dtype=self.dtype_policy)

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
        if self.context:
            self.context_layer.build((None, self.context))
        features_shape = (*kept_shape[:-1], self.channels)
        for layer in [*self.residuals, self.output_layer]:
            layer.build(features_shape)
        super().build(kept_shape)

    def call(self, kept, context=None):
        """(shift, log_scale); see the class."""
        features = self.first(kept)
        if self.context:
            features += self.context_layer(context)[:, None, None, :]
        for first, second in zip(self.residuals[::2], self.residuals[1::2], strict=True):
            values = second(self.activation(first(self.activation(features))))
            if self.gated:
                values, gate = keras.ops.split(values, 2, axis=-1)
                values *= keras.ops.sigmoid(gate)
            features += values
        return self.output_layer(self.activation(features))

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "channels": self.channels,
            "blocks": self.blocks,
            "activation": keras.activations.serialize(self.activation),
            "gated": self.gated,
            "context": self.context,
            "seed": self.seed,
        }
