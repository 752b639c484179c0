import numpy as np
import pytest
from conftest import random_images

from tfp_realnvp import evaluation


def test_mean_and_standard_error_by_formula():
    values = np.array([-10.0, -20.0, -60.0])
    score = evaluation.score(lambda images: values, np.zeros((3, 2, 1, 1), np.uint8))
    bits = -values / (2 * np.log(2))
    assert score["bits_per_dim"] == pytest.approx(bits.mean())
    assert score["standard_error"] == pytest.approx(bits.std() / np.sqrt(3))
    assert score["log_prob"] == pytest.approx(-30) and score["images"] == 3


def test_batches_make_no_difference(flow, monkeypatch):
    images = random_images(25, (4, 4, 1))
    whole = evaluation.score(flow.log_prob, images)
    monkeypatch.setattr(evaluation, "BATCH", 10)
    in_parts = evaluation.score(flow.log_prob, images)
    assert in_parts == pytest.approx(whole, rel=1e-5)
