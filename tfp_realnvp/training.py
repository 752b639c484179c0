"""Training: from a configuration to a run folder with the best model, its scores and its pictures."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp import datasets, evaluation, plots
from tfp_realnvp.callbacks import (
    AverageWeights,
    Budget,
    Recorder,
    ShowProgress,
    StopInTime,
    StopWhenDiverged,
    WarmUp,
)
from tfp_realnvp.config import TrainingConfig
from tfp_realnvp.files import write_json
from tfp_realnvp.flows import ImageFlow, RealNVP
from tfp_realnvp.runs import RunFolder

__all__ = ["Parts", "load_parts", "resume", "train", "training_batches"]

PACKAGES = ("tfp-realnvp", "tensorflow", "keras", "tensorflow-probability", "numpy")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The images of a run.

    Attributes:
      train: those that are learned from.
      validation: those by which the best model is chosen.
      test: those of the test split with labels that are learned.
      held_out: those of the test split with labels that are held out; None if there are none.
      levels: number of grey levels.
    """

    train: datasets.LabelledImages
    validation: datasets.LabelledImages
    test: datasets.LabelledImages
    held_out: datasets.LabelledImages | None
    levels: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.train.images.shape[1:]


def load_parts(config: TrainingConfig) -> Parts:
    """Load the data set of a run and cut it into its parts.

    Raises:
      ValueError, OSError: as `datasets.load`; a held-out label that is not there.
    """
    data = datasets.load(config.dataset, manual_dir=config.manual_dir)
    learned, test, held_out = data.train, data.test, None
    if config.hold_out:
        learned, test = data.train.without(config.hold_out), data.test.without(config.hold_out)
        held_out = data.test.only(config.hold_out)
    train_part, validation = datasets.split(learned, fraction=config.validation)
    return Parts(train_part, validation, test, held_out, data.levels)


