"""Keras callbacks of a training run."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tfp_realnvp.files import replacing
from tfp_realnvp.training.run_folder import RunFolder

__all__ = [
    "AverageWeights",
    "Budget",
    "LearningRate",
    "Recorder",
    "ShowProgress",
    "StopInTime",
    "StopWhenDiverged",
]

STATE_SECONDS = 30  # between two writings of what --resume needs
WORTHWHILE = 0.001  # bits per dimension
SHOW_SECONDS = 0.5  # between two movements of the bar
CHECK_STEPS = 50  # between two looks at the loss; each look waits for the device


class Budget:
    """How much of a run is over: the larger share of its steps and, with a limit, of its time.

    Args:
      steps: of the whole run.
      seconds: limit of the whole run, or None.
      started: `time.monotonic()` at the start of the run.
      later_images: how many images are evaluated when training is over.
    """

    def __init__(self, *, steps: int, seconds: float | None, started: float, later_images: int = 0):
        self.steps = steps
        self.seconds = seconds
        self.later_images = later_images
        self.image_seconds = 0.0  # that the evaluation of an image takes: an estimate, until ...
        self.evaluated = False  # ... the first evaluation has been timed
        self.step = 0
        self.over = False  # whether the time was up before the end
        self._start = started

    def elapsed(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._start

    def is_used_up(self) -> bool:
        """Whether no time is left."""
        return self.seconds is not None and self.elapsed() >= self.seconds

    def reserve(self) -> float:
        """Seconds that are needed when training is over: for evaluation, and 6 for pictures and files."""
        return self.later_images * self.image_seconds + 6

    def fraction(self) -> float:
        """From 0 to 1, which is the end of training."""
        share = self.step / self.steps
        if self.seconds is not None:
            share = max(share, self.elapsed() / max(self.seconds - self.reserve(), 1e-9))
        return min(share, 1.0)


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


class AverageWeights(keras.callbacks.Callback):
    """A running average of the weights, which is better than any of them.

    `average += (weights - average) * 10 / (n + 9)` at the n-th update: it reaches back over about the
    last tenth of the run so far, so that it can be used at any time and needs no decay of the learning
    rate.

    Args:
      average: a copy of the model, for the average.
      budget: of the run; its steps are counted here.
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
        """Count the steps, and take the weights in."""
        self.budget.step += self.model.steps_per_execution
        if self.budget.step % self.every == 0:
            updates = self.budget.step // self.every
            self._update(tf.constant(10 / (updates + 9), tf.float32))

    @tf.function
    def _update(self, rate):
        for average, weight in zip(
            self.average.trainable_weights, self.model.trainable_weights, strict=True
        ):
            average.assign_add(rate * (weight.value - average.value))


class StopInTime(keras.callbacks.Callback):
    """Stop, within an epoch if need be, when the run's time is nearly over.

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
        self._start = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Stop if no more time is left than another call and the evaluation need."""
        budget = self.budget
        if budget.seconds is None:
            return
        self._calls += 1
        if self._calls > 1:  # the first one holds the compilation
            self._seconds += time.monotonic() - self._start
        call = self._seconds / max(1, self._calls - 1)
        if not budget.evaluated:  # an evaluation costs less than a training step
            budget.image_seconds = call / self.model.steps_per_execution / self.batch_size
        if budget.elapsed() + call + budget.reserve() > budget.seconds:
            self.model.stop_training = budget.over = True


class StopWhenDiverged(keras.callbacks.Callback):
    """End a run whose loss is not a number, or better than possible.

    Integer images have probabilities of at most 1, so their bits per dimension are at least 0, but for the
    noise of an estimate; clearly less means a wrong log-determinant or overflowing numbers.

    Args:
      budget: of the run.
    """

    def __init__(self, budget: Budget):
        super().__init__()
        self.budget = budget

    def on_train_batch_end(self, batch, logs=None):
        """Look every few steps."""
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
                    f"training diverged: {key} is {value:.3g}. Try a lower --learning-rate, a lower "
                    "--gradient-clip, or --precision float32."
                )


