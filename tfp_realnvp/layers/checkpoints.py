"""TensorFlow checkpoints of layers that hold other layers in lists."""

from __future__ import annotations

__all__ = ["StoresAllWeights"]


class StoresAllWeights:
    """A Keras layer, all of whose weights are stored by `tf.train.Checkpoint(layer)`.

    Without this, TensorFlow does not see the layers that Keras 3 holds in lists: of a flow's 15 variables 5
    were stored, and `assert_existing_objects_matched` passed.
    """

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)  # type: ignore[misc]
        if save_type == "checkpoint":
            weights = enumerate(self.weights)  # type: ignore[attr-defined]
            children |= {f"weight_{number}": weight.value for number, weight in weights}
        return children
