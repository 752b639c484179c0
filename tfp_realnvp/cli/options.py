"""Options that several commands have, and the texts that they take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.training.config import FLOWS

__all__ = ["Json", "ManualDir", "Run", "Seed", "flow_help", "integers", "seconds"]

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A folder made by `train` or `export`: saved_models/mnist_0_8 ..."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
ManualDir = Annotated[
    Path | None,
    typer.Option(
        help="Files of a TensorFlow Datasets set, fetched beforehand; no network is used."
    ),
]


def flow_help(option: str, meaning: str) -> str:
    """Of an option that is not the same for all flows: its meaning and its defaults."""
    defaults = [
        f"{options[option]} ({name})" for name, options in FLOWS.items() if option in options
    ]
    return f"{meaning}; default: {', '.join(defaults)}"


def seconds(text: str) -> float | None:
    """A duration such as 90s, 10m, 1h30m or 600 (seconds); None for "none"."""
    if text.strip() == "none":
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"expected a duration such as 90s, 10m, 1h30m or none, received {text!r}.")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def integers(text: str | None, what: str = "labels") -> list[int]:
    """Numbers such as 9, 0-8 or 0,2,4-6; what they are is said where the text is wrong."""
    numbers: list[int] = []
    for part in text.split(",") if text else []:
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise ValueError(f"expected {what} such as 9, 0-8 or 0,2,4-6, received {text!r}.")
        numbers.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return numbers
