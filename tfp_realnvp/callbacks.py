"""Keras callbacks of a training run."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tfp_realnvp.files import replacing
from tfp_realnvp.runs import RunFolder

__all__ = ["Budget", "CosineDecay", "Recorder", "ShowProgress", "StopInTime", "StopWhenDiverged"]

STATE_SECONDS = 30  # between two writings of what --resume needs
CHECK_BATCHES = 50  # between two looks at the loss; each look waits for the device


class Budget:
    """How much of a run is over: the larger share of its steps and, with a limit, of its time.

    Args:
      steps: of the whole run.
      seconds: limit of the whole run, or None.
      spent: seconds that the run has used so far.
    """

    def __init__(self, *, steps: int, seconds: float | None, spent: float):
        self.steps = steps
        self.seconds = seconds
        self.step = 0
        self.reserve = 0.0  # seconds kept for evaluation after training
        self._start = time.monotonic() - spent

    def elapsed(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._start

    def fraction(self) -> float:
        """From 0 to 1."""
        share = self.step / self.steps
        if self.seconds is not None:
            share = max(share, self.elapsed() / max(self.seconds - self.reserve, 1e-9))
        return min(share, 1.0)


class CosineDecay(keras.callbacks.Callback):
    """Learning rate along half a cosine, from the peak down to zero, after a linear warm-up.

    Reference:
      Loshchilov, Hutter (2017), SGDR: Stochastic gradient descent with warm restarts, section 3.

    Args:
      peak: highest learning rate.
      budget: of the run; the decay follows its fraction, so that a run ends cooled down when its time is
        limited, too.
      warmup_steps: of the warm-up.
    """

    def __init__(self, peak: float, budget: Budget, *, warmup_steps: int):
        super().__init__()
        self.peak = peak
        self.budget = budget
        self.warmup_steps = warmup_steps

    def on_train_batch_begin(self, batch, logs=None):
        """Set the learning rate of the step."""
        warmup = min(1.0, (self.budget.step + 1) / self.warmup_steps)
        decay = 0.5 * (1 + math.cos(math.pi * self.budget.fraction()))
        self.model.optimizer.learning_rate = self.peak * warmup * decay

    def on_train_batch_end(self, batch, logs=None):
        """Count the step."""
        self.budget.step += 1


class StopInTime(keras.callbacks.Callback):
    """Stop, within an epoch if need be, when the run's time is nearly over.

    Args:
      budget: of the run.
      later_images: how many images are evaluated after training.
      batch_size: images in a step.
    """

    def __init__(self, budget: Budget, *, later_images: int, batch_size: int):
        super().__init__()
        self.budget = budget
        self.later_images = later_images
        self.batch_size = batch_size
        self._seconds = self._steps = 0.0
        self._first = True

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock of the step."""
        self._start = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Estimate what is still to be done and stop if no time is left."""
        if self._first:  # it holds the compilation
            self._first = False
            return
        self._seconds += time.monotonic() - self._start
        self._steps += 1
        step_seconds = self._seconds / self._steps
        # an evaluation costs about a third of a training step; two of pictures and files
        self.budget.reserve = self.later_images / self.batch_size * step_seconds / 2 + 5
        if self.budget.seconds is not None and (
            self.budget.elapsed() + self.budget.reserve > self.budget.seconds
        ):
            self.model.stop_training = True


class StopWhenDiverged(keras.callbacks.Callback):
    """End a run whose loss is not a number, or better than possible.

    Integer images have probabilities of at most 1, so their bits per dimension are at least 0, but for the
    noise of an estimate; clearly less means a wrong log-determinant or overflowing numbers.
    """

    def on_train_batch_end(self, batch, logs=None):
        """Look every few batches."""
        if batch % CHECK_BATCHES == 0:
            self._check(logs)

    def on_epoch_end(self, epoch, logs=None):
        """Look at the epoch's result."""
        self._check(logs)

    def _check(self, logs):
        for key in ("bits_per_dim", "val_bits_per_dim"):
            value = float((logs or {}).get(key, 1.0))
            if not math.isfinite(value) or value < -0.1:
                raise FloatingPointError(
                    f"training diverged: {key} is {value:.3g}. Try a lower --learning-rate, a lower "
                    "--gradient-clip, --precision float32, or a larger --alpha."
                )


