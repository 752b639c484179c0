"""What each command does once its arguments are understood: from a run folder to pictures and numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp import (
    datasets,
    experiments,
    fewshot,
    flows,
    hardware,
    queries,
    serving,
    training,
    views,
)
from tfp_realnvp.cli.beside import RECORD, check_beside, record_of, write_beside
from tfp_realnvp.cli.few_shot_runs import SHOTS, FewShots, few_shots_of, write_few_shot_run
from tfp_realnvp.cli.output import show_bar
from tfp_realnvp.fewshot import ADAPTED, Route
from tfp_realnvp.fewshot.route import Space
from tfp_realnvp.files import check_folder, check_output, write_json
from tfp_realnvp.flows.morph import morph as morph_images
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["demo", "export", "few_shot", "load_data", "morph", "sample", "transfer"]

Result = dict[str, Any]

# what `transfer` writes: also a run folder, of which questions can be asked
TRANSFERRED = (
    "comparison.png", "samples.png", "metrics.json", "config.json", "model.keras", SHOTS,
)  # fmt: skip

ADAPTATION_STEPS = 300

SCORED = {  # what the parts of a run's metrics are, for the model card
    "train": "of the training images",
    "validation": "validation images, by which the epoch was chosen",
    "test": "test images of the labels that were learned",
    "held_out": "test images of the labels that were held out",
}


def sample(
    run_dir: Path,
    *,
    num: int,
    labels: Sequence[int],
    temperature: float,
    seed: int,
    device: hardware.Device,
    output: Path | None,
    overwrite: bool,
) -> Result:
    """Draw images, as a grid or one by one (`draw_to_npz`, `draw_to_folder`), by the suffix of the output.

    With labels, the images have these labels in turn.
    """
    target = output or run_dir / "drawn.png"
    run = RunFolder(run_dir)
    run.read_config()
    if target.suffix.lower() in ("", ".npz"):
        return _draw_one_by_one(run, target, num, labels, temperature, seed, device, overwrite)
    if device != "auto":  # a grid needs no threads of its own
        hardware.use(device)
    check_output(target, overwrite=overwrite or output is None)
    flow = run.load_model()
    views.check_count(num, flow.image_shape)
    in_turn = np.resize(labels, num) if labels else None
    with _without_compiling():
        images = flow.sample(num, in_turn, temperature=temperature, seed=seed).numpy()
    views.write_png(views.grid(images, levels=flow.levels), target, scale=views.scale_for(images))
    return {"images": num, "output": str(target)}


def _draw_one_by_one(
    run: RunFolder,
    target: Path,
    num: int,
    labels: Sequence[int],
    temperature: float,
    seed: int,
    device: hardware.Device,
    overwrite: bool,
) -> Result:
    hardware.use(device)
    with hardware.strategy().scope():
        flow = run.load_model()
    options: dict[str, Any] = {"labels": labels, "temperature": temperature, "seed": seed}
    with show_bar("drawing images", total=num) as advance:
        if target.suffix:
            queries.draw_to_npz(
                flow, num, target, **options, overwrite=overwrite, on_images=advance
            )
        else:
            queries.draw_to_folder(flow, num, target, **options, on_images=advance)
    return {"images": num, "output": str(target)}


@contextlib.contextmanager
def _without_compiling() -> Iterator[None]:
    """Run TensorFlow's functions operation by operation: to compile them for one call takes longer."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


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
        _check_export_of_transfer(export_to)
    flow = _given(run.load_model(), given)
    views.check_count(num, flow.image_shape)
    unseen: np.ndarray | None = None
    if shots_dir is None:
        data = load_data(run, flow, dataset, manual_dir)
        examples = datasets.draw_shots(data.train, label, shots, seed)
        unseen = data.test.only([label]).images
        what = f"the {shots} shots of label {label}"
    else:
        examples = datasets.read_png_folder(shots_dir, flow.image_shape, levels=flow.levels)
        what = f"the {len(examples)} shots"
    # what nothing can be fitted to, or not with these options, is found here: an adaptation takes long
    points = fewshot.with_maps(examples, route.maps, seed=seed)
    in_full = route.for_shots(len(examples), flow.dimensions)
    fewshot.fit_pixels(points, levels=flow.levels, **in_full.options)
    if route.adapted:
        flow = _adapted(flow, examples, seed)
    with _without_compiling():
        comparison = fewshot.compare(flow, examples, route, unseen=unseen, seed=seed)
        kept = {"latents": fewshot.CHOSEN, "pixels": fewshot.CHOSEN_ON_PIXELS}[space]
        kept_route = comparison.routes[kept]
        few = fewshot.few_shot_flow(flow, examples, kept_route, seed=seed)
    metrics = {"can_go_on": False, "adapted": route.adapted, **comparison.metrics()}
    if unseen is not None:
        held_out = TrainingConfig.from_json(config).hold_out
        metrics |= {"label": label, "learned": dataset is None and label not in held_out}
    _draw(comparison, folder, what, kept, num=num, seed=seed)
    write_json(metrics, folder / "metrics.json")
    about = FewShots(
        label=None if shots_dir is not None else label,
        shots=len(examples),
        seed=seed,
        dataset=dataset,
        manual_dir=manual_dir,
        route=dataclasses.asdict(kept_route),
    )
    write_few_shot_run(RunFolder(folder), config, about, few, examples)
    result = {**metrics, "output_dir": str(folder)}
    if export_to is not None:
        result["saved_model"] = str(
            _export_transfer(config, few, comparison, kept, metrics, what, export_to)
        )
    return result


