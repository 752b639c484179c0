"""The folder of an experiment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import views
from tfp_realnvp.files import check_folder, exclusive, replacing, write_json

__all__ = ["ExperimentFolder"]

LARGEST = 50_000_000  # bytes of a file that is read
BEFORE = {"only": None}  # what a folder means that was written before there was this option


class ExperimentFolder:
    """A folder with the files of one experiment.

    experiment.json (what it was told), models/ (a run folder each), classifier.keras, scores.jsonl (a line
    for each route in each draw, written as soon as it is known), pictures/, results.json and report.html.

    Args:
      path: the folder; it need not exist yet.
      models: where the models are, if not in the folder.
      classifier: the file of the classifier, if not in the folder.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        models: str | Path | None = None,
        classifier: str | Path | None = None,
    ):
        self.path = Path(path)
        self.models = Path(models or self.path / "models")
        self.classifier = Path(classifier or self.path / "classifier.keras")
        self.results = self.path / "results.json"
        self.report = self.path / "report.html"
        self._told = self.path / "experiment.json"
        self._scores = self.path / "scores.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while the block runs; `FileExistsError` if one has the folder."""
        check_folder(self.path)
        with exclusive(self.path, name="output_dir"):
            yield

    def begin(self, told: dict[str, Any]) -> None:
        """Write down what the experiment was told, or compare it with what is written there.

        Raises:
          FileExistsError: the folder holds something else, or another experiment.
          ValueError: experiment.json is damaged.
        """
        told = json.loads(json.dumps(told))
        if not self._told.exists():
            if any(path.name != ".lock" for path in self.path.iterdir()):
                raise FileExistsError(
                    f"{self.path} is not empty, and no experiment: choose another `output_dir`."
                )
            write_json(told, self._told)
            return
        before = _read_object(self._told)
        known = {**told, **BEFORE, **before}
        # more draws, and what it was not told before, go on with what is there
        differing = [name for name in told if name != "draws" and told[name] != known[name]]
        if differing:
            name = differing[0]
            raise FileExistsError(
                f"{self.path} holds another experiment: its `{name}` is {known[name]!r}, not "
                f"{told[name]!r}. Choose another `output_dir`."
            )
        write_json({**before, **told}, self._told)

    def picture(self, name: str) -> Path:
        """Where a picture belongs."""
        return self.path / "pictures" / f"{name}.png"

    def draw_grid(self, name: str, images: np.ndarray, levels: int) -> None:
        """Write a picture of images, ten in a row."""
        canvas = views.grid(images, levels=levels)
        views.write_png(canvas, self.picture(name), scale=views.scale_for(images))

    def read_scores(self) -> list[dict[str, Any]]:
        """The rows that are known; a last line that was not written to its end is left out.

        Raises:
          ValueError: the file is damaged or too large.
        """
        if not self._scores.exists():
            return []
        if self._scores.stat().st_size > LARGEST:
            raise ValueError(f"{self._scores} is larger than {LARGEST:,} bytes.")
        rows = []
        *lines, rest = self._scores.read_text(errors="replace").split("\n")
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                rows.append({"draw": int(row["draw"]), "route": str(row["route"]), **row})
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"line {number} of {self._scores} is damaged ({error}): remove it, and go on."
                ) from error
        if rest:
            with replacing(self._scores) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines))
        return rows

    def add_score(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with self._scores.open("a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def write_results(self, result: dict[str, Any]) -> None:
        """Write results.json."""
        write_json(result, self.results)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes")
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, received {content!r:.80}")
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): choose another `output_dir`.") from error
    return content
