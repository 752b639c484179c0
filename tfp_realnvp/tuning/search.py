"""The search: trials, one after the other, until the time is over or there are enough."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import optuna
import tensorflow as tf
from optuna.trial import TrialState

from tfp_realnvp import training
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import load_images
from tfp_realnvp.training.runs import build_flow
from tfp_realnvp.tuning.results import RECORDED, Results
from tfp_realnvp.tuning.space import Space, defaults, describe, space_of
from tfp_realnvp.tuning.study import Study, open_study

__all__ = ["tune"]

POINTS = 20  # of a trial's way at which it is compared with others
ENOUGH = 0.9  # of a trial's time must be left for another trial to begin


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def tune(
    config: TrainingConfig,
    folder: str | Path,
    *,
    time_limit: float | None = 3600.0,
    trials: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    started: float | None = None,
    say: Callable[[str], None] = _say,
) -> dict[str, Any]:
    """Search for the options with which a flow learns best, by the bits per dimension of validation images.

    A trial is a run with its own options. The first has the defaults; then a tree-structured Parzen estimator
    draws the options, from what it knows of the trials before. A trial that is worse than the median of the
    others, at the same share of its steps or time, is ended early. Images of the test split are never scored.

    The folder has the study (study.db), the runs (trials/NNNN), best.json, trials.csv, history.png and
    importances.png. The same call goes on with the search. Several processes of one machine may search in one
    folder at the same time, but those that share its cores slow down each other's trials.

    Args:
      config: what all trials share. Its `time_limit` is that of each trial. Options that are not None are not
        searched; the others are, as far as `tfp_realnvp.tuning.space` lists them.
      folder: of an earlier search with the same `config`, empty, or not there yet.
      time_limit: seconds for this call; None for no limit. A trial begins only if there is time for all of it.
      trials: how many trials the search has in the end, those of earlier calls and other processes included
        and those that failed not; None for as many as there is time for.
      callbacks: Keras callbacks for each trial.
      started: `time.monotonic()` when the time limit began to run; now by default.
      say: called with messages for the user.

    Returns:
      `trials` (how many are complete, pruned and failed), `best` (its number as `trial`, the `bits_per_dim` of
      the validation images, and its `options`), `default_bits_per_dim`, and the path of best.json as `config`;
      None for what is not there yet.

    Raises:
      FileExistsError: the folder holds something else.
      KeyboardInterrupt: the search can go on. The interrupted trial counts as failed; its options come again.
      ValueError: the folder has a search of something else; or as `training.train`.
      OSError: the study is locked or damaged; or as `training.train`.

    Example:
      Half an hour, two minutes for each trial; then a longer run with the best options:

          config = TrainingConfig(dataset="mnist", flow="realnvp", time_limit=120)
          tuning.tune(config, "searches/mnist", time_limit=1800)
          best = TrainingConfig.from_file("searches/mnist/best.json")
          training.train(dataclasses.replace(best, time_limit=600), "runs/best")

    Reference:
      Akiba, Sano, Yanase, Ohta, Koyama (2019), Optuna: a next-generation hyperparameter optimization
      framework, sections 3 and 4.
    """
    started = time.monotonic() if started is None else started
    _check(config, time_limit, trials)
    folder, config = Path(folder), config.with_absolute_paths()
    images = load_images(config)
    count = len(images.train)
    space = space_of(config, count)
    build_flow(config.resolved(count), images)  # what is wrong in `config` shows here
    about = {**dataclasses.asdict(config), **describe(space), "images": images.checksum()}
    del images
    results = Results(folder, config, space)
    with open_study(folder, seed=config.seed) as study:
        results.check()
        study.prepare(about, defaults(space, config, count))
        end = math.inf if time_limit is None else started + time_limit
        search = Search(config, space, study, results, callbacks=callbacks, say=say)
        try:
            search.go_on(end=end, most=trials)
        except KeyboardInterrupt:
            results.write(study)
            results.draw(study)
            say(f"Interrupted; what was found so far is in {folder}. The same command goes on.")
            raise
        results.write(study)
        results.draw(study)
        return results.summary(study)


def _check(config: TrainingConfig, time_limit: float | None, trials: int | None) -> None:
    if time_limit is not None and not 0 < time_limit < math.inf:
        raise ValueError(
            f"`time_limit` must be above 0 and finite, or None, received {time_limit}."
        )
    if time_limit is not None and config.time_limit is not None and time_limit < config.time_limit:
        raise ValueError(
            f"`time_limit` must be at least the time of one trial, {config.time_limit:g} s, received "
            f"{time_limit:g} s."
        )
    if trials is not None and (not isinstance(trials, int) or trials < 1):
        raise ValueError(
            f"`trials` must be an integer of at least 1, or None, received {trials!r}."
        )


class Search:
    """What one process does of a search.

    Args:
      config: what all trials share.
      space: what is searched.
      study: of the search.
      results: its files.
      callbacks: for each trial.
      say: called with messages for the user.
    """

    def __init__(
        self,
        config: TrainingConfig,
        space: Space,
        study: Study,
        results: Results,
        *,
        callbacks: Sequence[keras.callbacks.Callback],
        say: Callable[[str], None],
    ):
        self.config, self.space, self.study, self.results = config, space, study, results
        self.callbacks, self.say = callbacks, say

    def go_on(self, *, end: float, most: int | None) -> None:
        """Run trials.

        Args:
          end: `time.monotonic()` when the time is over.
          most: as in `Study.begin`.
        """
        first = True
        while (limit := self._time_of_trial(end, first=first)) != 0:
            begun = self.study.begin(self.space, most=most)
            if begun is None:
                return
            self._run(*begun, limit)
            self.results.write(self.study)
            first = False

    def _time_of_trial(self, end: float, *, first: bool) -> float | None:
        """Seconds for the next trial; 0 if there is no time for all of it, None for no limit.

        The first one may be shorter: the start of the program takes some of the time.
        """
        left, limit = end - time.monotonic(), self.config.time_limit
        if limit is None:
            limit = math.inf
        elif left < ENOUGH * limit and not first:
            return 0
        seconds = max(0.0, min(left, limit))
        return None if math.isinf(seconds) else seconds

    def _run(self, trial: optuna.Trial, values: dict[str, Any], limit: float | None) -> None:
        """Train with these values, and record how it ended."""
        config = dataclasses.replace(self.config, **values, time_limit=limit)
        early_end = EarlyEnd(trial, config)
        state, score, how = TrialState.FAIL, None, "failed"
        try:
            metrics = training.train(
                config,
                self.study.run_dir(trial.number),
                score_test=False,
                callbacks=self.callbacks,
                on_epoch=early_end.on_epoch,
                say=lambda message: None,
                show_epochs=False,
            )
            for name in RECORDED:
                trial.set_user_attr(name, metrics[name])
            if early_end.pruned:
                state, how = TrialState.PRUNED, "ended early"
            else:
                state, score = TrialState.COMPLETE, metrics["validation"]["bits_per_dim"]
                how = f"{score:.4f} bits per dimension of validation images"
            how += f", {metrics['seconds']:.0f} s"
        except FloatingPointError:
            state, how = TrialState.PRUNED, "diverged"  # so that the next ones stay away from there
        except (MemoryError, tf.errors.ResourceExhaustedError):
            state, how = TrialState.PRUNED, "too large for the memory"
        except KeyboardInterrupt:
            self.study.interrupt(trial)
            raise
        except Exception:
            self.study.end(trial, TrialState.FAIL)
            raise
        self.study.end(trial, state, score)
        self._say(trial, values, how)

    def _say(self, trial: optuna.Trial, values: dict[str, Any], how: str) -> None:
        options = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in values.items()
        )
        best = self.study.best()
        so_far = (
            f"best so far {best.value:.4f} (trial {best.number})"
            if best
            else "none is complete yet"
        )
        self.say(f"trial {trial.number}: {how}; {so_far}; {options}")


class EarlyEnd:
    """Reports the epochs of a trial to the study, which may end it.

    Epochs do not compare: a large flow does fewer of them in the same time. The share of its steps or of its
    time that a trial has behind it does, because its learning rate falls by that.

    Args:
      trial: of the study.
      config: of the trial.

    Attributes:
      pruned: whether the study ended it.
    """

    def __init__(self, trial: optuna.Trial, config: TrainingConfig):
        self.trial, self.config = trial, config
        self.pruned = False
        self._reported = 0

    def on_epoch(self, row: dict[str, float]) -> bool:
        """Report an epoch, as `training.train` calls it; whether the trial ends."""
        share = row["epoch"] / self.config.epochs
        if self.config.time_limit is not None:
            share = max(share, row["seconds"] / self.config.time_limit)
        point = min(POINTS, int(POINTS * share))
        for passed in range(self._reported + 1, point + 1):
            self.trial.report(row["val_bits_per_dim"], passed)
        self._reported = max(point, self._reported)
        self.pruned = 0 < point < POINTS and self.trial.should_prune()
        return self.pruned
