"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Json, Run, integers
from tfp_realnvp.cli.output import load, show
from tfp_realnvp.serving.limits import MAX_IMAGES

__all__ = ["export"]


def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="Such as saved_models/NAME.")],
    max_images: Annotated[
        int, typer.Option(min=1, help="Most images of a request; the server refuses more.")
    ] = MAX_IMAGES,
    warm_up_requests: Annotated[
        str | None,
        typer.Option(
            "--warm-up",
            help="Batch sizes of requests that TF Serving answers at its start: 1,8,32.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace files of the same names beside the versions that no `export` wrote.",
        ),
    ] = False,
    as_json: Json = False,
):
    """Export a SavedModel, as the next version in a folder: FOLDER/1, FOLDER/2 ...

    Each version holds its own results, in assets.extra; the run's files beside the versions are those of the
    newest. No version is ever replaced.

    deploy/README.md shows how to serve it.
    """
    sizes = integers(warm_up_requests, "batch sizes")
    result = load("commands").export(
        run, folder, max_images=max_images, warm_up_requests=sizes, overwrite=overwrite
    )
    show(result, as_json, f"the SavedModel is in {result['output']}, {result['bytes']:,} bytes")
