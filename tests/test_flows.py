import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import perturb, random_images
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp import RealNVP, preprocessing
from tfp_realnvp.conditioners import DenseConditioner

IMAGES = random_images(6, (4, 4, 1))


def small(image_shape=(4, 4, 1), **options):
    return RealNVP(image_shape, **{"width": 16, "depth": 3, **options})


def test_density_integrates_to_one():
    """Over the unit square and the margin that the logit adds: any wrong log-determinant shows."""
    flow = perturb(small((1, 2, 1), alpha=0.1), 0.3)
    margin = 0.1 / 0.8
    edges = np.linspace(-margin, 1 + margin, 801)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float32)
    first, second = np.meshgrid(middles, middles)
    points = np.stack([first, second], axis=-1).reshape(-1, 1, 2, 1)
    density = np.exp(flow.distribution.log_prob(points).numpy().astype(np.float64))
    assert np.sum(density) * (edges[1] - edges[0]) ** 2 == pytest.approx(1.0, abs=2e-3)


def test_probabilities_of_all_images_sum_to_one():
    """Two pixels of three levels: nine images. Many draws of the noise give each one's probability."""
    flow = perturb(small((1, 2, 1), levels=3, alpha=0.01), 0.3)
    images = (
        np.stack(np.meshgrid(*[np.arange(3)] * 2), axis=-1).reshape(9, 1, 2, 1).astype(np.uint8)
    )
    draws = [flow.log_prob(images, seed=seed).numpy() for seed in range(400)]
    total = np.exp(draws).mean(axis=0).sum()
    # what is missing is the little that the logit puts outside the unit square
    assert total == pytest.approx(1.0, abs=0.06)


def test_cached_log_prob_is_the_uncached_one(flow):
    points = preprocessing.dequantize(tf.constant(IMAGES), 0.3, levels=256)
    distribution, bijector = flow.distribution, flow.bijector
    expected = distribution.distribution.log_prob(
        bijector.inverse(points)
    ) + flow.bijector.inverse_log_det_jacobian(tf.identity(points), event_ndims=3)
    np.testing.assert_allclose(distribution.log_prob(points), expected, rtol=1e-5)


@pytest.fixture
def evaluations(monkeypatch):
    """Counts the evaluations of conditioners."""
    count = []
    call = DenseConditioner.call
    monkeypatch.setattr(
        DenseConditioner, "call", lambda self, kept: count.append(1) or call(self, kept)
    )
    return count


def test_one_evaluation_per_coupling(flow, evaluations):
    uses = {
        "log_prob": lambda: flow.distribution.log_prob(tf.random.uniform((2, 4, 4, 1))),
        "sample": lambda: flow.distribution.sample(2),
        "traced log_prob": lambda: flow.log_prob(IMAGES),
        "traced sample": lambda: flow.sample(3, seed=0),
    }
    for name, use in uses.items():
        evaluations.clear()
        use()
        assert len(evaluations) == flow.couplings, name


def test_gradient_needs_no_further_evaluation(flow, evaluations):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow(IMAGES, training=True))
    gradients = tape.gradient(loss, flow.trainable_weights)
    assert len(evaluations) == flow.couplings
    assert all(gradient is not None for gradient in gradients)


def test_keras_owns_every_variable():
    flow = small()
    # a conditioner of depth 3 has 3 kernels, 3 biases, a bound; the normalization has 2 weights
    assert len(flow.trainable_weights) == 4 * 7 + 2
    assert flow.count_params() == sum(int(np.prod(weight.shape)) for weight in flow.weights)


