"""The command `score`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tfp_realnvp.cli.options import Dataset, Json, ManualDir, Run, integers
from tfp_realnvp.cli.output import load_commands, show

__all__ = ["score"]


def score(
    run: Run,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="Which part of the data set.")
    ] = "test",
    labels: Annotated[str | None, typer.Option(help="Only these: 9, 0-8 or 0,2,4-6.")] = None,
    as_json: Json = False,
):
    """Score images: bits per dimension, lower is better."""
    chosen = integers(labels)
    result = load_commands().score(
        run,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        split=split,
        labels=chosen,
    )
    line = (
        f"{result['bits_per_dim']:.4f} bits per dimension (standard error "
        f"{result['standard_error']:.4f}), {result['log_prob']:.1f} nats per image, "
        f"{result['images']:,} images"
    )
    if "accuracy" in result:
        line += f", {result['accuracy']:.2%} of labels recognized"
    show(result, as_json, line)
