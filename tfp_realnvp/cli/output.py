"""What commands print, and what TensorFlow may not."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import Progress

__all__ = ["load", "quiet_start", "show", "show_bar", "summary", "transfer_lines"]

# the scores of pictures in metrics.json, and what people are told that they are of
PICTURES = {"pictures": "pictures drawn", "pictures_learned": "images learned from"}


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Import TensorFlow without the messages of its start, which no setting turns off."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") != "3":  # somebody wants to see them
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if sys.stderr is None:  # it was closed: 2>&-
        while nowhere < 2:  # so that no file of ours becomes what TensorFlow writes messages to
            nowhere = os.open(os.devnull, os.O_WRONLY)
        yield
        return
    sys.stderr.flush()
    standard_error = os.dup(2)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def load(name: str) -> ModuleType:
    """The module of this folder that does what a command is for; importing it takes seconds."""
    with quiet_start():
        return importlib.import_module(f"tfp_realnvp.cli.{name}")


@contextlib.contextmanager
def show_bar(what: str, *, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar on a terminal; yields a function that is told how much is done, and of how much if that is new."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, of=total: bar.update(task, completed=done, total=of)


def show(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """The result as JSON, or the lines for people, and the names of files that were skipped."""
    if result.get("skipped"):
        lines = (f"skipped: {', '.join(result['skipped'])}", *lines)
    print(json.dumps(result, indent=2, allow_nan=False) if as_json else "\n".join(lines))


def summary(metrics: dict[str, Any]) -> list[str]:
    """The lines for people of a run's metrics."""
    parts = [
        f"{name.replace('_', ' ')} {metrics[name]['bits_per_dim']:.4f}"
        for name in ("train", "validation", "test", "held_out")
        if metrics[name]
    ]
    return [
        "bits per dimension: " + ", ".join(parts),
        f"best of {metrics['epochs']} epochs: {metrics['best_epoch']}; {metrics['parameters']:,} "
        f"parameters, {metrics['images_per_second']:,.0f} images/s, {metrics['seconds']:.0f} s, "
        f"ended by {metrics['ended_by']}",
        *(
            f"{title}: clear {scores['clear']:.2f}, density {scores['density']:.2f}, coverage "
            f"{scores['coverage']:.2f}, Frechet distance {scores['frechet']:.1f}"
            for key, title in PICTURES.items()
            if (scores := metrics.get(key))
        ),
    ]


def transfer_lines(result: dict[str, Any]) -> list[str]:
    """The lines for people of a transfer.

    A temperature other than 1 makes for better pictures and worse scores: such routes are not listed.
    """
    if "bits_per_dim" not in result:
        return [f"drew from {result['shots']} shots"]
    scores = {"the flow with its own prior": [result["bits_per_dim"]["flow"]]} | {
        route["title"]: [
            result["bits_per_dim"][name],
            result["fair_bits_per_dim"][name],
        ]
        for name, route in result["routes"].items()
        if route["temperature"] == 1
    }
    title = f"bits per dimension of {result['unseen_images']:,} unseen images of label {result['label']} under"
    width = max(map(len, [title, *scores]))
    learned = f"label {result['label']} is not new to the model: it was learned"
    return [
        *([learned] if result["learned"] else []),
        f"{title:<{width}}    as drawn  fair floor",
        *(
            f"  {title:<{width - 2}}" + "".join(f"{value:>12.3f}" for value in values)
            for title, values in scores.items()
        ),
        "(fair floor: no direction varies less than the shots say that are left out one at a time)",
    ]
