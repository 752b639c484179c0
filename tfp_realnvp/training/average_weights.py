"""The average of the weights, which is what a run keeps."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_realnvp.training.budget import Budget

__all__ = ["AverageWeights"]


class AverageWeights(keras.callbacks.Callback):
    """A running average of the weights, which scores better than the weights of any one step.

    `average += (weights - average) * 10 / (n + 9)` at the n-th update: it is an average over about the last
    tenth of the steps so far. So it is good at any time, before the learning rate has fallen, too.

    Args:
      average: a copy of the model; its weights become the average.
      budget: of the run.
      every: steps between two updates, a multiple of `steps_per_execution`.

    Reference:
      Shamir, Zhang (2013), Stochastic gradient descent for non-smooth optimization, section 4
      (polynomial-decay averaging).
    """

    def __init__(self, average: keras.Model, budget: Budget, *, every: int = 10):
        super().__init__()
        self.average = average
        self.budget = budget
        self.every = every

    def on_train_batch_end(self, batch, logs=None):
        """Update the average, every few steps."""
        if self.budget.step % self.every == 0:
            updates = self.budget.step // self.every
            self._update(tf.constant(10 / (updates + 9), tf.float32))

    @tf.function
    def _update(self, rate):
        for average, weight in zip(
            self.average.trainable_weights, self.model.trainable_weights, strict=True
        ):
            average.assign_add(rate * (weight.value - average.value))
