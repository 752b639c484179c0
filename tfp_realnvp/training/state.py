"""The state of an unfinished run: all that it needs to go on as if it had not been interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tfp_realnvp.errors import one_line
from tfp_realnvp.files import replacing, write_json

__all__ = ["State", "StateFolder"]

SUMS = "SHA256SUMS"  # `sha256sum -c` reads it
KEPT = 2  # states: if the last one is damaged, there is one before it


@dataclasses.dataclass(frozen=True)
class State:
    """What a state holds beside weights.

    Attributes:
      epoch: so many whole epochs are over.
      step: so many steps of the next one are over.
      history: their rows.
      best_epoch: the epoch of the best weights, from 1.
      best_bits_per_dim: their validation result; None if they have not been scored.
    """

    epoch: int
    history: list[dict[str, float]]
    best_epoch: int
    best_bits_per_dim: float | None
    step: int = 0


class StateFolder:
    """A folder with numbered states, of which the last one counts that is not damaged.

    A state is a folder with state.json, arrays, and the checksums of these files. Those of version 0.4.0 hold
    weights of Keras alone, and their number is that of the epoch.

    Args:
      path: the folder; it need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path

    def is_there(self) -> bool:
        """Whether there is a state."""
        return bool(self._states())

    def write(self, state: State, **lists: list[np.ndarray]) -> None:
        """Write a state, with lists of arrays, and remove all but the one before."""
        before = self._states()
        number = int(max(before).name) + 1 if before else 1
        with replacing(self.path / f"{number:06d}") as folder:
            folder.mkdir()
            write_json(dataclasses.asdict(state), folder / "state.json")
            for name, arrays in lists.items():  # not as HDF5, which crashes if the disk is full
                np.savez(folder / f"{name}.npz", *arrays)
            names = sorted(path.name for path in folder.iterdir())
            (folder / SUMS).write_text("".join(f"{_sha256(folder / n)}  {n}\n" for n in names))
        for path in sorted(before)[: 1 - KEPT]:
            shutil.rmtree(path)

    def read(self, warn: Callable[[str], None]) -> State | None:
        """The last state without its arrays; None for one of version 0.4.0, which has no more.

        A damaged one is passed over, and removed, if there is one before it.

        Args:
          warn: called with a message about that.

        Raises:
          ValueError: the files are not those that were written.
        """
        while True:
            try:
                return self._read()
            except ValueError as error:
                if len(self._states()) == 1:
                    raise
                warn(
                    f"{self._last()} is damaged ({one_line(error)}): going on from the state before it."
                )
                shutil.rmtree(self._last())

    def _read(self) -> State | None:
        latest = self._last()
        if not (latest / "state.json").is_file() and not (latest / SUMS).is_file():
            return None
        try:
            for line in (latest / SUMS).read_text().splitlines():
                expected, name = line.split("  ")
                if _sha256(latest / name) != expected:
                    raise ValueError(f"{name} has changed")
            return State(**json.loads((latest / "state.json").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise _damaged(latest, error) from error

    def read_into(self, **lists: list[keras.Variable]) -> None:
        """Give the variables the values in the last state.

        Raises:
          ValueError: the state is of other variables.
        """
        latest = self._last()
        for name, variables in lists.items():
            path = latest / f"{name}.npz"
            with np.load(path) as arrays:
                values = list(arrays.values())
            if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
                raise _damaged(path, ValueError("it is of another model"))
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def read_former_version(self, **models: keras.Model) -> int:
        """Put a state of version 0.4.0 into models and their optimizers; the number of its epochs.

        Raises:
          ValueError: a file is damaged or missing, or of another model.
        """
        latest = self._last()
        for name, model in models.items():
            path = latest / f"{name}.weights.h5"
            try:
                model.load_weights(path)
            except Exception as error:  # Keras and HDF5 raise many kinds
                raise _damaged(path, error) from error
        return int(latest.name)

    def _states(self) -> list[Path]:
        return [path for path in self.path.glob("*") if path.name.isdecimal()]

    def _last(self) -> Path:
        return max(self._states())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged ({one_line(error)}), so the run cannot go on: start it again with `overwrite` or "
        "in another `run_dir`. model.keras is the best model so far."
    )
