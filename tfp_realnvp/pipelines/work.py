"""What scoring and drawing have in common: a result file for each task, made once, by whichever worker."""

from __future__ import annotations

import abc
import contextlib
import logging
import posixpath
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

try:
    import apache_beam as beam
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "a pipeline needs the extra `beam`: pip install -e '.[beam]'."
    ) from error
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from tfp_realnvp.errors import one_line
from tfp_realnvp.pipelines.exported_model import ExportedModel
from tfp_realnvp.pipelines.places import read_json, replacing, write_json

__all__ = ["MakeResults", "Task", "run"]


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    return "KeyboardInterrupt" not in record.getMessage()


# Beam reports Ctrl-C as an error of the work that it ends
logging.getLogger("apache_beam.runners.common").addFilter(_is_no_interrupt)

LOOK_SECONDS = 2.0  # between two looks at how many results there are
SHOWN = 20  # failed tasks that are named

Totals = dict[str, Any]


class Task(NamedTuple):
    """One result file, and what it is made from.

    Attributes:
      result: the path of the file.
      given: what it is made from.
    """

    result: str
    given: Any


class MakeResults(beam.DoFn, abc.ABC):
    """Makes the results of tasks, and sums them up.

    A result that is there is kept: so an interrupted pipeline goes on where it was. It is written under another
    name first, so none is ever half there, and a task that Beam gives to two workers does no harm.

    Args:
      model: the folder of a SavedModel, which each process of a worker loads once.
    """

    def __init__(self, model: str):
        self._folder, self._shared = model, Shared()

    def setup(self):
        """Load the model."""
        self.model = self._shared.acquire(lambda: ExportedModel(self._folder), tag=self._folder)

    def process(self, task: Task) -> Iterator[Totals]:
        """Make a result, and yield its totals; those of a task that fails name what failed."""
        try:
            if not self.is_done(task):
                with replacing(task.result) as stream:
                    self.make(task.given, stream)
            yield {**self.totals(task), "files": 1, "failed": []}
        except ValueError as error:
            yield {"files": 0, "failed": [f"{posixpath.basename(task.result)}: {one_line(error)}"]}

    def is_done(self, task: Task) -> bool:
        """Whether the result of a task is there."""
        return tf.io.gfile.exists(task.result)

    def summarize(self, totals: Totals) -> Totals:
        """What is written of the sums of all totals."""
        return totals

    @abc.abstractmethod
    def make(self, given: Any, stream: Any) -> None:
        """Write a result.

        Raises:
          ValueError: it cannot be made.
        """

    @abc.abstractmethod
    def totals(self, task: Task) -> Totals:
        """Numbers that are summed over all results, from a result that is there."""


def run(
    do: MakeResults,
    tasks: Sequence[Task],
    summary: str,
    options: Sequence[str],
    on_results: Callable[[int], object],
) -> Totals:
    """Do all tasks in a Beam pipeline.

    Args:
      do: what is done.
      tasks: all of them, also those that were done before.
      summary: path of a JSON file for what `do.summarize` makes of the sums of totals, and for what failed.
      options: Beam's own, as on its command line; none is Beam's runner on this machine.
      on_results: called with the number of results that are there, now and then.

    Returns:
      The summary, without what failed.

    Raises:
      ValueError: some tasks failed, after all others were done; or options that Beam refuses.
    """
    with (
        _watched([task.result for task in tasks], on_results),
        beam.Pipeline(options=PipelineOptions(list(options))) as pipeline,
    ):
        _ = (
            pipeline
            | "Tasks" >> beam.Create(list(tasks))
            | "Share out" >> beam.Reshuffle()
            | "Make results" >> beam.ParDo(do)
            | "Sum up" >> beam.CombineGlobally(_sum)
            | "Summarize" >> beam.Map(do.summarize)
            | "Write summary" >> beam.Map(write_json, summary)
        )
    result = read_json(summary)
    if failed := result.pop("failed"):
        raise ValueError(
            f"{len(tasks) - result['files']:,} of {len(tasks):,} files failed, the others are done: "
            f"{'; '.join(failed)}. When they are repaired, the same command does them alone."
        )
    return result


def _sum(all_totals) -> Totals:
    result: Totals = {"failed": []}
    for totals in all_totals:
        for name, value in totals.items():
            result[name] = result.get(name, type(value)()) + value
    result["failed"] = sorted(result["failed"])[:SHOWN]
    return result


@contextlib.contextmanager
def _watched(results: Sequence[str], on_results: Callable[[int], object]) -> Iterator[None]:
    """Count the results while the pipeline runs, whatever runs it: they are where all can see them."""
    names, folder = set(map(posixpath.basename, results)), posixpath.dirname(results[0])
    end = threading.Event()

    def look():
        on_results(len(names.intersection(tf.io.gfile.listdir(folder))))

    def watch():
        while not end.wait(LOOK_SECONDS):
            with contextlib.suppress(tf.errors.OpError):
                look()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
        look()
    finally:
        end.set()
        watching.join()
