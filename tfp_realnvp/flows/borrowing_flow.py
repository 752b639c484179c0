"""A flow that has the layers of another one."""

from __future__ import annotations

import abc

import keras
import tensorflow as tf

from tfp_realnvp.flows.image_flow import ImageFlow
from tfp_realnvp.flows.told import Told

__all__ = ["BorrowingFlow"]


class BorrowingFlow(ImageFlow, abc.ABC):
    """A flow of images that is told nothing, with the layers and weights of another flow.

    What trains one trains the other.

    Args:
      flow: the other one.
      **kwargs: the name.
    """

    def __init__(self, flow: ImageFlow, **kwargs):
        # not the constructor of ImageFlow, which makes layers
        super(ImageFlow, self).__init__(dtype=flow.dtype_policy, **kwargs)
        self.flow = flow
        self.image_shape, self.levels = flow.image_shape, flow.levels
        self.dequantization, self.seed = flow.dequantization, flow.seed
        self.told = Told()
        self.labels, self.context_shape, self.context_encoder = (), None, None
        self.components, self.clusters = 1, None
        self.built = True

    @property
    def exact(self):  # type: ignore[override]
        """As of the flow."""
        return self.flow.exact

    @property
    def half_precision(self):  # type: ignore[override]
        """As of the flow."""
        return self.flow.half_precision

    @property
    def conditioners(self):
        """Those of the flow."""
        return self.flow.conditioners

    @property
    def normalization(self):  # type: ignore[override]
        """That of the flow."""
        return self.flow.normalization

    @property
    def dequantizer(self):  # type: ignore[override]
        """That of the flow."""
        return self.flow.dequantizer

    @property
    def noise_count(self):
        """That of the flow."""
        return self.flow.noise_count

    def log_prob_error(self, images, *, draws: int = 8, seed: int = 0) -> tf.Tensor:
        """As of a `ResidualFlow`, if the flow is one: the latents' distribution does not matter."""
        return self.flow.log_prob_error(images, draws=draws, seed=seed)

    def get_config(self):
        """The name, the precision, and the flow."""
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "flow": keras.saving.serialize_keras_object(self.flow),
        }

    @classmethod
    def from_config(cls, config):
        """A flow from `get_config`, in the precision that its `dtype` says."""
        options = dict(config)
        flow, dtype = options.pop("flow"), options.pop("dtype")
        flow = {**flow, "config": {**flow["config"], "dtype": dtype}}
        return cls(keras.saving.deserialize_keras_object(flow), **options)
