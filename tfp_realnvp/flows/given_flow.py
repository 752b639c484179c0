"""A flow that is told the same of every image."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.traces import Traces
from tfp_realnvp.flows.image_flow import ImageFlow
from tfp_realnvp.flows.told import Told

__all__ = ["GivenFlow"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class GivenFlow(ImageFlow):
    """Another flow with a fixed label and context: a flow of images that is told nothing.

    `flow.given(label, context=context)` makes one. Its layers and weights are those of the flow.

    Args:
      flow: a flow with labels, a context, or both.
      label: one that it knows; None if it has no labels.
      context: float of its `context_shape`; None if it has no context.
      **kwargs: the name.

    Raises:
      TypeError, ValueError: a flow that is told nothing; a label or a context that does not fit it.
    """

    def __init__(self, flow: ImageFlow, *, label: int | None = None, context=None, **kwargs):
        if not flow.told.shape:
            raise ValueError(
                "this flow knows no labels and takes no context: it is what `given` makes."
            )
        # not the constructor of ImageFlow, which makes layers: here they are those of the flow
        super(ImageFlow, self).__init__(dtype=flow.dtype_policy, **kwargs)
        self.flow, self.label = flow, label
        self.context = None if context is None else np.asarray(context)
        self._row = flow.told.check_rows(*map(_as_row, (label, self.context)))
        self.image_shape, self.levels = flow.image_shape, flow.levels
        self.dequantization, self.seed = flow.dequantization, flow.seed
        self.told = Told()
        self.labels, self.context_shape, self.context_encoder = (), None, None
        self._traces = Traces()
        self.built = True

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

    def make_bijectors(self, context, conditioners):
        """Those of the flow, whose conditioners are told the same of every row."""
        labels, context = self._row
        told = self.flow.told.join(labels, self.flow.told.encode(context))

        def telling(conditioner):
            def call(kept, _):
                return conditioner(kept, tf.repeat(told, tf.shape(kept)[0], axis=0))

            return call

        return self.flow.make_bijectors(None, list(map(telling, conditioners)))

    def get_config(self):
        """The constructor's arguments."""
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "flow": keras.saving.serialize_keras_object(self.flow),
            "label": self.label,
            "context": None if self.context is None else self.context.tolist(),
        }

    @classmethod
    def from_config(cls, config):
        """A flow from `get_config`, in the precision that its `dtype` says."""
        options = dict(config)
        flow, dtype = options.pop("flow"), options.pop("dtype")
        flow = {**flow, "config": {**flow["config"], "dtype": dtype}}
        return cls(keras.saving.deserialize_keras_object(flow), **options)


def _as_row(given):
    return None if given is None else np.asarray(given)[np.newaxis]
