"""Questions by command to what `transfer` made."""

import csv
import json

import numpy as np
import pytest
from conftest import TINY

from tfp_realnvp import datasets, training, views
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.run_folder import RunFolder

pytestmark = pytest.mark.slow
REST = ("dataset", "manual_dir", "route")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of_few_shots") / "run"
    config = TrainingConfig(**TINY["realnvp"], hold_out=(8, 9), epochs=2, precision="float32")
    training.train(config, folder)
    return folder


def answer(call, *arguments):
    status, printed, errors = call(*arguments, "--json")
    assert status == 0, errors
    return json.loads(printed)


@pytest.mark.parametrize("space", ["latents", "pixels"])
def test_every_command_takes_a_transfer(call, run, tmp_path, space):
    nines = tmp_path / "nines"
    options = ("--no-adapt", "--space", space, "--variance-floor", 1.0, "--output-dir", nines)
    made = answer(call, "transfer", run, *options, "--export", tmp_path / "saved")
    flow = RunFolder(nines).load_model()
    test = datasets.load("digits").test.only([9])
    scored = answer(call, "score", nines, "--rarer", 50)
    assert scored["images"] == len(test) and 0 <= scored["rarer"]["mean"] <= 1
    name = "latent_chosen" if space == "latents" else "pixels_chosen"
    assert scored["bits_per_dim"] == pytest.approx(made["bits_per_dim"][name], rel=1e-4)
    assert answer(call, "score", nines, "--labels", "0-3")["images"] > len(test)
    drawn = tmp_path / "drawn.npz"
    answer(call, "sample", nines, "--num", 8, "--output", drawn)
    np.testing.assert_array_equal(np.load(drawn)["images"], flow.sample(8, seed=0))
    if space == "pixels":
        return  # nothing else depends on the route
    diagnosis = answer(call, "diagnose", nines)
    assert diagnosis["images"] == len(test)
    found = answer(call, "anomalies", nines, "--false-positives", 0.05)
    assert found["images"] == len(test)
    filled = answer(call, "fill", nines, "--steps", 4, "--images", 2, "--num", 2)
    assert 0 <= filled["acceptance"] <= 1
    known = answer(call, "information", nines, "--samples", 20)
    assert known["class"] == "FewShotFlow" and known["metrics"]["shots"] == 10
    assert "10 shots of label 9" in call("information", nines, "--samples", 20)[1]
    saved = answer(call, "export", nines, tmp_path / "again")
    assert saved["bytes"] > 0
    again = answer(call, "transfer", run, *options, "--overwrite")
    assert again["bits_per_dim"] == made["bits_per_dim"]


def test_shots_from_files(call, run, tmp_path):
    images = datasets.load("digits").train.only([9]).images[:3]
    np.savez(tmp_path / "data.npz", images=images, labels=np.full(3, 9))
    for number, image in enumerate(views.to_256_levels(images, 17)):
        views.write_png(image, tmp_path / "shots" / f"{number}.png")
    few = tmp_path / "few"
    options = ("--no-adapt", "--shots-dir", tmp_path / "shots", "--output-dir", few)
    answer(call, "transfer", run, *options)
    assert answer(call, "score", few, "--images-dir", tmp_path / "shots")["images"] == 3
    for command in (["score", few], ["diagnose", few], ["fill", few]):
        status, _, errors = call(*command)
        assert status == 2 and "was made from PNG files: say by" in errors
    assert answer(call, "score", few, "--dataset", "digits", "--labels", "9")["images"] == 40


def test_a_run_for_each_label(call, run, tmp_path):
    folders = {}
    for label in (8, 9):
        folders[label] = tmp_path / str(label)
        options = ("--no-adapt", "--variance-floor", 1.0, "--label", label)
        answer(call, "transfer", run, *options, "--output-dir", folders[label])
    runs = [f"{label}={folder}" for label, folder in folders.items()]
    test = datasets.load("digits").test
    result = answer(call, "classify", *runs, "--output-dir", tmp_path / "found")
    assert result["images"] == len(test.only([8, 9])) and result["accuracy"] > 0.6
    with_others = answer(
        call, "classify", *runs, "--unlike", 0.05, "--output-dir", tmp_path / "all"
    )
    assert with_others["images"] == len(test)
    assert with_others["accuracy"] == result["accuracy"]
    with (tmp_path / "all" / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["label"] == "-1" for row in rows) == with_others["of_no_label"]
    assert {row["label"] for row in rows} <= {"-1", "8", "9"}
    others = [row["label"] == "-1" for row in rows if row["true_label"] not in ("8", "9")]
    assert with_others["others_found"] == np.mean(others)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "8=RUN"], "expected runs for at least two labels"),
        (["classify", "RUN", "RUN"], "a run for each label such as 8=runs/eights"),
        (["classify", "8=RUN", "8=RUN"], "a run for each label such as"),
        (["classify", "x=RUN", "9=RUN"], "a run for each label such as"),
        (["classify", "8=RUN", "7=RUN"], "label 8 is not there"),
        (["transfer", "RUN", "--no-adapt", "--output-dir", "RUN", "--overwrite"], "is the folder of a run"),
        (["transfer", "RUN", "--space", "clouds"], "clouds"),
    ],
)  # fmt: skip
def test_bad_input(call, run, arguments, message):
    arguments = [argument.replace("RUN", str(run)) for argument in arguments]
    status, _, errors = call(*arguments)
    assert status == 2 and message in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    "content", [[], {"label": 9}, {"label": "x", "shots": 1, "seed": 0, **dict.fromkeys(REST)}]
)
def test_damaged_configuration(call, run, tmp_path, content):
    nines = tmp_path / "nines"
    answer(call, "transfer", run, "--no-adapt", "--output-dir", nines)
    config = json.loads((nines / "config.json").read_text())
    (nines / "config.json").write_text(json.dumps({**config, "few_shots": content}))
    status, _, errors = call("diagnose", nines)
    assert status == 2 and "`few_shots` in config.json" in errors.replace(
        "--few-shots", "`few_shots`"
    )
