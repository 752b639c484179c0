"""The search for the best options: its study, which processes share, and what it leaves."""

import contextlib
import csv
import dataclasses
import json
import math
import signal
import sqlite3
import sys

import optuna
import pytest
from conftest import TINY
from processes import Command

from tfp_realnvp import training, tuning, views
from tfp_realnvp.flows.options import OPTIONS
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder
from tfp_realnvp.tuning import search, study
from tfp_realnvp.tuning.space import SPACES, defaults, space_of
from tfp_realnvp.tuning.study import open_study

CONFIG = TrainingConfig(**TINY["realnvp"], epochs=2, time_limit=60, precision="float32")
OPTIONS_OF_CONFIG = (
    "--flow", "realnvp", "--width", 32, "--depth", 2, "--batch-size", 32, "--epochs", 2,
    "--precision", "float32", "--trial-time", "1m", "--time-limit", "2m",
)  # fmt: skip


@pytest.fixture
def fake_train(monkeypatch):
    """Runs without training: couplings decide how good one is. Returns the configurations of the runs."""
    runs = []

    def train(config, run_dir, *, on_epoch, **options):
        assert options["score_test"] is False
        runs.append(config)
        run_dir.mkdir()
        (run_dir / "state").mkdir()
        bits = 3 - 0.1 * config.couplings + 0.01 * len(runs)
        for epoch in range(1, config.epochs + 1):
            if on_epoch({"epoch": epoch, "val_bits_per_dim": bits, "seconds": epoch}):
                break
        return {
            "validation": {"bits_per_dim": bits}, "seconds": 1.5, "epochs": epoch, "parameters": 7,
            "ended_by": "the last epoch",
        }  # fmt: skip

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(search, "POINTS", 4)  # each report is a writing to the disk
    return runs


