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


@pytest.mark.parametrize("dimensions", [2, 20])
def test_density_and_coverage_of_one_gaussian(dimensions):
    """A ball of five neighbors of n holds 5/n of all probability: density 1; a sixth drawn point decides
    by a coin whether it is nearer than each of the five: coverage 1 - 1/2**5, for many points."""
    drawn, real = np.random.default_rng(0).standard_normal((2, 3000, dimensions))
    density, coverage = evaluation.density_and_coverage(drawn, real)
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - 0.5**5, abs=0.01)


def test_distances_to_the_nearest():
    learned = np.array([[0.0, 0.0], [3.0, 4.0]])
    distances = evaluation.distances_to_nearest(np.array([[0.0, 1.0], [3.0, 4.0]]), learned)
    assert distances.tolist() == [1, 0]


def test_copying_by_hand():
    """Distances 1 and 3 against 2 and 3: one pair of four is farther, one is equal, so 1.5 of the mean 2."""
    drawn, unseen, learned = np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]]), np.zeros((1, 1))
    expected = (1.5 - 2) / np.sqrt(2 * 2 * 5 / 12)
    assert evaluation.copying(drawn, unseen, learned) == pytest.approx(expected)


def test_copying_is_standard_normal_by_chance():
    random = np.random.default_rng(0)
    values = []
    for _ in range(200):
        learned = random.standard_normal((10, 3))
        drawn, unseen = random.standard_normal((2, 50, 3))
        values.append(evaluation.copying(drawn, unseen, learned))
    assert abs(np.mean(values)) < 0.25 and np.std(values) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("name", ["drawn", "unseen", "learned"])
def test_copying_needs_points(name):
    points = {"drawn": np.zeros((1, 2)), "unseen": np.zeros((1, 2)), "learned": np.zeros((1, 2))}
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1 point"):
        evaluation.copying(**{**points, name: np.zeros((0, 2))})


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


@pytest.mark.slow
def test_judge(classifier, digits):
    """Real pictures of the label, the shots repeated, and another label."""
    nines, others = digits.train.only([9]).images, digits.train.without([9])
    judge = evaluation.Judge(classifier, 9, digits.test.only([9]).images, others, levels=17)
    shots = nines[:10]
    real = judge(nines[10:], shots)
    repeated = judge(np.repeat(shots, 10, axis=0), shots)
    threes = judge(digits.train.only([3]).images, shots)
    assert (
        real["recognized"] > 0.95 and repeated["recognized"] > 0.85 and threes["recognized"] < 0.1
    )
    assert real["coverage"] > 0.8 and 0.4 > repeated["coverage"] > threes["coverage"]
    assert real["frechet"] < repeated["frechet"] < threes["frechet"]
    assert real["nearest"] == pytest.approx(1, abs=0.2) and repeated["nearest"] < 1e-6
    assert abs(real["copying"]) < 3 and repeated["copying"] < -5 < 5 < threes["copying"]
    assert real["recall"] > threes["recall"] + 0.2


def test_recall_needs_other_labels(digits):
    with pytest.raises(ValueError, match="images of other labels, received some of label 9"):
        evaluation.recall_after_learning(
            digits.train.images, 9, digits.train, digits.test.images, levels=17
        )
    with pytest.raises(ValueError, match="`unseen` must be at least 1 image"):
        evaluation.recall_after_learning(
            digits.train.images, 9, digits.train.without([9]), digits.test.images[:0], levels=17
        )
