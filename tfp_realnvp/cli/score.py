"""The command `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tfp_realnvp.cli.options import (
    Dataset,
    Devices,
    Json,
    ManualDir,
    Overwrite,
    Resize,
    Run,
    Seed,
    SkipUnreadable,
    integers,
)
from tfp_realnvp.cli.output import load, show

__all__ = ["score"]


def score(
    run: Run,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="Which part of the data set.")
    ] = "test",
    labels: Annotated[str | None, typer.Option(help="Only these: 9, 0-8 or 0,2,4-6.")] = None,
    images_dir: Annotated[
        Path | None, typer.Option(help="A folder of PNG files to score instead.")
    ] = None,
    resize: Resize = False,
    skip_unreadable: SkipUnreadable = False,
    noise_samples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Draws of the dequantization noise for each image: with more, the bound is closer.",
        ),
    ] = 1,
    rarer: Annotated[
        int,
        typer.Option(
            min=0, help="Draw so many images, and say what share of them is rarer than each image."
        ),
    ] = 0,
    seed: Seed = 0,
    device: Devices = "auto",
    output: Annotated[
        Path | None, typer.Option(help="A CSV file, with a row for each image.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Score images: bits per dimension, lower is better.

    Example: tfp-realnvp score saved_models/mnist_0_8 --images-dir my_letters --rarer 1000 --output scores.csv
    """
    chosen = integers(labels)
    questions = load("questions")
    result = questions.score(
        run,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        split=split,
        labels=chosen,
        images_from=questions.PngFolder(images_dir, resize, skip_unreadable),
        noise_samples=noise_samples,
        rarer=rarer,
        seed=seed,
        device=device,
        output=output,
        overwrite=overwrite,
    )
    line = (
        f"{result['bits_per_dim']:.4f} bits per dimension (standard error "
        f"{result['standard_error']:.4f}), {result['log_prob']:.1f} nats per image, "
        f"{result['images']:,} images"
    )
    if "accuracy" in result:
        line += f", {result['accuracy']:.2%} of labels recognized"
    lines = [line]
    if "log_prob_error" in result:
        lines.append(
            f"the score of an image is an estimate with a standard error of {result['log_prob_error']:.2f} nats"
        )
    if rarer:
        lines.append(
            f"of {rarer:,} samples {result['rarer']['mean']:.1%} are rarer than an image, in the mean"
        )
    if output is not None:
        lines.append(f"the scores of each image are in {output}")
    show(result, as_json, *lines)
