"""The command `transfer`."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import of_dense_runs

from tfp_realnvp import datasets, views
from tfp_realnvp.cli import transfers


@pytest.mark.slow
@of_dense_runs
def test_transfer(call, run_dir, tmp_path):
    status, printed, _ = call(
        "transfer", run_dir, "--no-adapt", "--shots", 5, "--covariance", "full", "--intrinsic-dimension", 3,
        "--temperature", 0.8, "--output-dir", tmp_path / "nines", "--export", tmp_path / "saved",
        "--json",
    )  # fmt: skip
    assert status == 0
    result = json.loads(printed)
    assert result["saved_model"] == str(tmp_path / "saved" / "1")
    card = (tmp_path / "saved" / "1" / "assets.extra" / "model_card.md").read_text()
    assert "It draws more of the 5 shots of label 9" in card
    score = result["bits_per_dim"]["latent_chosen"]
    assert f"| 40 other images like the shots | {score:.4f} |" in card
    assert result["unseen_images"] == 40 and not result["learned"]
    bits = json.loads((tmp_path / "nines" / "metrics.json").read_text())["bits_per_dim"]
    ways = [
        f"{place}_{way}"
        for place in ("latent", "pixels")
        for way in ("diagonal", "low_rank", "chosen")
    ]
    assert set(bits) == {"flow", *ways} and all(np.isfinite(list(bits.values())))
    assert bits["latent_diagonal"] < bits["pixels_diagonal"]
    assert bits["latent_chosen"] != bits["latent_low_rank"]
    assert {path.name for path in (tmp_path / "nines").iterdir()} == {
        "comparison.png", "samples.png", "metrics.json", "config.json", "model.keras", "shots.npz",
    }  # fmt: skip


@pytest.mark.slow
@of_dense_runs
def test_transfer_to_a_label_that_was_learned(call, run_dir, tmp_path):
    arguments = (
        "transfer",
        run_dir,
        "--label",
        3,
        "--shots",
        3,
        "--output-dir",
        tmp_path / "threes",
    )
    status, printed, _ = call(*arguments)
    assert status == 0
    assert printed.startswith("label 3 is not new to the model: it was learned\n")


@pytest.mark.slow
@of_dense_runs
def test_transfer_with_adaptation(call, run_dir, tmp_path, monkeypatch):
    """Routes through latents, and the export, are those of the adapted flow."""
    monkeypatch.setattr(transfers, "ADAPTATION_STEPS", 3)
    results = []
    for number, adapt in enumerate([["--no-adapt"], []]):
        folders = (
            "--output-dir",
            tmp_path / f"out{number}",
            "--export",
            tmp_path / f"saved{number}",
        )
        status, printed, _ = call("transfer", run_dir, *adapt, *folders, "--json")
        assert status == 0
        results.append(json.loads(printed))
    plain, adapted = results
    assert not plain["adapted"] and adapted["adapted"]
    for name, bits in plain["bits_per_dim"].items():
        # the chosen one has maps after adaptation
        same = name in ("pixels_diagonal", "pixels_low_rank")
        assert (adapted["bits_per_dim"][name] == bits) == same, name
    for name, result in (("0", plain), ("1", adapted)):
        images = datasets.load("digits").test.only([9]).images
        model = tf.saved_model.load(result["saved_model"])
        score = np.mean(model.signatures["log_prob"](images=tf.constant(images))["bits_per_dim"])
        assert score == pytest.approx(result["bits_per_dim"]["latent_chosen"], rel=1e-4), name
    card = (tmp_path / "saved1" / "1" / "assets.extra" / "model_card.md").read_text()
    assert "Before that, the flow was trained on from the shots" in card


@pytest.mark.slow
@of_dense_runs
def test_transfer_from_one_shot(call, run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(transfers, "ADAPTATION_STEPS", 3)
    one = ("--shots", 1, "--output-dir", tmp_path / "one")
    status, printed, _ = call("transfer", run_dir, *one, "--json")
    assert status == 0
    assert list(json.loads(printed)["routes"]) == ["latent_chosen", "pixels_chosen"]


@of_dense_runs
def test_transfer_from_png_files(call, run_dir, tmp_path):
    shots = datasets.load("digits").test.only([9]).images[:5]
    for index, image in enumerate(views.to_256_levels(shots, 17)):
        views.write_png(image, tmp_path / "shots" / f"{index}.png")
    status, printed, _ = call(
        "transfer",
        run_dir,
        "--no-adapt",
        "--shots-dir",
        tmp_path / "shots",
        "--output-dir",
        tmp_path / "more",
    )
    assert status == 0 and "drew from 5 shots" in printed
    chosen = json.loads((tmp_path / "more" / "metrics.json").read_text())["chosen"]
    assert chosen == {"covariance": "full", "intrinsic_dimension": 4, "temperature": 0.7}
    assert {path.name for path in (tmp_path / "more").iterdir()} == {
        "comparison.png", "samples.png", "metrics.json", "config.json", "model.keras", "shots.npz",
    }  # fmt: skip
