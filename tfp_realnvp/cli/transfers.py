"""What `transfer` does: from a few shots to a distribution of more like them, its pictures and its scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfp_realnvp import datasets, fewshot, flows, hardware, serving, views
from tfp_realnvp.cli.few_shot_runs import SHOTS, FewShots, few_shots_of, write_few_shot_run
from tfp_realnvp.cli.output import show_bar
from tfp_realnvp.cli.run_data import load_data, trained_on
from tfp_realnvp.compute.traces import without_compiling
from tfp_realnvp.fewshot import Route
from tfp_realnvp.fewshot.route import Space
from tfp_realnvp.files import check_folder, check_output, write_json
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["transfer"]

Result = dict[str, Any]

# what is written: also a run folder, of which questions can be asked
TRANSFERRED = (
    "comparison.png", "samples.png", "metrics.json", "config.json", "model.keras", SHOTS,
)  # fmt: skip

ADAPTATION_STEPS = 300


class _Shots(NamedTuple):
    """What the flow is shown.

    Attributes:
      images: the shots.
      unseen: other images of their label, which are scored; None if the shots were PNG files.
      title: what people are told that they are.
    """

    images: np.ndarray
    unseen: np.ndarray | None
    title: str


def transfer(
    run_dir: Path,
    route: Route,
    *,
    label: int,
    shots: int,
    shots_dir: Path | None,
    given: int | None,
    space: Space,
    num: int,
    dataset: str | None,
    manual_dir: str | None,
    seed: int,
    output_dir: Path | None,
    export_to: Path | None,
    overwrite: bool,
) -> Result:
    """Draw more of something from a few images of it; compare the routes to it in pictures and numbers.

    The shots are images of a label, whose other images are scored, or the PNG files of a folder. A
    class-conditional flow is told the label `given` for all of them. If the route is `adapted`, all go through
    a copy of the flow that is first trained on from the shots. The folder of the results is a run folder, too,
    of the distribution that the chosen route leads to, on latents or on pixels (`space`). With `export_to`, it
    becomes the next version of a SavedModel there.
    """
    if route.adapted:
        hardware.use()
    run = RunFolder(run_dir)
    config = run.read_config()
    folder = output_dir or run_dir / (f"transfer_{label}" if shots_dir is None else "transfer")
    _check_transferred(folder, overwrite=overwrite or output_dir is None)
    if export_to is not None:
        _check_export(export_to)
    flow = _given(run.load_model(), given)
    views.check_count(num, flow.image_shape)
    if shots_dir is None:
        data = load_data(run, flow, dataset, manual_dir)
        shown = _shots_of_label(data, label, shots, seed)
    else:
        shown = _shots_of_folder(shots_dir, flow)
    _check_fit(flow, route, shown.images, seed)
    if route.adapted:
        flow = _adapted(flow, shown.images, seed)
    with without_compiling():
        comparison = fewshot.compare(flow, shown.images, route, unseen=shown.unseen, seed=seed)
        kept = {"latents": fewshot.CHOSEN, "pixels": fewshot.CHOSEN_ON_PIXELS}[space]
        kept_route = comparison.routes[kept]
        few = fewshot.few_shot_flow(flow, shown.images, kept_route, seed=seed)
    metrics = {"can_go_on": False, "adapted": route.adapted, **comparison.metrics()}
    if shown.unseen is not None:
        held_out = TrainingConfig.from_json(config).hold_out
        metrics |= {"label": label, "learned": dataset is None and label not in held_out}
    _draw(comparison, folder, shown.title, kept, num=num, seed=seed)
    write_json(metrics, folder / "metrics.json")
    about = FewShots(
        label=None if shots_dir is not None else label,
        shots=len(shown.images),
        seed=seed,
        dataset=dataset,
        manual_dir=manual_dir,
        route=dataclasses.asdict(kept_route),
    )
    write_few_shot_run(RunFolder(folder), config, about, few, shown.images)
    result = {**metrics, "output_dir": str(folder)}
    if export_to is not None:
        version = _export(config, few, comparison, kept, metrics, shown.title, export_to)
        result["saved_model"] = str(version)
    return result


def _check_transferred(folder: Path, *, overwrite: bool) -> None:
    """Nothing but an earlier transfer is replaced."""
    run = RunFolder(folder)
    if run.config.exists() and few_shots_of(run.read_config()) is None:
        raise FileExistsError(f"{folder} is the folder of a run: choose another `output_dir`.")
    for file in TRANSFERRED:
        check_output(folder / file, overwrite=overwrite)


def _check_export(folder: Path) -> None:
    """A server that watches the export of a run must not find something else as its next version."""
    if (folder / "config.json").exists():
        raise FileExistsError(
            f"{folder} is the folder of a run or of its export: choose another `export_to`."
        )
    check_folder(folder)


def _given(flow: flows.ImageFlow, label: int | None) -> flows.ImageFlow:
    """The flow, or that of a label if it is class-conditional."""
    if label is not None:
        return flow.given(label)
    if flow.labels:
        raise ValueError(
            "`given` must be the label that the class-conditional model is told for all images, of "
            f"{', '.join(map(str, flow.labels))}, received none."
        )
    return flow


def _shots_of_label(data: datasets.ImageSet, label: int, shots: int, seed: int) -> _Shots:
    images = datasets.draw_shots(data.train, label, shots, seed)
    unseen = data.test.only([label]).images
    return _Shots(images, unseen, f"the {shots} shots of label {label}")


def _shots_of_folder(folder: Path, flow: flows.ImageFlow) -> _Shots:
    images = datasets.read_png_folder(folder, flow.image_shape, levels=flow.levels)
    return _Shots(images, None, f"the {len(images)} shots")


def _check_fit(flow: flows.ImageFlow, route: Route, shots: np.ndarray, seed: int) -> None:
    """Find what nothing can be fitted to, or not with these options, before an adaptation, which takes long.

    Raises:
      ValueError: as `fewshot.fit_pixels`.
    """
    points = fewshot.with_maps(shots, route.maps, seed=seed)
    in_full = route.for_shots(len(shots), flow.dimensions)
    fewshot.fit_pixels(points, levels=flow.levels, **in_full.options)


def _adapted(flow: flows.ImageFlow, shots: np.ndarray, seed: int) -> flows.ImageFlow:
    """The flow after it was trained on from the shots, with a bar on a terminal."""
    with show_bar("adapting the flow to the shots", total=ADAPTATION_STEPS) as advance:
        return fewshot.adapt(flow, shots, steps=ADAPTATION_STEPS, seed=seed, on_step=advance)


def _draw(
    comparison: fewshot.Comparison, folder: Path, title: str, kept: str, *, num: int, seed: int
) -> None:
    """Write comparison.png and samples.png."""
    rows = {title: comparison.shots[: views.COLUMNS]}
    rows |= comparison.draw_each(views.COLUMNS, seed=seed)
    levels = comparison.levels
    views.write_png(views.comparison(rows, levels=levels), folder / "comparison.png")
    with without_compiling():
        images = comparison.draw(num, name=kept, seed=seed)
    grid = views.grid(images, levels=levels)
    views.write_png(grid, folder / "samples.png", scale=views.scale_for(images))


def _export(
    config: Result,
    few: flows.FewShotFlow,
    comparison: fewshot.Comparison,
    kept: str,
    metrics: Result,
    title: str,
    folder: Path,
) -> Path:
    """Export the distribution of a route."""
    scores, route = {}, comparison.routes[kept]
    if comparison.unseen:
        scored = f"{comparison.unseen:,} other images like the shots"
        scores[scored] = comparison.bits_per_dim[kept]
    return serving.export(
        few,
        folder,
        about=f"{trained_on(config)}\n\nIt draws more of {title}: the distribution of their {route.space} is "
        f"{route.title}, fitted to those of the shots."
        + (" Before that, the flow was trained on from the shots." if route.adapted else ""),
        scores=scores,
        documents={"config": config, "metrics": metrics},
    )
