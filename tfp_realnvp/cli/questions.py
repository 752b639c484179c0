"""What `score`, `fill`, `diagnose` and `information` do: they put a question to a distribution."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, evaluation, flows, hardware, queries, views
from tfp_realnvp.cli.asked import (
    PngFolder,
    begin,
    images_asked,
    learned_images,
    test_images,
    write_csv,
)
from tfp_realnvp.cli.output import show_bar
from tfp_realnvp.files import check_output, replacing, write_json
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["PngFolder", "diagnose", "fill", "information", "score"]

Result = dict[str, Any]

DIAGNOSED = ("latents.png", "bits.png", "diagnosis.json")  # what `diagnose` writes
ESTIMATED = 100  # images whose estimates' errors are said
FILLED = ("completions.png", "completions.npz")  # what `fill` writes


def score(
    run_dir: Path,
    *,
    dataset: str | None,
    manual_dir: str | None,
    split: str,
    labels: Sequence[int],
    images_from: PngFolder,
    noise_samples: int,
    rarer: int,
    seed: int,
    device: hardware.Device,
    output: Path | None,
    overwrite: bool,
) -> Result:
    """Score the images of a data set, by default those of the run's own, or the PNG files of a folder.

    With `output`, a row for each image is written as CSV. With `rarer`, it has the share of so many samples
    that are rarer, and with several `noise_samples` the importance-weighted bound. Of a residual flow,
    `log_prob_error` is the mean standard error of an image's estimate, in nats.
    """
    hardware.use(device)
    if output is not None:
        check_output(output, overwrite=overwrite)
    run = RunFolder(run_dir)
    with hardware.strategy().scope():
        flow = run.load_model()
    names, images, known = images_asked(run, flow, images_from, dataset, manual_dir, split, labels)
    columns: dict[str, Any] = {"image": names}
    if noise_samples > 1:
        log_probs, errors = queries.log_prob_bound(
            flow, images, noise_samples=noise_samples, seed=seed
        )
        columns |= {"log_prob": log_probs, "log_prob_error": errors}
    else:
        log_prob = functools.partial(flow.log_prob, seed=seed)
        columns["log_prob"] = log_probs = _in_batches(log_prob, images)
    result: Result = {**evaluation.score(lambda _, values: values, images, log_probs)}
    columns["bits_per_dim"] = flows.pixels.bits_per_dim(log_probs, flow.image_shape)
    if not flow.exact:
        errors = flow.log_prob_error(images[:ESTIMATED], seed=seed)
        result["log_prob_error"] = float(np.mean(errors))
    if flow.labels and known is not None and set(known) <= set(flow.labels):
        result["accuracy"] = evaluation.accuracy(flow.classify, images, known)
    if rarer:
        shares = queries.rarer_probability(flow, images, samples=rarer, seed=seed)
        result["rarer"] = {"samples": rarer, "mean": float(np.mean(shares.probability))}
        columns |= {"rarer_probability": shares.probability, "rarer_error": shares.standard_error}
    if output is not None:
        write_csv(columns, output)
        result["output"] = str(output)
    return result | images_from.result()


def diagnose(
    run_dir: Path,
    *,
    count: int,
    dataset: str | None,
    manual_dir: str | None,
    seed: int,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Whether latents of test images are normal, and which pixels cost the bits."""
    run, folder, flow = begin(run_dir, "diagnosis", DIAGNOSED, output_dir, overwrite)
    test = test_images(run, flow, dataset, manual_dir)
    chosen = test.take(np.random.default_rng(seed).permutation(len(test))[:count])
    labels = chosen.labels if flow.labels else None
    diagnosis = queries.diagnose_latents(flow, chosen.images, labels, seed=seed)
    views.write_png(views.latent_plots(diagnosis.latents), folder / DIAGNOSED[0])
    result: Result = {"images": len(chosen), **diagnosis.summary(), "output_dir": str(folder)}
    if flow.dequantization == "uniform" and not isinstance(flow, flows.FewShotFlow):
        some = chosen.take(np.arange(min(views.COLUMNS, len(chosen))))
        bits = flow.bits_per_pixel(some.images, some.labels if flow.labels else None).numpy()
        picture = views.bits_maps(some.images, bits, levels=flow.levels)
        views.write_png(picture, folder / DIAGNOSED[1])
    write_json(result, folder / DIAGNOSED[2])
    return result


