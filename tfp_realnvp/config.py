"""What a training run is told: the content of config.json, checked."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal, get_args

__all__ = ["PRECISIONS", "Precision", "TrainingConfig", "default_precision"]

Precision = Literal["auto", "float32", "mixed_bfloat16"]
PRECISIONS = get_args(Precision)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a run learns.

    Attributes:
      dataset: see `datasets.load`.
      manual_dir: see `datasets.load`.
      hold_out: labels that are not learned.
      couplings: of the flow.
      depth: dense layers in a conditioner, the output layer included.
      width: units of a hidden layer.
      activation: of the hidden layers.
      alpha: of the logit; None means a quarter of a grey level.
      precision: of the matrix products in training, one of `PRECISIONS`.
      epochs: at most so many.
      batch_size: images in a step; None means 512, or less where an epoch would have under 20 steps.
      learning_rate: its peak.
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
    couplings: int = 4
    depth: int = 4
    width: int = 512
    activation: str = "relu"
    alpha: float | None = None
    precision: Precision = "auto"
    epochs: int = 100
    batch_size: int | None = None
    learning_rate: float = 1e-3
    gradient_clip: float = 1.0
    patience: int = 5
    validation: float = 0.1
    time_limit: float | None = 600.0
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "hold_out", tuple(self.hold_out))
        at_least_one = ("couplings", "depth", "width", "epochs", "batch_size", "patience")
        for name in at_least_one:
            value = getattr(self, name)
            if value is None and name == "batch_size":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, received {value!r}.")
        above_zero = {"learning_rate": False, "time_limit": True, "alpha": True}
        for name, optional in above_zero.items():
            value = getattr(self, name)
            if not (optional and value is None) and not _is_number(value, above=0):
                raise ValueError(f"{name} must be a number above 0, received {value!r}.")
        if not _is_number(self.gradient_clip, above=-1e-9):
            raise ValueError(f"gradient_clip must be at least 0, received {self.gradient_clip!r}.")
        if not _is_number(self.validation, above=0) or self.validation >= 1:
            raise ValueError(f"validation must be between 0 and 1, received {self.validation!r}.")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, received {self.precision!r}."
            )
        for name in ("dataset", "activation"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a string, received {getattr(self, name)!r}.")
        if not all(isinstance(label, int) for label in self.hold_out):
            raise TypeError(f"hold_out must be integers, received {self.hold_out!r}.")

    def resolved(self, images: int) -> TrainingConfig:
        """The same with the defaults that depend on the machine and on the number of training images."""
        precision = default_precision() if self.precision == "auto" else self.precision
        batch_size = self.batch_size or max(1, min(512, images // 20))
        return dataclasses.replace(self, precision=precision, batch_size=batch_size)

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


def default_precision() -> Precision:
    """The fastest precision of this machine's matrix products that learns as well as float32.

    bfloat16 on a GPU and on a CPU with instructions for it; other CPUs would only imitate it.
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    if tf.config.list_physical_devices("GPU"):
        return "mixed_bfloat16"
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.is_file() else ""
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
