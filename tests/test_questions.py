"""Questions to a distribution: how likely, how rare, which class, what does it know of itself?"""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, of_dense_runs, perturb, random_images
from scipy.special import ndtr, softmax
from scipy.stats import chi2
from tensorflow_probability import distributions as tfd

from tfp_realnvp import views
from tfp_realnvp.evaluation import score_classes
from tfp_realnvp.fewshot import fit_latent, fit_pixels
from tfp_realnvp.queries import (
    AnomalyDetector,
    ClassDistributions,
    ImageDistribution,
    Rarity,
    information,
    log_prob_bound,
    rarer_probability,
)

IMAGES = random_images(6, (4, 4, 1))


class Normal:
    """A distribution of 16 independent normal pixels, whose rarity is known."""

    image_shape = (4, 4, 1)

    def sample(self, n, *, seed):
        return tf.constant(np.random.default_rng(seed).standard_normal((n, *self.image_shape)))

    def log_prob(self, images, *, seed=0):
        return -0.5 * np.sum(np.asarray(images) ** 2, axis=(1, 2, 3))


def test_rarity_of_a_gaussian():
    """`log p(X) <= log p(x)` is `|X|^2 >= |x|^2`, which is chi-squared."""
    images = np.random.default_rng(1).standard_normal((200, 4, 4, 1))
    exact = chi2.sf(np.sum(images**2, axis=(1, 2, 3)), df=16)
    shares = Rarity(Normal(), samples=2000, seed=3)(images)
    assert np.max(np.abs(shares.probability - exact)) < 4 * 0.5 / np.sqrt(2000)
    np.testing.assert_allclose(
        shares.standard_error, np.sqrt(shares.probability * (1 - shares.probability) / 2000)
    )


def test_the_interval_covers():
    """Over many samples it holds the true share about as often as it says, also near 0."""
    images = np.random.default_rng(1).standard_normal((40, 4, 4, 1))
    images[:5] *= 1.5
    exact = chi2.sf(np.sum(images**2, axis=(1, 2, 3)), df=16)
    covered = []
    for seed in range(200):
        share = rarer_probability(Normal(), images, samples=100, seed=seed)
        covered.append((share.low <= exact) & (exact <= share.high))
    assert 0.93 < np.mean(covered) < 0.98
    assert np.all((share.low >= 0) & (share.high <= 1) & (share.low <= share.probability))


@pytest.fixture(scope="module")
def flow():
    flow = FLOWS["realnvp"]()
    flow.adapt(random_images(1000, (4, 4, 1)))
    return perturb(flow, 0.1)


@pytest.fixture(scope="module")
def conditional():
    flow = FLOWS["realnvp"](labels=(8, 3, 5))
    flow.adapt(random_images(1000, (4, 4, 1)))
    return perturb(flow, 0.1)


@pytest.mark.slow
def test_every_distribution_answers(flow, conditional):
    few = ImageDistribution(fit_latent(flow, IMAGES).distribution)
    pixels = ImageDistribution(fit_pixels(IMAGES).distribution)
    for distribution in (flow, conditional, conditional.given(3), few, pixels):
        shares = rarer_probability(distribution, IMAGES, samples=50, seed=1)
        own = rarer_probability(
            distribution, distribution.sample(50, seed=1).numpy(), samples=50, seed=1
        )
        assert shares.probability.shape == (6,)
        np.testing.assert_allclose(np.sort(own.probability), np.arange(1, 51) / 50)
    with pytest.raises(ValueError, match="`samples` must be at least 1, received 0"):
        Rarity(flow, samples=0)


def test_image_distribution_scores_as_the_flow_does(flow):
    same = ImageDistribution(flow.distribution)
    np.testing.assert_allclose(same.log_prob(IMAGES), flow.log_prob(IMAGES), rtol=1e-5)
    np.testing.assert_allclose(same.bits_per_dim(IMAGES), flow.bits_per_dim(IMAGES), rtol=1e-5)
    with pytest.raises(ValueError, match="`images` must have the shape"):
        same.log_prob(IMAGES[:, :3])


def test_the_bound_grows_to_the_true_value():
    """A normal pixel, whose probability of a grey level is an integral that is known."""
    normal = tfd.Independent(tfd.Normal(tf.fill([1, 2, 1], 0.6), 0.02), 3)
    images = np.array([[[[150], [160]]], [[[140], [155]]]], np.uint8)
    ends = [(images + end) / 256 for end in (0, 1)]
    low, high = (ndtr((end - 0.6) / 0.02) for end in ends)
    exact = np.sum(np.log(high - low), axis=(1, 2, 3))
    distribution = ImageDistribution(normal)
    one, no_error = log_prob_bound(distribution, images, noise_samples=1)
    np.testing.assert_allclose(one, distribution.log_prob(images), rtol=1e-6)
    assert np.all(np.isnan(no_error))
    bound, error = log_prob_bound(distribution, images, noise_samples=400)
    assert np.all(np.abs(bound - exact) < 4 * error) and np.all(error < 0.02)
    with pytest.raises(ValueError, match="`noise_samples` must be at least 1"):
        log_prob_bound(distribution, images, noise_samples=0)


