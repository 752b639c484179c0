"""How the learning rate changes during a run."""

from __future__ import annotations

import math

import keras

from tfp_realnvp.training.budget import Budget

__all__ = ["LearningRate"]


class LearningRate(keras.callbacks.Callback):
    """The learning rate rises linearly to its peak, and falls along a cosine until the budget is used up.

    Args:
      peak: highest learning rate.
      budget: of the run.
      warm_up: steps of the rise.
      final_rate: the last learning rate, as a share of the peak.

    Reference:
      Loshchilov, Hutter (2017), SGDR: stochastic gradient descent with warm restarts, section 3.
    """

    def __init__(self, peak: float, budget: Budget, *, warm_up: int, final_rate: float):
        super().__init__()
        self.peak = peak
        self.budget = budget
        self.warm_up = warm_up
        self.final_rate = final_rate

    def on_train_batch_begin(self, batch, logs=None):
        """Set the learning rate of the step."""
        if self.budget.step < self.warm_up:
            share = (self.budget.step + 1) / self.warm_up
        else:
            cosine = 0.5 * (1 + math.cos(math.pi * self.budget.fraction()))
            share = self.final_rate + (1 - self.final_rate) * cosine
        self.model.optimizer.learning_rate = self.peak * share
