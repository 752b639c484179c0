"""The run folder: what a training run leaves behind, and how it is read again."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras

from tfp_realnvp.errors import one_line
from tfp_realnvp.files import check_output, exclusive, replacing, write_json
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.training.config import FORMAT, TrainingConfig
from tfp_realnvp.training.state import StateFolder

__all__ = ["SCORED", "RunFolder"]

SCORED = ("train", "validation", "test", "held_out")  # in metrics.json


class RunFolder:
    """A folder with the files of one training run.

    config.json (everything needed to repeat it), history.csv (a row an epoch), model.keras (the best
    model), metrics.json, learning_curve.png, samples.png, and, until the run is finished, state/.

    Args:
      path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.history = self.path / "history.csv"
        self.model = self.path / "model.keras"
        self.metrics = self.path / "metrics.json"
        self.learning_curve = self.path / "learning_curve.png"
        self.samples = self.path / "samples.png"
        self.tensorboard = self.path / "tensorboard"
        self._state = self.path / "state"
        self.state = StateFolder(self._state)
        self._lock = self.path / ".lock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while the block runs.

        Raises:
          FileExistsError: another process has the folder.
          OSError: the folder cannot be made or written to.
        """
        with exclusive(self.path, name="run_dir"):
            yield

    def check_free(self, *, overwrite: bool) -> None:
        """Make sure that a new run may be written here.

        Args:
          overwrite: whether what an earlier run left may be replaced.

        Raises:
          FileExistsError: the folder is not empty and `overwrite` is False, or it is an export.
        """
        if self._is_export():
            raise FileExistsError(f"{self.path} is an export: choose another `run_dir`.")
        others = [path for path in self.path.iterdir() if path != self._lock]
        if others and not overwrite:
            raise FileExistsError(
                f"{self.path} is not empty: choose another `run_dir`, go on with that run by `resume`, "
                "or replace it by `overwrite`."
            )

    def check_can_go_on(self) -> None:
        """Make sure that the run can be resumed.

        Raises:
          ValueError: it is finished, it has a model but no state, or the folder is an export.
          OSError: its files cannot be written.
        """
        in_python = (
            f"To train on from its model in Python: `import tfp_realnvp.flows; flow = "
            f"keras.saving.load_model('{self.model}'); flow.fit(images)`."
        )
        if self._is_export():
            raise ValueError(
                f"{self.path} is an export, not a run, so it cannot go on. {in_python}"
            )
        if self.is_finished():
            raise ValueError(
                f"the run in {self.path} is finished: choose another `run_dir`, or start a new run."
            )
        if self.model.is_file() and not self.state.is_there():
            raise ValueError(
                f"the run in {self.path} has a model, but no state to go on from: choose another `run_dir`, "
                f"or replace the run by `overwrite`. {in_python}"
            )
        for path in (self.history, self.model, self.metrics, self.learning_curve, self.samples):
            check_output(path, overwrite=True)

    def has_result(self) -> bool:
        """Whether something of what was learned is here."""
        return self.model.is_file() or self.state.is_there()

    def clear(self) -> None:
        """Remove what an earlier run left; other files in the folder stay."""
        for path in self._paths():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write_config(self, config: dict) -> None:
        """Write config.json."""
        write_json({"format": FORMAT, **config}, self.config)

    def read_config(self) -> dict:
        """Read config.json.

        Raises:
          FileNotFoundError: it is not there.
          ValueError: it is damaged, or of another version of this package.
        """
        if not self.config.is_file():
            raise FileNotFoundError(
                f"{self.path} is not a run folder: it has no config.json. `train` makes one."
            )
        config = self._read_object(self.config, with_key="format")
        if config["format"] != FORMAT:
            raise ValueError(
                f"{self.path} was written by another version of tfp-realnvp (format {config['format']}, this "
                f"one reads {FORMAT}): use that version, or train again."
            )
        try:
            TrainingConfig.from_json(config)
        except ValueError as error:
            raise self._damaged(self.config, error) from error
        return config

    def read_metrics(self) -> dict | None:
        """Read metrics.json; None if the run has not come to its end.

        Raises:
          ValueError: it is damaged.
        """
        if not self.metrics.is_file():
            return None
        metrics = self._read_object(self.metrics, with_key="can_go_on")
        for part in SCORED:
            score = metrics.get(part)
            if score is None:
                continue
            if not isinstance(score, dict) or not isinstance(score.get("bits_per_dim"), float):
                wrong = ValueError(
                    f"`{part}` must have the number `bits_per_dim`, received {score!r}"
                )
                raise self._damaged(self.metrics, wrong)
        return metrics

    def load_model(self) -> ImageFlow:
        """The best model of the run.

        Raises:
          FileNotFoundError: there is no run or no model yet.
          ValueError: the file is damaged or holds another kind of model.
        """
        self.read_config()
        if not self.model.is_file():
            if self.is_finished():
                raise FileNotFoundError(
                    f"{self.path} has no model.keras, though its run is finished: put the file back, or train "
                    "again."
                )
            raise FileNotFoundError(
                f"{self.path} has no model.keras: its run was ended before the first was written. `train` with "
                "`--resume` goes on with it."
            )
        try:
            model = keras.saving.load_model(self.model, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds for a damaged file
            raise self._damaged(self.model, error) from error
        if not isinstance(model, ImageFlow):
            raise ValueError(
                f"{self.model} holds a {type(model).__name__}, not a flow of this package."
            )
        return model

    def write_history(self, rows: list[dict]) -> None:
        """Write history.csv, one row an epoch, whole."""
        with replacing(self.history) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def read_history(self) -> list[dict]:
        """The rows of history.csv: the epochs as integers, the rest as floats.

        Raises:
          ValueError: it is damaged.
        """
        if not self.history.is_file():
            return []
        try:
            with self.history.open(newline="") as stream:
                rows = [
                    {key: float(value) for key, value in row.items()}
                    for row in csv.DictReader(stream)
                ]
            return [row | {"epoch": int(row["epoch"])} for row in rows]
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(self.history, error) from error

    def copy_result(self, target: RunFolder) -> None:
        """Copy the configuration, history, model and metrics, as far as they are there, into another folder."""
        for name in ("config", "history", "model", "metrics"):
            source = getattr(self, name)
            if source.is_file():
                with replacing(getattr(target, name)) as temporary:
                    shutil.copyfile(source, temporary)

    def is_finished(self) -> bool:
        """Whether the run came to its end; one that was stopped by its time limit, for example, can go on."""
        metrics = self.read_metrics()
        return metrics is not None and not metrics["can_go_on"]

    def remove_state(self) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self._state, ignore_errors=True)

    def _read_object(self, path: Path, *, with_key: str) -> dict:
        try:
            content = json.loads(path.read_text())
            if not isinstance(content, dict) or with_key not in content:
                raise ValueError(f"expected an object with {with_key!r}")
        except (ValueError, RecursionError) as error:
            raise self._damaged(path, error) from error
        return content

    def _damaged(self, path: Path, error: Exception) -> ValueError:
        return ValueError(
            f"{path} is damaged ({one_line(error)}): put back what `train` wrote there, or train again."
        )

    def _is_export(self) -> bool:
        return any(self.path.glob("*/saved_model.pb"))

    def _paths(self) -> list[Path]:
        """What a run may write here."""
        return [
            self.config,
            self.history,
            self.model,
            self.metrics,
            self.learning_curve,
            self.samples,
            self.tensorboard,
            self._state,
        ]
