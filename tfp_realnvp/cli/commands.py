"""What each command does once its arguments are understood: from a run folder to pictures and numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, experiments, hardware, queries, serving, training, views
from tfp_realnvp.cli.beside import RECORD, check_beside, record_of, write_beside
from tfp_realnvp.cli.output import show_bar
from tfp_realnvp.cli.run_data import load_data, trained_on
from tfp_realnvp.cli.transfers import transfer
from tfp_realnvp.compute.traces import without_compiling
from tfp_realnvp.fewshot import ADAPTED
from tfp_realnvp.files import check_folder, check_output
from tfp_realnvp.flows.morph import morph as morph_images
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["demo", "export", "few_shot", "morph", "sample"]

Result = dict[str, Any]

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
    with without_compiling():
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
    with without_compiling():
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
        about=trained_on(config),
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
