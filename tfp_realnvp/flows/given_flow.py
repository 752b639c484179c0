"""A flow that is told the same of every image."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.flows.borrowing_flow import BorrowingFlow
from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = ["GivenFlow"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class GivenFlow(BorrowingFlow):
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
        super().__init__(flow, **kwargs)
        self.label = label
        self.context = None if context is None else np.asarray(context)
        self._row = flow.told.check_rows(*map(_as_row, (label, self.context)))

    def make_bijectors(self, context, conditioners):
        """Those of the flow, whose conditioners are told the same of every row."""
        return self.flow.make_bijectors(None, self._telling(conditioners))

    def _bijector_told(self, conditioners, told):
        return self.flow._bijector_told(self._telling(conditioners), None)

    def _telling(self, conditioners):
        labels, context = self._row
        told = self.flow.told.join(labels, self.flow.told.encode(context))

        def telling(conditioner):
            def call(values, context=None, **options):
                rows = tf.shape(values)[0]
                return conditioner(values, context=tf.repeat(told, rows, axis=0), **options)

            return call

        return list(map(telling, conditioners))

    def log_prob_error(self, images, *, draws: int = 8, seed: int = 0) -> tf.Tensor:
        """As of the flow, for its label and context."""
        batch = np.shape(images)[:-3]
        told = [
            None if row is None else np.broadcast_to(row[0], (*batch, *row.shape[1:]))
            for row in self._row
        ]
        return self.flow.log_prob_error(images, told[0], context=told[1], draws=draws, seed=seed)

    def get_config(self):
        """The constructor's arguments."""
        context = None if self.context is None else self.context.tolist()
        return {**super().get_config(), "label": self.label, "context": context}


def _as_row(given):
    return None if given is None else np.asarray(given)[np.newaxis]
