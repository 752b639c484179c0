"""What the commands do once their arguments are understood: from a run folder to pictures and numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, evaluation, training, views
from tfp_realnvp.datasets import read_png_folder
from tfp_realnvp.fewshot import transfer
from tfp_realnvp.files import write_json
from tfp_realnvp.flows import ImageFlow, pixels
from tfp_realnvp.flows.checks import check_images
from tfp_realnvp.flows.morph import morph
from tfp_realnvp.serving.export import export, export_versions
from tfp_realnvp.serving.signatures import MAX_IMAGES
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["demo", "export_run", "morph_labels", "sample", "score", "transfer_few"]

Result = dict[str, Any]


def sample(
    run_dir: Path,
    *,
    num: int,
    labels: Sequence[int],
    temperature: float,
    seed: int | None,
    output: Path | None,
) -> Result:
    """Draw images, of these labels in turn if there are any, and write them as a grid."""
    flow = RunFolder(run_dir).load_model()
    in_turn = np.resize(labels, num) if labels else None
    images = flow.sample(num, in_turn, temperature=temperature, seed=seed).numpy()
    output = output or run_dir / "drawn.png"
    views.write_png(views.grid(images, levels=flow.levels), output, scale=views.scale_for(images))
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
    result = evaluation.score(flow.log_prob, chosen.images)
    if flow.labels and set(chosen.labels) <= set(flow.labels):
        result["accuracy"] = evaluation.accuracy(flow.classify, chosen.images, chosen.labels)
    return result


def transfer_few(
    run_dir: Path,
    *,
    label: int,
    shots: int,
    shots_dir: Path | None,
    seed: int,
    covariance: str,
    intrinsic_dimension: int | None,
    temperature: float,
    variance_floor: float,
    num: int,
    output_dir: Path | None,
    export_to: Path | None = None,
) -> Result:
    """Draw more of something from a few images of it; compare the ways to do so in pictures and numbers.

    The images are those of a label, of which others then score the ways, or the PNG files of a folder. With
    `export_to`, the chosen way becomes the next version of a SavedModel there.
    """
    flow = RunFolder(run_dir).load_model()
    chosen, unseen, title, name = _take_shots(flow, run_dir, label, shots, shots_dir, seed)
    rank = min(9, len(chosen) - 1, flow.dimensions)
    if covariance == "full" and intrinsic_dimension is None:
        intrinsic_dimension = rank
    way = {
        "covariance": covariance,
        "intrinsic_dimension": intrinsic_dimension,
        "temperature": temperature,
    }
    ways = {
        "diagonal": {
            "covariance": "diagonal",
            "intrinsic_dimension": None,
            "temperature": 1.0,
        },
        "low_rank": {"covariance": "full", "intrinsic_dimension": rank, "temperature": 1.0},
        "chosen": way,
    }
    fits = _fits(flow, chosen, ways, seed=seed, variance_floor=variance_floor)
    result = {
        "shots": len(chosen),
        "seed": seed,
        "chosen": way,
        "variances": {
            name: {"floor": fit.variance_floor, "raised": fit.raised} for name, fit in fits.items()
        },
    }
    if unseen is not None:
        result |= {
            "label": label,
            "unseen_images": len(unseen),
            "bits_per_dim": _bits_of_fits(flow, fits, unseen),
        }
    folder = output_dir or run_dir / name
    _draw_fits(flow, fits, ways, folder, shots={title: chosen}, num=num, seed=seed)
    write_json(result, folder / "metrics.json")
    places = {"output_dir": str(folder)}
    if export_to is not None:
        version = export(
            flow,
            export_to,
            base=transfer.latent_gaussian(
                flow, chosen, seed=seed, variance_floor=variance_floor, **way
            ).distribution,
            config=RunFolder(run_dir).read_config(),
            metrics=result,
            about=f"It draws more of {title}: its latents are distributed as a Gaussian fitted to theirs, of "
            f"{covariance} covariance and temperature {temperature:g}.",
        )
        places["saved_model"] = str(version)
    return {**result, **places}


def _take_shots(flow: ImageFlow, run_dir: Path, label, shots, shots_dir, seed):
    """(shots, other images of their label or None, what they are, a name for the results)."""
    if shots_dir is not None:
        chosen = read_png_folder(shots_dir, flow.image_shape, levels=flow.levels)
        return chosen, None, f"the {len(chosen)} shots", "transfer"
    data = _data(run_dir)
    chosen = datasets.draw_shots(data.train, label, shots, seed)
    unseen = data.test.only([label]).images
    return chosen, unseen, f"the {shots} shots of label {label}", f"transfer_{label}"


def _fits(flow: ImageFlow, shots: np.ndarray, ways: dict, *, seed, variance_floor) -> dict:
    """The Gaussians on latents and on pixels, by "latent_WAY" and "pixels_WAY"."""
    latent = {"variance_floor": variance_floor, "seed": seed}
    pixels = {"levels": flow.levels, "seed": seed}
    return {
        f"latent_{name}": transfer.fit_latent(flow, shots, **latent, **way)
        for name, way in ways.items()
    } | {
        f"pixels_{name}": transfer.fit_pixels(shots, **pixels, **way) for name, way in ways.items()
    }


def _bits_of_fits(flow: ImageFlow, fits: dict, unseen: np.ndarray) -> dict[str, float]:
    """Bits per dimension of unseen images under the flow and under each of the fits."""

    def bits(distribution, dequantizer) -> float:
        def log_prob(images):
            images = check_images(images, flow.image_shape, levels=flow.levels)
            return pixels.log_prob(
                distribution, images, levels=flow.levels, dequantizer=dequantizer
            )

        return evaluation.score(log_prob, unseen)["bits_per_dim"]

    return {"flow": bits(flow.distribution, flow.dequantizer)} | {
        name: bits(fit.distribution, flow.dequantizer if name.startswith("latent") else None)
        for name, fit in fits.items()
    }


def _draw_fits(flow: ImageFlow, fits: dict, ways: dict, folder: Path, *, shots, num, seed) -> None:
    """Write comparison.png and samples.png."""

    def draw(name: str, count: int) -> np.ndarray:
        distribution = fits[name].distribution
        return transfer.sample_images(distribution, count, levels=flow.levels, seed=seed).numpy()

    rank = ways["low_rank"]["intrinsic_dimension"]
    rows = {
        **{title: images[: views.COLUMNS] for title, images in shots.items()},
        "baseline: a Gaussian on pixels, diagonal": draw("pixels_diagonal", views.COLUMNS),
        "a Gaussian on latents, diagonal": draw("latent_diagonal", views.COLUMNS),
        f"a Gaussian on latents, low rank ({rank})": draw("latent_low_rank", views.COLUMNS),
    }
    way = ways["chosen"]
    if way not in (ways["diagonal"], ways["low_rank"]):
        rank_text = f" ({way['intrinsic_dimension']})" if way["intrinsic_dimension"] else ""
        title = f"a Gaussian on latents, {way['covariance']}{rank_text}, temperature "
        rows[f"{title}{way['temperature']:g}"] = draw("latent_chosen", views.COLUMNS)
    views.write_png(views.comparison(rows, levels=flow.levels), folder / "comparison.png")
    drawn = draw("latent_chosen", num)
    grid = views.grid(drawn, levels=flow.levels)
    views.write_png(grid, folder / "samples.png", scale=views.scale_for(drawn))


def morph_labels(
    run_dir: Path, *, from_label: int, to_label: int, steps: int, seed: int, output: Path | None
) -> Result:
    """Animate the way from an image of one label to one of another and back, and write it as a strip."""
    flow, data = RunFolder(run_dir).load_model(), _data(run_dir)
    start = datasets.draw_shots(data.test, from_label, 2, seed)[0]
    end = datasets.draw_shots(data.test, to_label, 2, seed)[1]
    images, latents = morph(flow, start, end, steps=steps)
    output = output or run_dir / "morph.gif"
    strip = output.with_suffix(".png")
    views.write_gif(images, latents, output, levels=flow.levels)
    views.write_png(views.morph_strip(images, latents, levels=flow.levels), strip)
    return {"frames": len(images), "output": str(output), "strip": str(strip)}


def export_run(
    run_dir: Path, folder: Path, *, max_images: int = MAX_IMAGES, warm_up: Sequence[int] = ()
) -> Result:
    """Write a run's model as the next version of a SavedModel, and what is known of it beside it."""
    run, target = RunFolder(run_dir), RunFolder(folder)
    flow = run.load_model()
    same = target.path.resolve() == run.path.resolve()
    if not same and target.config.is_file() and not export_versions(folder):
        raise FileExistsError(f"{folder} is the folder of another run: choose another one.")
    version = export(
        flow,
        folder,
        max_images=max_images,
        warm_up=warm_up,
        config=run.read_config(),
        metrics=run.read_metrics(),
    )
    if not same:
        run.copy_result(target)
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    return {"output": str(version), "bytes": size}


def demo(run_dir: Path, *, overwrite: bool) -> Result:
    """The whole story on the embedded digits: learn 0 to 8, draw new 9s from ten, morph, export."""
    started = time.monotonic()
    config = TrainingConfig(
        dataset="digits", hold_out=(9,), channels=32, blocks=1, batch_size=64, epochs=25
    )
    metrics = training.train(config, run_dir, overwrite=overwrite)
    nines = transfer_few(
        run_dir,
        label=9,
        shots=10,
        shots_dir=None,
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


def _data(run_dir: Path) -> datasets.Dataset:
    """The data set of a run."""
    config = TrainingConfig.from_json(RunFolder(run_dir).read_config())
    return datasets.load(config.dataset, manual_dir=config.manual_dir)
