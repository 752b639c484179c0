"""What a search leaves in its folder beside the study: the best options, a table of the trials, two plots."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tfp_realnvp import views
from tfp_realnvp.files import check_output, replacing, write_json
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder
from tfp_realnvp.tuning.space import Space
from tfp_realnvp.tuning.study import Study

__all__ = ["RECORDED", "Results"]

RECORDED = (
    "seconds",
    "epochs",
    "parameters",
    "ended_by",
)  # of a trial, from the metrics of its run
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Results:
    """The files of a search. Each is replaced whole.

    Args:
      folder: of the search.
      config: what all trials share.
      space: what is searched.

    Attributes:
      best: the configuration of the best trial, which `train --config` takes.
      trials: a row for each trial that ended.
      history: the plot of their scores.
      importances: the plot of how much each option matters; with enough trials only.
    """

    def __init__(self, folder: Path, config: TrainingConfig, space: Space):
        self.config, self.space = config, space
        self.best = folder / "best.json"
        self.trials = folder / "trials.csv"
        self.history = folder / "history.png"
        self.importances = folder / "importances.png"

    def check(self) -> None:
        """Make sure that the files can be written.

        Raises:
          OSError: one cannot.
        """
        for path in (self.best, self.trials, self.history, self.importances):
            check_output(path, overwrite=True)

    def write(self, study: Study) -> None:
        """Write the best configuration and the table of the trials. Only the best run keeps its state.

        Other processes of the search wait, so that no older result takes the place of a newer one.
        """
        with study.locked():
            ended = [trial for trial in study.all() if trial.state in STATES]
            best = study.best()
            if best is not None:
                write_json(self._configuration(best), self.best)
            columns = ["trial", "state", "val_bits_per_dim", *RECORDED, *self.space]
            with replacing(self.trials) as temporary, temporary.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, fieldnames=columns, restval="")
                writer.writeheader()
                writer.writerows(_row(trial) for trial in ended)
            for trial in ended:
                if best is None or trial.number != best.number:
                    RunFolder(study.run_dir(trial.number)).remove_state()

    def draw(self, study: Study) -> None:
        """Draw the plots."""
        ended = [
            trial for trial in study.all() if trial.state in STATES and trial.value is not None
        ]
        if ended:
            figure = views.search_history(
                [trial.number for trial in ended],
                [trial.value for trial in ended],
                [trial.state == TrialState.COMPLETE for trial in ended],
            )
            views.write_png(figure, self.history)
        if shares := study.importances():
            views.write_png(views.importances(shares), self.importances)

    def summary(self, study: Study) -> dict[str, Any]:
        """The result of the search so far."""
        trials, best = study.all(), study.best()
        default = [
            trial.value
            for trial in trials
            if trial.user_attrs.get("default") and trial.state == TrialState.COMPLETE
        ]
        return {
            "trials": {
                name: sum(trial.state == state for trial in trials)
                for state, name in STATES.items()
            },
            "best": best
            and {"trial": best.number, "bits_per_dim": best.value, "options": best.params},
            "default_bits_per_dim": min(default, default=None),
            "config": str(self.best) if best else None,
        }

    def _configuration(self, trial: FrozenTrial) -> dict[str, Any]:
        """As JSON, without the options of other flows."""
        config = dataclasses.replace(self.config, **trial.params)
        fields = dataclasses.fields(config)
        values = {field.name: getattr(config, field.name) for field in fields}
        return {
            field.name: values[field.name]
            for field in fields
            if values[field.name] is not None or field.default is not None
        }


def _row(trial: FrozenTrial) -> dict[str, Any]:
    recorded = {name: trial.user_attrs[name] for name in RECORDED if name in trial.user_attrs}
    score = {} if trial.value is None else {"val_bits_per_dim": trial.value}
    return {
        "trial": trial.number,
        "state": STATES[trial.state],
        **score,
        **recorded,
        **trial.params,
    }
