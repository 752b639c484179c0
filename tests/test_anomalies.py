"""Anomalies: each score finds its own kind, the threshold keeps its promise, scikit-learn's interface."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import of_dense_runs
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tensorflow_probability import distributions as tfd

from tfp_realnvp import datasets
from tfp_realnvp.evaluation import Classifier
from tfp_realnvp.queries import AnomalyDetector, ImageDistribution


@pytest.fixture(scope="module")
def normal():
    """Independent pixels around a diagonal ramp."""
    ramp = tf.reshape(tf.linspace(0.3, 0.7, 16), [4, 4, 1])
    return ImageDistribution(tfd.Independent(tfd.Normal(ramp, 0.04), 3))


@pytest.fixture(scope="module")
def detector(normal):
    learned, aside = (normal.sample(500, seed=seed).numpy() for seed in (1, 2))
    return AnomalyDetector(normal, learned, false_positives=0.02).fit(aside)


def test_each_score_finds_its_kind(detector, normal):
    mean = np.round(256 * normal.distribution.mean()).astype(np.uint8)
    noise = np.random.default_rng(0).integers(256, size=(4, 4, 1), dtype=np.uint8)
    images = np.stack([noise, mean, mean[::-1]])
    assert detector.predict(images).tolist() == [-1, -1, -1]
    surprises = detector.surprises(images)
    assert set(surprises) == {"unlikely", "too_likely", "far", "isolated"}
    assert np.argmax([surprises[name][1] for name in surprises]) == list(surprises).index(
        "too_likely"
    )
    assert surprises["unlikely"][1] < 0.1 and surprises["far"][2] > 10


def test_false_positives_are_as_asked_for(normal, detector):
    rate = detector.false_positive_rate(normal.sample(4000, seed=3).numpy())
    assert rate.low <= 0.025 and rate.high >= 0.01
    rates = []
    for seed in range(40):  # in the mean over what was put aside, at most the share
        aside = normal.sample(99, seed=[seed, 7]).numpy()
        strict = AnomalyDetector(normal, detector.learned, false_positives=0.05).fit(aside)
        rates.append(np.mean(strict.predict(normal.sample(200, seed=[seed, 8]).numpy()) == -1))
    assert 0.03 < np.mean(rates) < 0.07


def test_a_threshold_beyond_what_was_counted(normal, detector):
    """One in ten thousand, from 500 images: by the tail."""
    rare = clone(detector).set_params(false_positives=1e-4).fit(normal.sample(500, seed=2).numpy())
    assert rare.offset_ < detector.offset_
    assert np.mean(rare.predict(normal.sample(4000, seed=3).numpy()) == -1) < 2e-3


def test_scikit_learns_interface(detector, normal):
    images = np.concatenate(
        [
            normal.sample(20, seed=4).numpy(),
            np.full((1, 4, 4, 1), 255, np.uint8),
            np.zeros((1, 4, 4, 1), np.uint8),
        ]
    )
    scores, decisions = detector.score_samples(images), detector.decision_function(images)
    np.testing.assert_allclose(decisions, scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(images), np.where(decisions < 0, -1, 1))
    found = detector.find_anomalies(images)
    assert set(found[:2]) == {20, 21} and np.all(np.diff(decisions[found]) >= 0)
    kept = detector.without_anomalies(images)
    assert len(kept) == len(images) - len(found)
    assert detector.get_params()["false_positives"] == 0.02
    other = clone(detector)
    with pytest.raises(NotFittedError):
        other.predict(images)
    aside = normal.sample(100, seed=5).numpy()
    np.testing.assert_array_equal(other.fit_predict(aside), other.predict(aside))


def test_bad_input(normal):
    learned = normal.sample(30, seed=1).numpy()
    with pytest.raises(ValueError, match="`false_positives` must be between 0 and 1, received 1"):
        AnomalyDetector(normal, learned, false_positives=1).fit(learned)
    with pytest.raises(ValueError, match="`X` must be at least 20 images, received 3"):
        AnomalyDetector(normal, learned).fit(learned[:3])
    with pytest.raises(ValueError, match="`learned` must be at least 6 images"):
        AnomalyDetector(normal).fit(learned)
    with pytest.raises(ValueError, match="`images` must have the shape"):
        AnomalyDetector(normal, learned).fit(learned).predict(learned[:, :3])


@pytest.mark.slow
def test_a_classifier_sees_new_digits():
    """Of 9s, which are as likely as other digits, most are found by what a classifier makes of them."""
    digits = datasets.load("digits")
    learned, aside = datasets.split(digits.train.without([9]), fraction=0.3)
    flat = ImageDistribution(
        tfd.Independent(
            tfd.Normal(learned.images.mean(axis=0, dtype=np.float32) / np.float32(17), 0.3), 3
        ),
        levels=17,
    )
    classifier = Classifier(learned.images, learned.labels, levels=17, epochs=40)
    test = digits.test.without([9])
    share = {}
    for name, given in (("with", classifier), ("without", None)):
        detector = AnomalyDetector(flat, learned.images, classifier=given, false_positives=0.05)
        detector.fit(aside.images)
        share[name] = np.mean(detector.predict(digits.test.only([9]).images) == -1)
        assert detector.false_positive_rate(test.images).low < 0.1
    assert share["with"] > share["without"] + 0.1


@pytest.mark.slow
@of_dense_runs
def test_the_command(call, run_dir, tmp_path):
    folder = tmp_path / "found"
    status, printed, errors = call(
        "anomalies", run_dir, "--false-positives", 0.05, "--no-labels", "--output-dir", folder
    )
    assert status == 0 and "images are anomalies" in printed and "interval" in printed, errors
    result = json.loads((folder / "anomalies.json").read_text())
    with (folder / "anomalies.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["anomaly"] == "True" for row in rows) == result["anomalies"]
    assert len(rows) == result["images"] and (folder / "anomalies.png").exists()
    status, _, errors = call("anomalies", run_dir, "--no-labels", "--output-dir", folder)
    assert status == 2 and "is there already" in errors
