"""The few-shot experiment, stage by stage: four models, pictures of a label that none saw, scores, a report."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, TextColumn

from tfp_realnvp import datasets, evaluation, fewshot, hardware, training, views
from tfp_realnvp.compute.traces import many_models
from tfp_realnvp.experiments.config import MODELS, FewShotConfig
from tfp_realnvp.experiments.folder import ExperimentFolder
from tfp_realnvp.experiments.report import write_report
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.flows.morph import morph
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["few_shot"]

PACKAGES = ("tfp-realnvp", "tensorflow", "keras", "tensorflow-probability")
MORPHED = (2, 8)  # the labels of the original's animation
MORPH_STEPS = 9
OTHERS = 300  # images of each other label, for the classifier that learns a label from pictures


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def few_shot(
    config: FewShotConfig,
    folder: str | Path,
    *,
    run_dir: str | Path | None = None,
    say: Callable[[str], None] = _say,
) -> dict[str, Any]:
    """Train four models, choose one by validation, draw a label that it never saw from a few shots, and report.

    Whatever is finished in the folder is not done again: an interrupted experiment goes on where it was.

    Args:
      config: what is learned, held out, and drawn how often.
      folder: where everything is written: report.html, results.json, scores.jsonl, models/, pictures/.
      run_dir: a finished run of the same data set with the same label held out, in place of the four models.
      say: called with messages for the user.

    Returns:
      The content of results.json: the models with their scores, the chosen one, the scores of each route
      (mean, standard error and all draws), and how it was made.

    Raises:
      FileExistsError: the folder holds something else, or another experiment.
      ValueError, OSError: the data set cannot be had, it has no such label, the run is another's, or nothing
        can be written.

    Example:
      `few_shot(FewShotConfig(dataset="mnist"), "experiments/nines")`
    """
    place = ExperimentFolder(folder)
    run = None if run_dir is None else RunFolder(Path(run_dir).resolve())
    with place.locked(), many_models():
        data = datasets.load(config.dataset, manual_dir=config.manual_dir)
        _check(config, data, run)
        told = {**dataclasses.asdict(config), "run_dir": None if run is None else str(run.path)}
        place.begin(told)
        try:
            return _stages(config, place, data, run, say)
        except KeyboardInterrupt:
            say(f"Interrupted; what was done is in {place.path}. The same command goes on.")
            raise


def _stages(config, place: ExperimentFolder, data, run, say) -> dict[str, Any]:
    started = time.monotonic()
    models = _models(config, place, say) if run is None else {run.path.name: _metrics(run)}
    chosen = min(models, key=lambda name: models[name]["validation"]["bits_per_dim"])
    flow = RunFolder(models[chosen]["folder"]).load_model()
    _draw_models(models, place, config)
    _draw_morph(flow, data, place, config)
    rows = _score(config, place, flow, data, say)
    result = {
        "config": dataclasses.asdict(config),
        "command": _command(config, run),
        "device": hardware.name(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "models": models,
        "chosen": chosen,
        "pictures": _pictures(config, data),
        "routes": _summary(rows),
        "seconds": round(time.monotonic() - started, 1),
    }
    place.write_results(result)
    write_report(result, place)
    return result


def _command(config: FewShotConfig, run: RunFolder | None) -> str:
    """The command that does the same; no folders of this machine are in it."""
    options = {
        "dataset": config.dataset,
        "hold-out": config.hold_out,
        "run": None if run is None else run.path.name,
        "shots": config.shots,
        "draws": config.draws,
        "pictures": config.pictures,
        "time-limit": f"{config.time_limit:.0f}s" if run is None else None,
        "seed": config.seed,
    }
    given = (f" --{name} {value}" for name, value in options.items() if value is not None)
    return "tfp-realnvp experiment few-shot" + "".join(given)


def _check(config: FewShotConfig, data: datasets.ImageSet, run: RunFolder | None) -> None:
    known = sorted(set(data.train.labels.tolist()))
    if config.hold_out not in known:
        raise ValueError(
            f"`hold_out` must be one of the labels {known}, received {config.hold_out}."
        )
    count = np.count_nonzero(data.train.labels == config.hold_out)
    if count < config.shots + 6:
        raise ValueError(
            f"`shots` must leave at least 6 of the {count} training images of label {config.hold_out}, "
            f"received {config.shots}."
        )
    if run is not None:
        _check_run(config, data, run)


def _check_run(config: FewShotConfig, data: datasets.ImageSet, run: RunFolder) -> None:
    held_out = run.read_config()["training"]["hold_out"]
    if config.hold_out not in held_out:
        raise ValueError(
            f"the run in {run.path} must have label {config.hold_out} held out, it has {held_out}."
        )
    _metrics(run)
    flow = run.load_model()
    if flow.labels:
        raise ValueError(f"the run in {run.path} must be of a flow without labels.")
    if (flow.image_shape, flow.levels) != (data.image_shape, data.levels):
        raise ValueError(
            f"the run in {run.path} must be of images of {data.image_shape} and {data.levels} grey levels, as "
            f"{config.dataset} has, received {flow.image_shape} and {flow.levels}."
        )


def _models(config, place: ExperimentFolder, say) -> dict[str, dict[str, Any]]:
    """The metrics of each model by its name; what is not trained yet is trained."""
    models = {}
    for name in MODELS:
        run = RunFolder(place.models / name)
        if not run.is_finished():
            say(f"model {name}: {config.time_limit:.0f} s at most")
            _train(config.model(name), run, say)
        models[name] = _metrics(run)
    return models


def _train(config, run: RunFolder, say) -> None:
    """Train a model, or go on with one that was interrupted."""
    if run.has_result():
        try:
            training.resume(run.path, say=say)
            return
        except ValueError as error:  # its time is used up, or it has no state
            say(f"{error} It is trained again from the start.")
    training.train(config, run.path, overwrite=True, say=say)


def _metrics(run: RunFolder) -> dict[str, Any]:
    metrics = run.read_metrics()
    if metrics is None:
        raise ValueError(
            f"the run in {run.path} is not finished: `train --resume` goes on with it."
        )
    return {**metrics, "folder": str(run.path)}


def _draw_models(models, place: ExperimentFolder, config: FewShotConfig) -> None:
    """Ten samples of each model, and their learning curves in one figure."""
    histories = {}
    for name, metrics in models.items():
        run = RunFolder(metrics["folder"])
        histories[name] = run.read_history()
        target = place.picture(f"model_{name}")
        if not target.exists():
            flow = run.load_model()
            images = flow.sample(views.COLUMNS, seed=config.seed).numpy()
            place.draw_row(f"model_{name}", images, flow.levels)
    views.write_png(views.learning_curves(histories), place.picture("learning_curves"))


def _draw_morph(flow: ImageFlow, data, place: ExperimentFolder, config: FewShotConfig) -> None:
    target = place.picture("morph")
    known = set(data.test.labels.tolist()) - {config.hold_out}
    start, end = MORPHED if known.issuperset(MORPHED) else sorted(known)[:2]
    if not target.exists():
        images, latents = morph(
            flow,
            datasets.draw_shots(data.test, start, 2, config.seed)[0],
            datasets.draw_shots(data.test, end, 2, config.seed)[1],
            steps=MORPH_STEPS,
        )
        views.write_png(views.morph_strip(images, latents, levels=flow.levels), target)


def _score(config, place: ExperimentFolder, flow, data, say) -> list[dict[str, Any]]:
    """A row of scores for each route in each draw; those that are not in the file yet are made."""
    rows = place.read_scores()
    names = (*fewshot.CONTROLS, *fewshot.ROUTES)
    done = {(row["draw"], row["route"]) for row in rows}
    missing = [
        draw for draw in range(config.draws) if any((draw, name) not in done for name in names)
    ]
    if not missing:
        return rows
    judge = _judge(config, place, data, say)
    label, pictures = config.hold_out, _pictures(config, data)
    unseen = data.test.only([label]).images
    console = Console(stderr=True)
    bar = Progress(
        *Progress.get_default_columns(),
        TextColumn("{task.fields[step]}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(
            "few shots", total=config.draws * len(names), completed=len(rows), step=""
        )
        for draw in missing:
            shots, more = _shots(data, label, config.shots, config.seed + draw)
            drawn_on_routes = fewshot.draw_routes(
                flow,
                shots,
                unseen,
                more,
                pictures=pictures,
                seed=config.seed + draw,
                skip=frozenset(name for name in names if (draw, name) in done),
                on_step=lambda step: bar.update(task, step=f"adapting, step {step}"),
            )
            for drawn in drawn_on_routes:
                row = {
                    "draw": draw,
                    "route": drawn.route,
                    **judge(drawn.images, shots),
                    "bits_per_dim": drawn.bits_per_dim,
                    "variance_floor": drawn.variance_floor,
                }
                if draw == 0:
                    place.draw_row(f"route_{drawn.route}", drawn.images, flow.levels)
                place.add_score(row)
                rows.append(row)
                bar.update(task, advance=1, step="")
            say(f"draw {draw + 1} of {config.draws}: {_in_words(rows, draw)}")
    return rows


def _shots(data: datasets.ImageSet, label: int, count: int, seed: int):
    """(the shots of a draw, all other training images of the label in a random order)."""
    images = data.train.only([label]).images
    order = np.random.default_rng(seed).permutation(len(images))
    return images[order[:count]], images[order[count:]]


def _pictures(config: FewShotConfig, data: datasets.ImageSet) -> int:
    """How many pictures are drawn: not more than there are other real ones."""
    count = int(np.count_nonzero(data.train.labels == config.hold_out))
    return min(config.pictures, count - config.shots)


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


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """For each route the mean, the standard error and all values of each score."""
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(row["route"] for row in rows):
        of_route = [row for row in rows if row["route"] == name]
        summary[name] = {"draws": len(of_route)}
        for score in of_route[0]:
            if score in ("draw", "route") or of_route[0][score] is None:
                continue
            values = np.array([row[score] for row in of_route])
            error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else None
            summary[name][score] = {
                "mean": float(values.mean()),
                "standard_error": None if error is None else float(error),
                "values": values.tolist(),
            }
    return summary


def _in_words(rows, draw: int) -> str:
    of_draw = [row for row in rows if row["draw"] == draw]
    return (
        ", ".join(f"{row['route']} {row['frechet']:.0f}" for row in of_draw) + " (Frechet distance)"
    )