def training_batches(
    images: np.ndarray, *, batch_size: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Endless batches, every epoch in an order of its own that depends on the seed and the epoch alone.

    Args:
      images: uint8 [n, height, width, channels]; kept in memory as they are.
      batch_size: images in a batch; at the end of an epoch, what does not fill a batch is left out.
      seed: of the orders.
      first_epoch: the epoch to start with.

    Returns:
      Dataset of uint8 [batch_size, height, width, channels], prefetched.
    """
    steps = len(images) // batch_size
    pixels = tf.constant(images)

    def batches_of_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(images)), seed=[tf.cast(seed, tf.int64), epoch]
        )
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(order[: steps * batch_size], [steps, batch_size])
        )

    return (
        tf.data.Dataset.counter(first_epoch)
        .flat_map(batches_of_epoch)
        .map(
            lambda index: tf.ensure_shape(tf.gather(pixels, index), [batch_size, *images.shape[1:]])
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def train(
    config: TrainingConfig,
    run_dir: str | Path,
    *,
    overwrite: bool = False,
    tensorboard: bool = False,
    started: float | None = None,
    say: Callable[[str], None] = _say,
) -> dict:
    """Train a flow and write its run folder.

    Args:
      config: what to train on what.
      run_dir: the run folder; it must be empty or not exist, unless `overwrite`.
      overwrite: replace what an earlier run left there.
      tensorboard: write logs for TensorBoard, too.
      started: `time.monotonic()` when the time limit began to run; now by default.
      say: called with messages for the user.

    Returns:
      The content of metrics.json.

    Raises:
      FileExistsError: the folder is not empty, or in use.
      FloatingPointError: training diverged; the best model so far is kept.
      KeyboardInterrupt: likewise; `resume` goes on.
      ValueError, OSError: the data set cannot be had, or the folder not be written.
    """
    started = time.monotonic() if started is None else started
    run = RunFolder(run_dir)
    with run.locked():
        run.check_free(overwrite=overwrite)
        _check_tensorboard(tensorboard)
        parts = load_parts(config)
        config = config.resolved(len(parts.train))
        flow = _build_flow(config, parts)
        flow.adapt(parts.train.images)
        run.clear()
        run.write_config(
            {
                "training": dataclasses.asdict(config),
                "flow": {"class": type(flow).__name__, "config": flow.get_config()},
                "versions": {name: metadata.version(name) for name in PACKAGES}
                | {"python": platform.python_version()},
                "device": _device(),
            }
        )
        session = _Session(config, run, parts, flow, started, say)
        return session.run_to_end(tensorboard=tensorboard)


def resume(
    run_dir: str | Path,
    *,
    time_limit: float | None = None,
    tensorboard: bool = False,
    say: Callable[[str], None] = _say,
) -> dict:
    """Go on with an unfinished run, to the end where it would have come without the interruption.

    Args:
      run_dir: its run folder.
      time_limit: seconds for the whole run, what it used before included; None leaves the limit as it
        is, `math.inf` lifts it.
      tensorboard: write logs for TensorBoard, too.
      say: called with messages for the user.

    Returns:
      The content of metrics.json.

    Raises:
      FileNotFoundError: not a run folder.
      ValueError: the run is finished or its time is used up, or the folder is damaged or of a newer
        version.
    """
    started = time.monotonic()
    run = RunFolder(run_dir)
    config = TrainingConfig.from_json(run.read_config())
    if run.is_finished():
        raise ValueError(
            f"the run in {run.path} is finished; `tfp-realnvp train` starts a new one."
        )
    if time_limit is not None:
        limit = None if math.isinf(time_limit) else time_limit
        config = dataclasses.replace(config, time_limit=limit)
    _check_tensorboard(tensorboard)
    with run.locked():
        parts = load_parts(config)
        flow = _build_flow(config, parts)
        flow.adapt(parts.train.images)
        session = _Session(config, run, parts, flow, started, say)
        if session.budget.is_used_up():
            raise ValueError(
                f"the run in {run.path} has used up its time limit of {config.time_limit:.0f} s: go on with "
                "a larger --time-limit, or with --time-limit none."
            )
        return session.run_to_end(tensorboard=tensorboard)


def _build_flow(config: TrainingConfig, parts: Parts) -> ImageFlow:
    flow = RealNVP(
        parts.image_shape,
        levels=parts.levels,
        couplings=config.couplings,
        depth=config.depth,
        width=config.width,
        activation=config.activation,
        alpha=config.alpha,
        seed=config.seed,
        dtype=config.precision,
    )
    flow.compile(
        keras.optimizers.Adam(config.learning_rate, global_clipnorm=config.gradient_clip or None)
    )
    return flow


def _in_float32(flow: ImageFlow) -> ImageFlow:
    """A copy of a flow that computes everything in float32."""
    copy = type(flow).from_config({**flow.get_config(), "dtype": "float32"})
    copy.set_weights(flow.get_weights())
    return copy


class _Session:
    """One process's part of a run, from the prepared flow to the metrics."""

    def __init__(self, config, run: RunFolder, parts: Parts, flow, started: float, say):
        self.config, self.run, self.parts, self.flow, self.say = config, run, parts, flow, say
        self.steps = len(parts.train) // config.batch_size
        if self.steps == 0:
            raise ValueError(
                f"batch_size must be at most the number of training images, {len(parts.train)}, "
                f"received {config.batch_size}."
            )
        self.average, self.best = _in_float32(flow), _in_float32(flow)
        self.first_epoch = run.read_state(training=flow, average=self.average)
        history = run.read_history()[: self.first_epoch]
        if history:
            self.best.set_weights(run.load_model().get_weights())
        self.budget = Budget(
            steps=config.epochs * self.steps,
            seconds=config.time_limit,
            started=started - (history[-1]["seconds"] if history else 0.0),
        )
        self.budget.step = self.first_epoch * self.steps
        self.recorder = Recorder(
            run,
            self.budget,
            average=self.average,
            best=self.best,
            evaluate=lambda model: evaluation.score(model.log_prob, parts.validation.images)[
                "bits_per_dim"
            ],
            history=history,
            patience=config.patience,
            images_per_epoch=self.steps * config.batch_size,
            warn=say,
        )

    def run_to_end(self, *, tensorboard: bool) -> dict:
        """Train, then evaluate the best model and draw its pictures."""
        parts = self.parts
        self.say(
            f"Training a {type(self.flow).__name__} of {self.flow.count_params():,} parameters on "
            f"{len(parts.train):,} images of {self.config.dataset}, "
            f"{'x'.join(map(str, parts.image_shape))}, on {_device()} in {self.config.precision}"
            + (f", from epoch {self.first_epoch + 1} on" if self.first_epoch else "")
            + (
                f", for at most {self.config.time_limit:.0f} s (--time-limit)."
                if self.config.time_limit
                else "."
            )
        )
        if not self.recorder.finished(self.config.epochs):
            self._fit(tensorboard)
        self.recorder.write_best()
        self._draw()
        metrics = self._metrics()
        write_json(metrics, self.run.metrics)
        if not self.budget.over:
            self.run.finish()
        return metrics

    def _fit(self, tensorboard: bool):
        config, parts = self.config, self.parts
        progress = ShowProgress(
            epochs=config.epochs, budget=self.budget, batch_size=config.batch_size
        )
        evaluated = (parts.train, parts.validation, parts.test, parts.held_out or ())
        callbacks = [
            WarmUp(config.learning_rate, self.budget),
            AverageWeights(self.average, self.budget),
            StopInTime(
                self.budget, later_images=sum(map(len, evaluated)), batch_size=config.batch_size
            ),
            StopWhenDiverged(),
            self.recorder,
            progress,
        ]
        if tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(str(self.run.tensorboard)))
        batches = training_batches(
            parts.train.images,
            batch_size=config.batch_size,
            seed=config.seed,
            first_epoch=self.first_epoch,
        )
        try:
            self.flow.fit(
                batches,
                steps_per_epoch=self.steps,
                initial_epoch=self.first_epoch,
                epochs=config.epochs,
                shuffle=False,  # the batches are
                callbacks=callbacks,
                verbose=0,
            )
        except KeyboardInterrupt:
            progress.close()
            self.recorder.write_best()
            self._draw()
            self.say(
                f"Interrupted; the best model so far is in {self.run.path}. "
                f"`tfp-realnvp train --resume --run-dir {self.run.path}` goes on."
            )
            raise
        except FloatingPointError:
            if self.recorder.rows:
                self.recorder.write_best()
            raise
        finally:
            progress.close()

    def _metrics(self) -> dict:
        parts, rows = self.parts, self.recorder.rows
        pairs = {
            "train": parts.train,
            "validation": parts.validation,
            "test": parts.test,
            "held_out": parts.held_out,
        }
        scores = {
            name: part and evaluation.score(self.best.log_prob, part.images)
            for name, part in pairs.items()
        }
        return {
            **scores,
            "ended_by": self._end(),
            "can_go_on": self.budget.over,
            "epochs": len(rows),
            "best_epoch": self.recorder.best_epoch,
            "seconds": round(self.budget.elapsed(), 1),
            "images_per_second": round(float(np.median([r["images_per_second"] for r in rows])), 1),
            "parameters": self.best.count_params(),
            "device": _device(),
        }

    def _end(self) -> str:
        if self.budget.over:
            return "the time limit"
        if len(self.recorder.rows) >= self.config.epochs:
            return "the last epoch"
        return "early stopping"

    def _draw(self):
        images = self.best.sample(40, seed=self.config.seed).numpy()
        grid = plots.grid(images, levels=self.parts.levels)
        plots.write_png(grid, self.run.samples, scale=plots.scale_for(images))
        rows = self.recorder.rows
        if rows:
            history = {key: [row[key] for row in rows] for key in rows[0]}
            plots.write_png(plots.learning_curve(history), self.run.learning_curve)


def _check_tensorboard(wanted: bool):
    if wanted and importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "logs for TensorBoard need the package tensorboard: pip install 'tfp-realnvp[tensorboard]'."
        )


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
