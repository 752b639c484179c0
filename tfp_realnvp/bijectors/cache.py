"""The one place that reaches into TFP's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["once_per_pair"]


def once_per_pair(bijector, direction: str, value, compute: Callable[[], Any]):
    """The result of `compute`, evaluated once for a pair of `x` and `y = bijector.forward(x)`.

    TFP calls `_inverse` and `_forward_log_det_jacobian` one after the other, and both need the
    conditioner's answer. Its cache keeps a dictionary for each pair; what is kept there is found from either
    side, so only keep what has no direction. (The attribute is private: setup.cfg pins TFP's minor version,
    and tests count the evaluations.)

    Args:
      bijector: whose cache is used.
      direction: "forward" if `value` is an x, "inverse" if it is a y.
      value: the tensor that the bijector was called with.
      compute: called without arguments if nothing is kept yet.

    Returns:
      What `compute` returned.
    """
    cache = bijector._cache
    attributes = (
        cache.forward_attributes(value)
        if direction == "forward"
        else cache.inverse_attributes(value)
    )
    if "once" not in attributes:
        attributes["once"] = compute()
    return attributes["once"]
