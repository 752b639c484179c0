"""Ends a run that diverges."""

from __future__ import annotations

import math

import keras

from tfp_realnvp.training.budget import Budget

__all__ = ["StopWhenDiverged"]

CHECK_STEPS = 50  # between two looks at the loss; each look waits for the device


class StopWhenDiverged(keras.callbacks.Callback):
    """Ends a run whose loss is not a number, or better than possible.

    Integer images have probabilities of at most 1, so their bits per dimension are at least 0, but for the
    noise of an estimate; clearly less means a wrong log-determinant or overflowing numbers.

    Args:
      budget: of the run.
    """

    def __init__(self, budget: Budget):
        super().__init__()
        self.budget = budget

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss every few steps."""
        if self.budget.step % CHECK_STEPS == 0:
            self._check(logs)

    def on_epoch_end(self, epoch, logs=None):
        """Look at the epoch's result."""
        self._check(logs)

    def _check(self, logs):
        for key in ("bits_per_dim", "val_bits_per_dim"):
            value = float((logs or {}).get(key, 1.0))
            if not math.isfinite(value) or value < -0.1:
                raise FloatingPointError(
                    f"training diverged: {key} is {value:.3g}. Try a lower `learning_rate`, a lower "
                    "`gradient_clip`, or the `precision` float32."
                )
