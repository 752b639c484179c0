"""The benchmarks run. How fast something is, is not tested."""

import importlib
import json
import runpy
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import FLOWS, TINY, of_dense_runs

from tfp_realnvp import datasets, training
from tfp_realnvp.serving import export
from tfp_realnvp.training.config import TrainingConfig

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Runs a script in this process, which has imported TensorFlow, and gives what it printed."""
    monkeypatch.syspath_prepend(FOLDER)

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(FOLDER / script), run_name="__main__")
        return capsys.readouterr().out

    return run


def run(script, *arguments):
    """In a process of its own."""
    command = [sys.executable, FOLDER / script, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_compare(tmp_path):
    """The fastest rows, without the libraries that the tests do not need."""
    file = tmp_path / "results.json"
    rows = ("--flows", "dense", "--libraries", "ours", "bare")
    printed = run("compare.py", "--quick", "--json", file, *rows)
    results = json.loads(file.read_text())
    assert results["ratios"]["fit_vs_bare"] > 0
    for name, row in results["dense"].items():
        assert row["train_512"]["median"] > 0
        assert f"| {row['library']} | {row['precision']} | {row['parameters']:,} " in printed, name
    parameters = {row["library"]: row["parameters"] for row in results["dense"].values()}
    assert parameters["bare"] == parameters["ours"]


def test_ratios_of_splines(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    ratios_of_splines = importlib.import_module("ratios").ratios_of_splines

    def row(library, rate):
        return {"library": library, "precision": "float32", "train": {"median": rate}}

    affine = {"ours float32": row("ours", 6.0)}
    splines = {"ours float32": row("ours", 4.0), "nflows float32": row("nflows", 2.0)}
    found = ratios_of_splines(splines, affine, ["train"])
    assert found == {"float32": {"train": {"times_affine": 1.5, "vs_peer": 2.0}}}
    assert ratios_of_splines(splines, {}, ["train"]) == {}


@pytest.mark.slow
def test_help_of_each(run_here, capsys):
    scripts = {file.name for file in FOLDER.glob("*.py") if "__main__" in file.read_text()}
    scripts.remove("worker.py")  # it is started by others
    assert "compare.py" in scripts
    for script in scripts:
        with pytest.raises(SystemExit) as end:
            run_here(script, "--help")
        assert not end.value.code
        assert "python benchmarks/" + script in capsys.readouterr().out


@pytest.mark.slow
def test_overhead(run_here):
    """The share in a row is that of its two times."""
    lines = run_here("overhead.py", "--quick", "--rounds", 1).splitlines()[2:]
    rows = [[float(cell.strip(" %")) for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in rows] == [128, 512]
    for _, alone, whole, share in rows:
        assert share == pytest.approx(100 * (1 - alone / whole), abs=0.5)


@pytest.mark.slow
def test_choices():
    ways = ["shards", "TensorFlow's own threads"]
    lines = run("choices.py", "--quick", "--rounds", 1, "--ways", *ways).splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in rows] == ways
    first = [float(cell) for cell in rows[0][1:]]
    for _, *cells in rows:
        for time, share, own in zip(cells[::2], cells[1::2], first[::2], strict=True):
            assert float(share) == pytest.approx(float(time) / own, abs=0.02)


@pytest.mark.slow
def test_cost():
    """The smallest flow."""
    *_, line = run("cost.py", "--rows", 1).splitlines()
    assert line.startswith("| 8x8x1 | 2 | 4 | 64 | 1,750,519 | 85 | ")


@pytest.mark.slow
@pytest.mark.mnist
def test_precision(run_here, mnist_dir):
    model = FOLDER.parent / "saved_models" / "mnist_0_8"
    *_, exact, rounded = run_here(
        "precision.py", model, "--mnist", mnist_dir, "--images", 100
    ).splitlines()
    assert exact.startswith("| float32 | 0.9854 | 100.0% |")
    assert rounded.startswith("| mixed_bfloat16 | 0.98")


@pytest.mark.slow
@pytest.mark.mnist
def test_time_to(mnist_dir):
    """To a score that the first epoch beats."""
    arguments = ("--mnist", mnist_dir, "--libraries", "ours", "--bits", 7.9, "--no-json")
    *_, line = run("time_to.py", *arguments).splitlines()
    library, _, _, seconds, steps, best = line.strip("| ").split(" | ")
    assert library == "ours" and int(seconds) > 0
    assert steps == "100" and float(best) < 7.9


@pytest.mark.slow
def test_serving(tmp_path):
    printed = run("serving.py", export(FLOWS["realnvp"](), tmp_path), "--seconds", 4)
    lines = [line for line in printed.splitlines() if line.startswith("| sample_rows | ")]
    assert [line.split(" | ")[1] for line in lines] == ["1", "8", "32"]
    assert all(line.endswith(" | 0 | 0 |") for line in lines)


@pytest.mark.slow
@of_dense_runs
def test_anomalies(run_here, run_dir):
    """The embedded digits, in which the detector with labels finds new ones better than chance."""
    lines = [
        line for line in run_here("anomalies.py", run_dir).splitlines() if "all together" in line
    ]
    without, with_labels = ([cell.strip() for cell in line.split("|")[2:-1]] for line in lines)
    assert len(without) == 5 and all(float(cell) > 0.9 for cell in with_labels[-2:])
    assert float(with_labels[0]) > 0.6


@pytest.mark.slow
@of_dense_runs
def test_temperatures(run_here, run_dir):
    """At the lowest, fewer of the real pictures are covered."""
    *_, one, cold = run_here("temperatures.py", run_dir, "--temperatures", 1, 0.01).splitlines()
    covered = [float(line.split(" | ")[3]) for line in (one, cold)]
    assert covered[0] > covered[1]


@pytest.mark.slow
def test_fill(run_here, tmp_path):
    config = TrainingConfig(**TINY["realnvp"], fill=True, epochs=3, precision="float32")
    training.train(config, tmp_path / "run")
    rows = run_here("fill.py", tmp_path / "run", "--images", 40, "--num", 4).splitlines()[-12:]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[0] for row in cells[::4]] == ["lower", "scattered", "square"]
    black, nearest, one, mean = (float(row[2]) for row in cells[:4])
    assert nearest < black and mean < one


@pytest.fixture
def mnist(tmp_path):
    """A folder with four idx files of 28x28 pixels: the embedded digits, enlarged."""
    data = datasets.load("digits")
    for name, part in (("train", data.train), ("t10k", data.test)):
        images = part.images[..., 0].repeat(4, axis=1).repeat(4, axis=2)[:, 2:-2, 2:-2] * 15
        for kind, array in (("images-idx3", images), ("labels-idx1", part.labels.astype(np.uint8))):
            head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(
                f">{array.ndim}I", *array.shape
            )
            (tmp_path / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())
    return tmp_path


@pytest.mark.slow
def test_goals(mnist):
    """The fastest of them."""
    options = [
        "--goals",
        "sampling-speed",
        "--time-limit",
        "40s",
        "--options=--epochs 2 --precision float32",
    ]
    *_, row, alone = run("goals.py", "--mnist", mnist, *options).splitlines()
    cells, alone = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (row, alone))
    numbers = [float(cell.replace(",", "")) for cell in cells[1:]]
    assert cells[0] == "sampling-speed" and min(numbers) > 0
    assert float(alone[-1].replace(",", "")) < numbers[-1]


@pytest.mark.slow
def test_told(run_here, mnist, tmp_path):
    options = ["--minutes", 0.1, "--images", 100, "--picture", tmp_path / "told.png"]
    rows = run_here("told.py", "--mnist", mnist, *options).splitlines()[-3:]
    names, bits = zip(*(row.split(" | ")[:2] for row in rows), strict=True)
    assert names == ("| nothing", "| the label", "| the image at half the size")
    assert all(float(score) > 0 for score in bits)
    assert (tmp_path / "told.png").stat().st_size > 1000


@pytest.mark.slow
def test_checkpoints(run_here):
    *_, row = run_here("checkpoints.py", "--flows", "realnvp").splitlines()
    assert row.startswith("| realnvp | 4,516,503 |") and row.endswith("% |")


@pytest.mark.slow
@pytest.mark.parametrize("tiny_config", ["residual"], indirect=True)
def test_residual(run_here, run_dir):
    rows = run_here("residual.py", run_dir).splitlines()
    cells = dict(row.strip("| ").rsplit(" | ", 1) for row in rows[2:])
    assert float(cells["standard error of an image's score, nats"]) > 0
    assert cells["pixels that come back exactly"] == "100.0000%"
    assert all(float(cell.split()[0].replace(",", "").strip("%,")) > 0 for cell in cells.values())


@pytest.mark.slow
def test_toys(run_here, tmp_path):
    options = ["--steps", 30, "--blocks", 1, "--channels", 8, "--picture", tmp_path / "toys.png"]
    rows = [row.strip("| ").split(" | ") for row in run_here("toys.py", *options).splitlines()[-2:]]
    assert [row[0] for row in rows] == ["two moons", "checkerboard"]
    for _, learned, entropy, gaussian, *_ in rows:
        assert float(entropy) < float(gaussian) and float(entropy) < float(learned)
    assert (tmp_path / "toys.png").stat().st_size > 1000


@pytest.mark.slow
def test_pipelines(run_here):
    lines = run_here(
        "pipelines.py", "--images", "64", "--rounds", "1", "--workers", "1"
    ).splitlines()
    plain, one = (line.strip("| ").split(" | ") for line in lines[-2:])
    assert plain[0] == "`score`" and one[0] == "a pipeline, workers: 1"
    assert float(plain[3]) == pytest.approx(float(one[3]), abs=0.001)
