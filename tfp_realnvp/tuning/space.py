"""The search spaces: which options of a flow are searched, and where."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tfp_realnvp.training.config import TrainingConfig

if TYPE_CHECKING:
    import optuna

__all__ = ["SPACES", "LogRange", "Space", "defaults", "describe", "draw", "space_of"]


@dataclasses.dataclass(frozen=True)
class LogRange:
    """Numbers between two others, each order of magnitude as likely as the next.

    Attributes:
      low: the smallest.
      high: the largest.
    """

    low: float
    high: float


# The values of an option: those in a tuple in no order, those of a `range` in theirs.
Space = dict[str, tuple[Any, ...] | range | LogRange]

_LEARNING_RATE: Space = {"learning_rate": LogRange(1e-4, 1e-2)}
_OF_COUPLINGS: Space = {
    "activation": ("relu", "gelu", "silu"),
    "transform": ("affine", "spline"),
    "bins": (4, 8, 16),
    **_LEARNING_RATE,
}

# The options of each flow that are searched, the default among the values. The batch size is one, too.
SPACES: dict[str, Space] = {
    "realnvp": {
        "couplings": range(2, 11, 2),
        "depth": range(2, 6),
        "width": (128, 256, 512, 1024),
        **_OF_COUPLINGS,
    },
    "multiscale": {
        "couplings": range(2, 9, 2),
        "extra_couplings": range(0, 5, 2),
        "channels": (32, 64, 96, 128),
        "blocks": range(1, 4),
        "gated": (False, True),
        "heads": (0, 4),
        **_OF_COUPLINGS,
    },
    "residual": {
        "scales": range(1, 3),
        "blocks": range(2, 17, 2),
        "channels": (8, 16, 32, 64),
        "dense_layers": range(1, 4),
        **_LEARNING_RATE,
    },
}

# An option that there is only with a certain value of another one, which stands before it.
ONLY_WITH = {"bins": ("transform", "spline")}

BATCH_FACTORS = (0.25, 0.5, 1, 2, 4)  # of the flow's default, which depends on the number of images


def space_of(config: TrainingConfig, images: int) -> Space:
    """The options that a configuration leaves open, and their values.

    Args:
      config: what it gives is not searched.
      images: how many there are for training.

    Raises:
      ValueError: it leaves nothing open.
    """
    batch_size = dataclasses.replace(config, batch_size=None).resolved(images).batch_size or 1
    sizes = [max(1, round(batch_size * factor)) for factor in BATCH_FACTORS]
    every: Space = {
        **SPACES[config.flow],
        "batch_size": tuple(size for size in dict.fromkeys(sizes) if size <= images),
    }
    space = {name: values for name, values in every.items() if getattr(config, name) is None}
    for name, (other, value) in ONLY_WITH.items():
        if name not in every:
            continue
        if name not in space:
            space.pop(other, None)  # the configuration was checked: it has the value
        elif other not in space and config.flow_options()[other] != value:
            space.pop(name)
    if not space:
        raise ValueError(
            f"nothing is left to search: `config` gives all of {', '.join(every)}. Leave out at least one."
        )
    return space


def defaults(space: Space, config: TrainingConfig, images: int) -> dict[str, Any]:
    """The values of the options in a space that a run has if nothing is said."""
    resolved = dict(vars(config.resolved(images)))
    return {name: resolved[name] for name in space if _is_there(name, space, resolved)}


def draw(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """The values of a trial, by name."""
    values: dict[str, Any] = {}
    for name, choices in space.items():
        if _is_there(name, space, values):
            values[name] = _suggest(trial, name, choices)
    return values


def describe(space: Space) -> dict[str, str]:
    """The values in a space, in words.

    Example:
      >>> describe({"depth": range(2, 5), "learning_rate": LogRange(1e-4, 1e-2)})
      {'depth': 'one of 2, 3, 4', 'learning_rate': 'from 0.0001 to 0.01'}
    """
    return {
        name: f"from {values.low:g} to {values.high:g}"
        if isinstance(values, LogRange)
        else f"one of {', '.join(map(str, values))}"
        for name, values in space.items()
    }


def _is_there(name: str, space: Space, values: dict[str, Any]) -> bool:
    """Whether an option of the space goes with the values of others."""
    other, value = ONLY_WITH.get(name, ("", None))
    return other not in space or values[other] == value


def _suggest(trial: optuna.Trial, name: str, values: tuple[Any, ...] | range | LogRange) -> Any:
    if isinstance(values, LogRange):
        return trial.suggest_float(name, values.low, values.high, log=True)
    if isinstance(values, range):
        return trial.suggest_int(name, values[0], values[-1], step=values.step)
    return trial.suggest_categorical(name, values)
