"""The data set of a run: its images, and what people are told of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfp_realnvp import datasets, flows
from tfp_realnvp.cli.few_shot_runs import few_shots_of
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["load_data", "trained_on"]


def load_data(
    run: RunFolder, flow: flows.ImageFlow, dataset: str | None, manual_dir: str | None
) -> datasets.ImageSet:
    """The data set that is asked for, by default the run's own."""
    content = run.read_config()
    config = TrainingConfig.from_json(content)
    few = few_shots_of(content)
    if few is not None and few.dataset:
        config = dataclasses.replace(config, dataset=few.dataset, manual_dir=few.manual_dir)
    data = datasets.load(
        dataset or config.dataset,
        manual_dir=manual_dir if manual_dir or dataset else config.manual_dir,
    )
    wanted, received = (flow.image_shape, flow.levels), (data.image_shape, data.levels)
    if wanted != received:
        raise ValueError(
            f"`dataset` must have images of {_form(*wanted)}, as the model has; {dataset or config.dataset} "
            f"has images of {_form(*received)}."
        )
    return data


def _form(image_shape: tuple[int, int, int], levels: int) -> str:
    height, width, channels = image_shape
    return (
        f"{height}x{width}x{channels} numbers (height x width x channels) and {levels} grey levels"
    )


def trained_on(config: dict[str, Any]) -> str:
    """What a run's flow was trained on, for the model card."""
    run = TrainingConfig.from_json(config)
    labels = ", ".join(map(str, run.hold_out))
    without = f" without label{'s' if len(run.hold_out) > 1 else ''} {labels}" if labels else ""
    return f"Trained on {run.dataset}{without}."
