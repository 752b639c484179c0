"""Conditioners: Keras networks from the kept pixels to the others' shift and log_scale."""

from __future__ import annotations

import keras

__all__ = ["DenseConditioner", "ShiftAndLogScale"]


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
        self.dense = keras.layers.Dense(
            2 * size, kernel_initializer="zeros", dtype=self.dtype_policy
        )

    def build(self, features_shape):
        """Make the weights."""
        self.dense.build(features_shape)
        self.bound = self.add_weight(
            shape=(self.size,), initializer="ones", autocast=False, name="bound"
        )
        super().build(features_shape)

    def call(self, features):
        """(shift, log_scale); see the class."""
        parameters = keras.ops.cast(self.dense(features), self.variable_dtype)
        shift, raw = keras.ops.split(parameters, 2, axis=-1)
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
      seed: of the hidden layers' initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the matrix products.

    Call arguments:
      kept: float tensor [..., number of kept entries].

    Returns:
      (shift, log_scale), each [..., size].

    Example:
      >>> conditioner = DenseConditioner(3, width=16)
      >>> shift, log_scale = conditioner(keras.ops.ones((5, 4)))
      >>> tuple(shift.shape), tuple(log_scale.shape)
      ((5, 3), (5, 3))
    """

    def __init__(self, size: int, *, depth=4, width=512, activation="relu", seed=0, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.depth = depth
        self.width = width
        self.activation = keras.activations.get(activation)
        self.seed = seed
        seeds = keras.random.SeedGenerator(seed)
        self.hidden = [
            keras.layers.Dense(
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
        shape = kept_shape
        for layer in [*self.hidden, self.output_layer]:
            layer.build(shape)
            shape = (*kept_shape[:-1], self.width)
        super().build(kept_shape)

    def call(self, kept):
        """(shift, log_scale); see the class."""
        features = kept
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
            "seed": self.seed,
        }