def rows_of(folder):
    with (folder / "trials.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def no_word(message):
    pass


@pytest.mark.parametrize("flow", OPTIONS)
def test_space_has_the_defaults_and_only_what_can_be(flow):
    config = TrainingConfig(flow=flow)
    for images in (3, 100, 10**6):
        space = space_of(config, images)
        assert set(space) == {*SPACES[flow], "batch_size"}
        assert all(1 <= size <= images for size in space["batch_size"])
        resolved = vars(config.resolved(images))
        for name, values in space.items():
            default = resolved[name]
            if name == "learning_rate":
                assert values.low < default < values.high
                continue
            assert default in values
            for value in values:
                spline = {"transform": "spline"} if name == "bins" else {}
                dataclasses.replace(config, **{name: value, **spline}).resolved(images)
        first = defaults(space, config, images)
        assert ("bins" in first) == (resolved.get("transform") == "spline")
        assert dataclasses.replace(config, **first).resolved(images) == config.resolved(images)


def test_what_is_given_is_not_searched():
    space = space_of(TrainingConfig(flow="realnvp", width=7, learning_rate=0.5), 1000)
    assert {"width", "learning_rate"}.isdisjoint(space) and "bins" in space
    assert "bins" not in space_of(TrainingConfig(transform="affine"), 1000)
    assert "bins" in space_of(TrainingConfig(transform="spline"), 1000)
    # bins need splines
    assert {"bins", "transform"}.isdisjoint(space_of(TrainingConfig(bins=5), 1000))
    every = {"activation": "relu", "transform": "affine", "learning_rate": 0.1, "batch_size": 2}
    config = TrainingConfig(flow="realnvp", couplings=2, depth=2, width=2, **every)
    with pytest.raises(
        ValueError, match="nothing is left to search: `config` gives all of couplings"
    ):
        space_of(config, 1000)


@pytest.mark.slow
def test_search(fake_train, tmp_path):
    """The first trial has the defaults; the best is that of the validation images; the search goes on."""
    said = []
    result = tuning.tune(CONFIG, tmp_path / "s", trials=3, say=said.append)
    assert vars(fake_train[0]) == {
        **vars(CONFIG), "couplings": 4, "activation": "relu", "transform": "affine",
        "learning_rate": 0.001,
    }  # fmt: skip
    assert result["trials"] == {"complete": 3, "pruned": 0, "failed": 0}
    assert len(said) == 3 and said[0].startswith("trial 0: 2.6100 bits per dimension of validation")
    result = tuning.tune(CONFIG, tmp_path / "s", trials=6, say=said.append)
    assert len(fake_train) == 6 and result["default_bits_per_dim"] == pytest.approx(2.61)
    assert tuning.tune(CONFIG, tmp_path / "s", trials=6, say=said.append) == result
    rows = rows_of(tmp_path / "s")
    assert [row["trial"] for row in rows] == list("012345")
    assert [int(row["couplings"]) for row in rows] == [config.couplings for config in fake_train]
    best = min(
        rows, key=lambda row: float(row["val_bits_per_dim"] if row["state"] == "complete" else 9)
    )
    assert result["best"]["trial"] == int(best["trial"])
    assert TrainingConfig.from_file(result["config"]) == fake_train[int(best["trial"])]
    assert all(name in said[-1] for name in ("best so far", "couplings", "learning_rate"))
    assert {path.name for path in (tmp_path / "s").iterdir()} - {"importances.png"} == {
        ".lock", "best.json", "history.png", "study.db", "trials", "trials.csv",
    }  # fmt: skip
    states = [path.parent.name for path in (tmp_path / "s" / "trials").glob("*/state")]
    assert states == [f"{result['best']['trial']:04}"]  # the others would fill the disk


def test_the_same_study_draws_the_same(fake_train, tmp_path):
    for name in ("a", "b"):
        tuning.tune(CONFIG, tmp_path / name, trials=3, say=no_word)
    assert fake_train[:3] == fake_train[3:]
    assert len(set(fake_train)) == 3


def test_trials_that_are_ended_early(fake_train, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "FIRST", 2)
    values = iter([2.0, 2.1, 1.9, 3.0, 2.2])

    def train(config, run_dir, *, on_epoch, **options):
        if (bits := next(values)) == 2.2:
            raise FloatingPointError("training diverged")
        ended = on_epoch({"epoch": 1, "val_bits_per_dim": bits, "seconds": 1})
        assert ended == (bits == 3.0)
        return {
            "validation": {"bits_per_dim": bits}, "seconds": 1, "epochs": 1, "parameters": 7,
            "ended_by": "the caller" if ended else "the last epoch",
        }  # fmt: skip

    monkeypatch.setattr(training, "train", train)
    said = []
    result = tuning.tune(CONFIG, tmp_path / "s", trials=5, say=said.append)
    assert result["trials"] == {"complete": 3, "pruned": 2, "failed": 0}
    assert result["best"]["trial"] == 2
    assert "trial 3: ended early" in said[3] and "trial 4: diverged" in said[4]


def test_points_at_which_trials_compare():
    """The share of the steps or of the time, whichever is larger, as for the learning rate."""
    reported = []

    class Trial:
        def report(self, value, step):
            reported.append((step, value))

        def should_prune(self):
            return True

    early_end = search.EarlyEnd(Trial(), TrainingConfig(epochs=40, time_limit=100))
    assert not early_end.on_epoch({"epoch": 1, "seconds": 1, "val_bits_per_dim": 3.0})
    assert not reported
    assert early_end.on_epoch({"epoch": 2, "seconds": 11, "val_bits_per_dim": 2.5})
    assert early_end.on_epoch({"epoch": 8, "seconds": 12, "val_bits_per_dim": 2.0})
    assert reported == [(1, 2.5), (2, 2.5), (3, 2.0), (4, 2.0)]
    assert not early_end.on_epoch({"epoch": 9, "seconds": 101, "val_bits_per_dim": 1.0})
    assert reported[-1] == (20, 1.0) and not early_end.pruned  # it is over anyway


@pytest.mark.slow
def test_time_is_kept(fake_train, tmp_path, monkeypatch):
    """Each trial has its whole time, but the first, from which the start of the program is taken."""
    now = [1000.0]
    monkeypatch.setattr(search.time, "monotonic", lambda: now[0])
    train = training.train

    def slow_train(*arguments, **options):
        now[0] += 55
        return train(*arguments, **options)

    monkeypatch.setattr(training, "train", slow_train)
    tuning.tune(CONFIG, tmp_path / "s", time_limit=180, started=990.0, say=no_word)
    assert [config.time_limit for config in fake_train] == [60, 60, 60]
    fake_train.clear()
    tuning.tune(CONFIG, tmp_path / "s", time_limit=60, started=now[0] - 50, say=no_word)
    assert [config.time_limit for config in fake_train] == [10]
    fake_train.clear()
    without = dataclasses.replace(CONFIG, time_limit=None)
    tuning.tune(without, tmp_path / "t", time_limit=None, trials=1, say=no_word)
    assert [config.time_limit for config in fake_train] == [None]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_trial_fails(fake_train, tmp_path, monkeypatch, error):
    """After Ctrl-C its options come again; after an error they do not."""
    train, folder = training.train, tmp_path / "s"

    def broken(config, *arguments, **options):
        if len(fake_train) == 1:
            fake_train.append(config)
            raise error("no")
        return train(config, *arguments, **options)

    monkeypatch.setattr(training, "train", broken)
    said = []
    with pytest.raises(error):
        tuning.tune(CONFIG, folder, trials=3, say=said.append)
    assert [row["state"] for row in rows_of(folder)][:1] == ["complete"]
    assert (folder / "best.json").is_file()
    if error is KeyboardInterrupt:
        assert "Interrupted; what was found so far is in" in said[-1]
    result = tuning.tune(CONFIG, folder, trials=3, say=no_word)
    assert result["trials"] == {"complete": 3, "pruned": 0, "failed": 1}
    assert (fake_train[2] == fake_train[1]) == (error is KeyboardInterrupt)
    assert not list((folder / "trials").glob(".*"))


def test_locked_while_trials_run(fake_train, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "WAIT", 0.1)
    train = training.train

    def train_and_lock(*arguments, **options):
        connection.execute("BEGIN EXCLUSIVE")
        return train(*arguments, **options)

    monkeypatch.setattr(training, "train", train_and_lock)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        with pytest.raises(OSError, match="study.db is locked by another program"):
            tuning.tune(CONFIG, tmp_path, trials=3, say=no_word)
        connection.rollback()
        monkeypatch.setattr(training, "train", train)
        result = tuning.tune(CONFIG, tmp_path, trials=3, say=no_word)
        assert result["trials"] == {"complete": 3, "pruned": 0, "failed": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--time-limit", "1m", "--trial-time", "2m"], "--time-limit must be at least the time of one trial"),
        (["--time-limit", "0s"], "--time-limit must be above 0"),
        (["--trial-time", "0s"], "--trial-time must be above 0"),
        (["--trial-time", "soon"], "a duration such as 90s"),
        (["--trials", "0"], "--trials"),
        (["--width", "3"], "--width is no option of the flow multiscale"),
        (["--dataset", "nonsense"], "unknown data set 'nonsense'"),
        (["--scales", "5"], "--scales"),
        (["--activation", "soft"], "soft"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_bad_input_leaves_nothing(call, tmp_path, arguments, words):
    status, output, errors = call("tune", tmp_path / "s", *arguments)
    assert status == 2 and output == "" and words in errors and errors.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_without_optuna(call, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tfp_realnvp.tuning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("tfp_realnvp.tuning", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, errors = call("tune", tmp_path / "s")
    assert status == 2 and "a search needs the extra `tune`: pip install -e '.[tune]'." in errors
    assert call("sample", "--help")[0] == 0


@pytest.mark.parametrize("trials", [0, 1.5])
def test_number_of_trials(trials, tmp_path):
    with pytest.raises(ValueError, match="`trials` must be an integer of at least 1"):
        tuning.tune(CONFIG, tmp_path / "s", trials=trials)


def test_links_are_not_replaced(fake_train, tmp_path):
    tuning.tune(CONFIG, tmp_path / "s", trials=1, say=no_word)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "s" / "best.json").unlink()
    (tmp_path / "s" / "best.json").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError, match="best.json is a folder, a link or a device"):
        tuning.tune(CONFIG, tmp_path / "s", trials=2, say=no_word)
    assert (tmp_path / "mine").read_text() == "mine" and len(fake_train) == 1


def test_plots(tmp_path):
    for complete in ([True, True, False], [True] * 3, [False] * 3):
        figure = views.search_history([0, 2, 3], [2.0, 1.5, 9.0], complete)
        views.write_png(figure, tmp_path / "history.png")
        if complete[0]:
            (line,) = [line for line in figure.axes[0].lines if line.get_label() == "best: 1.500"]
            assert list(line.get_ydata()) == [2.0, 1.5, 1.5]
    figure = views.importances({"width": 0.2, "depth": 0.8})
    views.write_png(figure, tmp_path / "importances.png")
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, 0.8]


@pytest.mark.slow
def test_importances(fake_train, tmp_path, monkeypatch):
    """Couplings decide; there is no such plot as long as hardly anything is known."""
    tuning.tune(CONFIG, tmp_path / "s", trials=2, say=no_word)
    assert not (tmp_path / "s" / "importances.png").exists()
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: False)
    tuning.tune(CONFIG, tmp_path / "s", trials=14, say=no_word)
    assert (tmp_path / "s" / "importances.png").is_file()
    with open_study(tmp_path / "s", seed=0) as opened:
        shares = opened.importances()
    assert max(shares, key=shares.get) == "couplings" and math.isclose(sum(shares.values()), 1)


@pytest.mark.slow
def test_from_the_search_to_a_run(call, tmp_path):
    folder = tmp_path / "s"
    status, printed, errors = call("tune", folder, *OPTIONS_OF_CONFIG, "--trials", 3, "--json")
    assert status == 0 and errors.count("\n") == 3, errors
    result = json.loads(printed)
    runs = [RunFolder(folder / "trials" / f"{number:04}") for number in range(3)]
    metrics = [run.read_metrics() for run in runs]
    scores = [run["validation"]["bits_per_dim"] for run in metrics]
    assert all(run["test"] is None and run["held_out"] is None for run in metrics)
    assert result["best"]["bits_per_dim"] == min(scores)
    assert result["best"]["trial"] == scores.index(min(scores))
    assert result["default_bits_per_dim"] == scores[0]
    default = TrainingConfig.from_json(runs[0].read_config())
    assert default.couplings == 4 and default.learning_rate == 1e-3
    status, printed, _ = call("tune", folder, *OPTIONS_OF_CONFIG, "--trials", 3)
    assert status == 0 and "best of the trials (3 complete, 0 pruned, 0 failed)" in printed
    status, printed, _ = call(
        "train", "--config", result["config"], "--run-dir", tmp_path / "run", "--json"
    )
    assert status == 0
    metrics = json.loads(printed)
    assert metrics["validation"]["bits_per_dim"] == pytest.approx(min(scores), rel=0.02)
    assert metrics["test"] is not None
    status, _, errors = call("tune", folder, *OPTIONS_OF_CONFIG, "--hold-out", 9)
    assert status == 2 and "has --hold-out [], not [9]" in errors


@pytest.mark.slow
def test_processes_at_one_search(tmp_path):
    """One is killed, one is interrupted; the rest of the trials is done by those that are left."""
    arguments = ("tune", tmp_path / "s", *OPTIONS_OF_CONFIG, "--trials", 4)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    both = [Command(arguments, folder) for folder in folders]
    trials = tmp_path / "s" / "trials"
    while len([*trials.glob(".*.lock")]) < 2:  # both run one
        assert not any(command.wait(0.05) for command in both)
    both[0].signal(signal.SIGKILL)
    both[0].wait()
    both[1].signal(signal.SIGINT)
    assert both[1].wait() and both[1].status == 130
    assert "The same command goes on" in both[1].errors
    both = [Command(arguments, folder) for folder in folders]
    assert all(command.wait() for command in both)
    assert [command.status for command in both] == [0, 0], [command.errors for command in both]
    rows = rows_of(tmp_path / "s")
    states = [row["state"] for row in rows]
    assert [int(row["trial"]) for row in rows] == list(range(len(rows)))
    assert states.count("complete") + states.count("pruned") == 4 and "failed" in states
    numbers = {path.name for path in trials.iterdir()}
    assert numbers <= {f"{number:04}" for number in range(len(rows))}
