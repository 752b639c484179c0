"""The folder of a transfer as a run folder: a few-shot distribution that questions are put to."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfp_realnvp import datasets, fewshot, flows
from tfp_realnvp.datasets.npz import read_npz
from tfp_realnvp.files import replacing
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["SHOTS", "FewShots", "few_shots_of", "read_points", "write_few_shot_run"]

SHOTS = "shots.npz"
MAPS = 300  # of the shots: what a distribution that was fitted to shots alone is taken to have learned, too


@dataclasses.dataclass(frozen=True)
class FewShots:
    """What config.json says of a transfer.

    Attributes:
      label: of the shots; None if they were PNG files.
      shots: their number.
      seed: by which they were chosen.
      dataset, manual_dir: where they are from; None for the data set of the run.
      route: the fields of the `Route`.
    """

    label: int | None
    shots: int
    seed: int
    dataset: str | None
    manual_dir: str | None
    route: dict[str, Any]


def few_shots_of(config: dict[str, Any]) -> FewShots | None:
    """What a run's config.json says of the few shots that it was made from; None if it is of a training run.

    Raises:
      ValueError: something else.
    """
    content = config.get("few_shots")
    if content is None:
        return None
    names = [field.name for field in dataclasses.fields(FewShots)]
    if not isinstance(content, dict) or sorted(content) != sorted(names):
        raise ValueError(
            f"`few_shots` in config.json must have {', '.join(names)}, received {content!r}."
        )
    few = FewShots(**content)
    texts = (few.dataset, few.manual_dir)
    if (
        not isinstance(few.label, int | None)
        or not isinstance(few.shots, int)
        or not isinstance(few.seed, int)
        or not all(isinstance(text, str | None) for text in texts)
    ):
        raise ValueError(f"`few_shots` in config.json is damaged: {content!r}.")
    return few


def write_few_shot_run(
    folder: RunFolder,
    config: dict[str, Any],
    about: FewShots,
    flow: flows.FewShotFlow,
    shots: np.ndarray,
) -> None:
    """Write the distribution, the shots, and the configuration, which makes the folder a run folder, last."""
    with replacing(folder.model) as temporary:
        flow.save(temporary)
    labels = np.full(len(shots), 0 if about.label is None else about.label)
    with replacing(folder.path / SHOTS) as temporary:
        np.savez_compressed(temporary, images=shots, labels=labels)
    folder.write_config({**config, "few_shots": dataclasses.asdict(about)})


def read_points(folder: RunFolder, about: FewShots) -> datasets.LabelledImages:
    """The shots and affine maps of them.

    Raises:
      FileNotFoundError, ValueError: the file with the shots is not there, or damaged.
    """
    (shots, labels), _ = read_npz(folder.path / SHOTS)
    images = fewshot.with_maps(shots, MAPS, seed=about.seed)
    return datasets.LabelledImages(images, np.resize(labels, len(images)))
