"""The last step of every conditioner, and the layers that conditioners are made of."""

from __future__ import annotations

import keras

from tfp_realnvp.compute.sharding import kernel_for_all

__all__ = ["Conv2D", "Dense", "ShiftAndLogScale"]


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
