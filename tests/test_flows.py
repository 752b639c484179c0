import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, of_couplings, of_dense, perturb, random_images
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp import MultiscaleRealNVP, RealNVP
from tfp_realnvp.flows import pixels
from tfp_realnvp.layers import TransformParameters

IMAGES = random_images(6, (4, 4, 1))


@of_couplings
def test_density_integrates_to_one(small):
    """By importance sampling from the density of a new flow, whose integral test_normalization.py checks."""
    flow = small((2, 2, 1), levels=2)
    flow.adapt(random_images(1000, (2, 2, 1), levels=2))
    distribution = tfd.TransformedDistribution(
        flow.distribution.distribution, tfb.Chain(flow.normalization.bijectors)
    )
    points = distribution.sample(100_000, seed=[1, 2])
    log_probs = distribution.log_prob(points)
    for layer in conditioners(flow):
        perturb(layer, 0.1)
    ratios = np.exp(flow.distribution.log_prob(points) - log_probs)
    assert np.std(ratios) > 0.2
    assert np.mean(ratios) == pytest.approx(1.0, abs=5 * np.std(ratios) / np.sqrt(len(ratios)))


def test_cached_log_prob_is_the_uncached_one(flow):
    points = pixels.dequantize(tf.constant(IMAGES), 0.3, levels=256)
    distribution, bijector = flow.distribution, flow.bijector
    expected = distribution.distribution.log_prob(
        bijector.inverse(points)
    ) + flow.bijector.inverse_log_det_jacobian(tf.identity(points), event_ndims=3)
    np.testing.assert_allclose(distribution.log_prob(points), expected, rtol=1e-5)


@pytest.fixture
def evaluations(monkeypatch):
    """Counts the evaluations of conditioners."""
    count = []
    call = TransformParameters.call
    monkeypatch.setattr(
        TransformParameters,
        "call",
        lambda self, features, kernel=None: count.append(1) or call(self, features, kernel),
    )
    return count


def conditioners(flow):
    return [layer for layer in flow._flatten_layers() if isinstance(layer, TransformParameters)]


@of_couplings
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
        assert len(evaluations) == len(conditioners(flow)) > 1, name


@of_couplings
def test_gradient_needs_no_further_evaluation(flow, evaluations):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow(IMAGES, training=True))
    gradients = tape.gradient(loss, flow.trainable_weights)
    assert len(evaluations) == len(conditioners(flow))
    assert all(gradient is not None for gradient in gradients)


def test_extra_couplings_and_attention_are_in_the_last_scale():
    flow = MultiscaleRealNVP(
        (4, 4, 1), couplings=1, extra_couplings=2, heads=1, channels=8, blocks=1, seed=0
    )
    found = [(conditioner.size, conditioner.heads) for conditioner in flow.conditioners]
    assert found == [(2, 0), (4, 1), (4, 1), (4, 1)]
    flow.adapt(IMAGES)
    perturb(flow)
    np.testing.assert_array_equal(flow.decode(flow.encode(IMAGES)), IMAGES)
    one_scale = MultiscaleRealNVP((4, 4, 1), scales=1, couplings=1, extra_couplings=2, channels=8)
    assert [conditioner.size for conditioner in one_scale.conditioners] == [2, 2, 2]
    assert len({conditioner.seed for conditioner in flow.conditioners}) == 4


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


def test_is_compiled_once_for_any_number_of_images(small):
    flow = small(labels=(0, 1))
    for count in (6, 1, 3):
        images, labels = IMAGES[:count], np.zeros(count, int)
        flow.log_prob(images, labels)
        flow.sample(count, labels)
    for name, function in flow._traces._functions.items():
        assert function.experimental_get_tracing_count() == 1, name


def test_sampled_images_score_like_the_entropy(flow):
    """Scores of the flow's own samples and of noise: its own are likelier."""
    own = np.mean(flow.log_prob(flow.sample(300, seed=0)))
    assert own > np.mean(flow.log_prob(random_images(300, (4, 4, 1)))) + 1


@pytest.mark.slow
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (12, 4, 3)])
def test_any_image_shape(small, image_shape):
    flow = perturb(small(image_shape), 0.02)
    images = random_images(3, image_shape)
    assert flow.log_prob(images).shape == (3,)
    np.testing.assert_array_equal(flow.decode(flow.encode(images)), images)


