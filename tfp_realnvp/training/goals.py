"""What a run may be for: options that are set together. This module does without TensorFlow."""

from __future__ import annotations

from typing import Any, Literal, get_args

from tfp_realnvp.flows.options import OPTIONS
from tfp_realnvp.training.config import TrainingConfig

__all__ = ["GOALS", "Goal", "config_for"]

Goal = Literal["quality", "speed", "memory", "sampling-speed"]

# Measured by benchmarks/goals.py. What is not named has its default.
GOALS: dict[str, dict[str, Any]] = {
    "quality": {},
    "speed": {"channels": 32, "blocks": 1, "heads": 0, "extra_couplings": 0},
    "memory": {
        "channels": 16,
        "blocks": 1,
        "heads": 0,
        "extra_couplings": 0,
        "components": 1,
        "batch_size": 16,
    },
    "sampling-speed": {"flow": "realnvp", "width": 256, "depth": 3},
}


def config_for(goal: Goal, **options: Any) -> TrainingConfig:
    """The configuration for a goal.

    Args:
      goal: "quality", the best scores of long runs, ten minutes and more; "speed", those of a few minutes;
        "memory", few weights; "sampling-speed", many images a second.
      **options: fields of `TrainingConfig`, which win.

    Raises:
      TypeError, ValueError: an unknown goal, a flow other than the goal's, and as `TrainingConfig`.

    Example:
      >>> config_for("speed", dataset="digits", epochs=3).channels
      32
    """
    if goal not in get_args(Goal):
        raise ValueError(f"`goal` must be one of {', '.join(get_args(Goal))}, received {goal!r}.")
    preset = GOALS[goal]
    wanted = preset.get("flow", TrainingConfig.flow)
    if preset and options.get("flow", wanted) != wanted:
        raise ValueError(
            f"`goal` {goal} takes the `flow` {wanted}, received {options['flow']}: leave one of them out. The "
            f"flows are {', '.join(OPTIONS)}."
        )
    return TrainingConfig(**{**preset, **options})
