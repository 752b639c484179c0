"""The command `morph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import LARGEST_SEED, Dataset, Json, ManualDir, Overwrite, Run
from tfp_realnvp.cli.output import load, show

__all__ = ["morph"]


def morph(
    run: Run,
    from_label: Annotated[int, typer.Option(help="Of the first image.")] = 2,
    to_label: Annotated[int, typer.Option(help="Of the other image.")] = 8,
    steps: Annotated[
        int, typer.Option(min=2, max=1000, help="Images on the way, both ends included.")
    ] = 12,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Another seed, other images.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option(help="NAME.gif, beside a strip NAME.png; default: RUN/morph.gif.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Animate one image into another and back, beside its latent."""
    result = load("commands").morph(
        run,
        from_label=from_label,
        to_label=to_label,
        steps=steps,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        seed=seed,
        output=output,
        overwrite=overwrite,
    )
    show(result, as_json, f"the animation is in {result['output']}, a strip in {result['strip']}")