def test_one_step_changes_every_trainable_weight(flow):
    flow.compile(keras.optimizers.SGD(0.1))
    flow.adapt(IMAGES)
    before = [weight.numpy().copy() for weight in flow.trainable_weights]
    flow.fit(IMAGES, batch_size=6, verbose=0)
    for weight, old in zip(flow.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


def test_training_learns():
    """Pixels in pairs, one the other's double: knowing one saves most of the other's bits."""
    left = random_images(1000, (4, 2, 1), levels=128)
    images = np.concatenate([left, 2 * left], axis=2)[:, :, [0, 2, 1, 3]]
    flow = small(width=64)
    flow.compile(keras.optimizers.Adam(0.003))
    history = flow.fit(images, epochs=12, batch_size=100, verbose=0).history["bits_per_dim"]
    assert history[0] > 7 and history[-1] < 6.5
    assert flow.evaluate(images, verbose=0, return_dict=True)["bits_per_dim"] < 6.5


def test_loss_is_nats_per_dimension_and_evaluation_is_repeatable(flow):
    flow.compile()
    first = flow.evaluate(IMAGES, batch_size=4, verbose=0, return_dict=True)
    assert first == flow.evaluate(IMAGES, batch_size=4, verbose=0, return_dict=True)
    expected = -np.mean(flow.log_prob(IMAGES)) / 16
    assert first["loss"] == pytest.approx(expected, rel=1e-5)
    assert first["bits_per_dim"] == pytest.approx(expected / np.log(2), rel=1e-5)
    np.testing.assert_allclose(flow.predict(IMAGES, verbose=0), flow.log_prob(IMAGES), rtol=1e-5)


def test_adapt_normalizes_the_logits():
    images = random_images(3000, (4, 4, 1)) // 4
    flow = small()
    flow.adapt(images)
    latents = flow.encode(
        images, seed=1
    ).numpy()  # a new flow is the identity behind the normalization
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(latents.std(axis=0), 1, atol=0.1)


def test_fit_adapts_once_and_takes_datasets():
    flow = small()
    flow.compile(keras.optimizers.SGD(0.0))
    batches = tf.data.Dataset.from_tensor_slices(random_images(64, (4, 4, 1))).batch(16)
    flow.fit(batches, shuffle=False, verbose=0)
    center = flow.center.numpy()
    assert np.any(center)
    flow.fit(np.zeros((16, 4, 4, 1), np.uint8), verbose=0)
    np.testing.assert_array_equal(center, flow.center.numpy())


def test_encode_and_decode(flow):
    np.testing.assert_array_equal(flow.decode(flow.encode(IMAGES)), IMAGES)
    assert flow.encode(IMAGES).dtype == tf.float32
    noisy = flow.encode(IMAGES, seed=3)
    assert np.any(noisy != flow.encode(IMAGES))
    np.testing.assert_array_equal(noisy, flow.encode(IMAGES, seed=3))


def test_seeds_and_temperature(flow):
    first = flow.sample(5, seed=1).numpy()
    assert first.shape == (5, 4, 4, 1) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, flow.sample(5, seed=1))
    assert np.any(first != flow.sample(5, seed=2).numpy())
    assert np.any(flow.sample(5).numpy() != flow.sample(5).numpy())
    mean = flow.decode(np.zeros((1, 4, 4, 1))).numpy()
    np.testing.assert_array_equal(flow.sample(1, temperature=1e-6, seed=1), mean)


def test_score_does_not_depend_on_the_batch(flow):
    together = flow.log_prob(IMAGES)
    alone = [flow.log_prob(IMAGES[i : i + 1])[0] for i in range(len(IMAGES))]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_sampled_images_score_like_the_entropy(flow):
    """Scores of the flow's own samples and of noise: its own are likelier."""
    own = np.mean(flow.log_prob(flow.sample(300, seed=0)))
    assert own > np.mean(flow.log_prob(random_images(300, (4, 4, 1)))) + 1


@pytest.mark.parametrize("image_shape", [(1, 2, 1), (5, 3, 1), (4, 4, 3), (28, 28, 1)])
def test_any_image_shape(image_shape):
    flow = perturb(small(image_shape), 0.02)
    images = random_images(3, image_shape)
    assert flow.log_prob(images).shape == (3,)
    np.testing.assert_array_equal(flow.decode(flow.encode(images)), images)


def test_new_flow_is_the_dequantized_logistic():
    """With identity couplings the density is that of the logit of a standard normal: by formula."""
    flow = small((1, 2, 1), alpha=0.05)
    point = np.float32(0.3)
    inner = 0.05 + 0.9 * point
    x = np.log(inner / (1 - inner))
    one = -0.5 * x**2 - 0.5 * np.log(2 * np.pi) + np.log(0.9 / (inner * (1 - inner)))
    received = flow.distribution.log_prob(np.full((1, 1, 2, 1), point))
    np.testing.assert_allclose(received, [2 * one], rtol=1e-5)


def test_is_a_tfp_distribution_like_any_other(flow):
    """In a mixture, with another bijector behind it, and as the bijector of another base."""
    points = tf.random.stateless_uniform((3, 4, 4, 1), seed=[1, 2])
    mixture = tfd.Mixture(tfd.Categorical(probs=[0.5, 0.5]), [flow.distribution, flow.distribution])
    np.testing.assert_allclose(
        mixture.log_prob(points), flow.distribution.log_prob(points), rtol=1e-5
    )
    doubled = tfd.TransformedDistribution(flow.distribution, tfb.Scale(2.0))
    np.testing.assert_allclose(
        doubled.log_prob(2 * points), flow.distribution.log_prob(points) - 16 * np.log(2), rtol=1e-5
    )
    chain = tfb.Chain([tfb.Scale(2.0), flow.bijector])
    np.testing.assert_allclose(chain.forward(chain.inverse(points)), points, atol=1e-5)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(mixture.log_prob(points))
    assert tape.gradient(loss, flow.conditioners[0].trainable_weights[0]) is not None


