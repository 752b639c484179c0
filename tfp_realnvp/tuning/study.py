"""The study: what all processes that search in one folder share, in a database of SQLite."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from tfp_realnvp.errors import one_line
from tfp_realnvp.files import check_folder
from tfp_realnvp.tuning.space import Space, draw

__all__ = ["Study", "open_study"]

NAME = "tfp_realnvp"
MAGIC = b"SQLite format 3\0"
WAIT = 20  # seconds, for a database or a folder that another process uses
FIRST = 5  # trials that come to their end before others are ended early
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Study:
    """A study of Optuna in a folder, and the locks of its processes.

    A trial that runs is locked by its process: if the process is killed, the next one sees that the lock is
    free, and counts the trial as failed.

    Args:
      folder: of the search.
      study: of Optuna.
      seed: of the values that are drawn.

    Attributes:
      trials: the folder of the trials' runs.
    """

    def __init__(self, folder: Path, study: optuna.Study, *, seed: int):
        self.trials = folder / "trials"
        self.seed = seed
        self._study = study
        self._lock = _lock_of(folder)
        self._trial_lock: filelock.BaseFileLock | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other processes of the search waiting while the block runs.

        Raises:
          OSError: they have let this one wait for too long.
        """
        with _locked(self._lock):
            yield

    def prepare(self, about: dict[str, Any], first: dict[str, Any]) -> None:
        """Make sure that the study is about the same; see to it that the first values are tried.

        Args:
          about: what is fixed and what is searched, by the name of the option.
          first: the values of the first trial.

        Raises:
          ValueError: it is about something else.
        """
        about = json.loads(json.dumps(about))
        with self.locked():
            self._fail_lost_trials()
            then = self._study.user_attrs.get("about")
            if then is None:
                self._study.set_user_attr("about", about)
            elif different := [
                name for name in {**then, **about} if then.get(name) != about.get(name)
            ]:
                name = different[0]
                raise ValueError(
                    f"the study in {self.trials.parent} has `{name}` {then.get(name)}, not {about.get(name)}: "
                    "give the options that it was started with, or choose another `folder`."
                )
            tried = [trial for trial in self.all() if trial.user_attrs.get("default")]
            if all(trial.state == TrialState.FAIL for trial in tried):
                self._study.enqueue_trial(first, user_attrs={"default": True})

    def begin(
        self, space: Space, *, most: int | None
    ) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """The next trial and its values; None if there are enough.

        Args:
          space: from which the values are drawn.
          most: how many trials there may be, those that run now included and those that failed not.
        """
        with self.locked():
            self._fail_lost_trials()
            trials = self.all()
            if most is not None:
                counted = [trial for trial in trials if trial.state in (*DONE, TrialState.RUNNING)]
                if len(counted) >= most:
                    return None
            # a seed for each trial: processes must not draw the same, and a search that goes on nothing twice
            state = np.random.SeedSequence([self.seed % 2**64, len(trials)]).generate_state(1)
            self._study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=FIRST, seed=int(state[0])
            )
            trial = self._study.ask()
            self._trial_lock = filelock.FileLock(self._lock_path(trial.number), timeout=0)
            self.trials.mkdir(exist_ok=True)
            self._trial_lock.acquire()
            return trial, draw(space, trial)

    def end(self, trial: optuna.Trial, state: TrialState, value: float | None = None) -> None:
        """Record how a trial ended, and its value if it is complete."""
        with self.locked():  # so that nobody takes it for a trial whose process was killed
            self._study.tell(trial, value, state=state)
            self.release()

    def interrupt(self, trial: optuna.Trial) -> None:
        """Count a trial as failed. Its values are the next to be tried."""
        self.end(trial, TrialState.FAIL)
        self._study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)

    def release(self) -> None:
        """Unlock the trial of this process."""
        if self._trial_lock is not None:
            self._trial_lock.release()
            Path(self._trial_lock.lock_file).unlink(missing_ok=True)
            self._trial_lock = None

    def all(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self._study.get_trials(deepcopy=False)

    def best(self) -> FrozenTrial | None:
        """The complete trial with the lowest value."""
        complete = [trial for trial in self.all() if trial.state == TrialState.COMPLETE]
        return min(complete, key=lambda trial: trial.value, default=None)

    def importances(self) -> dict[str, float]:
        """The share of each option in the differences between complete trials; empty if that cannot be told."""
        complete = [trial for trial in self.all() if trial.state == TrialState.COMPLETE]
        if len({trial.value for trial in complete}) < FIRST:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # no option varies
            return {}
        return {name: float(share) for name, share in shares.items()}

    def run_dir(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.trials / f"{number:04}"

    def _lock_path(self, number: int) -> Path:
        return self.trials / f".{number:04}.lock"

    def _fail_lost_trials(self) -> None:
        """Those that run, though their process was killed."""
        for trial in self.all():
            if trial.state == TrialState.RUNNING:
                path = self._lock_path(trial.number)
                if path.exists() and _is_held(path):
                    continue
                self._study.tell(trial.number, state=TrialState.FAIL)
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def open_study(folder: Path, *, seed: int) -> Iterator[Study]:
    """The study in a folder; a new one if the folder is empty or not there.

    Args:
      folder: with a study.db, which nothing but `tune` has made.
      seed: of the values that are drawn.

    Raises:
      FileExistsError: the folder holds something else.
      OSError: nothing can be written there, or the database is locked or damaged; also while the block runs.
      ValueError: study.db is something else.
    """
    database = folder / "study.db"
    check_folder(folder)
    _check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        with _in_one_line(database):
            with _locked(_lock_of(folder)):
                _check_free(folder)
                if database.exists():
                    _check_database(database)
                storage = _open_storage(database)
                pruner = optuna.pruners.MedianPruner(n_startup_trials=FIRST)
                study = optuna.create_study(
                    storage=storage, study_name=NAME, pruner=pruner, load_if_exists=True
                )
            shared = Study(folder, study, seed=seed)
            try:
                yield shared
            finally:
                shared.release()
    finally:
        optuna.logging.set_verbosity(verbosity)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _open_storage(database: Path) -> optuna.storages.RDBStorage:
    def connect() -> sqlite3.Connection:  # a path in a URL would need quotes
        return sqlite3.connect(database, timeout=WAIT, check_same_thread=False)

    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


def _check_free(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names - {".lock"} and "study.db" not in names:
        raise FileExistsError(
            f"{folder} is not empty and has no study.db: choose another `folder`, or one in which `tune` "
            "searched before."
        )


def _check_database(database: Path) -> None:
    """Before Optuna writes its tables there."""
    other = (
        f"{database} was not made by `tune`: choose another `folder`, or one in which `tune` searched "
        "before."
    )
    if not database.is_file():
        raise ValueError(other)
    with database.open("rb") as stream:
        start = stream.read(len(MAGIC))
    if start not in (b"", MAGIC):  # empty: a process was killed before it wrote
        raise ValueError(other)
    with contextlib.closing(sqlite3.connect(database, timeout=WAIT)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if tables and "studies" not in tables:
            raise ValueError(other)
        found = connection.execute("SELECT study_name FROM studies").fetchall() if tables else []
        if found and (NAME,) not in found:
            raise ValueError(other)


@contextlib.contextmanager
def _in_one_line(database: Path) -> Iterator[None]:
    """Errors of the database, which are pages long, as one that says what to do."""
    try:
        yield
    except (
        sqlite3.Error,
        sqlalchemy.exc.DBAPIError,
        optuna.exceptions.StorageInternalError,
    ) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if "locked" in str(cause):
            raise OSError(
                f"{database} is locked by another program: end that program, and give the command again."
            ) from error
        raise OSError(
            f"{database} cannot be used ({one_line(cause)}): put back a copy of it, or choose another `folder`."
        ) from error


def _lock_of(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / ".lock", timeout=WAIT)


@contextlib.contextmanager
def _locked(lock: filelock.BaseFileLock) -> Iterator[None]:
    try:
        lock.acquire()
    except filelock.Timeout:
        raise OSError(
            f"{Path(lock.lock_file).parent} is in use by another process, which does not let go of it: end "
            "that process, and give the command again."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _is_held(path: Path) -> bool:
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return True
    lock.release()
    return False
