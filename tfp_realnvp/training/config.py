"""What a training run is told: the content of config.json, checked."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Literal

from tfp_realnvp import hardware
from tfp_realnvp.errors import one_line
from tfp_realnvp.flows.checked_fields import describe, normalize, option
from tfp_realnvp.flows.options import OPTIONS, CouplingOptions, FlowName

__all__ = ["FLOW_OPTIONS", "FORMAT", "TrainingConfig"]

FORMAT = 4  # of config.json and of what the model holds; runs of other formats are refused
IMAGES_OF_COMPONENT = 20  # at least, by default
LARGEST_FILE = 2**20  # bytes; a configuration has a thousand or two


def _defaults(name: str) -> str:
    """What the flows take if nothing is said, as text: "default: 2 (multiscale)"."""
    flows = [flow for flow in OPTIONS.values() if hasattr(flow, name)]
    return "default: " + ", ".join(f"{getattr(flow, name)} ({flow.name})" for flow in flows)


def _options_of_all_flows() -> list[tuple[str, Any, Any]]:
    """A field for each option of any flow: its name, type and description."""
    fields: dict[str, list[dataclasses.Field]] = {}
    for flow in OPTIONS.values():
        for field in dataclasses.fields(flow):
            fields.setdefault(field.name, []).append(field)
    shared = [field.name for field in dataclasses.fields(CouplingOptions)]
    options = []
    for name in sorted(fields, key=shared.__contains__):  # those of all couplings come last
        helps = " / ".join(dict.fromkeys(field.metadata["help"] for field in fields[name]))
        # the default's type: `activation` may be a function in Python, but not in JSON
        kind = type(fields[name][0].default)
        options.append((name, kind | None, option(None, f"{helps}; {_defaults(name)}")))
    return options


_AnyFlowOptions: Any = dataclasses.make_dataclass(
    "_AnyFlowOptions", _options_of_all_flows(), frozen=True, kw_only=True
)
FLOW_OPTIONS = tuple(field.name for field in dataclasses.fields(_AnyFlowOptions))


@dataclasses.dataclass(frozen=True)
class TrainingConfig(_AnyFlowOptions):
    """Everything that decides what a run learns.

    It is flat, as config.json and the command line are: the options of all flows (flows/options.py) stand
    beside the rest, and those of the chosen flow may be given. None means the flow's default.

    Raises:
      TypeError, ValueError: a value of the wrong type or outside its limits, or an option of another flow.

    Example:
      >>> config = TrainingConfig(dataset="digits", flow="realnvp", width=32)
      >>> config.flow_options()
      {'activation': 'relu', 'transform': 'affine', 'bins': 8, 'couplings': 4, 'depth': 4, 'width': 32}
    """

    dataset: str = option(
        "digits",
        "digits (8x8, embedded), idx:FOLDER, npz:FILE, tfrecord:FOLDER (it may be larger than the memory), or "
        "an image set of TensorFlow Datasets, such as mnist, fashion_mnist, kmnist or cifar10",
    )
    manual_dir: str | None = option(
        None, "Files of a TensorFlow Datasets set, fetched beforehand; no network is used"
    )
    hold_out: tuple[int, ...] = option((), "Labels that are not learned")
    flow: FlowName = option(  # noqa: RUF009
        "multiscale", "; ".join(f"{name}: {flow.about}" for name, flow in OPTIONS.items())
    )
    components: int | None = option(
        None,
        "Gaussians of the latents, each for a cluster of the images, fewer for few images; "
        f"{_defaults('components')}, and always 1 with --conditional or --fill",
        least=1,
        most=4096,
    )
    separation: float = option(
        0.5,
        "How far apart these Gaussians begin, 1: as far as the clusters. In short runs, more makes pictures "
        "that hold together better, and less gives images more probability",
        least=0,
        most=10,
    )
    conditional: bool = option(False, "Learn one distribution for each label")
    fill: bool = option(
        False,
        "Learn to fill in what is missing: the flow is told the rest of an image, under random masks",
    )
    dequantization: Literal["uniform", "variational"] = option(
        "uniform", "Noise within a grey level: even, or learned"
    )
    precision: Literal["auto", "float32", "mixed_bfloat16"] = option(
        "auto", "Of the matrix products in training; auto: the fastest here"
    )
    epochs: int = option(100, "At most so many passes over the images", least=1)
    batch_size: int | None = option(
        None, f"Images in a step, fewer for small data sets; {_defaults('batch_size')}", least=1
    )
    learning_rate: float | None = option(None, f"Its peak; {_defaults('learning_rate')}", above=0)
    warm_up: int = option(100, "Steps in which the learning rate rises to its peak", least=0)
    final_rate: float = option(
        0.02, "The learning rate at the end, as a share of its peak", above=0, most=1
    )
    gradient_clip: float = option(1.0, "Largest global norm of a gradient; 0: do not clip", least=0)
    augment: float = option(
        0.0,
        "Share of the training images that are moved by up to a pixel, each time anew: for long runs",
        least=0,
        most=1,
    )
    patience: int = option(
        5, "Stop after so many epochs with hardly a better validation result", least=1
    )
    validation: float = option(
        0.1,
        "Fraction of the training images that is put aside to choose the best model",
        above=0,
        below=1,
    )
    time_limit: float | None = option(600.0, "Seconds for the whole run; None: no limit", above=0)
    score_pictures: bool = option(
        False, "Score drawn pictures, too, by a classifier of the labels that is trained first"
    )
    seed: int = option(0, "Of the weights, the order of the images and the noise")

    def __post_init__(self):
        if isinstance(self.manual_dir, os.PathLike):
            object.__setattr__(self, "manual_dir", os.fspath(self.manual_dir))
        normalize(self)
        if self.fill and self.score_pictures:
            raise ValueError(
                "`score_pictures` is for flows that draw whole images: leave it out with `fill`."
            )
        if (self.conditional or self.fill) and self.components not in (None, 1):
            raise ValueError(
                f"`components` must be 1 with `conditional` or `fill`, received {self.components}."
            )
        if self.precision == "mixed_bfloat16" and not OPTIONS[self.flow].half_precision:
            raise ValueError(
                f"`precision` must be float32 or auto for the flow {self.flow}, received mixed_bfloat16."
            )
        known = [name for name in FLOW_OPTIONS if hasattr(OPTIONS[self.flow], name)]
        for name in FLOW_OPTIONS:
            if getattr(self, name) is not None and name not in known:
                raise ValueError(
                    f"`{name}` is no option of the flow {self.flow}, which has {', '.join(known)}."
                )
        self.flow_options()  # checks them

    def flow_options(self) -> dict[str, Any]:
        """The options of the flow, with its defaults where nothing was given.

        Raises:
          ValueError: one is outside its limits.
        """
        options = OPTIONS[self.flow]
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(options)}
        given = {name: value for name, value in values.items() if value is not None}
        return dataclasses.asdict(options(**given))

    def with_absolute_paths(self) -> TrainingConfig:
        """The same, with data that are found from any folder.

        Example:
          >>> TrainingConfig(dataset="npz:/data/mine.npz").with_absolute_paths().dataset
          'npz:/data/mine.npz'
        """
        kind, colon, place = self.dataset.partition(":")
        dataset = f"{kind}:{Path(place).absolute()}" if colon else self.dataset
        manual_dir = str(Path(self.manual_dir).absolute()) if self.manual_dir else None
        return dataclasses.replace(self, dataset=dataset, manual_dir=manual_dir)

    def resolved(self, images: int) -> TrainingConfig:
        """The same with absolute paths and the defaults that depend on the flow, machine and number of images.

        Args:
          images: how many there are for training.

        Raises:
          ValueError: a batch of more images than there are.
        """
        flow = OPTIONS[self.flow]
        batch_size = self.batch_size or max(1, min(flow.batch_size, images // 20))
        if batch_size > images:
            raise ValueError(
                f"`batch_size` must be at most the number of training images, {images}, "
                f"received {batch_size}."
            )
        components = self.components
        if components is None:
            most = 1 if self.conditional or self.fill else flow.components
            components = max(1, min(most, images // IMAGES_OF_COMPONENT))
        precision = self.precision
        if precision == "auto":
            precision = hardware.default_precision() if flow.half_precision else "float32"
        return dataclasses.replace(
            self.with_absolute_paths(),
            **self.flow_options(),
            batch_size=batch_size,
            components=components,
            learning_rate=self.learning_rate or flow.learning_rate,
            precision=precision,
        )

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> TrainingConfig:
        """The "training" part of a config.json.

        Raises:
          ValueError: it is not there, or not what this version writes.
        """
        training = content.get("training")
        if not isinstance(training, dict):
            raise ValueError(f"`training` must be an object, received {training!r}")
        flow = training.get("flow")
        former = OPTIONS[flow].former if isinstance(flow, str) and flow in OPTIONS else {}
        return cls._from_fields({**former, **training})

    @classmethod
    def from_file(cls, path: str | Path) -> TrainingConfig:
        """The configuration in a JSON file: an object with fields of this class, or a run's config.json.

        Args:
          path: of the file. Fields that are not there have their defaults.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: it is not JSON, or holds something else.

        Example:
          `TrainingConfig.from_file("best.json")` for the best options that `tune` found.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {path}: expected JSON with options of `train`, or a run's config.json."
            )
        try:
            with path.open("rb") as stream:
                text = stream.read(LARGEST_FILE + 1)
            if len(text) > LARGEST_FILE:
                raise ValueError(f"it has more than {LARGEST_FILE:,} bytes")
            content = json.loads(text)
            if not isinstance(content, dict):
                raise ValueError(f"expected an object, received {type(content).__name__}")
            if "training" not in content:
                return cls._from_fields(content)
            if content.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT}, received {content.get('format')!r}")
            return cls.from_json(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} is no configuration ({one_line(error)}): expected JSON with options of `train`, or "
                "a run's config.json."
            ) from error

    @classmethod
    def _from_fields(cls, values: dict[str, Any]) -> TrainingConfig:
        """Errors in the values are ValueErrors."""
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(values.keys() - known):
            raise ValueError(f"unknown option {unknown[0]!r}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error
        except OverflowError as error:  # an integer that no float can hold
            raise ValueError(f"a number is too large: {error}") from error


TrainingConfig.__doc__ = f"{TrainingConfig.__doc__}\n{describe(TrainingConfig)}\n    "
