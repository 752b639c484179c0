"""The command `information`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tfp_realnvp.cli.options import Json, Run, Seed
from tfp_realnvp.cli.output import load, show

__all__ = ["information"]


def information(
    run: Run,
    samples: Annotated[
        int, typer.Option(min=2, help="Images that are drawn to estimate the entropy.")
    ] = 1000,
    seed: Seed = 0,
    as_json: Json = False,
):
    """Say what a model is, how much it leaves open, what it costs, and how it was trained.

    Example: tfp-realnvp information saved_models/mnist_0_8
    """
    result = load("questions").information(run, samples=samples, seed=seed)
    rows = _rows(result)
    width = max(map(len, rows))
    show(result, as_json, *(f"{name:<{width}}  {value}" for name, value in rows.items()))


def _rows(known: dict[str, Any]) -> dict[str, str]:
    """The lines for people."""
    told = [f"labels {', '.join(map(str, known['labels']))}"] if known["labels"] else []
    if known["context_shape"]:
        told.append(f"a context of {'x'.join(map(str, known['context_shape']))}")
    rows = {
        "flow": f"{known['class']}, {known['parameters']:,} parameters",
        "images": f"{'x'.join(map(str, known['image_shape']))}, {known['levels']} grey levels",
        "told": " and ".join(told) or "nothing",
        "weights": f"{known['weights_bytes'] / 1e6:.1f} MB, {known['model_file_bytes'] / 1e6:.1f} MB as a file",
    }
    if known["entropy"]:
        bits, error = known["entropy"].values()
        rows["entropy"] = f"{bits:.4f} bits per dimension (standard error {error:.4f})"
    for name, what in (("sample", "to draw"), ("log_prob", "to score")):
        if known["seconds"]:
            one, batch = known["seconds"][name].values()
            rows[what] = f"{1e3 * one:.1f} ms for an image, {1e3 * batch:.0f} ms for 100"
    rows["memory"] = f"{known['peak_memory_bytes'] / 1e6:,.0f} MB at most, of this process"
    rows["device"] = known["device"]
    training, metrics = known["training"], known["metrics"] or {}
    held_out = ", ".join(map(str, training["hold_out"]))
    rows["learned"] = training["dataset"] + (f" without {held_out}" if held_out else "")
    if "shots" in metrics:  # of a transfer
        rows["then"] = f"{metrics['shots']} shots" + (
            f" of label {metrics['label']}" if "label" in metrics else ""
        )
    if "epochs" in metrics:
        rows["training"] = (
            f"{metrics['epochs']} epochs in {metrics['seconds']:,.0f} s on {metrics['device']}, ended by "
            f"{metrics['ended_by']}"
        )
        rows |= {
            f"{part.replace('_', ' ')} images": f"{metrics[part]['bits_per_dim']:.4f} bits per dimension"
            for part in ("train", "validation", "test", "held_out")
            if metrics.get(part)
        }
    return rows
