"""What happens after an epoch: its result is scored, recorded, kept if it is the best, saved and reported."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import numpy as np

from tfp_realnvp.files import replacing
from tfp_realnvp.training.budget import Budget
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["KeepBest", "RecordHistory", "Report", "SaveState", "StopWhenStalled", "Validate"]

STATE_SECONDS = 30  # between two writings of what `resume` needs
WORTHWHILE = 0.001  # bits per dimension


class Validate(keras.callbacks.Callback):
    """Puts `val_bits_per_dim`, the score of the averaged weights, into the logs for the callbacks after it.

    Args:
      average: the model with the averaged weights.
      score: scores a model on the validation images, as `evaluation.score` does.
      budget: of the run; it is told how long an image takes.
    """

    def __init__(
        self,
        average: keras.Model,
        score: Callable[[keras.Model], dict[str, float]],
        budget: Budget,
    ):
        super().__init__()
        self.average = average
        self.score = score
        self.budget = budget

    def on_epoch_end(self, epoch, logs=None):
        """Score the averaged weights."""
        start = time.monotonic()
        score = self.score(self.average)
        logs["val_bits_per_dim"] = score["bits_per_dim"]
        self.budget.image_seconds = (time.monotonic() - start) / score["images"]
        self.budget.evaluated = True


class RecordHistory(keras.callbacks.Callback):
    """Keeps a row of numbers for each epoch.

    Args:
      rows: of the epochs before.
      budget: of the run.
    """

    def __init__(self, rows: list[dict[str, float]], budget: Budget):
        super().__init__()
        self.rows = rows
        self.budget = budget

    @property
    def best_epoch(self) -> int:
        """The epoch of the best validation result, from 1; 0 before the first."""
        values = [row["val_bits_per_dim"] for row in self.rows]
        return int(np.argmin(values)) + 1 if values else 0

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch's row."""
        self.rows.append(
            {
                "epoch": epoch + 1,
                "loss": float(logs["loss"]),
                "bits_per_dim": float(logs["bits_per_dim"]),
                "val_bits_per_dim": logs["val_bits_per_dim"],
                "learning_rate": float(self.model.optimizer.learning_rate),
                "images_per_second": logs["images_per_second"],
                "seconds": self.budget.elapsed(),
            }
        )


class KeepBest(keras.callbacks.Callback):
    """Keeps the averaged weights of the best epoch.

    Args:
      average: the model with the averaged weights.
      best: a copy of it, for the best weights.
      history: tells which epoch is the best.
    """

    def __init__(self, average: keras.Model, best: keras.Model, history: RecordHistory):
        super().__init__()
        self.average = average
        self.best = best
        self.history = history
        self._unwritten = False

    def on_epoch_end(self, epoch, logs=None):
        """Keep the weights if they are the best so far."""
        if self.history.best_epoch == epoch + 1:
            self._keep()

    def write(self, run: RunFolder) -> None:
        """Write the best model if it is not written yet; before the first epoch's end, the current one."""
        if not self.history.rows:
            self._keep()
        if self._unwritten:
            with replacing(run.model) as temporary:
                self.best.save(temporary)
            self._unwritten = False

    def _keep(self):
        self.best.set_weights(self.average.get_weights())
        self._unwritten = True


class StopWhenStalled(keras.callbacks.Callback):
    """Ends a run whose validation result hardly gets better.

    Args:
      history: of the run.
      patience: so many epochs that together gained less than `WORTHWHILE` end it.
    """

    def __init__(self, history: RecordHistory, *, patience: int):
        super().__init__()
        self.history = history
        self.patience = patience

    def is_stalled(self) -> bool:
        """Whether the last `patience` epochs were not worth their time."""
        values = [row["val_bits_per_dim"] for row in self.history.rows]
        before, after = values[: -self.patience], values[-self.patience :]
        return bool(before) and min(before) - min(after) < WORTHWHILE

    def on_epoch_end(self, epoch, logs=None):
        """Look at the last epochs."""
        if self.is_stalled():
            self.model.stop_training = True


class SaveState(keras.callbacks.Callback):
    """Writes, now and then, what a run needs to go on after an interruption.

    Args:
      write: writes the state after so many epochs.
      budget: of the run.
      warn: called with a message if the disk does not take it; training goes on.
    """

    def __init__(
        self, write: Callable[[int], None], budget: Budget, *, warn: Callable[[str], None]
    ):
        super().__init__()
        self.write = write
        self.budget = budget
        self.warn = warn
        self._last_write = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Write the state after a whole epoch; one that was cut short cannot be repeated."""
        whole = self.budget.step % self.params["steps"] == 0
        if not whole or time.monotonic() - self._last_write <= STATE_SECONDS:
            return
        try:
            self.write(epoch + 1)
        except OSError as error:
            self.warn(f"Could not save the state of the run, going on: {error}")
        self._last_write = time.monotonic()


class Report(keras.callbacks.Callback):
    """Reports each epoch to the caller of `train`, who may end the run.

    Args:
      history: of the run.
      on_epoch: called with the epoch's row; what it returns tells whether the run ends.
    """

    def __init__(self, history: RecordHistory, on_epoch: Callable[[dict[str, float]], bool | None]):
        super().__init__()
        self.history = history
        self.on_epoch = on_epoch
        self.ended_run = False

    def on_epoch_end(self, epoch, logs=None):
        """Report the epoch."""
        if self.on_epoch(dict(self.history.rows[-1])):
            self.model.stop_training = self.ended_run = True
