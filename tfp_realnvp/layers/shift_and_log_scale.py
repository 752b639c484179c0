"""The last step of every conditioner, and the layers that conditioners are made of."""

from __future__ import annotations

import keras

__all__ = ["Conv2D", "Dense", "ShiftAndLogScale", "read_kernel"]


def read_kernel(layer: keras.layers.Layer):
    """The kernel of a layer as a tensor in the layer's compute dtype."""
    return keras.ops.cast(keras.ops.convert_to_tensor(layer.kernel), layer.compute_dtype)


class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, with its kernel as an optional argument.

    Call arguments:
      inputs: [..., any].
      kernel: the result of `read_kernel(layer)`, if the layer is called several times with the same weights;
        None reads the kernel in this call.
    """

    def call(self, inputs, kernel=None):
        """See the class."""
        kernel = self.kernel if kernel is None else kernel
        outputs = keras.ops.matmul(inputs, kernel)
        if self.bias is not None:
            outputs = keras.ops.add(outputs, self.bias)
        return self.activation(outputs)


class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, with its kernel as an optional argument; see `Dense`."""

    def call(self, inputs, kernel=None):
        """See `Dense`."""
        outputs = self.convolution_op(inputs, self.kernel if kernel is None else kernel)
        if self.bias is not None:
            outputs = keras.ops.add(outputs, self.bias)
        return self.activation(outputs)


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
      kernel: the kernel of its dense layer, see `Dense`.

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

    def call(self, features, kernel=None):
        """(shift, log_scale); see the class."""
        halves = keras.ops.split(self.dense(features, kernel=kernel), 2, axis=-1)
        shift, raw = (keras.ops.cast(half, self.variable_dtype) for half in halves)
        return shift, self.bound * keras.ops.tanh(raw)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "size": self.size}
