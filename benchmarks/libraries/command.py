"""Our flow as `tfp-realnvp train` trains it: with shuffled input, averaged weights and progress.

Gradient clipping and validation are left out, and `ours` has as many steps in a call. The difference between
the two is therefore what the shuffled input and the callbacks cost.
"""

import io
import time

from internals import (
    AverageWeights,
    Budget,
    CountSteps,
    LearningRate,
    ShowProgress,
    StopInTime,
    StopWhenDiverged,
    training_batches,
)

from libraries import LEARNING_RATE
from libraries.ours import Ours, make_flow
from tfp_realnvp import hardware

FOR_EVER = 10**9  # steps, and seconds


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Command(make_flow(flow, precision))


class Progress(ShowProgress):
    """The progress bar without the line for each epoch, which needs a validation score."""

    def on_epoch_end(self, epoch, logs=None):
        """Print nothing."""


class Command(Ours):
    """As `Ours`, but trained in another way."""

    def __init__(self, flow):
        super().__init__(flow)
        self._inputs = {}
        budget = Budget(steps=FOR_EVER, seconds=FOR_EVER, started=time.monotonic())
        self._callbacks = [
            CountSteps(budget),
            LearningRate(LEARNING_RATE, budget, warm_up=0, final_rate=1.0),
            AverageWeights(flow.in_precision("float32"), budget),
            StopInTime(budget, batch_size=512),
            StopWhenDiverged(budget),
            Progress(epochs=1, budget=budget, batch_size=512, stream=io.StringIO()),
        ]

    def train(self, batches):
        """An epoch of shuffled images. The input is made once for all epochs, as in a run."""
        steps, size = batches.shape[:2]
        if size not in self._inputs:
            images = batches.reshape(-1, *batches.shape[2:])
            self._inputs[size] = training_batches(images, batch_size=size, seed=0)
        self.flow.fit(
            self._inputs[size],
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=self._callbacks,
        )
