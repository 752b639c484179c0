"""Killed at any moment, a command leaves nothing half done, and the next one ends as if nothing had been.

`KILLS=200 python -m pytest -n 0 tests/test_kills.py` kills training 200 times instead of 5.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import zipfile

import pytest
import tensorflow as tf
from processes import Command

from tfp_realnvp import evaluation
from tfp_realnvp.serving import export_versions
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import load_images
from tfp_realnvp.training.run_folder import RunFolder

KILLS = int(os.environ.get("KILLS", "5"))
CHAIN = 5  # so many kills before a command may come to its end
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
TRAIN = (
    "train", "--hold-out", "9", "--flow", "realnvp", "--width", "32", "--depth", "2",
    "--batch-size", "64", "--epochs", "12", "--precision", "float32",
)  # fmt: skip
VERSION = ("saved_model.pb", "variables/variables.index", "assets.extra/config.json")

pytestmark = pytest.mark.slow


def chains(share):
    """Numbers of the chains of a command that is killed this share of `KILLS`."""
    return range(max(1, round(KILLS * share / CHAIN)))


def run_to_end(arguments, folder):
    command = Command(arguments, folder)
    assert command.wait(), command.errors
    assert command.status == 0, command.errors
    assert not remains(folder)
    return command


def kill(arguments, folder, whole):
    """Begin a command and kill it, at a random moment or just before a random change of a file."""
    number = random.choice(SIGNALS)
    if random.random() < 0.5:
        change = random.randint(1, whole.changes)
        command = Command(arguments, folder, number=number, change=change)
    else:
        command = Command(arguments, folder)
        if not command.wait(random.uniform(0, whole.seconds)):
            command.signal(number)
    assert command.wait(), "it hangs"
    print(  # pytest shows it if the test fails
        f"{arguments[0]}: signal {number}, status {command.status} after {command.seconds:.2f} of "
        f"{whole.seconds:.2f} s, {command.changes} of {whole.changes} changes"
    )
    assert command.status in {0, -number, 128 + number}, command.errors
    assert not re.search("Traceback|Exception|Error", command.errors), command.errors
    return command


def remains(folder):
    return list(folder.rglob(".*"))


def checksums(folder):
    """Of the files, and of what is in archives: these hold their date, and addresses of Python's objects."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def content(path):
    if path.suffix not in (".keras", ".npz") or not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = sorted(set(archive.namelist()) - {"metadata.json", "config.json"})
        return b"".join(name.encode() + archive.read(name) for name in names)


def results(run):
    """What does not depend on the time that a run took."""
    metrics = run.read_metrics()
    timed = ("seconds", "images_per_second")
    history = [{k: v for k, v in row.items() if k not in timed} for row in run.read_history()]
    weights = [array.tolist() for array in run.load_model().get_weights()]
    return {k: v for k, v in metrics.items() if k not in timed}, history, weights


class Whole:
    """A run that nothing disturbed."""

    def __init__(self, folder):
        self.run = RunFolder(folder / "run")
        self.train = run_to_end([*TRAIN, "--run-dir", self.run.path], folder)
        self.results = results(self.run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def validation():
    images = load_images(TrainingConfig(hold_out=(9,)))
    return images.validation.images


@pytest.mark.parametrize("chain", chains(1))
def test_train(whole, validation, tmp_path, chain):
    run = RunFolder(tmp_path / "run")
    best = float("inf")
    for _ in range(CHAIN):
        resume = ["--resume", "--deterministic"] if run.config.is_file() else []
        command = kill([*TRAIN, "--run-dir", run.path, *resume], tmp_path, whole.train)
        if (
            command.status > 0
            and re.search(r"epoch \d+/", command.errors)
            and not run.is_finished()
        ):
            assert run.state.is_there() and run.model.is_file()
            assert len(re.findall("Interrupted; the best", command.errors)) == 1
        assert run.model.is_file() or best == float("inf")
        if run.model.is_file():
            score = evaluation.score(run.load_model().log_prob, validation)["bits_per_dim"]
            assert score <= best + 1e-5
            best = score
        if run.is_finished():
            assert results(run) == whole.results
            shutil.rmtree(run.path)
            best = float("inf")
    resume = ["--resume"] if run.config.is_file() else []
    run_to_end([*TRAIN, "--run-dir", run.path, *resume], tmp_path)
    assert results(run) == whole.results
    assert not run.state.is_there()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_in_the_middle_of_a_training(tmp_path, name):
    number = getattr(signal, name)
    run = RunFolder(tmp_path / "run")
    command = Command([*TRAIN, "--epochs", "10000", "--run-dir", run.path], tmp_path)
    while "epoch 2/" not in command.errors:
        assert not command.wait(0.05), command.errors
    command.signal(number)
    assert command.wait() and command.status == 128 + number, command.errors
    assert "Interrupted; the best model so far" in command.errors
    assert "Traceback" not in command.errors
    assert run.has_result() and len(run.read_history()) >= 2


def check_versions(folder):
    for version in export_versions(folder):
        assert all((folder / str(version) / name).is_file() for name in VERSION), version


def check_last_version(folder):
    last = folder / str(max(export_versions(folder)))
    assert "sample" in tf.saved_model.load(str(last)).signatures


@pytest.fixture(scope="module")
def whole_transfer(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    return run_to_end(transfer(whole, folder), folder), checksums(folder / "out")


def transfer(whole, folder):
    return [
        "transfer", whole.run.path, "--output-dir", folder / "out", "--export", folder / "model", "--overwrite",
        "--no-adapt",
    ]  # fmt: skip


@pytest.mark.parametrize("chain", chains(1 / 4))
def test_transfer(whole, whole_transfer, tmp_path, chain):
    undisturbed, expected = whole_transfer
    before = checksums(whole.run.path)
    for _ in range(CHAIN):
        kill(transfer(whole, tmp_path), tmp_path, undisturbed)
        written = checksums(tmp_path / "out")
        whole_files = {name for name in written if not name.startswith(".")}
        assert all(written[name] == expected[name] for name in whole_files)
        check_versions(tmp_path / "model")
        assert checksums(whole.run.path) == before
    run_to_end(transfer(whole, tmp_path), tmp_path)
    assert checksums(tmp_path / "out") == expected
    check_last_version(tmp_path / "model")


@pytest.fixture(scope="module")
def whole_export(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return run_to_end(["export", whole.run.path, folder / "model"], folder)


@pytest.fixture(scope="module")
def another_run(whole, tmp_path_factory):
    """With other files, and one less."""
    folder = tmp_path_factory.mktemp("another") / "run"
    shutil.copytree(whole.run.path, folder)
    (folder / "metrics.json").unlink()
    lines = (folder / "history.csv").read_text().splitlines(keepends=True)
    (folder / "history.csv").write_text("".join(lines[:-1]))
    return RunFolder(folder)


@pytest.mark.parametrize("chain", chains(1 / 4))
def test_export(whole, another_run, whole_export, tmp_path, chain):
    runs, folder = [whole.run, another_run], tmp_path / "model"
    before = [checksums(run.path) for run in runs]
    for _ in range(CHAIN):
        kill(["export", random.choice(runs).path, folder], tmp_path, whole_export)
        check_versions(folder)
        assert [checksums(run.path) for run in runs] == before
    run = random.choice(runs)
    run_to_end(["export", run.path, folder], tmp_path)
    beside = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    names = ("config.json", "history.csv", "metrics.json", "model.keras")
    assert beside == {
        name: (run.path / name).read_bytes() for name in names if (run.path / name).exists()
    }
    check_last_version(folder)