def gaussian_classes():
    """Three classes of bright spots on two pixels, and images of them."""
    random = np.random.default_rng(0)
    means = {7: 90, 1: 120, 4: 150}
    labels = random.choice(list(means), size=3000)
    centres = np.array([means[label] for label in labels])[:, None, None, None]
    images = np.clip(centres + 20 * random.standard_normal((3000, 1, 2, 1)), 0, 255).astype(
        np.uint8
    )
    distributions = {
        label: ImageDistribution(
            tfd.Independent(tfd.Normal(tf.fill([1, 2, 1], mean / 256), 20 / 256), 3)
        )
        for label, mean in means.items()
    }
    return distributions, images, labels


def test_bayes_rule_and_calibration():
    distributions, images, labels = gaussian_classes()
    classes = ClassDistributions(distributions)
    assert classes.labels.tolist() == [1, 4, 7]
    log_probs = classes.log_probs(images)
    np.testing.assert_allclose(classes.predict_proba(images), softmax(log_probs, axis=1), atol=1e-9)
    right = score_classes(classes.predict_proba(images), labels, classes.labels)
    assert right["calibration_error"] < 0.03
    assert abs(classes.calibrate(images, labels).temperature - 1) < 0.1  # it was right before

    sure = ClassDistributions({label: Squared(one) for label, one in distributions.items()})
    before = score_classes(sure.predict_proba(images), labels, sure.labels)
    sure.calibrate(images, labels)
    after = score_classes(sure.predict_proba(images), labels, sure.labels)
    assert abs(sure.temperature - 3) < 0.3
    assert after["log_loss"] < before["log_loss"] and after["accuracy"] == before["accuracy"]


class Squared:
    """A distribution that is three times too sure."""

    def __init__(self, distribution):
        self._distribution = distribution

    def log_prob(self, images, *, seed=0):
        return 3 * self._distribution.log_prob(images, seed=seed)


def test_priors():
    distributions, images, _ = gaussian_classes()
    even = ClassDistributions(distributions).predict_proba(images)
    often = ClassDistributions(distributions, priors={1: 1, 4: 1, 7: 8}).predict_proba(images)
    expected = even * [1, 1, 8]
    np.testing.assert_allclose(often, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)


def test_classes_of_a_flow_with_labels(conditional):
    classes = ClassDistributions(conditional)
    assert classes.labels.tolist() == [3, 5, 8]
    expected = np.stack([conditional.log_prob(IMAGES, [label] * 6) for label in (3, 5, 8)], axis=1)
    np.testing.assert_allclose(classes.log_probs(IMAGES), expected, rtol=1e-5)
    np.testing.assert_array_equal(classes.predict(IMAGES), conditional.classify(IMAGES))


def test_none_of_the_classes():
    distributions, images, _ = gaussian_classes()
    classes = ClassDistributions(distributions)
    detector = AnomalyDetector(distributions[1], images[:500], false_positives=0.02).fit(
        images[500:]
    )
    strange = np.array([[[[0], [255]]], [[[255], [0]]], [[[120], [118]]]], np.uint8)
    assert classes.predict(strange, detector=detector).tolist() == [-1, -1, 1]
    assert -1 not in classes.predict(strange)
    with pytest.raises(ValueError, match="`none` must be none of the labels, received 4"):
        classes.predict(strange, detector=detector, none=4)


def test_bad_classes(flow, conditional):
    with pytest.raises(ValueError, match="at least two classes, or a flow with labels, received 0"):
        ClassDistributions(flow)
    with pytest.raises(ValueError, match="`priors` must be above 0 for each of 3, 5, 8"):
        ClassDistributions(conditional, priors={3: 1, 5: 1, 8: 0})
    classes = ClassDistributions(conditional)
    with pytest.raises(ValueError, match="`labels` must be of 3, 5, 8, received 4"):
        classes.calibrate(IMAGES, [3, 5, 8, 3, 5, 4])
    with pytest.raises(ValueError, match="one for each of at least one image, received 5 for 6"):
        classes.calibrate(IMAGES, [3, 5, 8, 3, 5])
    with pytest.raises(ValueError, match="`labels` must be of 3, 5, received 4"):
        score_classes(np.ones((1, 2)) / 2, np.array([4]), np.array([3, 5]))


