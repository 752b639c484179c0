"""What happens after an epoch: its result is scored, recorded, kept if it is the best, saved and reported."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from tfp_realnvp.training.budget import Budget

__all__ = [
    "Best",
    "KeepBest",
    "KeepMetrics",
    "RecordHistory",
    "Report",
    "SaveState",
    "StopWhenStalled",
    "Validate",
]

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
        budget = self.budget
        score, seconds = budget.timed(lambda: self.score(self.average))
        logs["val_bits_per_dim"] = score["bits_per_dim"]
        seconds /= score["images"]
        if not budget.evaluated and budget.image_seconds:
            seconds = min(seconds, budget.image_seconds)  # the first time holds the compilation
        budget.image_seconds, budget.evaluated = seconds, True


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

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch's row."""
        self.rows.append(
            {
                "epoch": epoch + 1,
                "loss": float(logs["loss"]),
                "bits_per_dim": float(logs["bits_per_dim"]),
                "val_bits_per_dim": logs["val_bits_per_dim"],
                "learning_rate": float(
                    keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
                ),
                "images_per_second": logs["images_per_second"],
                "seconds": self.budget.elapsed(),
            }
        )


class Best(NamedTuple):
    """The best weights so far.

    Attributes:
      weights: as `model.get_weights` returns them.
      epoch: after which they were found, from 1.
      bits_per_dim: their validation result; NaN if they have not been scored.
    """

    weights: list[np.ndarray]
    epoch: int
    bits_per_dim: float


class KeepBest(keras.callbacks.Callback):
    """Keeps the averaged weights of the best epoch.

    Args:
      average: the model with the averaged weights.

    Attributes:
      best: the best weights so far; of epoch 0 if there are none.
    """

    def __init__(self, average: keras.Model):
        super().__init__()
        self.average = average
        self.best = Best([], 0, math.inf)

    def on_epoch_end(self, epoch, logs=None):
        """Keep the weights if they are the best so far."""
        score = logs["val_bits_per_dim"]
        if score < self.best.bits_per_dim:
            self.best = Best(self.average.get_weights(), epoch + 1, score)

    def keep_something(self) -> None:
        """Before the end of the first epoch, keep the current weights."""
        if not self.best.epoch:
            self.best = Best(self.average.get_weights(), 1, math.nan)


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
    """Remembers what a run needs to go on after an interruption, and writes it now and then.

    Args:
      variables: of the models, the optimizer and the metrics.
      write: writes the state of the run.
      budget: of the run.
      steps: of an epoch.
      every: seconds between two writings.
      warn: called with a message if the disk does not take it; training goes on.

    Attributes:
      remembered: the number of whole epochs, that of the steps after them, and the values of the variables
        then.
    """

    def __init__(
        self,
        variables: list[keras.Variable],
        write: Callable[[], None],
        budget: Budget,
        *,
        steps: int,
        every: float,
        warn: Callable[[str], None],
    ):
        super().__init__()
        self.variables = variables
        self.write = write
        self.budget = budget
        self.steps = steps
        self.every = every
        self.warn = warn
        self._last_write = -math.inf  # so that the first epoch shows whether the disk takes it

    def remember(self) -> None:
        """Remember this moment, which must be between two steps."""
        values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.variables]
        self.remembered = *divmod(self.budget.step, self.steps), values

    def on_train_begin(self, logs=None):
        """Start the clock."""
        self._last_look = self.budget.elapsed()

    def on_train_batch_end(self, batch, logs=None):
        """Write the state if the last time was long ago."""
        now = self.budget.elapsed()
        if (
            now - max(self._last_look, self._last_write) > self.every
            and self.budget.step % self.steps
        ):
            self._last_look = now
            self.remember()
            self._write()

    def on_epoch_end(self, epoch, logs=None):
        """Remember the end of an epoch, or of a run within it, and write it if the last time was long ago."""
        self.remember()
        if self.budget.elapsed() - self._last_write > self.every:
            self._write()

    def _write(self):
        try:
            self.write()
        except OSError as error:
            self.warn(f"Could not save the state of the run, going on: {error}")
        self._last_write = self.budget.elapsed()


class KeepMetrics(keras.callbacks.Callback):
    """Gives metrics the values that they had in the middle of an epoch: Keras sets them to 0 at its start.

    Args:
      variables: of the metrics.
    """

    def __init__(self, variables: list[keras.Variable]):
        super().__init__()
        self.variables = variables
        self._values = [keras.ops.convert_to_numpy(variable) for variable in variables]

    def on_epoch_begin(self, epoch, logs=None):
        """At the first one."""
        for variable, value in zip(self.variables, self._values, strict=True):
            variable.assign(value)
        self._values, self.variables = [], []


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