def information(run_dir: Path, *, samples: int, seed: int) -> Result:
    """What a run's flow is, how much it leaves open, what it costs, and how it was trained."""
    hardware.use()
    run = RunFolder(run_dir)
    config = run.read_config()
    known = queries.information(run.load_model(), samples=samples, seed=seed)
    return {
        **known,
        "model_file_bytes": run.model.stat().st_size,
        "training": config["training"],
        "metrics": run.read_metrics(),
        "history": run.read_history(),
    }


def fill(
    run_dir: Path,
    *,
    mask: str,
    images_from: PngFolder,
    count: int,
    num: int,
    steps: int,
    temperature: float,
    dataset: str | None,
    manual_dir: str | None,
    seed: int,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Fill in what is missing of test images, or of the PNG files of a folder, `num` times each."""
    name = f"filled_{Path(mask).stem}"
    run, folder, flow = begin(run_dir, name, FILLED, output_dir, overwrite)
    if images_from.folder is not None:
        _, images = images_from.read(flow)
    else:
        test = test_images(run, flow, dataset, manual_dir).images
        images = test[np.random.default_rng(seed).permutation(len(test))[:count]]
    observed = _mask(mask, flow.image_shape, seed)
    of_chains: Result = {}
    started = time.monotonic()
    if flows.missing.is_told_the_rest(flow):
        completions = queries.fill_missing(
            flow, images, observed, n=num, temperature=temperature, seed=seed
        )
    else:
        learned = learned_images(run, flow)[0].images
        with show_bar("walking", total=steps) as advance:
            filled = queries.fill_by_chain(
                flow, images, observed, learned, n=num, steps=steps, seed=seed, on_step=advance
            )
        completions, reduction = filled.completions, float(filled.scale_reduction.max())
        of_chains = {
            "acceptance": float(filled.acceptance.mean()),
            # of a single chain there is none, nor of chains that never moved
            "scale_reduction": reduction if math.isfinite(reduction) else None,
        }
    seconds = time.monotonic() - started
    holes = np.where(observed, images, flow.levels // 2).astype(np.uint8)
    shown = completions[:, : views.COLUMNS]
    rows = np.concatenate([holes[:, np.newaxis], shown], axis=1)[: views.COLUMNS]
    grid = views.grid(
        rows.reshape(-1, *flow.image_shape), columns=rows.shape[1], levels=flow.levels
    )
    views.write_png(grid, folder / FILLED[0], scale=views.scale_for(images))
    with replacing(folder / FILLED[1]) as temporary:
        np.savez_compressed(temporary, observed=holes, mask=observed, completions=completions)
    return {
        "images": len(images),
        "completions": num,
        "missing": float(np.mean(~observed)),
        "spread": float(np.mean(completions.std(axis=1)[:, ~observed[..., 0]])),
        "seconds": round(seconds, 1),
        **of_chains,
        **images_from.result(),
        "output_dir": str(folder),
    }


def _mask(mask: str, image_shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """The mask of a name, or of a PNG file that is dark where images are missing."""
    if not mask.lower().endswith(".png"):
        return queries.named_mask(mask, image_shape, seed=seed)
    return datasets.read_png(mask, (*image_shape[:2], 1), levels=2).astype(bool)


def _in_batches(log_prob, images: np.ndarray) -> np.ndarray:
    size = evaluation.BATCH
    return np.concatenate(
        [log_prob(images[start : start + size]) for start in range(0, len(images), size)]
    )