def test_information(flow):
    known = information(flow, samples=400, seed=2)
    assert json.loads(json.dumps(known)) == known
    assert known["parameters"] == flow.count_params() and known["weights_bytes"] > 4 * 100
    scores = flow.bits_per_dim(flow.sample(2000, seed=5)).numpy()
    entropy = known["entropy"]
    assert abs(entropy["bits_per_dim"] - scores.mean()) < 5 * entropy["standard_error"] < 0.5
    assert all(seconds > 0 for part in known["seconds"].values() for seconds in part.values())
    told = information(FLOWS["realnvp"](context_shape=(3,)), samples=2)
    assert told["context_shape"] == [3] and told["entropy"] is None
    with pytest.raises(ValueError, match="`samples` must be at least 2"):
        information(flow, samples=1)


@pytest.mark.slow
@of_dense_runs
def test_the_commands(call, run_dir, tmp_path):
    """Scores of each image as CSV, what a model knows of itself, and classes."""
    scores = tmp_path / "scores.csv"
    status, printed, errors = call("score", run_dir, "--rarer", 100, "--output", scores)
    assert status == 0 and "rarer than an image" in printed, errors
    with scores.open() as stream:
        rows = list(csv.DictReader(stream))
    mean = np.mean([float(row["bits_per_dim"]) for row in rows])
    status, printed, _ = call("score", run_dir, "--json")
    assert abs(json.loads(printed)["bits_per_dim"] - mean) < 1e-5
    assert all(0 <= float(row["rarer_probability"]) <= 1 for row in rows)
    status, _, errors = call("score", run_dir, "--output", scores)
    assert status == 2 and "is there already" in errors

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        views.write_png(random_images(1, (8, 8, 1), seed=number)[0], folder / f"noise_{number}.png")
    status, printed, errors = call(
        "score", run_dir, "--images-dir", folder, "--noise-samples", 8, "--output", scores, "--overwrite"
    )  # fmt: skip
    assert status == 0 and "3 images" in printed, errors
    with scores.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image"] for row in rows] == ["noise_0.png", "noise_1.png", "noise_2.png"]
    assert all(float(row["bits_per_dim"]) > mean for row in rows)

    views.write_png(random_images(1, (16, 16, 1))[0], folder / "large.png")
    status, _, errors = call("score", run_dir, "--images-dir", folder)
    assert status == 2 and "large.png must have 8x8 pixels" in errors and "--resize" in errors
    views.write_png(random_images(1, (8, 8, 3))[0], folder / "colour.png")
    status, _, errors = call("score", run_dir, "--images-dir", folder, "--resize")
    assert status == 0, errors
    (folder / "large.png").write_bytes(b"no picture")
    status, _, errors = call("score", run_dir, "--images-dir", folder, "--resize")
    assert status == 2 and "large.png is not a PNG, or damaged" in errors
    status, printed, errors = call("score", run_dir, "--images-dir", folder, "--skip-unreadable")
    assert status == 0 and "skipped: colour.png, large.png" in printed and "3 images" in printed, (
        errors
    )

    status, printed, errors = call("information", run_dir, "--samples", 50)
    assert status == 0 and "entropy" in printed and "digits without 9" in printed, errors
    status, printed, _ = call("information", run_dir, "--samples", 50, "--json")
    assert status == 0 and json.loads(printed)["training"]["dataset"] == "digits"
    status, printed, errors = call("fill", run_dir, "--images", 2, "--num", 2, "--steps", 4)
    assert status == 0 and "chains accepted" in printed, errors
    status, _, errors = call("classify", run_dir)
    assert status == 2 and "must be of a flow with labels" in errors


@pytest.mark.slow
def test_classify(call, tmp_path):
    run = tmp_path / "run"
    size = ["--flow", "realnvp", "--width", 64, "--depth", 2, "--batch-size", 32]
    status, _, errors = call("train", "--conditional", *size, "--epochs", 20, "--run-dir", run)
    assert status == 0, errors
    status, printed, errors = call("classify", run, "--json")
    result = json.loads(printed)
    assert status == 0 and result["accuracy"] > 0.8 and result["log_loss"] < 0.8, errors
    assert np.sum(result["confusion"]) == result["images"]
    assert result["temperature"] > 0 and result["calibration_error"] < 0.2
    names = {path.name for path in (run / "classified").iterdir()}
    assert names == {"predictions.csv", "classes.json", "confusion.png", "reliability.png"}
    with (run / "classified" / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    right = np.mean([row["label"] == row["true_label"] for row in rows])
    assert abs(right - result["accuracy"]) < 1e-9
