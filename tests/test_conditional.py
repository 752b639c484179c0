"""Class-conditional flows, of each kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import COUPLINGS, EVERY_FLOW, FLOWS, perturb, random_images
from scipy.special import logsumexp

from tfp_realnvp.evaluation import accuracy
from tfp_realnvp.serving import export

LABELS = (3, 5, 8)
IMAGES = random_images(6, (4, 4, 1))
GIVEN = np.array([3, 5, 8, 3, 5, 8])


@pytest.fixture(scope="module", params=EVERY_FLOW)
def flow(request):
    flow = FLOWS[request.param](labels=LABELS)
    flow.adapt(random_images(1000, (4, 4, 1)))
    return perturb(flow, 0.1)


@pytest.mark.usefixtures("eagerly")
def test_labels_matter_everywhere(flow):
    other = GIVEN[::-1]
    for function in (flow.log_prob, flow.encode):
        assert np.any(np.abs(function(IMAGES, GIVEN) - function(IMAGES, other)) > 1e-3)
    assert np.any(flow.sample(6, GIVEN, seed=1) != flow.sample(6, other, seed=1).numpy())


@pytest.mark.usefixtures("eagerly")
def test_there_and_back(flow):
    np.testing.assert_array_equal(flow.decode(flow.encode(IMAGES, GIVEN), GIVEN), IMAGES)


def test_marginal_and_each_label(flow):
    each = flow.log_prob_given_each(IMAGES).numpy()
    for column, label in enumerate(LABELS):
        expected = flow.log_prob(IMAGES, np.full(6, label))
        np.testing.assert_allclose(each[:, column], expected, rtol=1e-5)
    marginal = logsumexp(each, axis=1) - np.log(3)
    np.testing.assert_allclose(flow.log_prob(IMAGES), marginal, rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_one_label_for_all_or_drawn_ones(flow):
    np.testing.assert_array_equal(
        flow.sample(2, 5, seed=1), flow.sample(2, np.array([5, 5]), seed=1)
    )
    drawn = flow.sample(4, seed=1)
    np.testing.assert_array_equal(drawn, flow.sample(4, seed=1))


@pytest.mark.slow
def test_learns_and_recognizes_labels():
    """Dark, middling and bright images: Bayes' rule tells them apart, and samples are as asked for."""
    labels = np.array(LABELS).repeat(200)
    images = (
        random_images(600, (4, 4, 1)) // 4
        + (90 * np.arange(3, dtype=np.uint8).repeat(200))[:, None, None, None]
    )
    for name in COUPLINGS:
        flow = FLOWS[name](labels=LABELS)
        flow.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0))
        data = {"images": images, "labels": labels}
        flow.fit(data, epochs=5, batch_size=20, verbose=0)
        assert accuracy(flow.classify, images, labels) > 0.95
        means = [flow.sample(50, label, seed=0).numpy().mean() for label in LABELS]
        assert means[0] < means[1] - 40 < means[2] - 80


@pytest.mark.usefixtures("eagerly")
def test_saved_with_its_labels(flow, tmp_path):
    flow.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras", compile=False, safe_mode=True)
    assert loaded.labels == LABELS
    np.testing.assert_allclose(
        loaded.log_prob(IMAGES, GIVEN), flow.log_prob(IMAGES, GIVEN), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["realnvp"], indirect=True)
def test_exported(flow, tmp_path):
    signatures = tf.saved_model.load(str(export(flow, tmp_path))).signatures
    images, labels = tf.constant(IMAGES), tf.constant(GIVEN, tf.int32)
    received = signatures["log_prob"](images=images, labels=labels)["log_prob"]
    np.testing.assert_allclose(received, flow.log_prob(IMAGES, GIVEN), rtol=1e-5)
    drawn = signatures["sample"](
        labels=labels, seed=tf.constant([1, 0]), temperature=tf.constant(1.0)
    )
    np.testing.assert_array_equal(drawn["images"], flow.sample(6, GIVEN, seed=1))
    latents = signatures["encode"](images=images, labels=labels)["latents"]
    decoded = signatures["decode"](latents=latents, labels=labels)["images"]
    np.testing.assert_array_equal(decoded, IMAGES)
    np.testing.assert_array_equal(
        signatures["classify"](images=images)["labels"], flow.classify(IMAGES)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be of 3, 5, 8"):
        signatures["log_prob"](images=images, labels=labels + 1)


def test_bad_labels(flow, small):
    with pytest.raises(ValueError, match="`labels` must be of 3, 5, 8, received 4"):
        flow.log_prob(IMAGES, np.array([3, 5, 8, 4, 3, 3]))
    with pytest.raises(ValueError, match="must be of 3, 5, 8, received none"):
        flow.encode(IMAGES)
    with pytest.raises(ValueError, match="class-conditional"):
        _ = flow.distribution
    plain = small()
    with pytest.raises(ValueError, match="knows no labels: leave them out"):
        plain.log_prob(IMAGES, GIVEN)
    with pytest.raises(ValueError, match="knows no labels"):
        plain.classify(IMAGES)
    with pytest.raises(ValueError, match="two or more different ones, received"):
        small(labels=(1, 1))


@pytest.mark.parametrize("labels", [2**32 + 3, 3.7, np.nan])
def test_only_labels_themselves_are_known(flow, labels):
    """Not what int32 would make of them."""
    labels = np.full(len(IMAGES), labels)
    with pytest.raises(ValueError, match="must be of 3, 5, 8, received"):
        flow.log_prob(IMAGES, labels)
    with pytest.raises(ValueError, match="must be of 3, 5, 8, received"):
        flow.sample(len(IMAGES), labels)
    traced = tf.function(flow.log_prob)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be of 3, 5, 8"):
        traced(tf.constant(IMAGES), tf.constant(labels))


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([[3, 5]], ValueError, r"have the shape \[3\], received \[1, 2\]"),
        ([3, 5], ValueError, r"have the shape \[3\], received \[2\]"),
        ("three", TypeError, "`labels` must be integers, received string"),
        ([[3], [5, 8]], TypeError, r"`labels` must be integers, received \[\[3\], \[5, 8\]\]"),
    ],
)
def test_labels_that_fit_no_sample(flow, labels, error, words):
    with pytest.raises(error, match=words):
        flow.sample(3, labels)