@pytest.mark.parametrize("image_shape", [(1, 2, 1), (5, 3, 1)])
def test_dense_conditioners_take_odd_shapes(image_shape):
    flow = perturb(FLOWS["realnvp"](image_shape), 0.02)
    images = random_images(3, image_shape)
    assert flow.log_prob(images).shape == (3,)
    np.testing.assert_array_equal(flow.decode(flow.encode(images)), images)


def test_new_flow_is_its_normalization(small):
    """With identity couplings the density is that of a standard normal behind the curve."""
    flow = small((2, 2, 1))
    points = np.random.default_rng(0).uniform(size=(5, 2, 2, 1)).astype(np.float32)
    x, log_det = points, 0.0
    for bijector in flow.normalization.bijectors:
        log_det += bijector.inverse_log_det_jacobian(x, event_ndims=3).numpy()
        x = bijector.inverse(x).numpy()
    expected = log_det + np.sum(-0.5 * x**2 - 0.5 * np.log(2 * np.pi), axis=(1, 2, 3))
    np.testing.assert_allclose(flow.distribution.log_prob(points), expected, rtol=1e-5)


@pytest.mark.slow
@of_couplings
def test_in_another_precision(flow):
    half = flow.in_precision("mixed_bfloat16")
    assert conditioners(half)[0].dense.compute_dtype == "bfloat16"
    assert conditioners(flow)[0].dense.compute_dtype == "float32"
    received, expected = half.log_prob(IMAGES).numpy(), flow.log_prob(IMAGES).numpy()
    assert 0 < np.abs(received - expected).max() < 0.5
    back = half.in_precision("float32")
    np.testing.assert_array_equal(back.log_prob(IMAGES), expected)


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


def test_kept_distribution_follows_the_weights(flow):
    """All of them: it may be made before training and used after it."""
    points = tf.random.stateless_uniform((3, 4, 4, 1), seed=[1, 2])
    kept, bijector = flow.distribution, flow.bijector
    before = kept.log_prob(points)
    bijector.inverse(points)
    perturb(flow, 0.1, seed=5)
    expected = flow.distribution.log_prob(points)
    assert np.all(before != expected)
    np.testing.assert_array_equal(kept.log_prob(points), expected)
    np.testing.assert_array_equal(bijector.inverse(points), flow.bijector.inverse(points))
    np.testing.assert_array_equal(
        kept.sample(2, seed=[1, 2]), flow.distribution.sample(2, seed=[1, 2])
    )


def test_kept_distribution_has_all_gradients(flow):
    """A distribution that was made outside of the tape."""
    points, kept = tf.random.stateless_uniform((3, 4, 4, 1), seed=[1, 2]), flow.distribution
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(kept.log_prob(points))
    gradients = tape.gradient(loss, flow.trainable_variables)
    for weight, gradient in zip(flow.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.any(gradient), weight.path


@pytest.mark.slow
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


@pytest.mark.slow
@of_dense
def test_labels_compile_with_xla(small):
    """No Python, no operation without a kernel, no shape that is known too late."""
    flow = small(labels=(0, 1, 2))
    flow.adapt(IMAGES)
    flow, given = perturb(flow), np.array([0, 1, 2, 2, 1, 0])
    uses = {
        "log_prob": lambda: flow.log_prob(IMAGES, given),
        "sample": lambda: flow.sample(6, given, temperature=0.7, seed=1),
        "call": lambda: flow({"images": IMAGES, "labels": given}),
        "marginal log_prob": lambda: flow.log_prob(IMAGES),
        "classify": lambda: flow.classify(IMAGES),
    }
    for name, use in uses.items():
        compiled = tf.function(use, jit_compile=True)().numpy().astype(float)
        tolerance = 1 if name == "sample" else 1e-3  # one grey level
        np.testing.assert_allclose(compiled, use(), atol=tolerance, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_shape": (28, 28)}, "image_shape.*received .28, 28."),
        ({"image_shape": (0, 4, 1)}, "image_shape"),
        ({"levels": 1}, "levels.*from 2 to 256, received 1"),
        ({"levels": 300}, "received 300"),
    ],
)
def test_arguments_out_of_range(small, options, words):
    with pytest.raises(ValueError, match=words):
        small(**options)


