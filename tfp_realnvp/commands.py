"""What the commands do once their arguments are understood: from a run folder to pictures and numbers."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, evaluation, plots, preprocessing, training, transfer
from tfp_realnvp.config import TrainingConfig
from tfp_realnvp.export import export
from tfp_realnvp.files import write_json
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.runs import RunFolder

__all__ = ["demo", "export_run", "morph_labels", "sample", "score", "transfer_label"]

Result = dict[str, Any]


def sample(
    run_dir: Path, *, num: int, temperature: float, seed: int | None, output: Path | None
) -> Result:
    """Draw images and write them as a grid."""
    flow = RunFolder(run_dir).load_model()
    images = flow.sample(num, temperature=temperature, seed=seed).numpy()
    output = output or run_dir / "drawn.png"
    plots.write_png(plots.grid(images, levels=flow.levels), output, scale=plots.scale_for(images))
    return {"images": num, "output": str(output)}


def score(
    run_dir: Path, *, dataset: str | None, manual_dir: str | None, split: str, labels: Sequence[int]
) -> Result:
    """Score the images of a data set, by default those of the run's own."""
    run = RunFolder(run_dir)
    flow = run.load_model()
    config = TrainingConfig.from_json(run.read_config())
    data = datasets.load(
        dataset or config.dataset,
        manual_dir=manual_dir if manual_dir or dataset else config.manual_dir,
    )
    chosen = {"train": data.train, "test": data.test}[split]
    if labels:
        chosen = chosen.only(labels)
    if data.levels != flow.levels:
        raise ValueError(
            f"the model knows images of {flow.levels} grey levels, {dataset} has {data.levels}."
        )
    return evaluation.score(flow.log_prob, chosen.images)


def transfer_label(
    run_dir: Path,
    *,
    label: int,
    shots: int,
    seed: int,
    covariance: str,
    intrinsic_dimension: int | None,
    temperature: float,
    variance_floor: float,
    num: int,
    output_dir: Path | None,
) -> Result:
    """Draw more of a label from a few of its images; compare the ways to do so in pictures and numbers."""
    flow, data = _model_and_data(run_dir)
    chosen = datasets.draw_shots(data.train, label, shots, seed)
    unseen = data.test.only([label]).images
    rank = min(9, shots - 1, flow.dimensions)
    ways: dict[str, dict[str, Any]] = {
        "diagonal": {"covariance": "diagonal"},
        "low_rank": {"covariance": "full", "intrinsic_dimension": rank},
        "chosen": {
            "covariance": covariance,
            "intrinsic_dimension": intrinsic_dimension,
            "temperature": temperature,
        },
    }
    latent: dict[str, Any] = {"variance_floor": variance_floor, "seed": seed}
    pixels: dict[str, Any] = {"levels": flow.levels, "seed": seed}
    fits = {
        f"latent_{name}": transfer.fit_latent(flow, chosen, **latent, **way)
        for name, way in ways.items()
    } | {
        f"pixels_{name}": transfer.fit_pixels(chosen, **pixels, **way) for name, way in ways.items()
    }

    def draw(name: str, count: int) -> np.ndarray:
        drawn = transfer.sample_images(
            fits[name].distribution, count, levels=flow.levels, seed=seed
        )
        return drawn.numpy()

    def bits(distribution) -> float:
        log_prob = functools.partial(
            preprocessing.log_prob,
            distribution,
            levels=flow.levels,
            seed=preprocessing.to_seed(0),
        )
        return evaluation.score(log_prob, unseen)["bits_per_dim"]

    result = {
        "label": label,
        "shots": shots,
        "seed": seed,
        "chosen": ways["chosen"],
        "unseen_images": len(unseen),
        "bits_per_dim": {"flow": bits(flow.distribution)}
        | {name: bits(fit.distribution) for name, fit in fits.items()},
        "variances": {
            name: {"floor": fit.variance_floor, "raised": fit.raised} for name, fit in fits.items()
        },
    }
    rows = {
        f"the {shots} shots of label {label}": chosen,
        "baseline: a Gaussian on pixels, diagonal": draw("pixels_diagonal", 10),
        "a Gaussian on latents, diagonal": draw("latent_diagonal", 10),
        f"a Gaussian on latents, low rank ({rank})": draw("latent_low_rank", 10),
    }
    if ways["chosen"] != {**ways["diagonal"], "intrinsic_dimension": None, "temperature": 1.0}:
        rank_text = f" ({intrinsic_dimension})" if intrinsic_dimension else ""
        title = f"a Gaussian on latents, {covariance}{rank_text}, temperature {temperature:g}"
        rows[title] = draw("latent_chosen", 10)
    folder = output_dir or run_dir / f"transfer_{label}"
    plots.write_png(plots.comparison(rows, levels=flow.levels), folder / "comparison.png")
    drawn = draw("latent_chosen", num)
    grid = plots.grid(drawn, levels=flow.levels)
    plots.write_png(grid, folder / "samples.png", scale=plots.scale_for(drawn))
    write_json(result, folder / "metrics.json")
    return {**result, "output_dir": str(folder)}


def morph_labels(
    run_dir: Path, *, from_label: int, to_label: int, steps: int, seed: int, output: Path | None
) -> Result:
    """Animate the way from an image of one label to one of another and back, and write it as a strip."""
    flow, data = _model_and_data(run_dir)
    start = datasets.draw_shots(data.test, from_label, 2, seed)[0]
    end = datasets.draw_shots(data.test, to_label, 2, seed)[1]
    images, latents = plots.morph(flow, start, end, steps=steps)
    output = output or run_dir / "morph.gif"
    strip = output.with_suffix(".png")
    plots.write_gif(images, latents, output, levels=flow.levels)
    plots.write_png(plots.morph_strip(images, latents, levels=flow.levels), strip)
    return {"frames": len(images), "output": str(output), "strip": str(strip)}


def export_run(run_dir: Path, folder: Path) -> Result:
    """Write a run's model as the next version of a SavedModel."""
    return {"output": str(export(RunFolder(run_dir).load_model(), folder))}


def demo(run_dir: Path, *, overwrite: bool) -> Result:
    """The whole story on the embedded digits: learn 0 to 8, draw new 9s from ten, morph, export."""
    started = time.monotonic()
    config = TrainingConfig(dataset="digits", hold_out=(9,), width=256, batch_size=64, epochs=60)
    metrics = training.train(config, run_dir, overwrite=overwrite)
    nines = transfer_label(
        run_dir,
        label=9,
        shots=10,
        seed=0,
        covariance="full",
        intrinsic_dimension=9,
        temperature=0.7,
        variance_floor=transfer.LATENT_VARIANCE_FLOOR,
        num=40,
        output_dir=run_dir / "nines",
    )
    morph = morph_labels(run_dir, from_label=2, to_label=8, steps=12, seed=0, output=None)
    exported = export_run(run_dir, run_dir / "saved_model")
    return {
        "metrics": metrics,
        "nines": nines,
        "morph": morph,
        "saved_model": exported["output"],
        "seconds": round(time.monotonic() - started, 1),
    }


def _model_and_data(run_dir: Path) -> tuple[ImageFlow, datasets.Dataset]:
    run = RunFolder(run_dir)
    flow = run.load_model()
    config = TrainingConfig.from_json(run.read_config())
    return flow, datasets.load(config.dataset, manual_dir=config.manual_dir)
