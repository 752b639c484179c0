"""What a training run is told: the content of config.json, checked."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

from tfp_realnvp import hardware

__all__ = [
    "FLOWS",
    "PRECISIONS",
    "Dequantization",
    "FlowName",
    "Precision",
    "TrainingConfig",
]

Precision = Literal["auto", "float32", "mixed_bfloat16"]
PRECISIONS = get_args(Precision)
FlowName = Literal["multiscale", "realnvp"]
Dequantization = Literal["uniform", "variational"]

# What can be said of each flow, and what holds if nothing is said. `tfp_realnvp.flows.BY_NAME` has the classes:
# this module is read by the command line, which does not wait for TensorFlow.
FLOWS: dict[FlowName, dict[str, Any]] = {
    "multiscale": {
        "scales": 2,
        "couplings": 4,
        "channels": 64,
        "blocks": 2,
        "activation": "relu",
        "gated": False,
        "batch_size": 32,
        "learning_rate": 2e-3,
    },
    "realnvp": {
        "couplings": 4,
        "depth": 4,
        "width": 512,
        "activation": "relu",
        "batch_size": 512,
        "learning_rate": 1e-3,
    },
}
FLOW_OPTIONS = (
    "scales",
    "couplings",
    "channels",
    "blocks",
    "gated",
    "depth",
    "width",
    "activation",
)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a run learns.

    Attributes:
      dataset: see `datasets.load`.
      manual_dir: see `datasets.load`.
      hold_out: labels that are not learned.
      flow: one of `FLOWS`. The options from `scales` to `activation` are those of its class; None
        means its default.
      scales: of a multiscale flow.
      couplings: of the flow, or of each scale.
      channels: features of a convolutional conditioner.
      blocks: residual blocks of a convolutional conditioner.
      gated: whether its residual blocks are gated.
      depth: dense layers in a dense conditioner, the output layer included.
      width: units of its hidden layers.
      activation: in the conditioners.
      conditional: whether the flow is told the labels: one distribution for each.
      dequantization: "uniform", or "variational" for learned noise.
      precision: of the matrix products in training, one of `PRECISIONS`.
      epochs: at most so many passes over the images; one of a dense flow ends at the nearest tenth step.
      batch_size: images in a step; None means the flow's default, or less where an epoch would have
        under 20 steps.
      learning_rate: its peak; None means the flow's default.
      warm_up: steps in which it rises to the peak; it then falls, as a cosine does, to the end.
      final_rate: what it falls to, as a share of the peak; 1 keeps it at the peak.
      gradient_clip: the gradients' global norm is at most this; 0 does not clip.
      patience: training stops after so many epochs that together gained less than 0.001 validation bits
        per dimension.
      validation: fraction of the training images that is put aside.
      time_limit: seconds for the whole run, or None for no limit.
      seed: of the weights, the order of the images and the noise.

    Raises:
      TypeError, ValueError: a value that cannot be.
    """

    dataset: str = "digits"
    manual_dir: str | None = None
    hold_out: tuple[int, ...] = ()
    flow: FlowName = "multiscale"
    scales: int | None = None
    couplings: int | None = None
    channels: int | None = None
    blocks: int | None = None
    gated: bool | None = None
    depth: int | None = None
    width: int | None = None
    activation: str | None = None
    conditional: bool = False
    dequantization: Dequantization = "uniform"
    precision: Precision = "auto"
    epochs: int = 100
    batch_size: int | None = None
    learning_rate: float | None = None
    warm_up: int = 100
    final_rate: float = 0.02
    gradient_clip: float = 1.0
    patience: int = 5
    validation: float = 0.1
    time_limit: float | None = 600.0
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "hold_out", tuple(self.hold_out))
        self._check_flow()
        self._check_numbers()
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, received {self.precision!r}."
            )
        if self.dequantization not in get_args(Dequantization):
            raise ValueError(
                f"dequantization must be one of {', '.join(get_args(Dequantization))}, "
                f"received {self.dequantization!r}."
            )
        for name in ("conditional", "gated"):
            if not isinstance(getattr(self, name), (bool, type(None))):
                raise TypeError(f"{name} must be true or false, received {getattr(self, name)!r}.")
        if not isinstance(self.dataset, str):
            raise TypeError(f"dataset must be a string, received {self.dataset!r}.")
        if not isinstance(self.activation, (str, type(None))):
            raise TypeError(f"activation must be a string, received {self.activation!r}.")
        if not all(isinstance(label, int) for label in self.hold_out):
            raise TypeError(f"hold_out must be integers, received {self.hold_out!r}.")

    def _check_flow(self):
        if self.flow not in FLOWS:
            raise ValueError(f"flow must be one of {', '.join(FLOWS)}, received {self.flow!r}.")
        for name in FLOW_OPTIONS:
            if getattr(self, name) is not None and name not in FLOWS[self.flow]:
                known = ", ".join(option for option in FLOW_OPTIONS if option in FLOWS[self.flow])
                raise ValueError(f"{name} is no option of the flow {self.flow}, which has {known}.")

    def _check_numbers(self):
        whole = {"scales": 1, "couplings": 1, "channels": 1, "blocks": 0, "depth": 1, "width": 1}
        whole |= {"batch_size": 1, "epochs": 1, "warm_up": 0, "patience": 1}
        for name, least in whole.items():
            value = getattr(self, name)
            if value is None and name not in ("epochs", "warm_up", "patience"):
                continue
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name} must be an integer of at least {least}, received {value!r}."
                )
        for name in ("learning_rate", "time_limit"):
            value = getattr(self, name)
            if value is not None and not _is_number(value, above=0):
                raise ValueError(f"{name} must be a number above 0, received {value!r}.")
        if not _is_number(self.gradient_clip, above=-1e-9):
            raise ValueError(f"gradient_clip must be at least 0, received {self.gradient_clip!r}.")
        if not _is_number(self.final_rate, above=0) or self.final_rate > 1:
            raise ValueError(
                f"final_rate must be above 0 and at most 1, received {self.final_rate!r}."
            )
        if not _is_number(self.validation, above=0) or self.validation >= 1:
            raise ValueError(f"validation must be between 0 and 1, received {self.validation!r}.")

    def resolved(self, images: int) -> TrainingConfig:
        """The same with the defaults that depend on the machine and on the number of training images."""
        precision = hardware.default_precision() if self.precision == "auto" else self.precision
        defaults = FLOWS[self.flow]
        chosen = {name: getattr(self, name) for name in defaults if getattr(self, name) is not None}
        batch_size = max(1, min(defaults["batch_size"], images // 20))
        resolved = {**defaults, "batch_size": batch_size, "precision": precision, **chosen}
        return dataclasses.replace(self, **resolved)

    def flow_options(self) -> dict[str, Any]:
        """What is said to the flow's class, beside what all flows share."""
        return {name: getattr(self, name) for name in FLOW_OPTIONS if name in FLOWS[self.flow]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> TrainingConfig:
        """The "training" part of a config.json.

        Raises:
          ValueError: it is not there, or not what this version writes.
        """
        try:
            return cls(**content["training"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"config.json is damaged: {error}") from error


def _is_number(value, *, above: float) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > above