def _check_transferred(folder: Path, *, overwrite: bool) -> None:
    """Nothing but an earlier transfer is replaced."""
    run = RunFolder(folder)
    if run.config.exists() and few_shots_of(run.read_config()) is None:
        raise FileExistsError(f"{folder} is the folder of a run: choose another `output_dir`.")
    for file in TRANSFERRED:
        check_output(folder / file, overwrite=overwrite)


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


def _adapted(flow: flows.ImageFlow, shots: np.ndarray, seed: int) -> flows.ImageFlow:
    """The flow after it was trained on from the shots, with a bar on a terminal."""
    with show_bar("adapting the flow to the shots", total=ADAPTATION_STEPS) as advance:
        return fewshot.adapt(flow, shots, steps=ADAPTATION_STEPS, seed=seed, on_step=advance)


def _draw(
    comparison: fewshot.Comparison, folder: Path, what: str, kept: str, *, num: int, seed: int
) -> None:
    """Write comparison.png and samples.png."""
    rows = {what: comparison.shots[: views.COLUMNS]}
    rows |= comparison.draw_each(views.COLUMNS, seed=seed)
    levels = comparison.levels
    views.write_png(views.comparison(rows, levels=levels), folder / "comparison.png")
    with _without_compiling():
        images = comparison.draw(num, name=kept, seed=seed)
    grid = views.grid(images, levels=levels)
    views.write_png(grid, folder / "samples.png", scale=views.scale_for(images))


def _check_export_of_transfer(folder: Path) -> None:
    """A server that watches the export of a run must not find something else as its next version."""
    if (folder / "config.json").exists():
        raise FileExistsError(
            f"{folder} is the folder of a run or of its export: choose another `export_to`."
        )
    check_folder(folder)


def _export_transfer(
    config: Result,
    few: flows.FewShotFlow,
    comparison: fewshot.Comparison,
    kept: str,
    metrics: Result,
    what: str,
    folder: Path,
) -> Path:
    """Export the distribution of a route."""
    scores, route = {}, comparison.routes[kept]
    if comparison.unseen:
        title = f"{comparison.unseen:,} other images like the shots"
        scores[title] = comparison.bits_per_dim[kept]
    return serving.export(
        few,
        folder,
        about=f"{_trained_on(config)}\n\nIt draws more of {what}: the distribution of their {route.space} is "
        f"{route.title}, fitted to those of the shots."
        + (" Before that, the flow was trained on from the shots." if route.adapted else ""),
        scores=scores,
        documents={"config": config, "metrics": metrics},
    )


def few_shot(
    config: experiments.FewShotConfig,
    folder: Path,
    *,
    run_dir: Path | None,
    also: list[Path],
    by: str | None,
    values: list[int] | None,
) -> Result:
    """The few-shot experiment, or one for each of several values of the field `by`, see `experiments.sweep`."""
    hardware.use()
    if by is None:
        return experiments.few_shot(config, folder, run_dir=run_dir, also=also)
    return experiments.sweep(config, by, folder, values=values, run_dir=run_dir, also=also)


