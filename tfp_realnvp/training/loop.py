"""The loop of a run: from a new flow, or the state of an interrupted run, to the best model and its scores."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tfp_realnvp import hardware, views
from tfp_realnvp.files import replacing, write_json
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.flows.options import OPTIONS
from tfp_realnvp.hardware import workers
from tfp_realnvp.optimizers import Adam
from tfp_realnvp.training.average_weights import AverageWeights
from tfp_realnvp.training.budget import Budget, CountSteps, StopInTime
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.divergence import StopWhenDiverged
from tfp_realnvp.training.epochs import (
    Best,
    KeepBest,
    KeepMetrics,
    RecordHistory,
    Report,
    SaveState,
    StopWhenStalled,
    Validate,
)
from tfp_realnvp.training.images import RunImages, training_batches
from tfp_realnvp.training.learning_rate import LearningRate
from tfp_realnvp.training.progress import MeasureSpeed, ShowProgress
from tfp_realnvp.training.results import Results
from tfp_realnvp.training.run_folder import RunFolder
from tfp_realnvp.training.signals import EndedBySignal
from tfp_realnvp.training.state import State

__all__ = ["TrainingLoop"]

LONG_EPOCH = 20  # steps; only such an epoch may end with a call from Python instead of a pass over the images
CHECKPOINT_SECONDS = 60.0  # between two writings of what `resume` needs
TIMED_IMAGES = 100  # that are scored before training, if scoring takes long
SAME = 0.001  # bits per dimension between two machines' scores of the same model


class TrainingLoop:
    """What one process does of a run: it trains, then scores the best model and draws its pictures.

    Args:
      config: of the run, resolved.
      run: its folder; nothing is written there before `run_to_end`.
      images: of the run.
      flow: new, with `config`'s options, and adapted to the images.
      started: `time.monotonic()` when the time limit began to run.
      score_test: whether the images of the test split are scored.
      say: called with messages for the user.
      show_epochs: whether each epoch has its line.
      checkpoint_every: seconds between two writings of the state, 0 or more; None means 60.
    """

    def __init__(
        self,
        config: TrainingConfig,
        run: RunFolder,
        images: RunImages,
        flow: ImageFlow,
        *,
        started: float,
        score_test: bool,
        say: Callable[[str], None],
        show_epochs: bool = True,
        checkpoint_every: float | None = None,
    ):
        self.show_epochs = show_epochs and workers.is_chief()
        self.config, self.run, self.images, self.flow, self.say = config, run, images, flow, say
        if checkpoint_every is not None and not checkpoint_every >= 0:
            raise ValueError(f"`checkpoint_every` must be 0 or more, received {checkpoint_every}.")
        if config.batch_size is None or config.learning_rate is None:
            raise ValueError("`config` must be resolved, see `TrainingConfig.resolved`.")
        self.batch_size, self.learning_rate = config.batch_size, config.learning_rate
        steps = len(images.train) // self.batch_size
        steps_per_call = OPTIONS[config.flow].steps_per_call if steps >= LONG_EPOCH else 1
        self.steps = round(steps / steps_per_call) * steps_per_call  # of an epoch
        self._compile(steps_per_call)
        self.average, self.best = flow.in_precision("float32"), flow.in_precision("float32")
        self.results = Results(config, images, score_test=score_test)
        self.budget = Budget(
            steps=config.epochs * self.steps,
            seconds=config.time_limit,
            started=started,
            # the last epoch's validation comes on top
            later_images=len(images.validation) + self.results.images_at_end,
        )
        self.history = RecordHistory([], self.budget)
        self.keep_best = KeepBest(self.average)
        self.stop_when_stalled = StopWhenStalled(self.history, patience=config.patience)
        self.metrics = [variable for metric in flow.metrics for variable in metric.variables]
        self.save_state = SaveState(
            [*flow.variables, *flow.optimizer.variables, *self.average.variables, *self.metrics],
            self._save,
            self.budget,
            steps=self.steps,
            every=CHECKPOINT_SECONDS if checkpoint_every is None else checkpoint_every,
            warn=say,
        )
        self._saved: tuple[int, ...] = ()  # what the files of the run hold

    def _compile(self, steps_per_call: int) -> None:
        flow, strategy = self.flow, self.flow.distribute_strategy
        devices = strategy.num_replicas_in_sync
        if self.batch_size % devices:
            raise ValueError(
                f"`batch_size` must be a multiple of the number of devices, {devices}, received "
                f"{self.batch_size}."
            )
        with strategy.scope():
            flow.compile(
                Adam(self.learning_rate, global_clipnorm=self.config.gradient_clip or None),
                # a loop over steps within a call fails in TensorFlow's strategies
                steps_per_execution=steps_per_call if devices == 1 else 1,
            )
            flow.optimizer.build(flow.trainable_variables)

    def go_on(self) -> None:
        """Take the state of the run from its folder, if there is one.

        Raises:
          ValueError: it is damaged, or what belongs together does not fit together.
        """
        folder = self.run.state
        if not folder.is_there():
            return
        # the chief first: it removes a damaged one
        if state := workers.chief_first(lambda: folder.read(self.say)):
            folder.read_into(training=self.save_state.variables, best=self.best.weights)
        else:
            state = self._read_state_of_former_version()
        score = state.best_bits_per_dim
        if score is None:
            score = self.results.validate(self.best)["bits_per_dim"]
        self.keep_best.best = Best(self.best.get_weights(), state.best_epoch, score)
        self.budget.step = state.epoch * self.steps + state.step
        if (
            state.step % self.flow.steps_per_execution
        ):  # it was trained on more devices, a step a call
            self.flow.steps_per_execution = 1
        self.history.rows.extend(state.history)
        if state.history:
            self.budget.go_on_after(state.history[-1]["seconds"])

    def _read_state_of_former_version(self) -> State:
        """Of version 0.4.0: the best weights and their score are those of model.keras and history.csv."""
        run = self.run
        epoch = run.state.read_former_version(training=self.flow, average=self.average)
        rows = run.read_history()[:epoch]
        if [row["epoch"] for row in rows] != list(range(1, epoch + 1)):
            raise ValueError(
                f"{run.history} does not have the {epoch} epochs of the run's state: put the file back, or "
                "start the run again with `overwrite`."
            )
        self.best.set_weights(run.load_model().get_weights())
        best = min(rows, key=lambda row: row["val_bits_per_dim"])
        score = self.results.validate(self.best)["bits_per_dim"]
        if score > best["val_bits_per_dim"] + SAME:
            raise ValueError(
                f"{run.model} is not the best model of {run.history}: it has {score:.4f} bits per dimension "
                f"of the validation images instead of {best['val_bits_per_dim']:.4f}. Put the file back, or "
                "start the run again with `overwrite`."
            )
        return State(epoch, rows, best["epoch"], score)

    def run_to_end(
        self,
        *,
        callbacks: Sequence[keras.callbacks.Callback],
        on_epoch: Callable[[dict[str, float]], bool | None],
    ) -> dict[str, Any]:
        """Train, then score the best model, draw its pictures and write metrics.json.

        Args:
          callbacks: called after those of the run.
          on_epoch: called with each epoch's row; what it returns tells whether the run ends.

        Returns:
          The content of metrics.json.
        """
        self._say_what_begins()
        report = Report(self.history, on_epoch)
        self.save_state.remember()
        try:
            self._train_classifier()
            if not self.flow.exact:
                self._try_what_comes_last()
            if not self._has_all_epochs() and not self.stop_when_stalled.is_stalled():
                self._fit([report, *callbacks])
            self._save_at_end()
            self._draw()
            metrics = self._metrics(report)
            if workers.is_chief():
                write_json(metrics, self.run.metrics)
        except KeyboardInterrupt as interruption:
            self.keep_best.keep_something()
            if isinstance(interruption, EndedBySignal) and interruption.between_steps:
                self.save_state.remember()
            self._save()
            with contextlib.suppress(OSError):  # a terminal that was closed
                self._draw()
                self.say(
                    f"Interrupted; the best model so far is in {self.run.path}. "
                    f"`tfp-realnvp train --resume --run-dir {self.run.path}` goes on."
                )
            raise
        except Exception:
            if self.history.rows:
                self._save()
            raise
        if workers.is_chief() and not metrics["can_go_on"]:
            self.run.remove_state()
        return metrics

    def _say_what_begins(self):
        config, images = self.config, self.images
        self.say(
            f"Training a {type(self.flow).__name__} of {self.flow.count_params():,} parameters on "
            f"{len(images.train):,} images of {config.dataset}, "
            f"{'x'.join(map(str, images.image_shape))}, on {hardware.describe(config.precision)}"
            + (f", from epoch {self.budget.step // self.steps + 1} on" if self.budget.step else "")
            + (f", for at most {config.time_limit:.0f} s." if config.time_limit else ".")
        )

    def _train_classifier(self):
        """Before the flow, so that its time counts."""
        if self.config.score_pictures and workers.is_chief():
            self.say("Training a classifier of the labels, which will score drawn pictures.")
            self.results.train_classifier()

    def _try_what_comes_last(self):
        """For residual flows: compilation and scoring take long, and when training is over, it is too late."""
        validation = self.images.validation
        some = validation.take(np.arange(min(TIMED_IMAGES, len(validation))))
        for _ in range(2):  # the first time holds the compilation
            _, seconds = self.budget.timed(lambda: self.results.score(self.average, some))
        self.budget.image_seconds, self.budget.evaluated = seconds / len(some), True
        if workers.is_chief():
            self.results.pictures(self.best)

    def _fit(self, callbacks: Sequence[keras.callbacks.Callback]):
        config = self.config
        progress = ShowProgress(
            epochs=config.epochs,
            budget=self.budget,
            batch_size=self.batch_size,
            lines=self.show_epochs,
        )
        shown = [progress] if workers.is_chief() else []
        callbacks = [*self._callbacks(), *shown, *callbacks]
        try:
            if rest := -self.budget.step % self.steps:
                self._fit_epochs(1, rest, [KeepMetrics(self.metrics), *callbacks])
            if not self.flow.stop_training and not self._has_all_epochs():
                self._fit_epochs(config.epochs, self.steps, callbacks)
        finally:
            with contextlib.suppress(OSError):  # a terminal that was closed
                progress.close()

    def _fit_epochs(self, epochs: int, steps: int, callbacks: list[keras.callbacks.Callback]):
        """At most so many epochs of so many steps, the rest of an epoch or whole ones."""
        config, images = self.config, self.images
        columns = {"images": images.train.images, "labels": images.train.labels}
        batches = training_batches(
            columns if config.conditional else images.train.images,
            batch_size=self.batch_size,
            seed=config.seed,
            first_step=self.budget.step,
            augment=config.augment,
            fill_levels=images.levels if config.fill else None,
        )
        first = self.budget.step // self.steps
        with workers.losses_as_one_error():
            self.flow.fit(
                batches,
                steps_per_epoch=steps,
                initial_epoch=first,
                epochs=min(config.epochs, first + epochs),
                shuffle=False,  # the batches are
                callbacks=callbacks,
                verbose=0,
            )

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """Those of the run, in the order in which each needs what others did before."""
        config, budget = self.config, self.budget
        return [
            CountSteps(budget),
            LearningRate(
                self.learning_rate,
                budget,
                warm_up=config.warm_up,
                final_rate=config.final_rate,
            ),
            AverageWeights(self.average, budget),
            StopInTime(budget, batch_size=self.batch_size),
            MeasureSpeed(budget, batch_size=self.batch_size),
            Validate(self.average, self.results.validate, budget),
            StopWhenDiverged(budget),
            self.history,
            self.keep_best,
            self.stop_when_stalled,
            self.save_state,
        ]

    def _save(self):
        """Write the state after the last whole epoch, then the history and the best model.

        The state comes first. So it always holds a model at least as good as model.keras, which a resumed run
        never replaces by a worse one.
        """
        best = self.keep_best.best
        if not best.epoch:  # in the middle of the first epoch
            best = Best(self.average.get_weights(), 1, math.nan)
        epoch, step, values = self.save_state.remembered
        self.best.set_weights(best.weights)
        if not workers.is_chief():
            return
        saved = epoch, step, best.epoch, len(self.history.rows)
        if self._saved == saved:
            return
        score = None if math.isnan(best.bits_per_dim) else best.bits_per_dim
        self.run.state.write(
            State(epoch, self.history.rows[:epoch], best.epoch, score, step),
            training=values,
            best=best.weights,
        )
        if self._saved[2:] != saved[2:]:
            self._save_model()
        self._saved = saved

    def _save_at_end(self):
        """If the disk has no room for the state, do without it: the model takes a fifth of that room."""
        try:
            self._save()
        except OSError as error:
            self._save_model()
            self.run.remove_state()  # an older one must not come back in the model's place
            self.say(f"Could not save the state of the run, only its best model: {error}")

    def _save_model(self):
        if self.history.rows:
            self.run.write_history(self.history.rows)
        with replacing(self.run.model) as temporary:
            self.best.save(temporary)

    def _draw(self):
        if not workers.is_chief():
            return
        images = self.results.pictures(self.best)
        grid = views.grid(images, levels=self.images.levels)
        views.write_png(grid, self.run.samples, scale=views.scale_for(images))
        if rows := self.history.rows:
            columns = {key: [row[key] for row in rows] for key in rows[0]}
            views.write_png(views.learning_curve(columns), self.run.learning_curve)

    def _metrics(self, report: Report) -> dict[str, Any]:
        self.average.set_weights(self.keep_best.best.weights)  # it is compiled for scoring already
        rows, ended_by = self.history.rows, self._ended_by(report)
        return {
            **self.results.scores(self.average),
            **self.results.picture_scores(self.average),
            "ended_by": ended_by,
            "can_go_on": ended_by in ("the time limit", "the caller", "a callback"),
            "epochs": len(rows),
            "best_epoch": self.keep_best.best.epoch,
            "seconds": round(self.budget.elapsed(), 1),
            "images_per_second": round(float(np.median([r["images_per_second"] for r in rows])), 1),
            "parameters": self.best.count_params(),
            "device": hardware.name(),
        }

    def _has_all_epochs(self) -> bool:
        return len(self.history.rows) >= self.config.epochs

    def _ended_by(self, report: Report) -> str:
        if self.budget.over:
            return "the time limit"
        if self._has_all_epochs():
            return "the last epoch"
        if self.stop_when_stalled.is_stalled():
            return "early stopping"
        return "the caller" if report.ended_run else "a callback"
