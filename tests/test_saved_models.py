"""The model in the box is what its card says."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp import datasets, evaluation
from tfp_realnvp.training.run_folder import RunFolder

FOLDER = Path(__file__).parent.parent / "saved_models" / "mnist_0_8"


@pytest.fixture(scope="module")
def flow():
    return RunFolder(FOLDER).load_model()


@pytest.fixture(scope="module")
def metrics():
    return json.loads((FOLDER / "metrics.json").read_text())


def test_card_states_the_scores_of_its_run(metrics):
    card = (FOLDER / "README.md").read_text()
    for part in ("validation", "test", "held_out"):
        assert f"{metrics[part]['bits_per_dim']:.4f}" in card, part
    assert f"{metrics['parameters']:,} parameters" in card
    assert f"{metrics['seconds']:,.0f} seconds" in card


def test_is_small():
    size = sum(path.stat().st_size for path in (FOLDER / "1").rglob("*") if path.is_file())
    assert size < 10e6


@pytest.mark.slow
def test_saved_model_is_the_keras_model(flow):
    signatures = tf.saved_model.load(str(FOLDER / "1")).signatures
    images = flow.sample(3, seed=1)
    drawn = signatures["sample"](
        num_samples=tf.constant(3), seed=tf.constant([1, 0]), temperature=tf.constant(1.0)
    )["images"]
    # rounding of another machine may move a value over the edge of a grey level
    assert np.mean(drawn.numpy() != images.numpy()) < 1e-3
    received = signatures["log_prob"](images=images)["log_prob"]
    np.testing.assert_allclose(received, flow.log_prob(images), rtol=1e-3)


@pytest.mark.slow
def test_can_be_trained_on(flow):
    copy = type(flow).from_config(flow.get_config())
    copy.set_weights(flow.get_weights())
    copy.compile("adam")
    history = copy.fit(flow.sample(32, seed=1), batch_size=32, verbose=0).history
    assert 0 < history["bits_per_dim"][0] < 3


@pytest.mark.slow
@pytest.mark.mnist
def test_scores_are_those_of_the_card(flow, metrics, mnist_dir):
    data = datasets.load(f"idx:{mnist_dir}").test
    for part, labels in (("test", range(9)), ("held_out", [9])):
        received = evaluation.score(flow.log_prob, data.only(labels).images)
        assert received == pytest.approx(metrics[part], rel=1e-3), part
