"""The command `fill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import (
    Dataset,
    Json,
    ManualDir,
    Overwrite,
    Resize,
    Run,
    Seed,
    SkipUnreadable,
)
from tfp_realnvp.cli.output import load, show
from tfp_realnvp.queries.masks import NAMES

__all__ = ["fill"]


def fill(
    run: Run,
    mask: Annotated[
        str,
        typer.Option(
            help=f"What is missing: {', '.join(NAMES)}, or a PNG file of the images' size that is dark there."
        ),
    ] = "lower",
    images_dir: Annotated[
        Path | None,
        typer.Option(help="A folder of PNG files to fill in; default: images of the test split."),
    ] = None,
    resize: Resize = False,
    skip_unreadable: SkipUnreadable = False,
    images: Annotated[int, typer.Option(min=1, help="How many of the test split.")] = 10,
    num: Annotated[int, typer.Option(min=1, help="Completions of each image.")] = 16,
    steps: Annotated[
        int,
        typer.Option(
            min=2, help="Of a Markov chain, for a model that was not trained with --fill."
        ),
    ] = 300,
    temperature: Annotated[float, typer.Option(help="Below 1: completions vary less.")] = 1.0,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    seed: Seed = 0,
    output_dir: Annotated[
        Path | None, typer.Option(help="For the results; default: RUN/filled_MASK.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Fill in what is missing of images, each several times.

    Take a model of `train --fill`. With any other one, Markov chains walk from the nearest learned images to
    completions: slowly, and not far. Writes completions.png (what is observed of each image, then its
    completions) and completions.npz (`observed`, `mask`, `completions`).

    Example: tfp-realnvp fill runs/digits --mask upper
    """
    questions = load("questions")
    result = questions.fill(
        run,
        mask=mask,
        images_from=questions.PngFolder(images_dir, resize, skip_unreadable),
        count=images,
        num=num,
        steps=steps,
        temperature=temperature,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        seed=seed,
        output_dir=output_dir,
        overwrite=overwrite,
    )
    line = (
        f"{num} completions of {result['images']} images in {result['seconds']:.0f} s; their standard "
        f"deviation is {result['spread']:.1f} grey levels at a missing pixel"
    )
    lines = [line]
    if "acceptance" in result:
        reduction = result["scale_reduction"]
        lines.append(
            f"chains accepted {result['acceptance']:.1%} of the steps; R-hat "
            + (f"{reduction:.3g} (about 1 if they agree)" if reduction else "cannot be said")
        )
    show(result, as_json, *lines, f"everything is in {result['output_dir']}")