class Recorder(keras.callbacks.Callback):
    """Evaluates each epoch and keeps the run folder up to date: history, best model, state for --resume.

    Args:
      run: the folder.
      budget: of the run.
      average: the model with the averaged weights, which is the one that is evaluated.
      best: a copy of it, for the best weights.
      evaluate: scores a model on the validation images, as `evaluation.score` does.
      history: the rows of the epochs before.
      patience: stop after so many epochs that together gained less than `WORTHWHILE`.
      images_per_epoch: for the images per second.
      warn: called with a message when the disk does not take something; training goes on.
    """

    def __init__(
        self,
        run: RunFolder,
        budget: Budget,
        *,
        average: keras.Model,
        best: keras.Model,
        evaluate: Callable[[keras.Model], dict[str, float]],
        history: list[dict],
        patience: int,
        images_per_epoch: int,
        warn: Callable[[str], None],
    ):
        super().__init__()
        self.run = run
        self.budget = budget
        self.average = average
        self.best = best
        self.evaluate = evaluate
        self.rows = history
        self.patience = patience
        self.images_per_epoch = images_per_epoch
        self.warn = warn
        self._compiled = False
        self._unwritten = False
        self._last_write = time.monotonic()

    @property
    def best_epoch(self) -> int:
        """The epoch of the best validation result, from 1; 0 before the first."""
        values = [row["val_bits_per_dim"] for row in self.rows]
        return int(np.argmin(values)) + 1 if values else 0

    def finished(self, epochs: float) -> bool:
        """Whether `epochs` epochs are over, or the last `patience` epochs were not worth their time."""
        values = [row["val_bits_per_dim"] for row in self.rows]
        before, after = values[: -self.patience], values[-self.patience :]
        stalled = bool(before) and min(before) - min(after) < WORTHWHILE
        return stalled or len(values) >= epochs

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self._epoch_start, self._step_start = time.monotonic(), self.budget.step

    def on_train_batch_end(self, batch, logs=None):
        """Start the clock again after the first call, which holds the compilation."""
        if not self._compiled:
            self._compiled = True
            self._epoch_start, self._step_start = time.monotonic(), self.budget.step

    def on_epoch_end(self, epoch, logs=None):
        """Evaluate and record the epoch; `logs` get the result for the callbacks after this one."""
        train_seconds = time.monotonic() - self._epoch_start
        steps_per_epoch = self.params["steps"]
        share = (self.budget.step - self._step_start) / steps_per_epoch
        start = time.monotonic()
        score = self.evaluate(self.average)
        logs["val_bits_per_dim"] = score["bits_per_dim"]
        self.budget.image_seconds = (time.monotonic() - start) / score["images"]
        self.budget.evaluated = True
        logs["images_per_second"] = share * self.images_per_epoch / train_seconds
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
        if self.best_epoch == epoch + 1:
            self.best.set_weights(self.average.get_weights())
            self._unwritten = True
        if self.finished(epochs=math.inf):
            self.model.stop_training = True
        whole = self.budget.step % steps_per_epoch == 0
        if whole and time.monotonic() - self._last_write > STATE_SECONDS:
            try:
                self.write_best()
                self.run.write_state(epoch + 1, training=self.model, average=self.average)
            except OSError as error:
                self.warn(f"Could not save the state of the run, going on: {error}")
            self._last_write = time.monotonic()

    def write_best(self) -> None:
        """Write the history and the best model, or, before the first epoch's end, the current one."""
        if self.rows:
            self.run.write_history(self.rows)
        else:
            self.best.set_weights(self.average.get_weights())
            self._unwritten = True
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
        self.bar.console.print(
            f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.4f}, bits per dimension "
            f"{logs['bits_per_dim']:.4f}, validation {logs['val_bits_per_dim']:.4f}, "
            f"{logs['images_per_second']:,.0f} images/s, {self.budget.elapsed():.0f} s",
            soft_wrap=True,
        )

    def close(self):
        """Take the bar away."""
        self.bar.stop()
