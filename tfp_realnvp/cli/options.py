"""Options that several commands have, and the texts that they take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.training.config import TrainingConfig

__all__ = [
    "LARGEST_SEED",
    "Dataset",
    "Devices",
    "Json",
    "ManualDir",
    "Overwrite",
    "Resize",
    "Run",
    "Seed",
    "SkipUnreadable",
    "duration",
    "help_of",
    "integers",
    "seconds",
]

LARGEST_SEED = 2**62 - 1  # that `compute.random_numbers.to_seed` takes
MOST_INTEGERS = 10_000  # in one text
INT32 = range(-(2**31), 2**31)


def help_of(name: str) -> str:
    """What a field of `TrainingConfig` means."""
    return TrainingConfig.__dataclass_fields__[name].metadata["help"]


Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A folder made by `train`, `transfer` or `export`: saved_models/mnist_0_8 ...",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="The same seed gives the same result.")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace what is at the place that you name; at its default place it is replaced anyway.",
    ),
]
Devices = Annotated[
    str,
    typer.Option(
        "--devices",
        "--device",
        help="auto: a GPU if there is one, else the CPU; cpu; gpu; all: all GPUs; or gpu:0,gpu:2. Several "
        "share the work.",
    ),
]
Dataset = Annotated[str | None, typer.Option(help="As in `train`; default: the run's own.")]
ManualDir = Annotated[Path | None, typer.Option(help=help_of("manual_dir"))]


Resize = Annotated[
    bool,
    typer.Option(
        "--resize",
        help="Resize PNG files that have another size than the model's images, and make their colours grey.",
    ),
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out PNG files that cannot be read.")
]


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
      text: the numbers, in [-2**31, 2**31), at most 10,000 of them; None for none.
      what: what they are, for the error.

    Raises:
      ValueError: another text.

    Example:
      >>> integers("7,-2-1")
      [7, -2, -1, 0, 1]
    """
    numbers: list[int] = []
    for part in text.split(",") if text is not None else []:
        match = re.fullmatch(r"\s*(-?\d{1,10})(?:-(-?\d{1,10}))?\s*", part)
        if not match:
            raise ValueError(f"expected {what} such as 9, 0-8 or 0,2,4-6, received {text!r}.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(
                f"expected {what} from the smaller to the larger, such as {last}-{first}, received {part!r}."
            )
        if first not in INT32 or last not in INT32:
            raise ValueError(f"{what} must be in [-2**31, 2**31), received {part!r}.")
        if len(numbers) + last - first >= MOST_INTEGERS:
            raise ValueError(f"at most {MOST_INTEGERS:,} {what} can be given, received {text!r}.")
        numbers.extend(range(first, last + 1))
    return numbers
