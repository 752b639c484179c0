import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import typer
from conftest import of_dense_runs
from PIL import Image

from tfp_realnvp import cli, datasets, training
from tfp_realnvp.cli import options
from tfp_realnvp.cli.config_options import make_config
from tfp_realnvp.cli.main import app, with_options
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

TOP = Path(__file__).parent.parent


COMMANDS = [
    "train", "sample", "score", "transfer", "morph", "fill", "classify", "anomalies", "diagnose", "information",
    "export", "tune", "demo", "experiment few-shot", "pipeline score", "pipeline sample",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help(call, command):
    status, output, _ = call(*command.split(), "--help")
    assert status == 0 and "--json" in output


def test_every_setting_is_an_option():
    """With the same default, and its meaning."""
    parameters = {parameter.name: parameter for parameter in _command("train").params}
    for field in dataclasses.fields(TrainingConfig):
        parameter = parameters[field.name]
        assert parameter.opts == ["--" + field.name.replace("_", "-")]
        default = parameter.default
        if field.name == "time_limit":
            default = options.seconds(default)
        assert (tuple(default) if field.name == "hold_out" else default) == field.default
        if field.name not in ("hold_out", "time_limit"):
            assert parameter.help == field.metadata["help"] + "."
    assert "default: 32 (multiscale), 512 (realnvp)" in parameters["batch_size"].help


def _command(name):
    return typer.main.get_command(app).commands[name]


@pytest.mark.slow
@of_dense_runs
def test_time_runs_from_the_call(call, monkeypatch, run_dir, tmp_path):
    """Not from the import, which may be long ago."""
    found = []
    metrics = json.loads((run_dir / "metrics.json").read_text())

    def train(config, folder, *, started, **options):
        found.append(started)
        return metrics

    monkeypatch.setattr(training, "train", train)
    for _ in range(2):
        before = time.monotonic()
        assert call("train", "--run-dir", tmp_path / "run")[0] == 0
        assert before <= found[-1] <= time.monotonic()
    assert found[0] < found[1]


def test_names_in_errors_become_options():
    words = ["pipeline", "score", "model"]
    assert with_options("`batch_size` is 0", words) == "--batch-size is 0"
    message = "`run_dir`, `gated`, `as_json` or `colour`"
    assert with_options(message, ["train"]) == "--run-dir, --gated, --json or `colour`"
    assert with_options(message, ["sample"]) == "`run_dir`, `gated`, --json or `colour`"
    assert with_options(message, []) == message


@pytest.mark.parametrize(
    "program", [["-m", "tfp_realnvp", "--help"], [str(TOP / "train.py"), "--help"]], ids=str
)
def test_help_does_not_wait_for_tensorflow(program):
    process = subprocess.run([sys.executable, *program], check=True, capture_output=True, text=True)
    assert "train" in process.stdout
    code = "import sys, tfp_realnvp.cli; print('tensorflow' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert process.stdout == "False\n"


@pytest.mark.slow
def test_standard_error_may_be_closed():
    code = "from tfp_realnvp.cli import output; output.load('commands'); print('loaded')"
    process = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code],
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0 and process.stdout == "loaded\n"


def test_sample(call, run_dir, tmp_path):
    output = tmp_path / "samples.png"
    arguments = ("sample", run_dir, "--num", 12, "--temperature", 0.7, "--output", output, "--json")
    status, printed, _ = call(*arguments)
    assert status == 0 and json.loads(printed) == {"images": 12, "output": str(output)}
    first = np.asarray(Image.open(output))
    assert first.shape == (17 * 14, 89 * 14)
    assert call(*arguments, "--overwrite")[0] == 0
    np.testing.assert_array_equal(first, np.asarray(Image.open(output)))


def test_score(call, run_dir):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    _, printed, _ = call("score", run_dir, "--labels", "0-8", "--json")
    scores = json.loads(printed)
    estimated = scores.pop("log_prob_error", None)
    assert scores == pytest.approx(metrics["test"], rel=1e-5)
    _, printed, _ = call("score", run_dir, "--labels", "9", "--split", "test", "--json")
    scores = json.loads(printed)
    assert ("log_prob_error" in scores) == (estimated is not None)
    scores.pop("log_prob_error", None)
    assert scores == pytest.approx(metrics["held_out"], rel=1e-5)
    _, printed, _ = call("score", run_dir)
    assert "bits per dimension" in printed and "359 images" in printed
    assert ("is an estimate with a standard error of" in printed) == (estimated is not None)


