import csv
import dataclasses
import json
import math
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import TINY, of_coupling_runs, of_dense_runs, random_images

from tfp_realnvp import evaluation, training
from tfp_realnvp.cli.output import summary
from tfp_realnvp.training import epochs, loop, runs
from tfp_realnvp.training.budget import Budget
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.divergence import StopWhenDiverged
from tfp_realnvp.training.images import load_images
from tfp_realnvp.training.run_folder import RunFolder


def test_run_folder_is_complete(run_dir, tiny_config):
    names = {path.name for path in run_dir.iterdir()}
    assert names == {
        "config.json", "history.csv", "model.keras", "metrics.json", "learning_curve.png", "samples.png"
    }  # fmt: skip
    config = json.loads((run_dir / "config.json").read_text())
    assert TrainingConfig.from_json(config) == tiny_config.resolved(images=1168)
    assert {"tensorflow", "keras", "python", "tfp-realnvp"} <= set(config["versions"])
    assert config["flow"]["class"] == type(RunFolder(run_dir).load_model()).__name__


@pytest.mark.parametrize(
    ("flow", "batch_size", "steps", "a_call"),
    [("realnvp", 32, 40, 10), ("realnvp", 64, 18, 1), ("multiscale", 32, 36, 1)],
)
def test_steps_of_an_epoch(flow, batch_size, steps, a_call, monkeypatch, tmp_path):
    """Of 1,168 images: one pass over them, to the nearest ten steps if so many are one call."""
    calls = []

    def fit(self, batches, targets, *, steps_per_epoch, **options):
        calls.append((steps_per_epoch, self.steps_per_execution))
        raise FloatingPointError

    monkeypatch.setattr(keras.Model, "fit", fit)
    config = TrainingConfig(**TINY[flow] | {"batch_size": batch_size}, hold_out=(9,))
    with pytest.raises(FloatingPointError):
        training.train(config, tmp_path / "run")
    assert calls == [(steps, a_call)]


def test_metrics_are_those_of_the_model(run_dir, tiny_config):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    flow = RunFolder(run_dir).load_model()
    scored = load_images(tiny_config).scored(test=True)
    for name in ("train", "validation", "test", "held_out"):
        expected = evaluation.score(flow.log_prob, scored[name].images)
        assert metrics[name] == pytest.approx(expected, rel=1e-4), name
    assert metrics["parameters"] == flow.count_params()
    assert metrics["epochs"] == 3 and metrics["ended_by"] == "the last epoch"
    assert metrics["seconds"] > 0 and metrics["images_per_second"] > 0
    best = min(row["val_bits_per_dim"] for row in RunFolder(run_dir).read_history())
    assert metrics["validation"]["bits_per_dim"] == pytest.approx(best, rel=1e-4)


@pytest.mark.slow
@of_dense_runs
def test_scores_of_pictures(tiny_config, tmp_path, monkeypatch):
    compared = []
    score_pictures = evaluation.score_pictures

    def watched(classifier, drawn, images):
        compared.append((drawn, images))
        return score_pictures(classifier, drawn, images)

    monkeypatch.setattr(evaluation, "score_pictures", watched)
    config = dataclasses.replace(tiny_config, score_pictures=True, epochs=1)
    metrics = training.train(config, tmp_path / "run", score_test=False)
    images = load_images(config)
    (drawn, real), (learned, also_real) = compared
    assert {image.tobytes() for image in real} == {
        image.tobytes() for image in images.validation.images
    }
    np.testing.assert_array_equal(real, also_real)
    flow = RunFolder(tmp_path / "run").load_model()
    np.testing.assert_array_equal(drawn, flow.sample(len(real), seed=0))
    known = {image.tobytes() for image in images.train.images}
    assert all(image.tobytes() in known for image in learned)
    for part in ("pictures", "pictures_learned"):
        assert metrics[part].keys() == {"clear", "density", "coverage", "frechet"}
    assert metrics["pictures_learned"]["frechet"] < metrics["pictures"]["frechet"]


