"""The last step of every conditioner, and the layers that conditioners are made of."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_realnvp.transforms import Affine, Transform

__all__ = ["Conv2D", "Dense", "TransformParameters", "as_shape", "as_transform", "read_kernel"]


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
class TransformParameters(keras.layers.Layer):
    """The last step of every conditioner: features to the parameters of a transform.

    A shift; `log_scale = bound * tanh(raw)`, with a learned bound for each output, starting at 1; and the
    knots, if the transform has any. The weights start at zero, so that a new flow is the identity.

    Args:
      size: number of transformed entries.
      transform: whose parameters they are; None is affine.
      **kwargs: those of `keras.layers.Layer`.

    Call arguments:
      features: [..., any].
      kernel: the kernel of its dense layer, see `Dense`.

    Returns:
      (shift, log_scale), each [..., size], or (shift, log_scale, knots), with knots of [knots, ..., size];
      in the dtype of the weights: only the matrix product is done in half precision where the layer's policy
      says so.

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 4.1.
    """

    def __init__(self, size: int, transform: Transform | None = None, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.size = size
        self.transform = as_transform(transform)
        self.dense = Dense(
            (2 + self.transform.knots) * size, kernel_initializer="zeros", dtype=self.dtype_policy
        )

    def build(self, features_shape):
        """Make the weights."""
        self.dense.build(features_shape)
        self.bound = self.add_weight(
            shape=(self.size,), initializer="ones", autocast=False, name="bound"
        )
        super().build(features_shape)

    def call(self, features, kernel=None):
        """The parameters; see the class."""
        numbers = keras.ops.cast(self.dense(features, kernel=kernel), self.variable_dtype)
        shift, raw, *knots = keras.ops.split(numbers, self._ends(), axis=-1)
        log_scale = self.bound * keras.ops.tanh(raw)
        return shift, log_scale, *(self._knots_first(values) for values in knots)

    def _ends(self) -> list[int]:
        """Where the numbers for shift and log_scale end, of those that are not the last."""
        return [self.size, 2 * self.size] if self.transform.knots else [self.size]

    def _knots_first(self, values):
        """[..., knots * size] to [knots, ..., size]: transforms compute whole tensors of one knot."""
        shape = keras.ops.shape(values)[:-1]
        rows = keras.ops.reshape(values, (-1, self.transform.knots, self.size))
        knots = keras.ops.transpose(rows, (1, 0, 2))
        return keras.ops.reshape(knots, (self.transform.knots, *shape, self.size))

    def compute_output_shape(self, features_shape):
        """The shapes of the parameters."""
        return self.transform.shapes((*features_shape[:-1], self.size))

    def get_config(self):
        """The constructor's arguments."""
        transform = keras.saving.serialize_keras_object(self.transform)
        return {**super().get_config(), "size": self.size, "transform": transform}


def as_transform(transform: Transform | dict | None) -> Transform:
    """A transform, from what a constructor may be given: itself, its description in a file, or None.

    Raises:
      ValueError: a description of something else. No class is imported or called for it.
    """
    if isinstance(transform, dict):
        known = keras.saving.get_registered_object(str(transform.get("registered_name")))
        if not (isinstance(known, type) and issubclass(known, Transform)):
            raise ValueError(
                "`transform` must describe a Transform that is registered with Keras, received "
                f"{transform.get('class_name')!r}."
            )
        return known.from_config(transform["config"])
    return Affine() if transform is None else transform


def as_shape(context: Sequence[int] | int) -> tuple[int, ...]:
    """The shape of a conditioner's context; a number is the size of a vector, 0 for none.

    Example:
      >>> as_shape(9), as_shape(0), as_shape([28, 28, 2])
      ((9,), (), (28, 28, 2))
    """
    if isinstance(context, int):
        return (context,) if context else ()
    return tuple(context)
