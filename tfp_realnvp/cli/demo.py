"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Json
from tfp_realnvp.cli.output import load, show, summary, transfer_lines

__all__ = ["demo"]


def demo(
    run_dir: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("runs/demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo.")
    ] = False,
    as_json: Json = False,
):
    """The whole story in a minute: learn digits 0 to 8, draw new 9s from ten examples, export."""
    result = load("commands").demo(run_dir, overwrite=overwrite)
    show(
        result,
        as_json,
        "",
        "Learned the digits 0 to 8 (8x8 pixels, 17 grey levels):",
        *summary(result["metrics"]),
        "",
        "Drew new 9s from ten examples:",
        *transfer_lines(result["nines"]),
        "",
        f"new digits    {run_dir / 'samples.png'}",
        f"new nines     {run_dir / 'nines' / 'comparison.png'}",
        f"2 -> 8 -> 2   {result['morph']['output']}",
        f"SavedModel    {result['saved_model']}",
        f"everything took {result['seconds']:.0f} seconds",
    )
