"""Our flow as `tfp-realnvp train` trains it: with its input, averaged weights and progress.

Gradient clipping and validation are left out. So what this is slower than `ours`, which has as many steps a
call, is the price of the shuffling input and of the callbacks.
"""

import io
import time

from libraries import LEARNING_RATE
from libraries.ours import Ours, make_flow
from tfp_realnvp import hardware
from tfp_realnvp.training import callbacks
from tfp_realnvp.training.images import training_batches

FOR_EVER = 10**9  # steps, and seconds


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Command(make_flow(flow, precision))


class Progress(callbacks.ShowProgress):
    """The bar without the epoch's line, which tells of validation."""

    def on_epoch_end(self, epoch, logs=None):
        """Nothing."""


class Command(Ours):
    """`Ours`, but for the way it is trained."""

    def __init__(self, flow):
        super().__init__(flow)
        self._inputs = {}
        budget = callbacks.Budget(steps=FOR_EVER, seconds=FOR_EVER, started=time.monotonic())
        self._callbacks = [
            callbacks.LearningRate(LEARNING_RATE, budget, warm_up=0, final_rate=1.0),
            callbacks.AverageWeights(flow.in_precision("float32"), budget),
            callbacks.StopInTime(budget, batch_size=512),
            callbacks.StopWhenDiverged(budget),
            Progress(epochs=1, budget=budget, batch_size=512, stream=io.StringIO()),
        ]

    def train(self, batches):
        """An epoch of shuffled images; the input is made once, as in a run of many epochs."""
        steps, size = batches.shape[:2]
        if size not in self._inputs:
            images = batches.reshape(-1, *batches.shape[2:])
            self._inputs[size] = training_batches(images, batch_size=size, seed=0)
        self.flow.fit(
            self._inputs[size], steps_per_epoch=steps, verbose=0, callbacks=self._callbacks
        )