@of_dense_runs
def test_score_of_other_data(call, run_dir, tmp_path):
    digits = datasets.load("digits").test
    np.savez(tmp_path / "other.npz", images=digits.images, labels=digits.labels)
    status, _, errors = call("score", run_dir, "--dataset", f"npz:{tmp_path / 'other.npz'}")
    assert status == 2 and "17 grey levels" in errors and "None" not in errors


def test_morph(call, run_dir, tmp_path):
    status, printed, _ = call(
        "morph", run_dir, "--from-label", 2, "--to-label", 8, "--output", tmp_path / "m.gif"
    )
    assert status == 0 and "m.gif" in printed
    with Image.open(tmp_path / "m.gif") as picture:
        assert picture.n_frames == 22
    assert (tmp_path / "m.png").is_file()


def test_hold_out_takes_ranges():
    config = {**vars(TrainingConfig()), "time_limit": "none"}
    for texts in (["0-3"], ["0", "1", "2-3"], ["0-3", "1"]):
        assert make_config({**config, "hold_out": texts}).hold_out == (0, 1, 2, 3)


@pytest.mark.slow
@of_dense_runs
def test_export(call, run_dir, tmp_path):
    for version in ("1", "2"):
        status, printed, _ = call("export", run_dir, tmp_path / "digits", "--json")
        assert status == 0
        result = json.loads(printed)
        assert result["output"] == str(tmp_path / "digits" / version)
        graph = tmp_path / "digits" / version / "saved_model.pb"
        assert graph.stat().st_size < result["bytes"] < 5e6
    names = {path.name for path in (tmp_path / "digits").iterdir()}
    assert names == {"1", "2", "config.json", "history.csv", "metrics.json", "model.keras"}
    pictures = [tmp_path / "from_run.png", tmp_path / "from_export.png"]
    for folder, picture in zip((run_dir, tmp_path / "digits"), pictures, strict=True):
        assert call("sample", folder, "--output", picture)[0] == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


@pytest.mark.slow
def test_conditional(call, tmp_path):
    """Trained with labels: images of a label, and labels recognized."""
    run = tmp_path / "run"
    status, printed, _ = call(
        "train", "--flow", "realnvp", "--width", 64, "--conditional", "--hold-out", 9, "--epochs", 12,
        "--run-dir", run, "--json",
    )  # fmt: skip
    assert status == 0
    metrics = json.loads(printed)
    assert metrics["held_out"]["bits_per_dim"] > 0
    _, printed, _ = call("score", run, "--labels", "0-8", "--json")
    scores = json.loads(printed)
    assert scores["accuracy"] > 0.3  # a ninth by chance; so short a training gives no more
    # log p(image) is less than log p(image | its label), and more than a ninth of it
    gain = scores["log_prob"] - metrics["test"]["log_prob"]
    assert -np.log(9) - 1e-3 < gain < 0
    drawn = tmp_path / "threes.png"
    assert call("sample", run, "--labels", "3", "--num", 10, "--output", drawn)[0] == 0
    assert drawn.is_file()
    status, _, errors = call("transfer", run)
    assert status == 2 and "--given must be the label that the class-conditional model" in errors
    few = tmp_path / "few"
    status, printed, errors = call(
        "transfer", run, "--given", 4, "--no-adapt", "--output-dir", few,
        "--export", tmp_path / "saved", "--json",
    )  # fmt: skip
    assert status == 0 and json.loads(printed)["unseen_images"] > 10, errors
    served = tf.saved_model.load(json.loads(printed)["saved_model"]).signatures["sample"]
    drawn = served(
        num_samples=tf.constant(3), seed=tf.constant([1, 2]), temperature=tf.constant(1.0)
    )
    assert drawn["images"].shape == (3, 8, 8, 1)
    assert call("morph", run, "--steps", 3, "--output", tmp_path / "morph.gif")[0] == 0


@of_dense_runs
def test_resume_takes_no_other_options(call, run_dir, tmp_path):
    run = RunFolder(shutil.copytree(run_dir, tmp_path / "run"))
    run.metrics.unlink()
    status, _, errors = call("train", "--resume", "--run-dir", run.path, "--couplings", 64)
    couplings = TrainingConfig.from_json(run.read_config()).couplings
    assert status == 2 and f"was started with --couplings {couplings}, not 64" in errors


