"""Checkpoints of TensorFlow for layers that hold others in lists."""

from __future__ import annotations

__all__ = ["StoresAllWeights"]


class StoresAllWeights:
    """A Keras layer whose weights are all in `tf.train.Checkpoint(layer)`.

    Keras 3 leaves the layers in Python lists out of it, without a word: a flow of 15 variables stored 5, and
    `assert_existing_objects_matched` passed.
    """

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)  # type: ignore[misc]
        if save_type == "checkpoint":
            weights = enumerate(self.weights)  # type: ignore[attr-defined]
            children |= {f"weight_{number}": weight.value for number, weight in weights}
        return children
