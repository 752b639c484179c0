"""Fields of dataclasses that say what they mean and which values they may have."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, Literal

__all__ = ["describe", "normalize", "option", "types_of"]

Limits = dict[str, float]


def option(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Any:
    """A field of a dataclass.

    Args:
      default: its value if none is given.
      help: what it means, for the class's documentation and for the command line; without a full stop.
      least: the smallest value allowed.
      above: every value allowed is greater.
      most: the largest value allowed.
      below: every value allowed is smaller.
    """
    limits = {"at least": least, "above": above, "at most": most, "below": below}
    given = {words: limit for words, limit in limits.items() if limit is not None}
    return dataclasses.field(default=default, metadata={"help": help, "limits": given})


def types_of(options: type) -> dict[str, Any]:
    """The type of each field of a dataclass, without the `None` in `int | None`."""
    hints = typing.get_type_hints(options)
    return {field.name: _without_none(hints[field.name]) for field in dataclasses.fields(options)}


def normalize(options: Any) -> None:
    """Check the values of a dataclass whose fields were made by `option`; make NumPy's numbers Python's.

    None is allowed where the type says so. Types other than bool, int, float, str, tuple[int, ...] and
    `Literal` are not checked.

    Raises:
      TypeError: a value of another type.
      ValueError: a value outside its limits, or none of those in a `Literal`.
    """
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):
        value, hint = getattr(options, field.name), hints[field.name]
        if value is None and type(None) in typing.get_args(hint):
            continue
        convert = _check_type(field.name, value, _without_none(hint))
        _check_limits(field.name, value, field.metadata["limits"])
        object.__setattr__(options, field.name, convert(value))  # also if the dataclass is frozen


def describe(options: type) -> str:
    """The fields of a dataclass, as a section of a class's docstring."""
    lines = ["    Options:"]
    for field in dataclasses.fields(options):
        limits = _in_words(field.metadata["limits"])
        text = "; ".join(filter(None, (field.metadata["help"], limits)))
        default = "" if field.default is None else f"; default: {field.default!r}"
        lines.append(f"      {field.name}: {text}{default}")
    return "\n".join(lines)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    rest = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return rest[0] if len(rest) == 1 else hint


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _are_integers(value: Any) -> bool:
    return isinstance(value, Iterable) and all(map(_is_integer, value))


CHECKS: dict[Any, tuple[Callable[[Any], bool], str, Callable[[Any], Any]]] = {
    bool: (lambda value: isinstance(value, bool), "True or False", bool),
    int: (_is_integer, "an integer", int),
    float: (_is_number, "a number", float),
    str: (lambda value: isinstance(value, str), "a string", str),
    tuple[int, ...]: (_are_integers, "integers", lambda value: tuple(map(int, value))),
}


def _check_type(name: str, value: Any, kind: Any) -> Callable[[Any], Any]:
    """Returns what makes a plain Python value of it."""
    if typing.get_origin(kind) is Literal:
        allowed = typing.get_args(kind)
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, received {value!r}.")
    if kind not in CHECKS:
        return lambda value: value
    is_right, expected, convert = CHECKS[kind]
    if not is_right(value):
        raise TypeError(f"`{name}` must be {expected}, received {value!r}.")
    return convert


def _check_limits(name: str, value: Any, limits: Limits) -> None:
    keeps = {
        "at least": lambda limit: value >= limit,
        "above": lambda limit: value > limit,
        "at most": lambda limit: value <= limit,
        "below": lambda limit: value < limit,
    }
    if not all(keeps[words](limit) for words, limit in limits.items()):
        raise ValueError(f"`{name}` must be {_in_words(limits)}, received {value!r}.")
    if isinstance(value, Real) and not math.isfinite(value):
        raise ValueError(f"`{name}` must be finite, received {value!r}.")


def _in_words(limits: Limits) -> str:
    return " and ".join(f"{words} {limit:g}" for words, limit in limits.items())
