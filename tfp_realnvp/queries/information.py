"""What does a flow know of itself?"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tfp_realnvp import hardware
from tfp_realnvp.flows import ImageFlow, pixels

__all__ = ["information"]

BATCH = 100  # images
REPEATS = 5  # of a measurement, whose median is taken


def information(flow: ImageFlow, *, samples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """What a flow is, how much it leaves open, and what it costs.

    Args:
      flow: a flow that is told nothing, or has labels. Of one with a context, only what it is can be said.
      samples: how many are drawn for the entropy, at least 2.
      seed: of the samples.

    Returns:
      `class`, `image_shape`, `levels`, `components`, `labels`, `context_shape`, `dequantization`,
      `parameters`, `weights_bytes`; `entropy`: the mean `bits_per_dim` of `samples` images that the flow drew,
      and its `standard_error`; `seconds`: to draw and to score an `image` and a `batch` of 100, medians of
      five; `peak_memory_bytes` of this process so far; `device`.

    Raises:
      ValueError: fewer than two samples.

    Example:
      `information(flow)["entropy"]["bits_per_dim"]`
    """
    if samples < 2:
        raise ValueError(f"`samples` must be at least 2, received {samples}.")
    weights = flow.weights
    known: dict[str, Any] = {
        "class": type(flow).__name__,
        "image_shape": list(flow.image_shape),
        "levels": flow.levels,
        "components": flow.components,
        "labels": list(flow.labels),
        "context_shape": None if flow.context_shape is None else list(flow.context_shape),
        "dequantization": flow.dequantization,
        "parameters": flow.count_params(),
        "weights_bytes": sum(weight.numpy().nbytes for weight in weights),
        "entropy": None,
        "seconds": None,
    }
    if flow.context_shape is None:
        known |= {"entropy": _entropy(flow, samples, seed), "seconds": _seconds(flow, seed)}
    # on Linux in KiB
    known["peak_memory_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**known, "device": hardware.name()}


def _entropy(flow, samples, seed) -> dict[str, float]:
    images = flow.sample(samples, seed=seed)
    bits = np.asarray(pixels.bits_per_dim(flow.log_prob(images, seed=seed), flow.image_shape))
    error = np.std(bits, ddof=1) / math.sqrt(samples)
    return {"bits_per_dim": float(np.mean(bits)), "standard_error": float(error)}


def _seconds(flow, seed) -> dict[str, dict[str, float]]:
    images = flow.sample(BATCH, seed=seed)
    return {
        "sample": {
            "image": _median_time(lambda: flow.sample(1, seed=seed)),
            "batch": _median_time(lambda: flow.sample(BATCH, seed=seed)),
        },
        "log_prob": {
            "image": _median_time(lambda: flow.log_prob(images[:1])),
            "batch": _median_time(lambda: flow.log_prob(images)),
        },
    }


def _median_time(function: Callable[[], Any]) -> float:
    np.asarray(function())  # compiles
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        np.asarray(function())
        times.append(time.perf_counter() - started)
    return float(np.median(times))
