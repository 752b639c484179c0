"""A flow of couplings: what they do to a pixel, and the activation of their conditioners."""

from __future__ import annotations

from collections.abc import Callable

import keras

from tfp_realnvp.flows.flow_with_options import FlowWithOptions
from tfp_realnvp.flows.options import CouplingOptions
from tfp_realnvp.layers.transform_parameters import as_transform
from tfp_realnvp.transforms import Affine, RationalQuadraticSpline, Transform

__all__ = ["CouplingFlow"]


class CouplingFlow(FlowWithOptions):
    """A flow whose `options_class` is one of couplings.

    `activation` may be a name or a function, and is a function as an attribute; `transform` may be a name or a
    `Transform`, and is a `Transform` as an attribute.

    Args:
      image_shape: (height, width, channels).
      **kwargs: the options, and the arguments of `ImageFlow`.

    Raises:
      TypeError, ValueError: an argument of the wrong type or outside its range.
    """

    options_class: type[CouplingOptions]
    activation: Callable
    transform: Transform
    bins: int

    def __init__(self, image_shape: tuple[int, int, int], **kwargs):
        super().__init__(image_shape, **kwargs)
        transform, activation = self.transform, self.activation
        self._transform_name = transform if isinstance(transform, str) else None
        self.transform = _transform(transform, self.bins)
        self.activation = keras.activations.get(activation)

    def get_config(self):
        """The constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        transform = self._transform_name or keras.saving.serialize_keras_object(self.transform)
        return {**super().get_config(), "activation": activation, "transform": transform}


def _transform(transform, bins: int) -> Transform:
    if transform == "affine":
        return Affine()
    if transform == "spline":
        return RationalQuadraticSpline(bins=bins)
    return as_transform(transform)