def test_pictures_of_a_single_label_cannot_be_scored(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    config = TrainingConfig(hold_out=range(9), score_pictures=True)
    with pytest.raises(ValueError, match=r"at least two different labels, received \[9\]"):
        training.train(config, run, overwrite=True)
    assert [path.name for path in run.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_same_seed_same_result(run_dir, tiny_config, tmp_path):
    again = training.train(tiny_config, tmp_path / "again")
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert again["test"]["bits_per_dim"] == pytest.approx(metrics["test"]["bits_per_dim"], rel=1e-4)


@pytest.mark.slow
@of_dense_runs
def test_another_seed_another_result(run_dir, tiny_config, tmp_path):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    other = training.train(dataclasses.replace(tiny_config, seed=1), tmp_path / "other")
    assert other["test"]["bits_per_dim"] != pytest.approx(metrics["test"]["bits_per_dim"], rel=1e-6)


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch
        self.now = -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch >= 3:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 2])
@of_coupling_runs
def test_resumed_run_ends_where_the_uninterrupted_one_did(
    run_dir, tiny_config, tmp_path, monkeypatch, epoch
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    said = []
    with pytest.raises(KeyboardInterrupt):
        training.train(tiny_config, tmp_path / "run", callbacks=[Interrupt(epoch)], say=said.append)
    assert "Interrupted; the best model so far" in said[-1]
    run = RunFolder(tmp_path / "run")
    assert run.load_model().sample(1, seed=0).shape == (1, 8, 8, 1)  # what was learned is kept
    assert not run.is_finished()
    said.clear()
    resumed = training.resume(tmp_path / "run", say=said.append)
    if epoch:
        assert "from epoch 3 on" in said[0]
    expected = json.loads((run_dir / "metrics.json").read_text())
    for part in ("train", "validation", "test", "held_out"):
        assert resumed[part] == pytest.approx(expected[part], rel=1e-5), part
    assert [row["epoch"] for row in run.read_history()] == [1, 2, 3]
    assert run.is_finished() and not (run.path / "state").exists()
    with pytest.raises(ValueError, match="finished"):
        training.resume(tmp_path / "run")


class Watch(keras.callbacks.Callback):
    """Keeps the logs of the epochs, and ends the run after so many."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(dict(logs))
        if len(self.seen) == self.epochs:
            self.model.stop_training = True


@pytest.mark.slow
@of_dense_runs
def test_callbacks_of_the_caller(tiny_config, tmp_path):
    watch = Watch(epochs=2)
    metrics = training.train(tiny_config, tmp_path / "run", callbacks=[watch])
    rows = RunFolder(tmp_path / "run").read_history()
    assert len(rows) == metrics["epochs"] == 2 and metrics["ended_by"] == "a callback"
    for row, logs in zip(rows, watch.seen, strict=True):
        assert logs["val_bits_per_dim"] == pytest.approx(row["val_bits_per_dim"])
    resumed = training.resume(tmp_path / "run", callbacks=[Watch(epochs=0)])
    assert resumed["ended_by"] == "the last epoch" and resumed["epochs"] == 3


@pytest.mark.slow
@of_dense_runs
def test_report_to_the_caller(tiny_config, tmp_path):
    rows = []

    def on_epoch(row):
        rows.append(row)
        return len(rows) == 2

    metrics = training.train(tiny_config, tmp_path / "run", on_epoch=on_epoch)
    assert metrics["ended_by"] == "the caller" and metrics["epochs"] == 2
    history = RunFolder(tmp_path / "run").read_history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows == [pytest.approx(row) for row in history]
    assert not RunFolder(tmp_path / "run").is_finished()


@pytest.mark.slow
@of_dense_runs
def test_an_error_of_the_caller_keeps_the_best_model(tiny_config, tmp_path):
    def on_epoch(row):
        raise LookupError("not worth it")

    with pytest.raises(LookupError, match="not worth it"):
        training.train(tiny_config, tmp_path / "run", on_epoch=on_epoch)
    run = RunFolder(tmp_path / "run")
    assert run.load_model().image_shape == (8, 8, 1) and len(run.read_history()) == 1


@pytest.mark.slow
@of_dense_runs
def test_without_the_test_split(tiny_config, tmp_path, monkeypatch):
    scored = []
    score = evaluation.score

    def watched_score(log_prob, images, labels=None):
        scored.append(images)
        return score(log_prob, images, labels)

    monkeypatch.setattr(evaluation, "score", watched_score)
    config = dataclasses.replace(tiny_config, epochs=1)
    metrics = training.train(config, tmp_path / "run", score_test=False)
    assert metrics["test"] is None and metrics["held_out"] is None
    assert metrics["train"]["images"] == metrics["validation"]["images"] == 130
    images = load_images(config)
    expected = [images.validation, *images.scored(test=False).values()]
    for received, learned in zip(scored, expected, strict=True):
        np.testing.assert_array_equal(received, learned.images)
    assert summary(metrics)[0].count(",") == 1


def test_compilation_does_not_count_as_the_time_of_a_validation():
    """Else a run of seconds would end long before its limit."""
    budget = Budget(steps=10, seconds=25.0, started=time.monotonic())
    budget.image_seconds = 1e-4  # as `StopInTime` estimates it from the training

    def score(model):
        time.sleep(0.2 if not budget.evaluated else 0.0)
        return {"bits_per_dim": 1.0, "images": 10}

    validate = epochs.Validate(None, score, budget)
    validate.on_epoch_end(0, {})
    assert budget.image_seconds == 1e-4 and budget.evaluated
    validate.on_epoch_end(1, {})
    assert budget.image_seconds < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("tiny_config", ["residual"], indirect=True)
def test_slow_scoring_is_timed_before_the_training(tiny_config, tmp_path, monkeypatch):
    """Else a run would not know how much of its time it needs at the end."""
    found = []

    def fit(self, callbacks):
        found.append(self.budget)
        raise LookupError

    monkeypatch.setattr(loop.TrainingLoop, "_fit", fit)
    with pytest.raises(LookupError):
        training.train(tiny_config, tmp_path / "run")
    [budget] = found
    assert budget.image_seconds > 0 and budget.evaluated


def test_divergence_shows_in_either_score():
    budget = Budget(steps=10, seconds=None, started=time.monotonic())
    callback = StopWhenDiverged(budget)
    callback.on_epoch_end(0, {"bits_per_dim": 1.0, "val_bits_per_dim": 0.5})
    for key in ("bits_per_dim", "val_bits_per_dim"):
        for value in (math.nan, math.inf, -1.0):
            with pytest.raises(FloatingPointError, match=f"{key} is"):
                callback.on_epoch_end(0, {"bits_per_dim": 1.0, key: value})


@pytest.mark.slow
@of_dense_runs
def test_early_stopping(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(epochs, "WORTHWHILE", 10.0)
    metrics = training.train(dataclasses.replace(tiny_config, patience=1), tmp_path / "run")
    assert metrics["epochs"] == 2 and metrics["ended_by"] == "early stopping"


@pytest.mark.slow
@of_dense_runs
def test_time_limit_and_going_on(tiny_config, tmp_path, monkeypatch):
    """A limit that is over at once stops in the first epoch; a larger one lets the run go on."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    short = dataclasses.replace(tiny_config, time_limit=1.0)
    metrics = training.train(short, tmp_path / "run")
    assert metrics["ended_by"] == "the time limit" and metrics["epochs"] == 1
    with pytest.raises(ValueError, match="used up its time limit of 0 s.*larger `time_limit`"):
        training.resume(tmp_path / "run", time_limit=1e-3)
    resumed = training.resume(tmp_path / "run", time_limit=math.inf)
    assert resumed["ended_by"] == "the last epoch" and resumed["epochs"] == 3


@pytest.mark.slow
def test_divergence_says_what_to_try(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, learning_rate=1e6, gradient_clip=0.0)
    with pytest.raises(FloatingPointError, match=r"diverged.*lower `learning_rate`"):
        training.train(config, tmp_path / "run")


@of_dense_runs
def test_nothing_is_overwritten_by_a_run_that_cannot_be(run_dir, tiny_config, tmp_path):
    run = Path(shutil.copytree(run_dir, tmp_path / "run"))
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    for change in ({"batch_size": 5000}, {"hold_out": (11,)}):
        with pytest.raises(ValueError, match="1168|label 11"):
            training.train(dataclasses.replace(tiny_config, **change), run, overwrite=True)
    assert before == {path.name: path.read_bytes() for path in run.iterdir()}


def test_nothing_is_overwritten(run_dir, tiny_config):
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    with pytest.raises(FileExistsError, match="not empty"):
        training.train(tiny_config, run_dir)
    assert before == {path.name: path.read_bytes() for path in run_dir.iterdir()}


@pytest.mark.slow
@of_dense_runs
def test_overwrite(run_dir, tiny_config, tmp_path):
    (tmp_path / "history.csv").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    training.train(dataclasses.replace(tiny_config, epochs=1), tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with (tmp_path / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 1


@of_dense_runs
def test_failing_early_leaves_nothing_behind(tiny_config, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        training.train(
            dataclasses.replace(tiny_config, dataset="npz:nowhere.npz"), tmp_path / "run"
        )
    with pytest.raises(ValueError, match="`batch_size` must be at most"):
        training.train(dataclasses.replace(tiny_config, batch_size=5000), tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "image_shape"), [("realnvp", (5, 3, 3)), ("multiscale", (4, 8, 3))]
)
def test_other_images(tmp_path, flow, image_shape):
    """Colours and odd sizes, from an npz file; more than one held-out label."""
    images = random_images(120, image_shape)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(120) % 4)
    config = TrainingConfig(
        dataset=f"npz:{tmp_path / 'data.npz'}", hold_out=(2, 3), flow=flow, couplings=2, epochs=1,
        **({"channels": 8, "blocks": 1, "heads": 0, "extra_couplings": 0} if flow == "multiscale" else {}),
    )  # fmt: skip
    metrics = training.train(config, tmp_path / "run")
    assert metrics["held_out"]["images"] + metrics["test"]["images"] == 24


@pytest.mark.slow
@of_dense_runs
def test_no_label_held_out(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, hold_out=(), epochs=1)
    assert training.train(config, tmp_path / "run")["held_out"] is None


@pytest.mark.slow
@of_dense_runs
def test_tensorboard(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, epochs=1)
    training.train(config, tmp_path / "run", tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").rglob("*tfevents*"))


def test_without_the_package_tensorboard(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install -e '.[tensorboard]'")):
        training.train(tiny_config, tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


# the command, with the state written after every call from Python
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from tfp_realnvp import cli
from tfp_realnvp.training import loop
loop.CHECKPOINT_SECONDS = 0
cli.main(["train", "--flow", "realnvp", "--width", "32", *sys.argv[1:]])
"""


def _command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_full_disk(tmp_path):
    """A limit on the size of files stands for a disk that fills up while the model is written."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    run = tmp_path / "run"
    process = _command("--epochs", "2", "--run-dir", str(run), preexec_fn=limit)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.strip().splitlines()[-1].startswith("Error:") and "Traceback" not in errors
    assert not run.exists()


@pytest.mark.slow
def test_unwritable_place():
    process = subprocess.run(
        [sys.executable, "-m", "tfp_realnvp", "train", "--run-dir", "/proc/nowhere/run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2 and len(process.stderr.splitlines()) == 1


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "limit"),
    [
        # an epoch of the original's model reaches what the first prototype needed fifteen for
        ({"flow": "realnvp"}, 1.8),
        # half a minute of a small flow, from two of the digits, beats what dense networks ever reach
        (
            {
                "couplings": 2,
                "extra_couplings": 0,
                "channels": 16,
                "blocks": 1,
                "heads": 0,
                "hold_out": (2, 3, 4, 5, 6, 7, 8, 9),
            },
            1.2,
        ),
    ],
)
def test_mnist_is_learned(mnist_dir, tmp_path, options, limit):
    options = {"hold_out": (9,), "epochs": 1, **options}
    config = TrainingConfig(dataset="mnist", manual_dir=str(mnist_dir), time_limit=None, **options)
    metrics = training.train(config, tmp_path / "run")
    assert metrics["test"]["images"] == {1: 8991, 8: 2115}[len(config.hold_out)]
    assert metrics["test"]["bits_per_dim"] < limit
