"""The few-shot experiment, stage by stage: four models, pictures of a label that none saw, scores, a report."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Collection, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, hardware, training, views
from tfp_realnvp.compute.traces import many_models
from tfp_realnvp.experiments.config import FewShotConfig
from tfp_realnvp.experiments.folder import ExperimentFolder
from tfp_realnvp.experiments.report import write_report
from tfp_realnvp.experiments.scoring import differences, number_of_pictures, score, summary
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.flows.morph import morph
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["few_shot", "say_on_standard_error"]

PACKAGES = ("tfp-realnvp", "tensorflow", "keras", "tensorflow-probability")
MORPHED = (2, 8)  # the labels of the original's animation
MORPH_STEPS = 9


def say_on_standard_error(message: str) -> None:
    """Print a message where it is not in the way of a result."""
    print(message, file=sys.stderr, flush=True)


def few_shot(
    config: FewShotConfig,
    folder: str | Path,
    *,
    run_dir: str | Path | None = None,
    also: Sequence[str | Path] = (),
    models: str | Path | None = None,
    classifier: str | Path | None = None,
    say: Callable[[str], None] = say_on_standard_error,
) -> dict[str, Any]:
    """Train four models, choose one by validation, draw a label that it never saw from a few shots, and report.

    Where `config.only` names a model, it takes the place of the four. Whatever is finished in the folder is not
    done again: an interrupted experiment goes on where it was.

    Args:
      config: what is learned, held out, and drawn how often.
      folder: where everything is written: report.html, results.json, scores.jsonl, models/, pictures/.
      run_dir: a finished run of the same data set with the same label held out, in place of the four models.
      also: other such runs, with folders of different names. Each is adapted to the same shots, and gets a row
        of scores.
      models: a folder for the four models, shared by other experiments with the same label held out. None
        means one in the folder.
      classifier: a file, NAME.keras, for the classifier that judges the pictures, shared by other experiments
        on the same data set. None means one in the folder.
      say: called with messages for the user.

    Returns:
      The content of results.json: the models with their scores, the chosen one, those in `also`, the scores of
      each route (mean, standard error and all draws), and how it was made.

    Raises:
      FileExistsError: the folder holds something else, or another experiment.
      ValueError, OSError: the data set cannot be had, it has no such label, the run is another's, or nothing
        can be written.

    Example:
      `few_shot(FewShotConfig(dataset="mnist"), "experiments/nines")`
    """
    if run_dir is not None and config.only is not None:
        raise ValueError(f"`only` must be None beside a run, received {config.only!r}.")
    place = ExperimentFolder(folder, models=models, classifier=classifier)
    run = None if run_dir is None else RunFolder(Path(run_dir).resolve())
    others = _by_name(also, config.models if run is None else [run.path.name])
    with place.locked(), many_models():
        data = datasets.load(config.dataset, manual_dir=config.manual_dir)
        _check(config, data, [*others.values(), *([] if run is None else [run])])
        told = {
            **dataclasses.asdict(config),
            "run_dir": None if run is None else str(run.path),
            **{f"also {name}": str(other.path) for name, other in others.items()},
        }
        place.begin(told)
        try:
            return _stages(config, place, data, run, others, say)
        except KeyboardInterrupt:
            say(f"Interrupted; what was done is in {place.path}. The same command goes on.")
            raise


def _by_name(folders: Sequence[str | Path], taken: Collection[str]) -> dict[str, RunFolder]:
    runs = [RunFolder(Path(folder).resolve()) for folder in folders]
    names = [run.path.name for run in runs]
    if len({*names, *taken}) < len(names) + len(taken):
        raise ValueError(
            f"`also` must be runs in folders of different names, which are none of {', '.join(taken)}, "
            f"received {', '.join(names)}."
        )
    return dict(zip(names, runs, strict=True))


def _stages(config, place: ExperimentFolder, data, run, others, say) -> dict[str, Any]:
    started = time.monotonic()
    models = _models(config, place, say) if run is None else {run.path.name: _metrics(run)}
    also = {name: _metrics(other) for name, other in others.items()}
    chosen = min(models, key=lambda name: models[name]["validation"]["bits_per_dim"])
    flow = RunFolder(models[chosen]["folder"]).load_model()
    _draw_models(models, also, place, config)
    _draw_morph(flow, data, place, config)
    flows = {name: other.load_model() for name, other in others.items()}
    rows = score(config, place, flow, data, also=flows, say=say)
    result = {
        "config": dataclasses.asdict(config),
        "command": _command(config, run, list(others)),
        "device": hardware.name(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "models": models,
        "chosen": chosen,
        "also": also,
        "pictures": number_of_pictures(config, data),
        "routes": summary(rows),
        "beside_affine_maps": differences(rows),
        "seconds": round(time.monotonic() - started, 1),
    }
    place.write_results(result)
    write_report(result, place)
    return result


def _command(config: FewShotConfig, run: RunFolder | None, others: list[str]) -> str:
    """The command that does the same; no folders of this machine are in it."""
    options = {
        "dataset": config.dataset,
        "hold-out": config.hold_out,
        "run": None if run is None else run.path.name,
        "only": config.only,
        "shots": config.shots,
        "draws": config.draws,
        "pictures": config.pictures,
        "time-limit": f"{config.time_limit:.0f}s" if run is None else None,
        "seed": config.seed,
    }
    given = [f" --{name} {value}" for name, value in options.items() if value is not None]
    given += [f" --also {name}" for name in others]
    return "tfp-realnvp experiment few-shot" + "".join(given)


def _check(config: FewShotConfig, data: datasets.ImageSet, runs: list[RunFolder]) -> None:
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
    for run in runs:
        _check_run(config, data, run)


def _check_run(config: FewShotConfig, data: datasets.ImageSet, run: RunFolder) -> None:
    held_out = TrainingConfig.from_json(run.read_config()).hold_out
    if config.hold_out not in held_out:
        raise ValueError(
            f"the run in {run.path} must have label {config.hold_out} held out, it has {list(held_out)}."
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
    for name in config.models:
        run = RunFolder(place.models / name)
        # a run that its time limit ended could go on; here it is finished
        if run.read_metrics() is None:
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


def _draw_models(models, also, place: ExperimentFolder, config: FewShotConfig) -> None:
    """Ten samples of each model in one picture, those of other runs in their own; all learning curves."""
    runs = {name: RunFolder(part["folder"]) for name, part in {**models, **also}.items()}
    pictures = {"models": [*models], **{f"model_{name}": [name] for name in also}}
    for picture, names in pictures.items():
        if not place.picture(picture).exists():
            flows = [runs[name].load_model() for name in names]
            drawn = [flow.sample(views.COLUMNS, seed=config.seed).numpy() for flow in flows]
            place.draw_grid(picture, np.concatenate(drawn), flows[0].levels)
    histories = {name: run.read_history() for name, run in runs.items()}
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
