"""The command `morph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Json, Run
from tfp_realnvp.cli.output import load_commands, show

__all__ = ["morph"]


def morph(
    run: Run,
    from_label: Annotated[int, typer.Option(help="Of the first image.")] = 2,
    to_label: Annotated[int, typer.Option(help="Of the other image.")] = 8,
    steps: Annotated[int, typer.Option(help="Images on the way, both ends included.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
    output: Annotated[Path | None, typer.Option(help="A GIF; default: RUN/morph.gif.")] = None,
    as_json: Json = False,
):
    """Animate one image into another and back, beside its latent."""
    result = load_commands().morph(
        run, from_label=from_label, to_label=to_label, steps=steps, seed=seed, output=output
    )
    show(result, as_json, f"the animation is in {result['output']}, a strip in {result['strip']}")
