"""The scores of an experiment: what each route draws from the same shots, in many draws of shots."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress, TextColumn

from tfp_realnvp import datasets, evaluation, fewshot, views
from tfp_realnvp.experiments.config import FewShotConfig
from tfp_realnvp.experiments.folder import ExperimentFolder
from tfp_realnvp.flows import ImageFlow

__all__ = ["ROUTE_OF_ALSO", "differences", "number_of_pictures", "score", "summary"]

ROUTE_OF_ALSO = "adapted"  # on which the models of `also` are scored
COMPARED = ("recognized", "density", "coverage", "frechet", "recall")  # with those of a control
OTHERS = 300  # images of each other label, for the classifier that learns a label from pictures


class _Scored(NamedTuple):
    """A flow, and what is drawn through it: the names of `fewshot.draw_routes`, and those in the report."""

    unseen: fewshot.Unseen
    adapter: fewshot.Adapter
    names: dict[str, str]


def score(
    config: FewShotConfig,
    place: ExperimentFolder,
    flow: ImageFlow,
    data: datasets.ImageSet,
    *,
    also: Mapping[str, ImageFlow] | None = None,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A row of scores for each route in each draw; those that are not in the file yet are made.

    Args:
      config: of the experiment.
      place: its folder.
      flow: the model that was chosen.
      data: with all labels.
      also: other models by name. What each draws after adaptation is scored as the route `adapted_NAME`.
      say: called with messages for the user.

    Returns:
      Rows with `draw`, `route`, the scores of `evaluation.Judge`, `bits_per_dim` and `variance_floor`.
    """
    of_models = fewshot.names_of_routes(config.shots)
    if left_out := set(fewshot.ROUTES) - set(of_models):
        say(f"with one shot, there is nothing on {', '.join(sorted(left_out))}")
    flows = [(flow, {name: name for name in of_models})]
    flows += [
        (other, {ROUTE_OF_ALSO: f"{ROUTE_OF_ALSO}_{name}"}) for name, other in (also or {}).items()
    ]
    names = [name for _, of_flow in flows for name in of_flow.values()]
    rows = [
        row
        for row in place.read_scores()
        if 0 <= row["draw"] < config.draws and row["route"] in names
    ]
    done = {(row["draw"], row["route"]) for row in rows}
    missing = [
        draw for draw in range(config.draws) if any((draw, name) not in done for name in names)
    ]
    if not missing:
        return rows
    judge = _judge(config, place, data, say)
    images = data.test.only([config.hold_out]).images
    scored = [
        _Scored(fewshot.Unseen(each, images), fewshot.Adapter(each), of_flow)
        for each, of_flow in flows
    ]
    with _show_bar(config.draws * len(names), completed=len(rows)) as (on_row, on_step):
        for draw in missing:
            for through in scored:
                for row in _score_draw(through, draw, done, config, place, data, judge, on_step):
                    place.add_score(row)
                    rows.append(row)
                    on_row()
            say(f"draw {draw + 1} of {config.draws}: {_in_words(rows, draw)}")
    return rows


def _score_draw(through, draw, done, config, place, data, judge, on_step):
    """Yields the rows of one draw of shots that are not done yet, for one flow."""
    shots, more = datasets.draw_shots_and_others(
        data.train, config.hold_out, config.shots, config.seed + draw
    )
    wanted = {key for key, name in through.names.items() if (draw, name) not in done}
    for drawn in fewshot.draw_routes(
        through.unseen,
        shots,
        more,
        adapter=through.adapter,
        pictures=number_of_pictures(config, data),
        seed=config.seed + draw,
        skip=frozenset({*fewshot.CONTROLS, *fewshot.ROUTES} - wanted),
        on_step=on_step,
    ):
        name = through.names[drawn.route]
        if draw == 0:
            place.draw_grid(f"route_{name}", drawn.images[: views.COLUMNS], data.levels)
        yield {
            "draw": draw,
            "route": name,
            **judge(drawn.images, shots),
            "bits_per_dim": drawn.bits_per_dim,
            "variance_floor": drawn.variance_floor,
        }


def number_of_pictures(config: FewShotConfig, data: datasets.ImageSet) -> int:
    """How many pictures are drawn: not more than there are other real ones."""
    count = int(np.count_nonzero(data.train.labels == config.hold_out))
    return min(config.pictures, count - config.shots)


@contextlib.contextmanager
def _show_bar(
    total: int, *, completed: int
) -> Iterator[tuple[Callable[[], None], Callable[[int], None]]]:
    """A bar on a terminal; yields what is called after each row, and after each step of an adaptation."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[step]}"))
    quiet = not console.is_terminal
    with Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        task = bar.add_task("few shots", total=total, completed=completed, step="")
        yield (
            lambda: bar.update(task, advance=1, step=""),
            lambda step: bar.update(task, step=f"adapting, step {step}"),
        )


def _judge(config, place: ExperimentFolder, data, say) -> evaluation.Judge:
    label, levels = config.hold_out, data.levels
    if not place.classifier.exists():
        say("training the classifier that judges the pictures")
    classifier = evaluation.Classifier(
        data.train.images, data.train.labels, levels=levels, cache=place.classifier
    )
    found = evaluation.accuracy(classifier.recognize, data.test.images, data.test.labels)
    say(f"it recognizes {found:.2%} of the test images")
    others = data.train.without([label])
    some = np.concatenate(
        [np.flatnonzero(others.labels == other)[:OTHERS] for other in np.unique(others.labels)]
    )
    unseen = data.test.only([label]).images
    return evaluation.Judge(classifier, label, unseen, others.take(some), levels=levels)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """For each route the mean, the standard error and all values of each score."""
    result: dict[str, Any] = {}
    for name in dict.fromkeys(row["route"] for row in rows):
        of_route = [row for row in rows if row["route"] == name]
        result[name] = {"draws": len(of_route)}
        for score in of_route[0]:
            if score not in ("draw", "route") and of_route[0][score] is not None:
                result[name][score] = _statistics([row[score] for row in of_route])
    return result


def differences(rows: list[dict[str, Any]], *, control: str = "affine_maps") -> dict[str, Any]:
    """For each route, how its scores differ from those of a control with the same shots, draw by draw."""
    of_control = {row["draw"]: row for row in rows if row["route"] == control}
    result: dict[str, Any] = {}
    for name in dict.fromkeys(row["route"] for row in rows):
        pairs = [
            (row, of_control[row["draw"]])
            for row in rows
            if row["route"] == name and row["draw"] in of_control
        ]
        if name != control and pairs:
            result[name] = {
                score: _statistics([row[score] - other[score] for row, other in pairs])
                for score in COMPARED
            }
    return result


def _statistics(values: list[float]) -> dict[str, Any]:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else None
    return {
        "mean": float(np.mean(values)),
        "standard_error": None if error is None else float(error),
        "values": list(map(float, values)),
    }


def _in_words(rows, draw: int) -> str:
    of_draw = [row for row in rows if row["draw"] == draw]
    return (
        ", ".join(f"{row['route']} {row['frechet']:.0f}" for row in of_draw) + " (Frechet distance)"
    )
