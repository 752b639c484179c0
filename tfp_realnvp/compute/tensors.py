"""Tensors of what a user gives."""

from __future__ import annotations

import reprlib
from typing import Any

import tensorflow as tf

__all__ = ["in_short", "is_numeric", "to_tensor"]


def to_tensor(value: Any, name: str, expected: str) -> tf.Tensor:
    """`tf.convert_to_tensor`, with an error that names the argument.

    Args:
      value: what was given.
      name: of the argument.
      expected: what it should be, for the error: "an integer".

    Raises:
      TypeError: no tensor can be made of it.

    Example:
      >>> to_tensor([[1], [2, 3]], "labels", "integers")
      Traceback (most recent call last):
      TypeError: `labels` must be integers, received [[1], [2, 3]].
    """
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"`{name}` must be {expected}, received {in_short(value)}.") from error


def in_short(value: Any) -> str:
    """What a value is, in at most 120 characters, for an error."""
    text = reprlib.repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def is_numeric(tensor: tf.Tensor) -> bool:
    """Whether it holds integers or real numbers."""
    return tensor.dtype.is_integer or tensor.dtype.is_floating
