"""The options of `train` that are the fields of `TrainingConfig`."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from tfp_realnvp.cli.options import duration, integers, seconds
from tfp_realnvp.flows.checked_fields import types_of
from tfp_realnvp.training.config import FLOW_OPTIONS, TrainingConfig
from tfp_realnvp.training.goals import Goal, config_for

__all__ = ["config_options", "for_goal", "is_given", "make_config", "with_file"]

# Where the command line takes something else than `TrainingConfig`: (type, help).
OTHERS: dict[str, tuple[Any, str | None]] = {
    "manual_dir": (Path, None),
    "hold_out": (
        list[str],
        "Labels that are not learned: 9, 0-3 or 0,2,4-6; may be given several times.",
    ),
    "time_limit": (
        str,
        "For the whole command: 90s, 10m, 1h30m, none. It stops in time, with the best model.",
    ),
}


def config_options() -> list[inspect.Parameter]:
    """A parameter for each field, as typer reads them; the options of the flows follow `flow`."""
    types = types_of(TrainingConfig)
    fields = dataclasses.fields(TrainingConfig)
    own = [field for field in fields if field.name not in FLOW_OPTIONS]
    of_flows = [field for field in fields if field.name in FLOW_OPTIONS]
    place = [field.name for field in own].index("flow") + 1
    in_order = [*own[:place], *of_flows, *own[place:]]
    return [_parameter(field, types[field.name]) for field in in_order]


def make_config(options: dict[str, Any]) -> TrainingConfig:
    """The configuration of these options.

    Raises:
      TypeError, ValueError: as `TrainingConfig`; a time limit that is no duration, labels that are no
        integers.
    """
    return TrainingConfig(**_values(options))


def with_file(path: Path, options: dict[str, Any], context: typer.Context) -> TrainingConfig:
    """The configuration in a file, but for the options that were given.

    Raises:
      FileNotFoundError, TypeError, ValueError: as `TrainingConfig.from_file` and `make_config`.
    """
    return dataclasses.replace(TrainingConfig.from_file(path), **_given(options, context))


def for_goal(goal: Goal, options: dict[str, Any], context: typer.Context) -> TrainingConfig:
    """The configuration for a goal, with the options that were given.

    Raises:
      TypeError, ValueError: as `config_for` and `make_config`.
    """
    return config_for(goal, **_given(options, context))


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave an option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _given(options: dict[str, Any], context: typer.Context) -> dict[str, Any]:
    """Those that the user gave, as `TrainingConfig` takes them."""
    return {name: value for name, value in _values(options).items() if is_given(context, name)}


def _values(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the command line as `TrainingConfig` takes them."""
    labels = [label for text in options["hold_out"] for label in integers(text)]
    return options | {
        "hold_out": tuple(dict.fromkeys(labels)),
        "time_limit": seconds(options["time_limit"]),
    }


def _parameter(field: dataclasses.Field, kind: Any) -> inspect.Parameter:
    kind, text = OTHERS.get(field.name, (kind, None))
    default: Any = field.default
    if field.name == "time_limit":
        default = duration(default)
    elif kind == list[str]:
        default = list(default)
    names = []
    if kind is bool:
        name = field.name.replace("_", "-")
        names = [f"--{name}" if default is False else f"--{name}/--not-{name}"]
    option = typer.Option(*names, help=text or f"{field.metadata['help']}.")
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind | None if default is None else kind, option],
    )
