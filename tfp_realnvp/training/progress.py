"""What a run shows while it trains: its speed and its progress."""

from __future__ import annotations

import sys
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tfp_realnvp.training.budget import Budget

__all__ = ["MeasureSpeed", "ShowProgress"]

SHOW_SECONDS = 0.5  # between two movements of the bar


class MeasureSpeed(keras.callbacks.Callback):
    """Puts `images_per_second` into the logs of an epoch; compilation and validation do not count.

    Args:
      budget: of the run.
      batch_size: images in a step.
    """

    def __init__(self, budget: Budget, *, batch_size: int):
        super().__init__()
        self.budget = budget
        self.batch_size = batch_size
        self._compiled = False

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self._start()

    def on_train_batch_end(self, batch, logs=None):
        """Start it again after the first call, which holds the compilation."""
        if not self._compiled:
            self._compiled = True
            self._start()

    def on_epoch_end(self, epoch, logs=None):
        """Stop the clock."""
        steps = self.budget.step - self._first_step
        logs["images_per_second"] = steps * self.batch_size / (time.monotonic() - self._started)

    def _start(self):
        self._started, self._first_step = time.monotonic(), self.budget.step


class ShowProgress(keras.callbacks.Callback):
    """A bar on a terminal, and a line an epoch.

    Args:
      epochs: of the whole run.
      budget: of the run.
      batch_size: images in a step.
      lines: whether each epoch has its line.
      stream: where to write, standard error by default.
    """

    def __init__(
        self, *, epochs: int, budget: Budget, batch_size: int, lines: bool = True, stream=None
    ):
        super().__init__()
        self.epochs = epochs
        self.budget = budget
        self.batch_size = batch_size
        self.lines = lines
        console = Console(file=stream or sys.stderr, highlight=False)
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )

    def on_train_begin(self, logs=None):
        """Show the bar."""
        self.task = self.bar.add_task(
            "", total=1.0, epoch=1, epochs=self.epochs, numbers="starting (the first step is slow)"
        )
        self.bar.start()
        self._start = None

    def on_epoch_begin(self, epoch, logs=None):
        """Show the number of the epoch."""
        self.bar.update(self.task, epoch=epoch + 1)

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar, now and then: a look at the numbers waits for the device."""
        now = time.monotonic()
        if self._start is None:  # the first call holds the compilation
            self._start = self._shown = now
            self._first_step = self.budget.step
        elif now - self._shown > SHOW_SECONDS:
            self._shown = now
            steps_per_second = (self.budget.step - self._first_step) / (now - self._start)
            left = (self.budget.steps - self.budget.step) / steps_per_second
            if self.budget.seconds is not None:
                left = max(0.0, min(left, self.budget.seconds - self.budget.elapsed()))
            self.bar.update(
                self.task,
                completed=self.budget.fraction(),
                numbers=f"loss {float(logs['loss']):.4f}, {float(logs['bits_per_dim']):.4f} bits/dim, "
                f"{steps_per_second * self.batch_size:,.0f} images/s, "
                f"{left // 60:.0f}:{left % 60:02.0f} left",
            )

    def on_epoch_end(self, epoch, logs=None):
        """Print the epoch's line."""
        if not self.lines:
            return
        self.bar.console.print(
            f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.4f}, bits per dimension "
            f"{logs['bits_per_dim']:.4f}, validation {logs['val_bits_per_dim']:.4f}, "
            f"{logs['images_per_second']:,.0f} images/s, {self.budget.elapsed():.0f} s",
            soft_wrap=True,
        )

    def close(self):
        """Take the bar away."""
        self.bar.stop()
