"""The one place that reaches into TFP's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["of_pair", "once_per_pair"]


def of_pair(bijector, direction: str, value) -> dict:
    """The dictionary that TFP's cache keeps for a pair of `x` and `y = bijector.forward(x)`.

    TFP calls `_inverse` and `_forward_log_det_jacobian` one after the other, and both need the
    conditioner's answer. What is kept here is found from either side of the pair, so only keep what has no
    direction. (The attribute is private: setup.cfg pins TFP's minor version, and tests count the
    evaluations.)

    Args:
      bijector: whose cache is used.
      direction: "forward" if `value` is an x, "inverse" if it is a y.
      value: the tensor that the bijector was called with.
    """
    cache = bijector._cache
    if direction == "forward":
        return cache.forward_attributes(value)
    return cache.inverse_attributes(value)


def once_per_pair(bijector, direction: str, value, compute: Callable[[], Any]):
    """The result of `compute`, called without arguments, and once for a pair; see `of_pair`."""
    kept = of_pair(bijector, direction, value)
    if "once" not in kept:
        kept["once"] = compute()
    return kept["once"]
