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

from tfp_realnvp import datasets, evaluation, hardware, views
from tfp_realnvp.files import write_json
from tfp_realnvp.flows import BY_NAME, ImageFlow
from tfp_realnvp.optimizers import Adam
from tfp_realnvp.training.callbacks import (
    AverageWeights,
    Budget,
    LearningRate,
    Recorder,
    ShowProgress,
    StopInTime,
    StopWhenDiverged,
)
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import Parts, load_parts, training_batches
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["resume", "train"]

STEPS_A_CALL = {"multiscale": 1, "realnvp": 10}  # see `hardware`
LONG_EPOCH = 20  # steps; such an epoch may end with a call, not with a pass over the images
PACKAGES = ("tfp-realnvp", "tensorflow", "keras", "tensorflow-probability", "numpy")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


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
                "device": hardware.name(),
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
      ValueError: the run is finished or its time is used up, or the folder is damaged or of another
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
    return BY_NAME[config.flow](
        parts.image_shape,
        **config.flow_options(),
        levels=parts.levels,
        labels=np.unique(parts.train.labels).tolist() if config.conditional else (),
        dequantization=config.dequantization,
        seed=config.seed,
        dtype=config.precision,
    )


class _Session:
    """One process's part of a run, from the prepared flow to the metrics."""

    def __init__(self, config, run: RunFolder, parts: Parts, flow, started: float, say):
        self.config, self.run, self.parts, self.flow, self.say = config, run, parts, flow, say
        steps = len(parts.train) // config.batch_size
        if steps == 0:
            raise ValueError(
                f"batch_size must be at most the number of training images, {len(parts.train)}, "
                f"received {config.batch_size}."
            )
        a_call = STEPS_A_CALL[config.flow] if steps >= LONG_EPOCH else 1
        self.steps = round(steps / a_call) * a_call
        flow.compile(
            Adam(config.learning_rate, global_clipnorm=config.gradient_clip or None),
            steps_per_execution=a_call,
        )
        self.average, self.best = flow.in_precision("float32"), flow.in_precision("float32")
        self.first_epoch = run.read_state(training=flow, average=self.average)
        history = run.read_history()[: self.first_epoch]
        if history:
            self.best.set_weights(run.load_model().get_weights())
        self.budget = Budget(
            steps=config.epochs * self.steps,
            seconds=config.time_limit,
            started=started - (history[-1]["seconds"] if history else 0.0),
            # the last epoch's validation comes on top
            later_images=len(parts.validation) + sum(map(len, parts.evaluated.values())),
        )
        self.budget.step = self.first_epoch * self.steps
        self.recorder = Recorder(
            run,
            self.budget,
            average=self.average,
            best=self.best,
            evaluate=self._validate,
            history=history,
            patience=config.patience,
            images_per_epoch=self.steps * config.batch_size,
            warn=say,
        )

    def _validate(self, model: ImageFlow) -> dict[str, float]:
        return self._score(model, self.parts.validation)

    def _score(self, model: ImageFlow, part: datasets.LabelledImages) -> dict[str, float]:
        """Given the labels, where the flow knows them."""
        known = bool(model.labels) and set(part.labels) <= set(model.labels)
        return evaluation.score(model.log_prob, part.images, part.labels if known else None)

    def run_to_end(self, *, tensorboard: bool) -> dict:
        """Train, then evaluate the best model and draw its pictures."""
        parts = self.parts
        self.say(
            f"Training a {type(self.flow).__name__} of {self.flow.count_params():,} parameters on "
            f"{len(parts.train):,} images of {self.config.dataset}, "
            f"{'x'.join(map(str, parts.image_shape))}, on {hardware.describe(self.config.precision)}"
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
        callbacks = [
            LearningRate(
                config.learning_rate,
                self.budget,
                warm_up=config.warm_up,
                final_rate=config.final_rate,
            ),
            AverageWeights(self.average, self.budget),
            StopInTime(self.budget, batch_size=config.batch_size),
            StopWhenDiverged(self.budget),
            self.recorder,
            progress,
        ]
        if tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(str(self.run.tensorboard)))
        images, labels = parts.train.images, parts.train.labels
        batches = training_batches(
            {"images": images, "labels": labels} if config.conditional else images,
            batch_size=config.batch_size,
            seed=config.seed,
            first_step=self.budget.step,
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
        rows = self.recorder.rows
        scores = {name: self._score(self.best, part) for name, part in self.parts.evaluated.items()}
        return {
            **scores,
            "held_out": scores.get("held_out"),
            "ended_by": self._end(),
            "can_go_on": self.budget.over,
            "epochs": len(rows),
            "best_epoch": self.recorder.best_epoch,
            "seconds": round(self.budget.elapsed(), 1),
            "images_per_second": round(float(np.median([r["images_per_second"] for r in rows])), 1),
            "parameters": self.best.count_params(),
            "device": hardware.name(),
        }

    def _end(self) -> str:
        if self.budget.over:
            return "the time limit"
        if len(self.recorder.rows) >= self.config.epochs:
            return "the last epoch"
        return "early stopping"

    def _draw(self):
        images = self.best.sample(40, seed=self.config.seed).numpy()
        grid = views.grid(images, levels=self.parts.levels)
        views.write_png(grid, self.run.samples, scale=views.scale_for(images))
        rows = self.recorder.rows
        if rows:
            history = {key: [row[key] for row in rows] for key in rows[0]}
            views.write_png(views.learning_curve(history), self.run.learning_curve)


def _check_tensorboard(wanted: bool):
    if wanted and importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "logs for TensorBoard need the package tensorboard: pip install -e '.[tensorboard]'."
        )
