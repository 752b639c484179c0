"""Sweeps: the few-shot experiment for label after label, or for more and more shots."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tfp_realnvp import datasets, views
from tfp_realnvp.experiments import page
from tfp_realnvp.experiments.config import FewShotConfig
from tfp_realnvp.experiments.folder import ExperimentFolder
from tfp_realnvp.experiments.report import SCORES, in_words
from tfp_realnvp.experiments.stages import few_shot, say_on_standard_error

__all__ = ["SWEPT", "sweep"]

# What may differ between the experiments, and how the report calls that.
SWEPT = {"hold_out": "one label after another held out", "shots": "numbers of shots"}


def sweep(
    config: FewShotConfig,
    by: str,
    folder: str | Path,
    *,
    values: Sequence[int] | None = None,
    run_dir: str | Path | None = None,
    also: Sequence[str | Path] = (),
    say: Callable[[str], None] = say_on_standard_error,
) -> dict[str, Any]:
    """Do the few-shot experiment several times, and put the scores side by side.

    Each experiment has a folder of its own in the folder, with its own report. What is finished is not done
    again: an interrupted sweep goes on where it was, and more values can be added.

    Args:
      config: of all experiments, but for what is swept.
      by: the field of the configuration that differs, one of `SWEPT`. Where only the number of shots differs,
        all experiments share the models.
      folder: where everything is written.
      values: of this field. None means all labels of the data set, or 1, 3, 10, 30 and 100 shots.
      run_dir: a finished run in place of the four models, as in `few_shot`.
      also: other finished runs, as in `few_shot`.
      say: called with messages for the user.

    Returns:
      The content of results.json: `by`, and under `experiments` the result of `few_shot` for each value.

    Raises:
      FileExistsError, ValueError, OSError: as `few_shot`, and an unknown `by` or no values.

    Example:
      `sweep(FewShotConfig(dataset="mnist"), "hold_out", "experiments/all_digits")`
    """
    if by not in SWEPT:
        raise ValueError(f"`by` must be one of {', '.join(SWEPT)}, received {by!r}.")
    values = list(_all_values(config, by) if values is None else values)
    if not values:
        raise ValueError("`values` must be at least one, received none.")
    configs = [FewShotConfig(**{**vars(config), by: value}) for value in values]
    place = ExperimentFolder(folder)
    results: dict[str, Any] = {}
    with place.locked():
        place.begin({"sweep": by})
        for value, one in zip(values, configs, strict=True):
            say(f"{by} {value}")
            own = place.path / f"{by}_{value}"
            results[str(value)] = few_shot(
                one,
                own,
                run_dir=run_dir,
                also=also,
                models=place.models if by == "shots" else None,
                classifier=place.classifier,
                say=say,
            )
        found = {"by": by, "experiments": results}
        place.write_results(found)
        _write_report(found, place)
    return found


def _all_values(config: FewShotConfig, by: str) -> list[int]:
    if by == "shots":
        return [1, 3, 10, 30, 100]
    data = datasets.load(config.dataset, manual_dir=config.manual_dir)
    return sorted(set(data.train.labels.tolist()))


def _write_report(found: dict[str, Any], place: ExperimentFolder) -> None:
    by, results = found["by"], found["experiments"]
    routes = list(dict.fromkeys(name for result in results.values() for name in result["routes"]))
    curves = {
        score: {
            name: {
                int(value): result["routes"][name][score]
                for value, result in results.items()
                if score in result["routes"].get(name, {})
            }
            for name in routes
        }
        for score in ("coverage", "frechet")
    }
    views.write_png(
        views.score_curves(curves, by=by, logarithmic=by == "shots"), place.picture("scores")
    )
    parts = [
        page.paragraph(
            "Pictures of a label that the models never saw, drawn from a few images of it, over "
            f"{SWEPT[by]}. Means over all draws of shots, with standard errors."
        ),
        page.picture(place.picture("scores"), "Coverage and Frechet distance.", crisp=False),
    ]
    for score, (_, about) in SCORES.items():
        rows = [
            [
                value,
                *(in_words(result["routes"].get(name, {}), score) for name in routes),
            ]
            for value, result in results.items()
        ]
        parts += [
            f"<h2>{score}</h2>",
            page.paragraph(f"{about[0].upper()}{about[1:]}."),
            page.table([by, *routes], rows),
        ]
    parts.append("<h2>Pictures</h2>")
    for value in results:
        own = ExperimentFolder(place.path / f"{by}_{value}")
        parts += [
            page.picture(own.picture(f"route_{name}"), f"{by} {value}: {name}, the first draw.")
            for name in ("shots", "adapted")
        ]
    parts.append("<h2>How it was made</h2>")
    parts += [
        f"<p><code>{html.escape(result['command'])}</code></p>" for result in results.values()
    ]
    page.write(place.report, f"New pictures from a few shots: {SWEPT[by]}", parts)
