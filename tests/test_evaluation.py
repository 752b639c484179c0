import numpy as np
import pytest
from conftest import random_images

from tfp_realnvp import datasets, evaluation


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
    monkeypatch.setattr(evaluation.bits, "BATCH", 10)
    in_parts = evaluation.score(flow.log_prob, images)
    assert in_parts == pytest.approx(whole, rel=1e-5)


def test_frechet_distance_of_known_gaussians():
    """Diagonal covariances: the sum of squared differences of means and of standard deviations."""
    random = np.random.default_rng(0)
    points = random.standard_normal((1000, 3))
    points -= points.mean(axis=0)
    points = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    a, b = points * [1, 2, 0], 1 + points * [3, 2, 0.5]
    assert evaluation.frechet_distance(a, b) == pytest.approx(3 + 4 + 0.25)
    assert evaluation.frechet_distance(b, a) == pytest.approx(3 + 4 + 0.25)
    assert evaluation.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    rotation = np.linalg.qr(random.standard_normal((3, 3)))[0]
    assert evaluation.frechet_distance(a @ rotation, b @ rotation) == pytest.approx(7.25)


def test_density_and_coverage_by_hand():
    """On a line, with one neighbor: balls of radius 1 at 0 and 1, and of radius 9 at 10."""
    real = np.array([[0.0], [1.0], [10.0]])
    drawn = np.array([[0.5], [100.0], [100.0], [200.0]])
    density, coverage = evaluation.density_and_coverage(drawn, real, neighbors=1)
    assert (density, coverage) == (2 / 4, 2 / 3)  # .5 lies in two balls, and just not in the third
    assert evaluation.density_and_coverage(real + 0.1, real, neighbors=1) == (5 / 3, 1)
    with pytest.raises(ValueError, match="5 neighbors need at least 6 real images, received 3"):
        evaluation.density_and_coverage(drawn, real)


def test_density_and_coverage_in_blocks(monkeypatch):
    drawn, real = np.random.default_rng(0).standard_normal((2, 100, 4))
    whole = evaluation.density_and_coverage(drawn, real)
    monkeypatch.setattr(evaluation.pictures, "BLOCK", 30)
    assert evaluation.density_and_coverage(drawn, real) == whole
    assert 0 < whole[0] < 2 and 0.5 < whole[1] < 1


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def classifier(digits):
    train = digits.train
    return evaluation.Classifier(train.images, train.labels, levels=digits.levels, epochs=20)


def test_classifier_recognizes_digits(classifier, digits):
    features, probabilities = classifier(digits.test.images)
    assert features.shape == (len(digits.test.images), 128)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    found = np.array(classifier.labels)[probabilities.argmax(axis=1)]
    assert np.mean(found == digits.test.labels) > 0.95


def test_scores_of_pictures(classifier, digits):
    """Real ones, ones of a single label, and noise."""
    test, train = digits.test.images, digits.train
    real = evaluation.score_pictures(classifier, train.images[: len(test)], test)
    threes = evaluation.score_pictures(classifier, train.only([3]).images, test)
    noise = evaluation.score_pictures(classifier, random_images(300, test.shape[1:], 17), test)
    assert real["clear"] > 0.9 and real["density"] > 0.8 and real["coverage"] > 0.8
    assert threes["clear"] > 0.8 and threes["density"] > 0.8 and threes["coverage"] < 0.2
    assert noise["density"] < 0.2 and noise["coverage"] < 0.1
    assert real["frechet"] < threes["frechet"] / 10 and real["frechet"] < noise["frechet"] / 10


@pytest.mark.slow
def test_classifier_is_reproducible(digits):
    images, labels = digits.train.images[:100], digits.train.labels[:100]
    first, second, other = (
        evaluation.Classifier(images, labels, levels=17, epochs=1, seed=seed)(images)[0]
        for seed in (3, 3, 4)
    )
    np.testing.assert_allclose(first, second, rtol=1e-4)
    assert not np.allclose(first, other, rtol=1e-2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 3, 3], r"at least two different labels, received \[3\]"),
        ([3, 5], "one for each of the 3 images, received 2"),
    ],
)
def test_classifier_needs_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        evaluation.Classifier(random_images(3, (8, 8, 1)), np.array(labels), levels=256)
