"""The options of each flow: their meaning, defaults and limits, and how `train` trains the flow by default.

They are written here alone; constructors, configurations and the command line read them. A new option is a new
field. A new flow is a file of its own, a class here, and its name in `OPTIONS` and in all_flows.py. The command
line imports this module, so TensorFlow is not imported here.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tfp_realnvp.flows.checked_fields import normalize, option

__all__ = [
    "OPTIONS",
    "TRANSFORMS",
    "CouplingOptions",
    "FlowName",
    "FlowOptions",
    "MultiscaleOptions",
    "RealNVPOptions",
    "ResidualOptions",
]

TRANSFORMS = ("affine", "spline")
TRANSFORM_HELP = f"What a coupling does to a pixel: {' or '.join(TRANSFORMS)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """What a flow is built of, beside the arguments of `ImageFlow`.

    Attributes:
      name: of the flow, in configurations and on the command line.
      about: a word or two on it.
      batch_size: images in a training step, by default.
      learning_rate: its peak, by default.
      components: Gaussians of the latents, by default.
      steps_per_call: training steps in one call from Python; see `tfp_realnvp.hardware`.
      half_precision: whether matrix products may be in bfloat16.
      former: options that version 0.4 did not have, with the values that do what it did.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    batch_size: ClassVar[int]
    learning_rate: ClassVar[float]
    components: ClassVar[int]
    steps_per_call: ClassVar[int]
    half_precision: ClassVar[bool] = True
    former: ClassVar[dict[str, Any]] = {"components": 1}

    def __post_init__(self):
        normalize(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CouplingOptions(FlowOptions):
    """The options of flows of couplings."""

    former: ClassVar[dict[str, Any]] = {**FlowOptions.former, "transform": "affine"}

    # a constructor takes a function, and a transform, too; a configuration only names
    activation: Any = option("relu", "In the conditioners, such as relu, gelu or tanh")  # noqa: RUF009
    transform: Any = option("affine", TRANSFORM_HELP)  # noqa: RUF009
    bins: int = option(8, "Bins of a spline", least=2)

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.transform, str) and self.transform not in TRANSFORMS:
            raise ValueError(
                f"`transform` must be one of {', '.join(TRANSFORMS)}, received {self.transform!r}."
            )
        if self.bins != type(self).bins and self.transform != "spline":
            raise ValueError(
                f"`bins` is an option of splines, and `transform` is {self.transform}: "
                'leave `bins` out, or set `transform` to "spline".'
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiscaleOptions(CouplingOptions):
    """The options of `MultiscaleRealNVP`."""

    name = "multiscale"
    about = "convolutional"
    batch_size = 32
    learning_rate = 2e-3
    components = 64
    steps_per_call = 1
    former: ClassVar[dict[str, Any]] = {
        **CouplingOptions.former,
        "parity": 0,
        "extra_couplings": 0,
        "heads": 0,
    }

    transform: Any = option("spline", TRANSFORM_HELP)  # noqa: RUF009
    scales: int = option(2, "Scales", least=1)
    couplings: int = option(4, "Couplings of each scale", least=1)
    extra_couplings: int = option(2, "Couplings that the last scale has beyond these", least=0)
    parity: int = option(
        1,
        "Which half of the channels the coupling next to the image keeps, 0 or 1",
        least=0,
        most=1,
    )
    channels: int = option(64, "Features of a conditioner", least=1)
    blocks: int = option(2, "Residual blocks of a conditioner", least=0)
    gated: bool = option(False, "Gates in the residual blocks")
    heads: int = option(
        4, "Heads of self-attention before each residual block, in the last scale; 0: none", least=0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealNVPOptions(CouplingOptions):
    """The options of `RealNVP`."""

    name = "realnvp"
    about = "dense, the original's"
    batch_size = 512
    learning_rate = 1e-3
    components = 1
    steps_per_call = 10

    couplings: int = option(4, "Couplings of the flow", least=1)
    depth: int = option(4, "Dense layers of a conditioner, the last one included", least=1)
    width: int = option(512, "Units of its hidden layers", least=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualOptions(FlowOptions):
    """The options of `ResidualFlow`."""

    name = "residual"
    about = "invertible residual networks"
    batch_size = 64
    learning_rate = 1e-3
    components = 1
    steps_per_call = 1
    half_precision = False

    scales: int = option(2, "Scales", least=1)
    blocks: int = option(8, "Residual blocks of each scale", least=1)
    channels: int = option(16, "Features of a residual block", least=1)
    dense_layers: int = option(
        2,
        "Layers of a residual block that see the features of all before them (i-DenseNets); 0: three "
        "convolutions, one after the other",
        least=0,
    )
    coefficient: float = option(
        0.98, "Largest spectral norm of a residual block's convolutions", above=0, below=1
    )


OPTIONS: dict[str, type[FlowOptions]] = {
    options.name: options for options in (MultiscaleOptions, RealNVPOptions, ResidualOptions)
}

if TYPE_CHECKING:
    FlowName = str
else:
    FlowName = Literal[tuple(OPTIONS)]
