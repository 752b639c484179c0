"""Options that several commands have, and the texts that they take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.training.config import TrainingConfig

__all__ = ["Json", "ManualDir", "Run", "Seed", "duration", "help_of", "integers", "seconds"]


def help_of(name: str) -> str:
    """What a field of `TrainingConfig` means."""
    return TrainingConfig.__dataclass_fields__[name].metadata["help"]


Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A folder made by `train` or `export`: saved_models/mnist_0_8 ..."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
ManualDir = Annotated[Path | None, typer.Option(help=help_of("manual_dir"))]


def seconds(text: str) -> float | None:
    """A duration such as 90s, 10m, 1h30m or 600 (seconds); None for "none"."""
    if text.strip() == "none":
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"expected a duration such as 90s, 10m, 1h30m or none, received {text!r}.")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def duration(number: float | None) -> str:
    """The text of so many whole seconds: `seconds(duration(600.0)) == 600.0`."""
    if number is None:
        return "none"
    minutes, rest = divmod(round(number), 60)
    hours, minutes = divmod(minutes, 60)
    parts = {"h": hours, "m": minutes, "s": rest}
    return "".join(f"{count}{unit}" for unit, count in parts.items() if count) or "0s"


def integers(text: str | None, what: str = "labels") -> list[int]:
    """Numbers such as 9, 0-8 or 0,2,4-6.

    Args:
      text: the numbers; None for none.
      what: what they are, for the error.

    Raises:
      ValueError: another text.
    """
    numbers: list[int] = []
    for part in text.split(",") if text else []:
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise ValueError(f"expected {what} such as 9, 0-8 or 0,2,4-6, received {text!r}.")
        numbers.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return numbers
