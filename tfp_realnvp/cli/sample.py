"""The command `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Devices, Json, Overwrite, Run, Seed, integers
from tfp_realnvp.cli.output import load, show

__all__ = ["sample"]


def sample(
    run: Run,
    num: Annotated[int, typer.Option(min=1, help="Number of images.")] = 40,
    labels: Annotated[
        str | None, typer.Option(help="Of a class-conditional flow, in turn: 9, 0-8 or 0,2,4-6.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Below 1: more typical images, less varied.")
    ] = 1.0,
    seed: Seed = 0,
    device: Devices = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            help="NAME.png: a grid; NAME.npz: an array; NAME: a folder of PNG files. Default: RUN/drawn.png."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Draw new images: as a grid, or any number of them one by one.

    An npz file or a folder may hold a million images. If that is interrupted, the same command goes on.

    Example: tfp-realnvp sample saved_models/mnist_0_8 --num 100000 --output digits.npz
    """
    chosen = integers(labels)
    result = load("commands").sample(
        run,
        num=num,
        labels=chosen,
        temperature=temperature,
        seed=seed,
        device=device,
        output=output,
        overwrite=overwrite,
    )
    show(result, as_json, f"{num:,} images are in {result['output']}")
