"""The study that processes of a search share: its trials, its locks, and what it does not take for its own."""

import contextlib
import sqlite3
import threading

import filelock
import optuna
import pytest

from tfp_realnvp.tuning import study
from tfp_realnvp.tuning.space import describe
from tfp_realnvp.tuning.study import open_study

SPACE = {"couplings": range(2, 11, 2), "transform": ("affine", "spline")}
FIRST = {"couplings": 4, "transform": "affine"}
ABOUT = {"dataset": "digits", "hold_out": (9,), **describe(SPACE)}


def test_defaults_come_again_if_they_failed(tmp_path):
    for _ in range(2):
        with open_study(tmp_path / "s", seed=0) as opened:
            opened.prepare(ABOUT, FIRST)
            trial, values = opened.begin(SPACE, most=None)
            assert values == FIRST
            opened.end(trial, optuna.trial.TrialState.FAIL)
    with open_study(tmp_path / "s", seed=0) as opened:
        opened.prepare(ABOUT, FIRST)
        trial, values = opened.begin(SPACE, most=None)
        assert values == FIRST
        opened.end(trial, optuna.trial.TrialState.COMPLETE, 1.0)
    with open_study(tmp_path / "s", seed=0) as opened:
        opened.prepare(ABOUT, FIRST)
        assert not [trial for trial in opened.all() if not trial.state.is_finished()]


def test_several_at_one_study(tmp_path):
    """Each has trials of its own; what one of them left when it was killed is failed by the next."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(open_study(tmp_path, seed=0)) for _ in range(2))
        for opened in (first, second):
            opened.prepare(ABOUT, FIRST)
        (one, _), (two, _) = first.begin(SPACE, most=2), second.begin(SPACE, most=2)
        assert (one.number, two.number) == (0, 1)
        assert first.begin(SPACE, most=2) is None  # those that run count
        second.release()  # as the system does when a process ends
        three, _ = first.begin(SPACE, most=2)
        assert three.number == 2
        states = [trial.state.name for trial in first.all()]
        assert states == ["RUNNING", "FAIL", "RUNNING"]


def test_threads_at_one_study(tmp_path):
    errors = []

    def work():
        try:
            with open_study(tmp_path / "s", seed=0) as opened:
                opened.prepare(ABOUT, FIRST)
                while (begun := opened.begin(SPACE, most=12)) is not None:
                    opened.end(begun[0], optuna.trial.TrialState.COMPLETE, 1.0)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with open_study(tmp_path / "s", seed=0) as opened:
        trials = opened.all()
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
        assert sum(trial.params == FIRST for trial in trials) < 12
        assert len([trial for trial in trials if trial.user_attrs.get("default")]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "mnist"}, "has `dataset` digits, not mnist: give the options"),
        ({"hold_out": ()}, r"has `hold_out` \[9\], not \[\]"),
        ({"couplings": 4}, "has `couplings` one of 2, 4, 6, 8, 10, not 4"),
        ({"depth": "one of 2, 3"}, "has `depth` None, not one of 2, 3"),
    ],
)
def test_another_search_is_refused(tmp_path, change, words):
    with open_study(tmp_path, seed=0) as opened:
        opened.prepare(ABOUT, FIRST)
    with open_study(tmp_path, seed=0) as opened:
        opened.prepare(ABOUT, FIRST)
        with pytest.raises(ValueError, match=words):
            opened.prepare({**ABOUT, **change}, FIRST)


def _foreign_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (number INTEGER)")


def _other_study(path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.create_study(storage=storage, study_name="mine")
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("notes.txt", lambda path: path.write_text("mine"), "is not empty and has no study.db"),
        ("study.db", lambda path: path.write_text("mine"), "was not made by `tune`"),
        ("study.db", lambda path: path.mkdir(), "was not made by `tune`"),
        ("study.db", _foreign_database, "was not made by `tune`"),
        ("study.db", _other_study, "was not made by `tune`"),
        ("study.db", lambda path: path.write_bytes(study.MAGIC + b"?" * 5000), "cannot be used"),
    ],
)
def test_folders_of_something_else(call, tmp_path, name, write, words):
    """One line, and nothing there is changed."""
    path = tmp_path / name
    write(path)
    before = None if path.is_dir() else path.read_bytes()
    status, output, errors = call("tune", tmp_path, "--flow", "realnvp", "--trials", 1)
    assert status == 2 and output == "" and errors.startswith("Error: ") and errors.count("\n") == 1
    assert words in errors and len(errors) < 500
    assert path.is_dir() or path.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {name, ".lock"}


def test_locked(call, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "WAIT", 0.1)
    with open_study(tmp_path, seed=0) as opened:
        opened.prepare(ABOUT, FIRST)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        status, _, errors = call("tune", tmp_path, "--flow", "realnvp", "--trials", 1)
        assert status == 2 and errors.startswith("Error: ") and errors.count("\n") == 1
        assert f"{tmp_path / 'study.db'} is locked by another program: end that" in errors
    lock = filelock.FileLock(tmp_path / ".lock")
    with lock:
        status, _, errors = call("tune", tmp_path, "--flow", "realnvp", "--trials", 1)
        assert status == 2 and f"{tmp_path} is in use by another process" in errors
