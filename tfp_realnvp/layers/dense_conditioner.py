"""The dense conditioner: a fully connected network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from tfp_realnvp.layers.transform_parameters import (
    Dense,
    TransformParameters,
    as_shape,
    as_transform,
    read_kernel,
)
from tfp_realnvp.transforms import Transform

__all__ = ["DenseConditioner"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class DenseConditioner(keras.layers.Layer):
    """A fully connected network: `depth - 1` hidden layers, then `TransformParameters`.

    Args:
      size: number of transformed entries.
      depth: number of dense layers, the output layer included; at least 1.
      width: units of a hidden layer.
      activation: of the hidden layers, a name that Keras knows or a function.
      transform: whose parameters it gives; None is affine.
      context: shape of the context of an event, which is flattened; empty for none. A number is the size of a
        vector, 0 for none.
      seed: of the hidden layers' initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the matrix products.

    Call arguments:
      kept: float tensor [n, number of kept entries].
      context: float tensor [n, *context], what else is known of each event; None if there is no `context`.
      kernels: the result of `read_kernels()`, if the layer is called several times with the same weights; None
        reads them in this call.

    Returns:
      (shift, log_scale), each [n, size], or (shift, log_scale, knots), with knots of [knots, n, size].

    Example:
      >>> conditioner = DenseConditioner(3, width=16)
      >>> shift, log_scale = conditioner(keras.ops.ones((5, 4)))
      >>> tuple(shift.shape), tuple(log_scale.shape)
      ((5, 3), (5, 3))
    """

    def __init__(
        self,
        size: int,
        *,
        depth=4,
        width=512,
        activation="relu",
        transform: Transform | None = None,
        context: Sequence[int] | int = (),
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.depth = depth
        self.width = width
        self.activation = keras.activations.get(activation)
        self.transform = as_transform(transform)
        self.context = as_shape(context)
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
        self.output_layer = TransformParameters(size, self.transform, dtype=self.dtype_policy)

    def build(self, kept_shape):
        """Make the weights."""
        size = math.prod(self.context) if self.context else 0
        shape = (*kept_shape[:-1], kept_shape[-1] + size)
        layers: list[keras.layers.Layer] = [*self.hidden, self.output_layer]
        for layer in layers:
            layer.build(shape)
            shape = (*kept_shape[:-1], self.width)
        super().build(kept_shape)

    def read_kernels(self) -> list:
        """The kernels of all layers as tensors, in the dtype of the matrix products.

        The shards of a batch share them. If each shard reads and casts the kernels by itself, a training step
        in bfloat16 takes about a tenth longer: millions of weights, and their gradients, are cast in every
        shard.
        """
        return [read_kernel(layer) for layer in (*self.hidden, self.output_layer.dense)]

    def call(self, kept, context=None, kernels=None):
        """The parameters; see the class."""
        *hidden, last = kernels or [None] * self.depth
        features = kept
        if self.context:
            flat = keras.ops.reshape(context, (-1, math.prod(self.context)))
            features = keras.ops.concatenate([kept, flat], axis=-1)
        for layer, kernel in zip(self.hidden, hidden, strict=True):
            features = layer(features, kernel=kernel)
        return self.output_layer(features, kernel=last)

    def compute_output_shape(self, kept_shape):
        """The shapes of the parameters."""
        return self.transform.shapes((*kept_shape[:-1], self.size))

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "depth": self.depth,
            "width": self.width,
            "activation": keras.activations.serialize(self.activation),
            "transform": keras.saving.serialize_keras_object(self.transform),
            "context": self.context,
            "seed": self.seed,
        }
