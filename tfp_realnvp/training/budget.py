"""How much of a run is over; ends it when its time is.

Several workers must do the same in each step. So they agree on what time it is (`Budget.agree`), and all that
depends on time looks at `Budget.elapsed` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import keras

from tfp_realnvp.hardware import workers

__all__ = ["Budget", "CountSteps", "StopInTime"]

T = TypeVar("T")
FILES_SECONDS = 6  # for pictures and files at the end of a run


class Budget:
    """How much of a run is over: the larger share of its steps and, with a limit, of its time.

    Args:
      steps: of the whole run.
      seconds: limit of the whole run, or None.
      started: `time.monotonic()` when the run began.
      later_images: how many images are scored when training is over.
    """

    def __init__(self, *, steps: int, seconds: float | None, started: float, later_images: int = 0):
        self.steps = steps
        self.seconds = seconds
        self.later_images = later_images
        self.image_seconds = 0.0  # to score an image; an estimate until a validation has been timed
        self.evaluated = False  # whether one has
        self.step = 0
        self.over = False  # whether the time was up before the end
        self._start = started
        self.agree()

    def elapsed(self) -> float:
        """Seconds since the start of the run; if there are several workers, until they last agreed."""
        return self._agreed if workers.connected() else time.monotonic() - self._start

    def agree(self) -> None:
        """Let all workers have the same time. All of them must call it."""
        [self._agreed] = workers.largest([time.monotonic() - self._start])

    def timed(self, function: Callable[[], T]) -> tuple[T, float]:
        """(what a function gives, how many seconds it took); if there are several workers, the slowest's."""
        self.agree()
        start = self.elapsed()
        result = function()
        self.agree()
        return result, self.elapsed() - start

    def go_on_after(self, seconds: float) -> None:
        """Count so many seconds of an earlier process, too."""
        self._start -= seconds
        self._agreed += seconds

    def is_used_up(self) -> bool:
        """Whether no time is left."""
        return self.seconds is not None and self.elapsed() >= self.seconds

    def reserve(self) -> float:
        """Seconds that are needed when training is over: for evaluation, pictures and files."""
        return self.later_images * self.image_seconds + FILES_SECONDS

    def fraction(self) -> float:
        """The share of training that is over, from 0 to 1."""
        share = self.step / self.steps
        if self.seconds is not None:
            share = max(share, self.elapsed() / max(self.seconds - self.reserve(), 1e-9))
        return min(share, 1.0)


class CountSteps(keras.callbacks.Callback):
    """Counts the steps of a budget, and its time. It is the first callback: the others read what it counts.

    Args:
      budget: of the run.
    """

    def __init__(self, budget: Budget):
        super().__init__()
        self.budget = budget

    def on_epoch_begin(self, epoch, logs=None):
        """Look at the clock."""
        self.budget.agree()

    def on_train_batch_end(self, batch, logs=None):
        """Count the steps of one call, and look at the clock."""
        self.budget.step += self.model.steps_per_execution
        self.budget.agree()


class StopInTime(keras.callbacks.Callback):
    """Ends the run, within an epoch if need be, when its time is nearly over.

    Args:
      budget: of the run.
      batch_size: images in a step.
    """

    def __init__(self, budget: Budget, *, batch_size: int):
        super().__init__()
        self.budget = budget
        self.batch_size = batch_size
        self._seconds, self._calls = 0.0, 0

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock of the call."""
        self._start = self.budget.elapsed()

    def on_train_batch_end(self, batch, logs=None):
        """End the run if another call would leave too little time for the evaluation."""
        budget = self.budget
        if budget.seconds is None:
            return
        self._calls += 1
        if self._calls > 1:  # the first one holds the compilation
            self._seconds += budget.elapsed() - self._start
        call = self._seconds / max(1, self._calls - 1)
        if not budget.evaluated:
            # to score an image takes a third or a quarter of what training on it does
            budget.image_seconds = 0.5 * call / self.model.steps_per_execution / self.batch_size
        if budget.elapsed() + call + budget.reserve() > budget.seconds:
            self.model.stop_training = budget.over = True