@pytest.mark.parametrize(
    ("constructor", "options", "words"),
    [
        (RealNVP, {"image_shape": (1, 1, 1)}, "at least two pixels"),
        (RealNVP, {"depth": 0}, "depth"),
        (RealNVP, {"couplings": 0}, "couplings.*at least 1, received 0"),
        (RealNVP, {"width": -1}, "width"),
        (MultiscaleRealNVP, {"scales": 0}, "scales.*at least 1, received 0"),
        (MultiscaleRealNVP, {"channels": 0}, "channels"),
        (MultiscaleRealNVP, {"blocks": -1}, "blocks.*at least 0, received -1"),
        (MultiscaleRealNVP, {"image_shape": (28, 28, 1), "scales": 3}, "multiples of 8.*`scales` of at most 2"),
        (MultiscaleRealNVP, {"image_shape": (30, 28, 1)}, "multiples of 4.*`scales` of at most 1.*32x28"),
        (MultiscaleRealNVP, {"image_shape": (5, 3, 1)}, "multiples of 4.*pad the images to 8x4"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_of_one_flow(constructor, options, words):
    with pytest.raises(ValueError, match=words):
        constructor(**{"image_shape": (4, 4, 1), **options})


def test_bad_calls(flow):
    with pytest.raises(ValueError, match="`n` must be at least 1, received 0"):
        flow.sample(0)
    for temperature in (0, -1, np.nan, np.inf, 1e308, 1e-320, [1.0, 2.0]):
        with pytest.raises(ValueError, match="`temperature` must be"):
            flow.sample(1, temperature=temperature)
    with pytest.raises(ValueError, match=r"latents.*4, 4, 1.*received \[2, 4, 5, 1\]"):
        flow.decode(np.zeros((2, 4, 5, 1)))
    flow.compile("adam")
    with pytest.raises(TypeError, match="must be integers"):
        flow.fit(np.zeros((4, 4, 4, 1), np.float32), verbose=0)
    with pytest.raises(ValueError, match="received"):
        flow.log_prob(np.zeros((4, 5, 4, 1), np.uint8))


@pytest.mark.parametrize("value", [None, "x", {}, [[1], [1, 2]], 10**30])
def test_what_is_no_array_is_refused_by_name(flow, value):
    for call, name in (
        (flow.log_prob, "images"),
        (flow.encode, "images"),
        (flow.decode, "latents"),
        (lambda value: flow.sample(1, temperature=value), "temperature"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"`{name}` must"):
            call(value)
    with pytest.raises(ValueError, match="`n` must be an integer or a shape of integers"):
        flow.sample([1, [2]])
    with pytest.raises(ValueError, match="`n` must be an integer or a shape of integers"):
        flow.sample(None)
    for call in (flow.log_prob, flow.sample):
        with pytest.raises((TypeError, ValueError)) as error:
            call([[[[[1e308] * 8] * 8] * 8] * 8])
        assert len(str(error.value)) < 300


def test_latents_of_any_precision(flow):
    latents = flow.encode(IMAGES)
    wanted = flow.decode(latents)
    for given in (tf.cast(latents, tf.float64), latents.numpy().astype(float)):
        np.testing.assert_array_equal(flow.decode(given), wanted)


@pytest.mark.slow
@of_couplings
def test_no_images_have_no_scores(small):
    """An empty answer, in a graph with an unknown number of images, too."""
    flow, images = small(labels=(0, 1, 2)), np.zeros((0, 4, 4, 1), np.uint8)
    given = (np.zeros(0, np.int32),)
    latents = np.zeros((0, 4, 4, 1), np.float32)
    answers = [flow.log_prob(images), flow.log_prob(images, *given), flow.encode(images, *given)]
    assert [answer.shape for answer in answers] == [(0,), (0,), (0, 4, 4, 1)]
    assert flow.decode(latents, *given).shape == (0, 4, 4, 1)
    signature = [tf.TensorSpec([None, 4, 4, 1], tf.uint8)]
    traced = tf.function(flow.log_prob, input_signature=signature)
    assert traced(images).shape == (0,) and traced(IMAGES).shape == (6,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_latents_that_are_not_finite(flow, value):
    latents = np.full((1, 4, 4, 1), value, np.float32)
    with pytest.raises(ValueError, match="`latents` must be finite"):
        flow.decode(latents)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`latents` must be finite"):
        tf.function(flow.decode)(latents)
