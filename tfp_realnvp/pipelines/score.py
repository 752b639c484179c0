"""Scores of the images in any number of files."""

from __future__ import annotations

import csv
import hashlib
import math
import posixpath
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfp_realnvp.flows.pixels import bits_per_dim
from tfp_realnvp.pipelines import work
from tfp_realnvp.pipelines.exported_model import ExportedModel
from tfp_realnvp.pipelines.places import check_plan, digest, newest_version, stored_files
from tfp_realnvp.pipelines.stored_images import read_images

__all__ = ["score_files"]

PLAN, SUMMARY = "scoring.json", "scores.json"
COLUMNS = ("image", "log_prob", "bits_per_dim")
BATCH = 256


def score_files(
    model: str,
    files: str,
    output_dir: str,
    *,
    batch_size: int = BATCH,
    options: Sequence[str] = (),
    on_results: Callable[[int, int], object] = lambda done, of: None,
) -> dict[str, Any]:
    """Score the images of npz and TFRecord files by a SavedModel, with Apache Beam.

    For each file, OUTPUT_DIR gets NAME.csv with a row for each image: its number in the file, nats, bits per
    dimension. Files whose result is there, and newer, are not scored again: the same call goes on after an
    interruption, and scores files that have changed.
    Paths may be any that TensorFlow reads (gs://...), and all workers must see them.

    Args:
      model: a SavedModel that `export` wrote, or the folder of its versions, of which the newest is taken.
      files: a folder, or a pattern such as images/part-*.npz. An npz file has `images`; a TFRecord file is as
        `datasets.write_tfrecords` writes it. A model with labels needs those of the files.
      output_dir: a new or empty folder, or one with results of the same work.
      batch_size: images that are scored at once.
      options: Beam's own, such as `["--runner=FlinkRunner", "--parallelism=8"]`; none is this machine.
      on_results: called now and then, with the number of files that are done, and of all.

    Returns:
      `bits_per_dim` (mean), `standard_error` (of that mean), `log_prob` (mean, nats per image), `images` and
      `files` (their numbers), which are in OUTPUT_DIR/scores.json, too.

    Raises:
      FileNotFoundError: no model, or no files.
      FileExistsError: the folder has something else.
      ValueError: a model or options that do not fit; or files that cannot be scored, when all others are.

    Example:
      `score_files("saved_models/mnist_0_8", "images/*.npz", "scores", options=["--direct_num_workers=2"])`
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, received {batch_size}.")
    model, found = newest_version(model), stored_files(files)
    plan = {
        "model_sha256": digest(model),
        "files": len(found),
        "files_sha256": hashlib.sha256("\n".join(found).encode()).hexdigest(),
    }
    ExportedModel(model)  # one that does not fit is refused here, not by the workers
    check_plan(plan, output_dir, PLAN)
    tasks = [
        work.Task(posixpath.join(output_dir, f"{posixpath.basename(file)}.csv"), file)
        for file in found
    ]
    summary = posixpath.join(output_dir, SUMMARY)
    do = _ScoreFile(model, batch_size)
    return work.run(do, tasks, summary, options, lambda done: on_results(done, len(tasks)))


class _ScoreFile(work.MakeResults):
    def __init__(self, model, batch_size):
        super().__init__(model)
        self._batch_size = batch_size

    def is_done(self, task):
        """Whether a result is there that is not older than the images."""
        if not super().is_done(task):
            return False
        made, changed = (tf.io.gfile.stat(file).mtime_nsec for file in task)
        return made >= changed

    def summarize(self, totals):
        """The means."""
        count = max(1, totals.get("images", 0))
        nats, bits, squares = (
            totals.get(name, 0.0) / count for name in ("log_prob", "bits_per_dim", "squares")
        )
        return {
            "bits_per_dim": bits,
            "standard_error": math.sqrt(max(0.0, squares - bits**2) / count),
            "log_prob": nats,
            "images": totals.get("images", 0),
            "files": totals["files"],
            "failed": totals["failed"],
        }

    def make(self, given, stream):
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        first = 0
        for rows in read_images(given, self.model.image_shape, at_once=self._batch_size):
            nats = self.model.log_prob(*rows)
            bits = bits_per_dim(nats, self.model.image_shape)
            numbers = range(first, first + len(nats))
            writer.writerows(zip(numbers, nats.tolist(), bits.tolist(), strict=True))
            first += len(nats)

    def totals(self, task):
        count, nats, bits, squares = 0, 0.0, 0.0, 0.0
        with tf.io.gfile.GFile(task.result) as stream:
            for row in csv.DictReader(stream):
                count += 1
                nats += float(row["log_prob"])
                bits += float(row["bits_per_dim"])
                squares += float(row["bits_per_dim"]) ** 2
        return {"images": count, "log_prob": nats, "bits_per_dim": bits, "squares": squares}
