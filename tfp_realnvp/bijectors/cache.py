"""The one place that reaches into TFP's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorflow_probability import bijectors as tfb
from tensorflow_probability.python.internal import cache_util

__all__ = ["kept", "renewed", "with_own_cache"]


def with_own_cache(bijector: tfb.Bijector) -> tfb.Bijector:
    """The bijector; what it and those inside of it remember is freed with it.

    TFP has one cache for all bijectors. A tensor of a graph keeps the graph, which keeps the tensor: so the
    cache would keep each graph that a bijector was traced in, and the variables of its flow, for ever.

    Args:
      bijector: one that nothing was computed with yet.
    """
    storage = cache_util.EphemeralDict()
    for part in (bijector, *bijector.submodules):
        if isinstance(part, tfb.Bijector):
            part._cache = cache_util.BijectorCache(
                bijector=part, bijector_class=type(part), storage=storage
            )
    return bijector


def renewed(bijector, direction: str, value, result: Any):
    """Keep a result for a pair of `x` and `y = bijector.forward(x)`, in place of what was kept before.

    TFP calls `_inverse` and `_forward_log_det_jacobian` one after the other, and both need the conditioner's
    answer: `_forward` and `_inverse` renew it, `_forward_log_det_jacobian` takes what is `kept`. TFP keeps its
    log-determinants in the same place, and does not notice when a variable changes: they are removed, too.

    What is kept is found by `x` as well as by `y`, so it must not depend on the direction. It must not contain
    `x` or `y` themselves: they would never be freed, and TFP would go on returning them. (`_cache` is private:
    setup.cfg pins TFP's minor version, and tests count the evaluations.)

    Args:
      bijector: whose cache is used.
      direction: "forward" if `value` is an x, "inverse" if it is a y.
      value: the tensor that the bijector was called with.
      result: what is kept.

    Returns:
      The result.
    """
    attributes = _attributes(bijector, direction, value)
    attributes.clear()
    attributes["kept"] = result
    return result


def kept(bijector, direction: str, value, compute: Callable[[], Any]):
    """What `renewed` kept for a pair; if there is nothing, `compute()`, which is kept then."""
    attributes = _attributes(bijector, direction, value)
    if "kept" not in attributes:
        attributes["kept"] = compute()
    return attributes["kept"]


def _attributes(bijector, direction, value) -> dict:
    cache = bijector._cache
    return (
        cache.forward_attributes(value)
        if direction == "forward"
        else cache.inverse_attributes(value)
    )
