"""Flows whose latents have a mixture of Gaussians, of each kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import DENSE_FIRST, FLOWS, perturb, random_images
from scipy.special import logsumexp

from tfp_realnvp import fewshot
from tfp_realnvp.flows import pixels as flow_pixels
from tfp_realnvp.serving import export
from tfp_realnvp.training.config import TrainingConfig

SHAPE = (4, 4, 1)
IMAGES = random_images(6, SHAPE)
SEED = np.int32([1, 0])
COUNT = 20_000


@pytest.fixture(scope="module", params=DENSE_FIRST[:2])
def flow(request):
    """One whose three Gaussians differ in all that they may."""
    flow = FLOWS[request.param](components=3, separation=0.25)
    flow.adapt(random_images(1000, SHAPE))
    perturb(flow)
    random = np.random.default_rng(1)
    flow.clusters.means.assign(3 * random.standard_normal((3, *SHAPE)))
    flow.clusters.log_scales.assign(0.3 * random.standard_normal((3, *SHAPE)))
    flow.clusters.log_shares.assign([0.0, 1.0, -1.0])
    return flow


def mixture_of(flow):
    """Means and standard deviations [m, 16], and shares [m]."""
    mixture = flow.clusters
    shares = np.exp(mixture.log_shares.numpy())
    means, log_scales = (w.numpy().reshape(-1, 16) for w in (mixture.means, mixture.log_scales))
    return means, np.exp(log_scales), shares / shares.sum()


def each_log_prob(flow, latents):
    """Of latents [n, ...] under each Gaussian, times its share: [n, 3]."""
    means, scales, shares = mixture_of(flow)
    deviations = (np.reshape(latents, [-1, 1, 16]) - means) / scales
    return np.log(shares) - np.sum(deviations**2 / 2 + np.log(scales * np.sqrt(2 * np.pi)), axis=2)


def test_log_prob_is_that_of_the_mixture(flow):
    points = tf.constant((IMAGES + 0.5) / 256, tf.float32)
    latents = flow.bijector.inverse(points)
    log_det = flow.bijector.inverse_log_det_jacobian(points, event_ndims=3)
    expected = log_det + logsumexp(each_log_prob(flow, latents), axis=1)
    np.testing.assert_allclose(flow.distribution.log_prob(points), expected, rtol=1e-5)
    one = flow.distribution.log_prob(points[0])
    np.testing.assert_allclose(one, expected[0], rtol=1e-5)
    assert flow.distribution.sample(2, seed=SEED).shape == (2, *SHAPE)


def test_in_training_an_image_has_the_gaussian_of_its_cluster(flow, monkeypatch):
    def middle(start, end):
        return tf.fill([end - start, *SHAPE], 0.5)

    monkeypatch.setattr(flow, "_training_noise", lambda rows: middle)
    centers = flow.clusters.centers.numpy()
    nearest = np.argmin(np.sum((IMAGES[:, None] - centers) ** 2, axis=(2, 3, 4)), axis=1)
    assert len(set(nearest)) > 1
    points = tf.constant((IMAGES + 0.5) / 256, tf.float32)
    log_det = flow.bijector.inverse_log_det_jacobian(points, event_ndims=3) - 16 * np.log(256)
    each = each_log_prob(flow, flow.bijector.inverse(points))
    expected = each[np.arange(6), nearest] + log_det
    np.testing.assert_allclose(flow(IMAGES, training=True), expected, rtol=1e-5)
    expected = logsumexp(each, axis=1) + log_det
    monkeypatch.setattr(
        flow_pixels, "image_noise", lambda images, seed: middle(0, tf.shape(images)[0])
    )
    np.testing.assert_allclose(flow(IMAGES), expected, rtol=1e-5)


def test_clusters_are_found():
    flow = FLOWS["realnvp"](components=3, separation=0.8)
    grey = np.array([10, 100, 220], np.uint8).repeat(20)
    images = np.full([60, *SHAPE], grey[:, None, None, None])
    images = images + random_images(60, SHAPE) // 16
    flow.adapt(images)
    centers = np.sort(np.mean(flow.clusters.centers, axis=(1, 2, 3)))
    np.testing.assert_allclose(centers, [17.5, 107.5, 227.5], atol=2)
    latents = flow.encode(images)
    apart = [np.mean(latents[grey == value] - np.mean(latents, axis=0)) for value in (10, 100, 220)]
    means = np.sort(np.mean(flow.clusters.means, axis=(1, 2, 3)))
    np.testing.assert_allclose(means, 0.8 * np.array(apart), atol=0.1)
    np.testing.assert_allclose(mixture_of(flow)[2], 1 / 3, rtol=1e-5)
    flow.adapt(np.full([60, *SHAPE], 7, np.uint8))  # all the same: two clusters are empty
    with pytest.raises(ValueError, match=r"as many as the flow has `components`, 3, .*received 2"):
        flow.adapt(images[:2])


def check_draws(flow, latents, temperature):
    """Latents come from the Gaussians in their shares, with their means and standard deviations."""
    means, scales, shares = mixture_of(flow)
    chosen = np.argmax(each_log_prob(flow, latents), axis=1)
    np.testing.assert_allclose(np.bincount(chosen) / len(latents), shares, atol=0.015)
    for place in range(3):
        own = latents.reshape(-1, 16)[chosen == place]
        np.testing.assert_allclose(np.mean(own, axis=0), means[place], atol=0.1)
        np.testing.assert_allclose(np.std(own, axis=0), temperature * scales[place], rtol=0.1)


def test_draws_from_the_gaussians_in_their_shares(flow):
    latents = flow.draw_latents(COUNT, 0.5, SEED).numpy()
    check_draws(flow, latents, 0.5)
    np.testing.assert_array_equal(flow.draw_latents(4, 0.5, SEED, first=4), latents[4:8])


def test_base_distribution_draws_from_the_chosen_gaussians_only(flow):
    base = flow.base_distribution()
    check_draws(flow, base.sample(COUNT, seed=SEED).numpy(), 1)
    assert base.sample((2, 3), seed=SEED).shape == (2, 3, *SHAPE)
    draw = tf.function(lambda: base.sample(COUNT, seed=SEED)).get_concrete_function()
    tensors = [output for op in draw.graph.get_operations() for output in op.outputs]
    sizes = [tensor.shape.num_elements() or 0 for tensor in tensors]
    assert max(sizes) == COUNT * 16


def test_samples(flow):
    drawn = flow.sample(8, seed=1)
    np.testing.assert_array_equal(drawn, flow.decode(flow.draw_latents(8, 1.0, SEED)))
    np.testing.assert_array_equal(drawn[4:], flow.sample_rows(4, 8, seed=1))


def test_standardized_latents(flow):
    normal = flow.standardize(flow.draw_latents(COUNT, 1.0, SEED)).numpy()
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(normal.std(axis=0), 1, atol=0.03)


def test_bits_of_pixels(flow):
    bits = flow.bits_per_pixel(IMAGES, seed=3)
    expected = flow.bits_per_dim(IMAGES, seed=3)
    np.testing.assert_allclose(np.mean(bits, axis=(1, 2, 3)), expected, rtol=1e-4)


def test_few_shots(flow):
    unseen, route = random_images(9, SHAPE, seed=1), fewshot.Route()
    few = fewshot.few_shot_flow(flow, IMAGES, route)
    expected = np.mean(few.bits_per_dim(unseen))
    received = fewshot.Unseen(flow, unseen).bits_per_dim(IMAGES, route)
    np.testing.assert_allclose(received, expected, rtol=1e-4)


def test_saved(flow, tmp_path):
    flow.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras", compile=False, safe_mode=True)
    assert loaded.components == 3 and loaded.separation == flow.separation == 0.25
    np.testing.assert_array_equal(loaded.log_prob(IMAGES), flow.log_prob(IMAGES))


@pytest.mark.slow
def test_learns_shares_and_means():
    """Dark and bright images, four to one."""
    bright = np.where(np.arange(500) % 5 == 0, 200, 0).astype(np.uint8)[:, None, None, None]
    images = random_images(500, SHAPE) // 8 + bright
    flow = FLOWS["realnvp"](components=2, dtype="mixed_bfloat16")
    flow.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0))
    before = np.mean(flow.adapt(images) or flow.bits_per_dim(images))
    flow.fit(images, epochs=10, batch_size=20, verbose=0)
    assert np.mean(flow.bits_per_dim(images)) < before - 0.1
    assert 0.1 < mixture_of(flow)[2].min() < 0.3
    drawn = flow.sample(200, seed=0).numpy().mean(axis=(1, 2, 3))
    assert 0.1 < np.mean(drawn > 115) < 0.3


@pytest.mark.slow
def test_exported(flow, tmp_path):
    folder = export(flow, tmp_path)
    card = (folder / "assets.extra" / "model_card.md").read_text()
    assert "a mixture of 3 Gaussians" in card
    signatures = tf.saved_model.load(str(folder)).signatures
    received = signatures["log_prob"](images=tf.constant(IMAGES))["log_prob"]
    np.testing.assert_allclose(received, flow.log_prob(IMAGES), rtol=1e-5)
    drawn = signatures["sample"](
        num_samples=tf.constant(4), seed=tf.constant(SEED), temperature=tf.constant(1.0)
    )
    np.testing.assert_array_equal(drawn["images"], flow.sample(4, seed=1))


def test_bad_input():
    for number in (0, 1.5):
        with pytest.raises(ValueError, match="`components` must be an integer of at least 1"):
            FLOWS["realnvp"](components=number)
    for separation in (-0.1, 11, np.nan):
        with pytest.raises(ValueError, match="`separation` must be from 0 to 10, received"):
            FLOWS["realnvp"](components=2, separation=separation)
    with pytest.raises(ValueError, match="must be 1 in a flow with labels or a context"):
        FLOWS["realnvp"](components=2, labels=(1, 2))
    with pytest.raises(ValueError, match="must be 1 with `conditional` or `fill`, received 2"):
        TrainingConfig(conditional=True, components=2)
    assert TrainingConfig(conditional=True).resolved(1000).components == 1
    assert TrainingConfig().resolved(1000).components == 50