def test_train_takes_a_file_of_options(call, monkeypatch, tmp_path):
    """What is said on the command line wins."""
    found = []

    def train(config, folder, **options):
        found.append(config)
        raise ValueError("enough")

    monkeypatch.setattr(training, "train", train)
    file = tmp_path / "best.json"
    file.write_text(json.dumps({"flow": "realnvp", "width": 64, "hold_out": [9], "time_limit": 5}))
    arguments = ("train", "--config", file, "--width", 32, "--run-dir", tmp_path / "run")
    assert "enough" in call(*arguments)[2]
    expected = TrainingConfig(flow="realnvp", width=32, hold_out=(9,), time_limit=5)
    assert found == [expected]
    assert "enough" in call(*arguments, "--time-limit", "none", "--hold-out", 8)[2]
    assert found[1] == dataclasses.replace(expected, time_limit=None, hold_out=(8,))
    status, _, errors = call(*arguments, "--resume")
    assert status == 2 and "--config is for a new run: leave it out with --resume" in errors
    status, _, errors = call(*arguments, "--goal", "speed")
    assert status == 2 and "--goal and --config both set options" in errors
    status, _, errors = call(*arguments, "--flow", "multiscale")
    assert status == 2 and "--width is no option of the flow multiscale" in errors


def test_train_takes_a_goal(call, monkeypatch, tmp_path):
    """What is said on the command line wins."""
    found = []

    def train(config, folder, **options):
        found.append(config)
        raise ValueError("enough")

    monkeypatch.setattr(training, "train", train)
    assert (
        "enough" in call("train", "--goal", "speed", "--heads", 2, "--run-dir", tmp_path / "run")[2]
    )
    assert found == [training.config_for("speed", heads=2)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--goal", "beauty"], "beauty"),
        (["train", "--goal", "speed", "--flow", "realnvp"], "--goal speed takes the --flow multiscale"),
        (["train", "--goal", "speed", "--resume", "--run-dir", "RUN"], "--goal is for a new run"),
        (["train", "--epochs", "0"], "--epochs must be at least 1, received 0"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--channels", "-3"], "--channels must be at least 1"),
        (["train", "--width", "64"], "--width is no option of the flow multiscale, which has scales"),
        (["train", "--flow", "glow"], "glow"),
        (["train", "--dequantization", "none"], "none"),
        (["train", "--time-limit", "soon"], "a duration such as 90s, 10m, 1h30m or none, received 'soon'"),
        (["train", "--time-limit", "0s"], "--time-limit must be above 0"),
        (["train", "--precision", "float8"], "float8"),
        (["train", "--dataset", "nonsense"], "unknown data set 'nonsense'"),
        (["train", "--hold-out", "11"], "label 11 is not there; the labels are 0-9"),
        (["train", "--activation", "soft"], "soft"),
        (["train", "--resume"], "not a run folder"),
        (["train", "--config", "nowhere.json"], "there is no file nowhere.json"),
        (["train", "--resume", "--run-dir", "RUN"], "is finished: choose another --run-dir"),
        (["train", "--run-dir", "RUN"], "choose another --run-dir, go on with that run by --resume, or "),
        (["train", "--batch-size", "5000"], "--batch-size must be at most the number of training images, 1294"),
        (["sample", "nowhere"], "nowhere is not a run folder"),
        (["sample", "RUN", "--num", "0"], "Invalid value for '--num'"),
        (["sample", "RUN", "--labels", "3"], "this flow knows no labels"),
        (["sample", "RUN", "--temperature", "0"], "--temperature must be above 0"),
        (["sample", "RUN", "--output", "/proc/nowhere/a.png"], "/proc/nowhere"),
        (["score", "RUN", "--labels", "a-b"], "labels such as 9, 0-8"),
        (["score", "RUN", "--labels", "11"], "label 11 is not there"),
        (["transfer", "RUN", "--label", "11"], "label 11 is not there"),
        (["transfer", "RUN", "--shots", "1", "--no-adapt"], "--shots must be at least 2 images, received 1"),
        (["transfer", "RUN", "--intrinsic-dimension", "9999"], "--intrinsic-dimension must be from 1 to"),
        (["transfer", "RUN", "--shots", "0"], "--shots must be at least 1 image, received 0"),
        (["transfer", "RUN", "--bandwidth", "0"], "--bandwidth must be from 0.01 to 1, received 0"),
        (["transfer", "RUN", "--maps", "-1"], "--maps must be from 0 to 10,000, received -1"),
        (["transfer", "RUN", "--shots", "5000"], "5000 shots of label 9 were asked for, but there are"),
        (["transfer", "RUN", "--shots-dir", "nowhere"], "no PNG files (NAME.png) in nowhere"),
        (["transfer", "RUN", "--covariance", "round"], "round"),
        (["transfer", "RUN", "--covariance", "diagonal", "--intrinsic-dimension", "3"], "'full' alone"),
        (["morph", "RUN", "--to-label", "11"], "label 11 is not there"),
        (["morph", "RUN", "--steps", "1"], "Invalid value for '--steps'"),
        (["morph", "RUN", "--output", "foo.png"], "--output must end in .gif, received foo.png"),
        (["morph", "RUN", "--output", "/proc/nowhere/a.gif"], "/proc/nowhere"),
        (["morph", "RUN", "--seed", "-1"], "Invalid value for '--seed'"),
        (["morph", "RUN", "--dataset", "npz:nowhere"], "there is no file nowhere"),
        (["transfer", "RUN", "--dataset", "npz:nowhere"], "there is no file nowhere"),
        (["transfer", "RUN", "--num", "0"], "Invalid value for '--num'"),
        (["transfer", "RUN", "--num", "99999999999999"], "--num must be at most"),
        (["transfer", "RUN", "--output-dir", "/proc/nowhere"], "/proc/nowhere"),
        (["transfer", "RUN", "--output-dir", "RUN"], "is the folder of a run: choose another --output-dir"),
        (["transfer", "RUN", "--export", "RUN"], "of a run or of its export: choose another --export"),
        (["sample", "RUN", "--output", "/dev/null"], "/dev/null is there and is no folder"),
        (["sample", "RUN", "--output", "/dev/null", "--overwrite"], "/dev/null is there and is no folder"),
        (["sample", "RUN", "--output", "/proc/nowhere"], "/proc/nowhere"),
        (["score", "RUN", "--output", "/dev/null", "--overwrite"], "only regular files are replaced"),
        (["sample", "RUN", "--num", "99999999999999"], "--num must be at most"),
        (["sample", "RUN", "--seed", "-1"], "Invalid value for '--seed'"),
        (["sample", "RUN", "--seed", "99999999999999999999"], "Invalid value for '--seed'"),
        (["sample", "RUN", "--labels", "9-3"], "from the smaller to the larger, such as 3-9, received '9-3'"),
        (["score", "RUN", "--labels", "9-0"], "from the smaller to the larger"),
        (["score", "RUN", "--labels", ""], "labels such as 9, 0-8"),
        (["score", "RUN", "--labels", "0-100000000"], "at most 10,000 labels"),
        (["score", "RUN", "--labels", "-1"], "label -1 is not there"),
        (["score", "RUN", "--labels", "3000000000"], "labels must be in [-2**31, 2**31)"),
        (["export", "RUN", "new", "--warm-up", "8-1"], "from the smaller to the larger"),
        (["train", "--hold-out", "3-0"], "from the smaller to the larger"),
        (["train", "--hold-out", "0-11"], "label 10 is not there"),
        (["export", "RUN", "/proc/nowhere"], "/proc/nowhere"),
        (["nonsense"], "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
@of_dense_runs  # the command line is one
def test_bad_input_is_one_line_and_status_2(call, run_dir, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, output, errors = call(*[str(run_dir) if word == "RUN" else word for word in arguments])
    assert status == 2 and output == ""
    assert words in errors and errors.startswith("Error: ") and errors.count("\n") == 1
    assert not list(tmp_path.rglob("*.*"))  # nothing half-written


def test_debug_shows_where(run_dir):
    with pytest.raises(ValueError, match="must be above 0"):
        cli.main(["sample", str(run_dir), "--temperature", "0", "--debug"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), ("none", None)]
)
def test_durations(text, seconds):
    assert options.seconds(text) == seconds


@pytest.mark.parametrize("number", [0.0, 45.0, 90.0, 600.0, 5400.0, 3661.0, None])
def test_durations_and_back(number):
    assert options.seconds(options.duration(number)) == number


def test_labels():
    assert options.integers("0,2,4-6") == [0, 2, 4, 5, 6]
    assert options.integers("-3--1, 5,-1-1") == [-3, -2, -1, 5, -1, 0, 1]
    assert options.integers(None) == []