def morph(
    run_dir: Path,
    *,
    from_label: int,
    to_label: int,
    steps: int,
    dataset: str | None,
    manual_dir: str | None,
    seed: int,
    output: Path | None,
    overwrite: bool,
) -> Result:
    """Animate the way from an image of one label to one of another and back, and write it as a strip."""
    target = output or run_dir / "morph.gif"
    if target.suffix.lower() != ".gif":
        raise ValueError(f"`output` must end in .gif, received {target}.")
    strip = target.with_suffix(".png")
    run = RunFolder(run_dir)
    run.read_config()
    for path in (target, strip):
        check_output(path, overwrite=overwrite or output is None)
    flow = run.load_model()
    data = load_data(run, flow, dataset, manual_dir)
    start = datasets.draw_shots(data.test, from_label, 2, seed)[0]
    end = datasets.draw_shots(data.test, to_label, 2, seed)[1]
    with _without_compiling():
        labels = [from_label, to_label] if flow.labels else None
        images, latents = morph_images(flow, start, end, steps=steps, labels=labels)
    views.write_gif(images, latents, target, levels=flow.levels)
    views.write_png(views.morph_strip(images, latents, levels=flow.levels), strip)
    return {"frames": len(images), "output": str(target), "strip": str(strip)}


def export(
    run_dir: Path,
    folder: Path,
    *,
    max_images: int,
    warm_up_requests: Sequence[int],
    overwrite: bool,
) -> Result:
    """Write a run's model as the next version of a SavedModel, and the run's results beside it."""
    run, target = RunFolder(run_dir), RunFolder(folder)
    config, metrics = run.read_config(), run.read_metrics() or {}
    same = target.path.resolve() == run.path.resolve()
    check_folder(folder)
    if not same:
        check_beside(target, overwrite=overwrite)
    flow = run.load_model()
    beside = {} if same else record_of(run)
    version = serving.export(
        flow,
        folder,
        max_images=max_images,
        warm_up_requests=warm_up_requests,
        about=_trained_on(config),
        scores={
            title: metrics[part]["bits_per_dim"]
            for part, title in SCORED.items()
            if metrics.get(part)
        },
        documents={
            "config": config,
            **({"metrics": metrics} if metrics else {}),
            RECORD: beside,
        },
    )
    if not same:
        write_beside(target, run)
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    return {"output": str(version), "bytes": size}


def demo(run_dir: Path, *, overwrite: bool) -> Result:
    """The whole story on the embedded digits: learn 0 to 8, draw new 9s from ten, morph, export."""
    started = time.monotonic()
    hardware.use()
    config = TrainingConfig(
        dataset="digits", hold_out=(9,), channels=32, blocks=1, batch_size=64, epochs=25
    )
    metrics = training.train(config, run_dir, overwrite=overwrite)
    nines = transfer(
        run_dir,
        ADAPTED,
        label=9,
        shots=10,
        shots_dir=None,
        given=None,
        space="latents",
        num=40,
        dataset=None,
        manual_dir=None,
        seed=0,
        output_dir=run_dir / "nines",
        export_to=None,
        overwrite=overwrite,
    )
    animation = morph(
        run_dir,
        from_label=2,
        to_label=8,
        steps=12,
        dataset=None,
        manual_dir=None,
        seed=0,
        output=None,
        overwrite=overwrite,
    )
    exported = export(
        run_dir,
        run_dir / "saved_model",
        max_images=serving.MAX_IMAGES,
        warm_up_requests=(),
        overwrite=overwrite,
    )
    return {
        "metrics": metrics,
        "nines": nines,
        "morph": animation,
        "saved_model": exported["output"],
        "seconds": round(time.monotonic() - started, 1),
    }


def load_data(
    run: RunFolder, flow: flows.ImageFlow, dataset: str | None, manual_dir: str | None
) -> datasets.ImageSet:
    """The data set that is asked for, by default the run's own."""
    content = run.read_config()
    config = TrainingConfig.from_json(content)
    few = few_shots_of(content)
    if few is not None and few.dataset:
        config = dataclasses.replace(config, dataset=few.dataset, manual_dir=few.manual_dir)
    data = datasets.load(
        dataset or config.dataset,
        manual_dir=manual_dir if manual_dir or dataset else config.manual_dir,
    )
    wanted, received = (flow.image_shape, flow.levels), (data.image_shape, data.levels)
    if wanted != received:
        raise ValueError(
            f"`dataset` must have images of {_form(*wanted)}, as the model has; {dataset or config.dataset} "
            f"has images of {_form(*received)}."
        )
    return data


def _form(image_shape: tuple[int, int, int], levels: int) -> str:
    height, width, channels = image_shape
    return (
        f"{height}x{width}x{channels} numbers (height x width x channels) and {levels} grey levels"
    )


def _trained_on(config: Result) -> str:
    """What a run's flow was trained on, for the model card."""
    run = TrainingConfig.from_json(config)
    labels = ", ".join(map(str, run.hold_out))
    without = f" without label{'s' if len(run.hold_out) > 1 else ''} {labels}" if labels else ""
    return f"Trained on {run.dataset}{without}."
