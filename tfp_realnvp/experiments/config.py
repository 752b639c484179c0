"""What the few-shot experiment is told. This module does without TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfp_realnvp.flows.checked_fields import normalize, option
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.goals import GOALS

__all__ = ["MODELS", "FewShotConfig"]

# The models of the experiment: how each differs from the defaults of `TrainingConfig`. The first one is the
# best of the original's four.
MODELS: dict[str, dict[str, Any]] = {
    "original": {"flow": "realnvp", "depth": 4, "couplings": 4, "activation": "relu"},
    "dense_deeper": {"flow": "realnvp", "couplings": 8},
    "multiscale_affine": {
        "flow": "multiscale",
        "transform": "affine",
        "heads": 0,
        "extra_couplings": 0,
        "components": 1,
    },
    "multiscale": {"flow": "multiscale"},
    "multiscale_small": {"flow": "multiscale", **GOALS["speed"]},
}
ON_REQUEST = ("multiscale_small",)  # not among the four: for long experiments, and short times


@dataclasses.dataclass(frozen=True)
class FewShotConfig:
    """Everything that decides what the few-shot experiment finds.

    Raises:
      TypeError, ValueError: a value of the wrong type or outside its limits.

    Example:
      >>> FewShotConfig(draws=3).model("original").depth
      4
    """

    dataset: str = option("digits", TrainingConfig.__dataclass_fields__["dataset"].metadata["help"])
    manual_dir: str | None = option(
        None, TrainingConfig.__dataclass_fields__["manual_dir"].metadata["help"]
    )
    hold_out: int = option(9, "The label that is not learned, and then drawn from a few shots")
    shots: int = option(10, "Images of it that are shown, in each draw", least=1)
    draws: int = option(20, "How often other shots are drawn", least=1)
    pictures: int = option(
        1000,
        "Pictures that are drawn and scored on each route; fewer if there are fewer real ones to compare with",
        least=6,
    )
    time_limit: float = option(600.0, "Seconds to train each of the four models", above=0)
    only: str | None = option(None, "The one model that is trained, instead of four")
    seed: int = option(0, "Of everything that is random", least=0)

    def __post_init__(self):
        normalize(self)
        if self.only not in (None, *MODELS):
            raise ValueError(f"`only` must be one of {', '.join(MODELS)}, received {self.only!r}.")

    @property
    def models(self) -> list[str]:
        """The names of the models that are trained."""
        return [self.only] if self.only else [name for name in MODELS if name not in ON_REQUEST]

    def model(self, name: str) -> TrainingConfig:
        """The configuration of one of the `MODELS`."""
        return TrainingConfig(
            dataset=self.dataset,
            manual_dir=self.manual_dir,
            hold_out=(self.hold_out,),
            time_limit=self.time_limit,
            seed=self.seed,
            **MODELS[name],
        )
