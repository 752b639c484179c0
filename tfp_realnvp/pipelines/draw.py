"""Any number of images, drawn into any number of files."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfp_realnvp.pipelines import work
from tfp_realnvp.pipelines.exported_model import ExportedModel
from tfp_realnvp.pipelines.places import check_plan, digest, newest_version
from tfp_realnvp.serving.limits import LARGEST_TEMPERATURE

__all__ = ["draw_files"]

PLAN, SUMMARY = "drawing.json", "drawn.json"
BATCH = 256
OF_FILE = 10_000  # images
INT32 = 2**31


def draw_files(
    model: str,
    n: int,
    output_dir: str,
    *,
    labels: Sequence[int] = (),
    temperature: float = 1.0,
    seed: int = 0,
    images_per_file: int = OF_FILE,
    batch_size: int = BATCH,
    options: Sequence[str] = (),
    on_results: Callable[[int, int], object] = lambda done, of: None,
) -> dict[str, Any]:
    """Draw images from a SavedModel into npz files, with Apache Beam.

    OUTPUT_DIR gets images-00000-of-00100.npz and so on: `images`, uint8 [n, height, width, channels], and with
    labels `labels`, int32 [n]. Image k of all is that of `sample_rows` with the seed [seed, k], whoever draws
    it. Files that are there are not drawn again, so the same call goes on after an interruption.

    Args:
      model: as in `score_files`.
      n: number of images, from 1 to 2**31 - 1.
      output_dir: a new or empty folder, or one with results of the same work.
      labels: of the images, in turn, for a model with labels.
      temperature: as in `ImageFlow.sample`, at most 10.
      seed: from 0 to 2**31 - 1; the same seed gives the same images.
      images_per_file: the last file may have fewer.
      batch_size: images that are drawn at once.
      options: as in `score_files`.
      on_results: as in `score_files`.

    Returns:
      `images` and `files`, their numbers, which are in OUTPUT_DIR/drawn.json, too.

    Raises:
      FileNotFoundError: no model.
      FileExistsError: the folder has something else.
      ValueError: arguments or a model that do not fit, or what the model refuses.

    Example:
      `draw_files("saved_models/mnist_0_8", 1_000_000, "drawn", options=["--direct_num_workers=2"])`
    """
    for name, value in (("images_per_file", images_per_file), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, received {value}.")
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if not least <= value < INT32:
            raise ValueError(f"`{name}` must be from {least} to 2**31 - 1, received {value}.")
    if not 0 < temperature <= LARGEST_TEMPERATURE:
        raise ValueError(
            f"`temperature` must be above 0 and at most {LARGEST_TEMPERATURE:g}, received {temperature}."
        )
    model = newest_version(model)
    takes_labels = ExportedModel(model).takes_labels  # refused here, not by the workers
    if takes_labels != bool(len(labels)):
        wanted = "given, for a model" if takes_labels else "none, for a model without"
        raise ValueError(f"`labels` must be {wanted} with labels, received {list(labels)}.")
    plan = {
        "model_sha256": digest(model),
        "images": n,
        "images_per_file": images_per_file,
        "labels": list(map(int, labels)),
        "temperature": float(temperature),
        "seed": seed,
    }
    check_plan(plan, output_dir, PLAN)
    starts = range(0, n, images_per_file)
    tasks = [
        work.Task(
            posixpath.join(output_dir, f"images-{number:05}-of-{len(starts):05}.npz"),
            (start, min(start + images_per_file, n)),
        )
        for number, start in enumerate(starts)
    ]
    summary = posixpath.join(output_dir, SUMMARY)
    do = _DrawFile(model, np.array(labels, np.int32), temperature, seed, batch_size)
    return work.run(do, tasks, summary, options, lambda done: on_results(done, len(tasks)))


class _DrawFile(work.MakeResults):
    def __init__(self, model, labels, temperature, seed, batch_size):
        super().__init__(model)
        self._labels, self._batch_size = labels, batch_size
        self._options = {"temperature": temperature, "seed": seed}

    def make(self, given, stream):
        numbers = np.arange(*given)
        labels = self._labels[numbers % len(self._labels)] if len(self._labels) else None
        parts = []
        for start in range(0, len(numbers), self._batch_size):
            some = slice(start, start + self._batch_size)
            of_some = None if labels is None else labels[some]
            parts.append(self.model.draw(numbers[some], of_some, **self._options))
        columns: dict[str, Any] = {"images": np.concatenate(parts)}
        if labels is not None:
            columns["labels"] = labels
        content = io.BytesIO()
        np.savez(content, **columns)
        stream.write(content.getvalue())

    def totals(self, task):
        start, end = task.given
        return {"images": end - start}