def test_distribution_is_fresh_after_a_weight_update(flow):
    points = tf.random.stateless_uniform((3, 4, 4, 1), seed=[1, 2])
    before = flow.distribution.log_prob(points)
    perturb(flow, 0.1, seed=5)
    assert np.all(before != flow.distribution.log_prob(points))


@pytest.mark.slow
def test_reloaded_in_another_process(flow, tmp_path):
    flow.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    program = """
import sys, keras, numpy, tfp_realnvp
import tfp_realnvp.flows
flow = keras.saving.load_model(sys.argv[1] + "/model.keras", safe_mode=True)
numpy.save(sys.argv[1] + "/log_prob.npy", flow.log_prob(numpy.load(sys.argv[1] + "/images.npy")))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "log_prob.npy"), flow.log_prob(IMAGES), rtol=1e-6)


def test_noise_goes_on_after_loading(flow, tmp_path):
    """Every training step has noise of its own; a loaded model goes on where the saved one was."""
    first, second = (flow(IMAGES, training=True).numpy() for _ in range(2))
    assert np.all(first != second)
    flow.save_weights(tmp_path / "flow.weights.h5")
    loaded = RealNVP.from_config(flow.get_config())
    loaded.load_weights(tmp_path / "flow.weights.h5")
    np.testing.assert_allclose(
        loaded(IMAGES, training=True), flow(IMAGES, training=True), rtol=1e-6
    )


def test_config_is_complete():
    options = {
        "levels": 17, "alpha": 0.02, "seed": 3, "couplings": 3, "depth": 2, "width": 9,
        "activation": "gelu", "name": "mine", "dtype": "mixed_bfloat16",
    }  # fmt: skip
    flow = RealNVP((4, 4, 2), **options)
    copy = RealNVP.from_config(flow.get_config())
    assert copy.get_config() == flow.get_config()
    received = {
        name: getattr(copy, name) for name in options if name not in ("activation", "dtype")
    }
    assert received == {name: options[name] for name in received}
    assert copy.conditioners[0].hidden[0].compute_dtype == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_in_a_users_own_script(optimizer, tmp_path):
    flow = small(dtype="mixed_bfloat16")
    flow.compile(optimizer=optimizer)
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_bits_per_dim", mode="min", patience=2),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss"),
    ]
    history = flow.fit(
        IMAGES, epochs=2, validation_data=(IMAGES,), callbacks=callbacks, verbose=0, batch_size=3
    )
    assert set(history.history) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}
    assert (tmp_path / "best.keras").is_file()


@pytest.mark.parametrize("function", ["log_prob", "encode", "sample", "decode"])
def test_compiles_with_xla(flow, function):
    """And computes the same: a seed gives the same images with and without XLA."""
    latents = tf.random.stateless_normal((2, 4, 4, 1), [1, 2])
    call = {
        "log_prob": lambda: flow.log_prob(tf.constant(IMAGES)),
        "encode": lambda: flow.encode(tf.constant(IMAGES)),
        "sample": lambda: flow.sample(2, seed=1),
        "decode": lambda: flow.decode(latents),
    }[function]
    received = tf.function(call, jit_compile=True)()
    np.testing.assert_allclose(received, call(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_shape": (28, 28)}, "image_shape.*received .28, 28."),
        ({"image_shape": (1, 1, 1)}, "at least two pixels"),
        ({"image_shape": (0, 4, 1)}, "image_shape"),
        ({"levels": 1}, "levels.*from 2 to 256, received 1"),
        ({"levels": 300}, "received 300"),
        ({"alpha": 0.5}, "alpha.*received 0.5"),
        ({"couplings": 0}, "couplings.*at least 1, received 0"),
        ({"depth": 0}, "depth"),
        ({"width": -1}, "width"),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        small(**options)


def test_bad_calls(flow):
    with pytest.raises(ValueError, match="`n` must be at least 1, received 0"):
        flow.sample(0)
    for temperature in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="temperature"):
            flow.sample(1, temperature=temperature)
    with pytest.raises(ValueError, match=r"latents.*4, 4, 1.*received \[2, 4, 5, 1\]"):
        flow.decode(np.zeros((2, 4, 5, 1)))
    flow.compile("adam")
    with pytest.raises(TypeError, match="must be integers"):
        flow.fit(np.zeros((4, 4, 4, 1), np.float32), verbose=0)
    with pytest.raises(ValueError, match="received"):
        flow.log_prob(np.zeros((4, 5, 4, 1), np.uint8))


def test_values_out_of_range_in_training_are_found():
    flow = small(levels=17)
    flow.compile("adam")
    good = random_images(4, (4, 4, 1), levels=17)
    flow.fit(good, verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="16"):
        flow.fit(good + 10, verbose=0)
