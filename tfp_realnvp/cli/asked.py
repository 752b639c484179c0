"""The images that a question is about, and those that its answer rests on."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, flows, hardware
from tfp_realnvp.cli.few_shot_runs import few_shots_of, read_points
from tfp_realnvp.cli.run_data import load_data
from tfp_realnvp.files import check_output, replacing
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import load_images
from tfp_realnvp.training.run_folder import RunFolder

__all__ = [
    "PngFolder",
    "begin",
    "images_asked",
    "images_of_label",
    "learned_images",
    "test_images",
    "write_csv",
]

DRAWN = 1000  # images that a few-shot distribution draws, in place of images that were put aside
CALIBRATED = 200  # images of a label that a few-shot distribution is calibrated with


@dataclasses.dataclass
class PngFolder:
    """A folder of PNG files that a question is about.

    Attributes:
      folder: None for images of a data set instead.
      resize: whether images that do not fit the model are resized, and colours become grey.
      skip_unreadable: whether files that cannot be read are left out; their names are in `skipped` then.
    """

    folder: Path | None
    resize: bool = False
    skip_unreadable: bool = False
    skipped: list[str] = dataclasses.field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """What a result says of files that were skipped."""
        return {"skipped": self.skipped} if self.skip_unreadable else {}

    def read(self, flow: flows.ImageFlow) -> tuple[list[str], np.ndarray]:
        """The names of the files, and their images."""
        images = {}
        for file in datasets.png_files(self.folder or ""):
            try:
                images[file.name] = datasets.read_png(
                    file, flow.image_shape, levels=flow.levels, resize=self.resize
                )
            except ValueError:
                if not self.skip_unreadable:
                    raise
                self.skipped.append(file.name)
        if not images:
            raise ValueError(
                f"none of the {len(self.skipped)} PNG files in {self.folder} can be read."
            )
        return list(images), np.stack(list(images.values()))


def begin(
    run_dir: Path, name: str, files: Sequence[str], output_dir: Path | None, overwrite: bool
) -> tuple[RunFolder, Path, flows.ImageFlow]:
    """The run, the folder for the results (RUN/`name` by default), and the run's flow."""
    hardware.use()
    run = RunFolder(run_dir)
    run.read_config()
    folder = output_dir or run_dir / name
    for file in files:
        check_output(folder / file, overwrite=overwrite or output_dir is None)
    return run, folder, run.load_model()


def images_asked(
    run: RunFolder,
    flow: flows.ImageFlow,
    images_from: PngFolder,
    dataset: str | None,
    manual_dir: str | None,
    split: str,
    labels: Sequence[int] | None,
) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Names, images and labels: of the PNG files of a folder, without labels, or of a data set.

    Without `labels` they are those that the run is about; None means all.
    """
    if images_from.folder is not None:
        return *images_from.read(flow), None
    data = load_data(run, flow, dataset, manual_dir)
    chosen = {"train": data.train, "test": data.test}[split]
    if labels is not None:
        labels = labels or _own_label(run, dataset)
    if labels:
        chosen = chosen.only(labels)
    return list(map(str, range(len(chosen)))), chosen.images, chosen.labels


def _own_label(run: RunFolder, dataset: str | None) -> list[int]:
    """The label of a few-shot distribution's images, if they are of the data set; none for other runs.

    Raises:
      ValueError: the shots were PNG files, and no other images are named.
    """
    few = few_shots_of(run.read_config())
    if few is None or dataset is not None:
        return []
    if few.label is None:
        raise ValueError(
            f"{run.path} was made from PNG files: say by `images_dir` or `dataset` which images are meant."
        )
    return [few.label]


def test_images(
    run: RunFolder, flow: flows.ImageFlow, dataset: str | None, manual_dir: str | None
) -> datasets.LabelledImages:
    """Images like those learned: the test split without held-out labels, or of the label of the few shots."""
    test = load_data(run, flow, dataset, manual_dir).test
    own = _own_label(run, dataset)
    if own:
        return test.only(own)
    return test.without(TrainingConfig.from_json(run.read_config()).hold_out)


def learned_images(
    run: RunFolder, flow: flows.ImageFlow
) -> tuple[datasets.LabelledImages, datasets.LabelledImages]:
    """Images that a run has learned from, and others like them, which it has not.

    A few-shot distribution has learned from the shots and maps of them, and the others are its own samples.
    """
    content = run.read_config()
    few = few_shots_of(content)
    if few is None:
        learned = load_images(TrainingConfig.from_json(content))
        return learned.train, learned.validation
    points = read_points(run, few)
    drawn = flow.sample(DRAWN, seed=few.seed).numpy()
    return points, datasets.LabelledImages(drawn, np.resize(points.labels, DRAWN))


def images_of_label(
    run: RunFolder, flow: flows.ImageFlow, label: int
) -> tuple[datasets.LabelledImages, datasets.LabelledImages]:
    """Images of a label that a run has learned from, and others for calibration: real ones, not its own."""
    few = few_shots_of(run.read_config())
    if few is None:
        train, validation = learned_images(run, flow)
        return train.only([label]), validation.only([label])
    points = read_points(run, few)
    others = load_data(run, flow, None, None).train.only([label])
    shots = {shot.tobytes() for shot in points.images[: few.shots]}
    new = np.array([image.tobytes() not in shots for image in others.images])
    aside = others.take(np.flatnonzero(new)[:CALIBRATED])
    return datasets.LabelledImages(points.images, np.full(len(points), label)), aside


def write_csv(columns: Mapping[str, Any], path: Path) -> None:
    """A line of titles, then a row for each image."""
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(_rows(columns))


def _rows(columns: Mapping[str, Any]) -> Iterator[tuple]:
    return zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