class Recorder(keras.callbacks.Callback):
    """Keeps the run folder up to date: history, best model, and what --resume needs.

    Args:
      run: the folder.
      budget: of the run.
      best: a float32 copy of the model, for the best weights.
      history: the rows of the epochs before.
      patience: stop after so many epochs without a better validation result.
      images_per_epoch: for the images per second.
      warn: called with a message when the disk does not take something; training goes on.
    """

    def __init__(
        self,
        run: RunFolder,
        budget: Budget,
        best: keras.Model,
        *,
        history: list[dict],
        patience: int,
        images_per_epoch: int,
        warn: Callable[[str], None],
    ):
        super().__init__()
        self.run = run
        self.budget = budget
        self.best = best
        self.rows = history
        self.patience = patience
        self.images_per_epoch = images_per_epoch
        self.warn = warn
        self._unwritten = False
        self._last_write = time.monotonic()

    @property
    def best_epoch(self) -> int:
        """The epoch of the best validation result, from 1; 0 before the first."""
        values = [row["val_bits_per_dim"] for row in self.rows]
        return int(np.argmin(values)) + 1 if values else 0

    def finished(self, epochs: float) -> bool:
        """Whether `epochs` epochs are over, or `patience` epochs brought no better result."""
        return len(self.rows) >= min(epochs, self.best_epoch + self.patience)

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self._epoch_start, self._step_start = time.monotonic(), self.budget.step

    def on_test_begin(self, logs=None):
        """Training's part of the epoch is over."""
        self._train_seconds = time.monotonic() - self._epoch_start

    def on_epoch_end(self, epoch, logs=None):
        """Record the epoch."""
        share = (self.budget.step - self._step_start) / max(1, self.params["steps"])
        self.rows.append(
            {
                "epoch": epoch + 1,
                "loss": float(logs["loss"]),
                "bits_per_dim": float(logs["bits_per_dim"]),
                "val_loss": float(logs["val_loss"]),
                "val_bits_per_dim": float(logs["val_bits_per_dim"]),
                "learning_rate": float(self.model.optimizer.learning_rate),
                "images_per_second": share * self.images_per_epoch / self._train_seconds,
                "seconds": self.budget.elapsed(),
            }
        )
        if self.best_epoch == epoch + 1:
            self.best.set_weights(self.model.get_weights())
            self._unwritten = True
        if self.finished(epochs=math.inf):
            self.model.stop_training = True
        if time.monotonic() - self._last_write > STATE_SECONDS:
            try:
                self.write_best()
                self.run.write_state(self.model, epoch + 1)
            except OSError as error:
                self.warn(f"Could not save the state of the run, going on: {error}")
            self._last_write = time.monotonic()

    def write_best(self) -> None:
        """Write the history and the best model, or, before the first epoch's end, the current one."""
        if not self.rows:
            self.best.set_weights(self.model.get_weights())
            self._unwritten = True
        else:
            self.run.write_history(self.rows)
        if self._unwritten:
            with replacing(self.run.model) as temporary:
                self.best.save(temporary)
            self._unwritten = False


class ShowProgress(keras.callbacks.Callback):
    """A bar on a terminal; elsewhere a line an epoch.

    Args:
      epochs: of the whole run.
      budget: of the run.
      batch_size: images in a step.
      stream: where to write, standard error by default.
    """

    def __init__(self, *, epochs: int, budget: Budget, batch_size: int, stream=None):
        super().__init__()
        self.epochs = epochs
        self.budget = budget
        self.batch_size = batch_size
        self.console = Console(file=stream or sys.stderr, highlight=False)
        self._last: dict = {}

    def on_train_begin(self, logs=None):
        """Show the bar."""
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(
            "", total=1.0, epoch=1, epochs=self.epochs, numbers="starting (the first step is slow)"
        )
        self.bar.start()
        self._began = time.monotonic(), self.budget.fraction()

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self._start, self._batches = time.monotonic(), 0
        self.bar.update(self.task, epoch=epoch + 1)

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        self._batches += 1
        if batch % CHECK_BATCHES == 0:
            rate = self._batches * self.batch_size / (time.monotonic() - self._start)
            self.bar.update(
                self.task,
                completed=self.budget.fraction(),
                numbers=f"loss {float(logs['loss']):.4f}, {float(logs['bits_per_dim']):.4f} bits/dim, "
                f"{rate:,.0f} images/s, {self._left()} left",
            )

    def on_test_begin(self, logs=None):
        """Note the rate of the epoch's training part."""
        self._rate = self._batches * self.batch_size / (time.monotonic() - self._start)

    def on_epoch_end(self, epoch, logs=None):
        """Print the epoch's line."""
        self.bar.console.print(
            f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.4f}, bits per dimension "
            f"{logs['bits_per_dim']:.4f}, validation {logs['val_bits_per_dim']:.4f}, "
            f"{self._rate:,.0f} images/s, {self.budget.elapsed():.0f} s",
            soft_wrap=True,
        )

    def _left(self) -> str:
        start, fraction_then = self._began
        fraction = self.budget.fraction()
        passed = time.monotonic() - start
        left = passed * (1 - fraction) / max(fraction - fraction_then, 1e-9)
        return f"{left // 60:.0f}:{left % 60:02.0f}"

    def close(self):
        """Take the bar away."""
        self.bar.stop()
