"""Residual flows, beyond what holds for all flows."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from bijector_checks import check_log_det_against_autodiff
from conftest import FLOWS, perturb, random_images
from tensorflow_probability import bijectors as tfb

from tfp_realnvp import ResidualFlow
from tfp_realnvp.bijectors import ActNorm, EstimatedChain, Residual
from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.flows import FewShotFlow, pixels
from tfp_realnvp.layers import LipschitzConvNet, LipschitzDenseNet, lipschitz_net
from tfp_realnvp.queries import log_prob_bound
from tfp_realnvp.serving.model_card import model_card
from tfp_realnvp.serving.signatures import make_signatures
from tfp_realnvp.training.config import TrainingConfig

pytestmark = pytest.mark.slow

SHAPE = (4, 4, 1)
IMAGES = random_images(6, SHAPE)


@pytest.fixture(scope="module")
def flow():
    flow = FLOWS["residual"]()
    flow.adapt(random_images(1000, SHAPE))
    return perturb(flow, 0.3)


def exact_log_dets(bijector, values):
    """By autodiff, of the way from image to latent."""
    values = tf.identity(values)  # TFP knows the latents of the other one already
    with tf.GradientTape() as tape:
        tape.watch(values)
        latents = bijector.inverse(values)
    size = values.shape[1:].num_elements()
    matrices = tf.reshape(tape.batch_jacobian(latents, values), [-1, size, size])
    return tf.linalg.slogdet(matrices)[1]


def test_log_prob_is_exact_in_the_mean(flow):
    """Over images that hardly differ, whose spread is what `log_prob_error` says."""
    image = tf.constant(IMAGES[:1])
    point = tfb.Chain(flow.normalization.bijectors).inverse(
        pixels.dequantize(image, pixels.image_noise(image, to_seed(0)), levels=256)
    )
    chain = EstimatedChain(flow.make_bijectors(None, flow.conditioners))
    expected = float(exact_log_dets(chain, point)[0])
    steps = tf.reshape(tf.range(1000.0), [-1, 1, 1, 1]) * 3e-7  # in the last bits: other signs
    found = chain.inverse_log_det_jacobian(point + steps, event_ndims=3).numpy()
    error = np.std(found) / np.sqrt(len(found))
    assert found.mean() == pytest.approx(expected, abs=4 * error)
    assert 0.002 < error < 0.02 < abs(expected)
    said = flow.log_prob_error(image, draws=200).numpy()[0]
    assert said == pytest.approx(np.std(found), rel=0.2)


def test_error_of_a_flow_that_is_told_something():
    flow = perturb(FLOWS["residual"](labels=(3, 5), context_shape=(2,)), 0.3)
    told = {"labels": np.array([3, 5]), "context": np.ones((2, 2), np.float32)}
    errors = flow.log_prob_error(IMAGES[:2], **told).numpy()
    assert errors.shape == (2,) and (errors > 0).all()
    given = flow.given(3, context=told["context"][0])
    np.testing.assert_allclose(given.log_prob_error(IMAGES[:1]), errors[:1], rtol=1e-4)
    few_shot = FewShotFlow(given)
    np.testing.assert_allclose(few_shot.log_prob_error(IMAGES[0]), errors[0], rtol=1e-4)
    assert not few_shot.exact and not few_shot.half_precision
    with pytest.raises(ValueError, match="`draws` must be at least 2, received 1"):
        flow.log_prob_error(IMAGES[:2], **told, draws=1)


def test_density_of_two_dimensions_integrates_to_one(monkeypatch):
    """On a grid, with log-determinants by autodiff."""
    bijectors = []
    for number in range(4):
        net = LipschitzConvNet(channels=16, seed=number)
        net.build((None, 1, 1, 2))
        perturb(net, 0.5, seed=number)
        actnorm = ActNorm(tf.constant([0.1, -0.2]), tf.constant([0.2, -0.1]))
        bijectors += [actnorm, Residual(lambda net=net: net)]
    chain = EstimatedChain(bijectors)
    side = np.linspace(-24, 24, 241, dtype=np.float32)
    grid = tf.reshape(tf.stack(tf.meshgrid(side, side), axis=-1), [-1, 1, 1, 2])
    latents = chain.inverse(grid)
    assert np.abs(latents - grid).max() > 1
    log_base = -0.5 * tf.reduce_sum(tf.square(latents), [1, 2, 3]) - np.log(2 * np.pi)
    density = tf.exp(log_base + exact_log_dets(chain, grid))
    assert float(tf.reduce_sum(density)) * 0.2**2 == pytest.approx(1.0, abs=0.001)
    # and by the estimates, whose errors make exp(estimate) a little too large in the mean
    estimates = chain.inverse_log_det_jacobian(grid, event_ndims=3)
    received = float(tf.reduce_sum(tf.exp(log_base + estimates))) * 0.2**2
    assert received == pytest.approx(1.0, abs=0.05)


def test_dense_layers(tmp_path):
    """They are inverted and saved like others."""
    flow = perturb(FLOWS["residual"](dense_layers=2), 0.3)
    assert {type(net) for net in flow.conditioners} == {LipschitzDenseNet}
    latents = flow.encode(IMAGES, seed=3)
    np.testing.assert_array_equal(flow.decode(latents), IMAGES)
    flow.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded.decode(latents), IMAGES)


def test_chain_is_that_of_tfp():
    chain = [tfb.Scale(2.0), tfb.Shift(1.0), tfb.Exp()]
    ours, theirs = EstimatedChain(chain), tfb.Chain(chain)
    x = tf.random.stateless_normal((2, 3, 1, 2, 1), [1, 2])
    y = theirs.forward(x)
    np.testing.assert_allclose(ours.forward(x), y)
    np.testing.assert_allclose(ours.inverse(tf.identity(y)), x, rtol=1e-4, atol=1e-5)
    for name, values in (("forward", x), ("inverse", y)):
        function = f"{name}_log_det_jacobian"
        received = getattr(ours, function)(tf.identity(values), event_ndims=3)
        expected = getattr(theirs, function)(tf.identity(values), event_ndims=3)
        np.testing.assert_allclose(received, expected, rtol=1e-4)
    check_log_det_against_autodiff(tfb.Invert(ours), y[:, :, 0], 3, 1e-4)


def test_training_takes_few_terms(flow, monkeypatch):
    """Its losses change with their number; scores do not."""
    monkeypatch.setattr(lipschitz_net, "TRAINING_TERMS", 1)
    copy = type(flow).from_config(flow.get_config())
    copy.set_weights(flow.get_weights())
    scores = copy.log_prob(IMAGES)
    np.testing.assert_allclose(scores, flow.log_prob(IMAGES), rtol=1e-5)
    few = copy(IMAGES, training=True)
    copy.noise_count.assign(0)
    monkeypatch.setattr(lipschitz_net, "TRAINING_TERMS", 5)
    assert np.any(few != copy(IMAGES, training=True))


def test_inversions(flow):
    """One for each block, with as many steps as its network needs, and a bound that holds."""
    latents = flow.encode(IMAGES, seed=3)
    found = flow.inversions(latents)
    assert len(found) == len(flow.conditioners)
    assert all(3 < inversion.steps < 100 and 0 < inversion.error < 1e-3 for inversion in found)
    new = FLOWS["residual"]()
    assert [inversion.steps for inversion in new.inversions(latents)] == [1, 1]


def test_model_card_says_that_scores_are_estimates(flow):
    cards = [
        model_card(each, make_signatures(each), max_images=1) for each in (flow, FLOWS["realnvp"]())
    ]
    assert ["log-probabilities are estimates" in card for card in cards] == [True, False]


def test_what_a_residual_flow_cannot_do(flow):
    with pytest.raises(ValueError, match="bits of a pixel need couplings"):
        flow.bits_per_pixel(IMAGES)
    with pytest.raises(ValueError, match="`noise_samples` must be 1 .* estimates, received 2"):
        log_prob_bound(flow, IMAGES, noise_samples=2)
    log_prob_bound(flow, IMAGES, noise_samples=1)
    with pytest.raises(ValueError, match="`dtype` must be float32 .* received mixed_bfloat16"):
        flow.in_precision("mixed_bfloat16")
    with pytest.raises(
        ValueError, match="`precision` must be float32 or auto for the flow residual"
    ):
        TrainingConfig(flow="residual", precision="mixed_bfloat16")
    assert TrainingConfig(flow="residual").resolved(100).precision == "float32"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coefficient": 1.0}, "`coefficient` must be above 0 and below 1, received 1"),
        ({"coefficient": 0.0}, "`coefficient` must be above 0 and below 1, received 0"),
        ({"blocks": 0}, "`blocks` must be at least 1, received 0"),
        ({"dense_layers": -1}, "`dense_layers` must be at least 0, received -1"),
        ({"image_shape": (1, 1, 1)}, "multiples of 4 .* pad the images to 4x4"),
        ({"image_shape": (6, 4, 1)}, "multiples of 4 .* `scales` of at most 1"),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        ResidualFlow(**{"image_shape": SHAPE, **options})
