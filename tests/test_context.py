"""Flows that are told something of each image: a vector, an image, a code of it, a label beside it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import EVERY_FLOW, FLOWS, perturb, random_images

from tfp_realnvp.fewshot import Adapter, fit_latent
from tfp_realnvp.flows.morph import morph
from tfp_realnvp.flows.told import Told
from tfp_realnvp.layers.context_positions import ContextPositions
from tfp_realnvp.serving import export

IMAGES = random_images(6, (4, 4, 1))
LABELS = np.array([3, 5, 3, 5, 3, 5])


def encoder():
    return keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(3)])


# as much as a small flow can be told, in all shapes: (flow, its options)
TOLD = {
    "vector": ("realnvp", lambda: {"context_shape": (3,)}),
    "image": ("realnvp", lambda: {"context_shape": (4, 4, 2)}),
    "encoded": (
        "multiscale",
        lambda: {"context_shape": (5,), "context_encoder": encoder(), "labels": (3, 5)},
    ),
    "image and label": ("multiscale", lambda: {"context_shape": (2, 2, 3), "labels": (3, 5)}),
}


SLOW = ("image", "encoded")  # of what can be told; the others are like them


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in TOLD],
)
def flow(request):
    name, options = TOLD[request.param]
    flow = FLOWS[name](**options())
    flow.adapt(random_images(1000, (4, 4, 1)))
    return perturb(flow, 0.1)


@pytest.fixture(scope="module")
def context(flow):
    return np.random.default_rng(0).normal(size=(6, *flow.context_shape)).astype("float32")


@pytest.fixture(scope="module")
def labels(flow):
    return LABELS if flow.labels else None


@pytest.mark.usefixtures("eagerly")
def test_context_matters_everywhere(flow, context, labels):
    other = context[::-1]
    for function in (flow.log_prob, flow.encode):
        one, another = (
            function(IMAGES, labels, context=given).numpy() for given in (context, other)
        )
        assert np.all(np.any(np.abs(one - another).reshape(6, -1) > 1e-4, axis=1))
    one, another = (flow.sample(6, labels, context=given, seed=1) for given in (context, other))
    assert np.any(one != another.numpy())


def test_there_and_back(flow, context, labels):
    latents = flow.encode(IMAGES, labels, context=context)
    np.testing.assert_array_equal(flow.decode(latents, labels, context=context), IMAGES)


@pytest.mark.usefixtures("eagerly")
def test_rows_do_not_depend_on_each_other(flow, context, labels):
    alone = flow.log_prob(
        IMAGES[2:3], None if labels is None else labels[2:3], context=context[2:3]
    )
    together = flow.log_prob(IMAGES, labels, context=context)
    np.testing.assert_allclose(alone[0], together[2], rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_a_distribution_for_each_row(flow, context, labels):
    distribution = flow.distribution_given(labels, context=context)
    assert distribution.batch_shape == [6] and distribution.event_shape == [4, 4, 1]
    points = (IMAGES + 0.5) / 256
    latents = tf.identity(flow.encode(IMAGES, labels, context=context))
    bijector = flow.bijector_given(labels, context=context)
    np.testing.assert_allclose(bijector.forward(latents), points, atol=1e-4)
    assert np.all(np.isfinite(distribution.log_prob(points)))


@pytest.mark.usefixtures("eagerly")
def test_one_context_for_all(flow, context, labels):
    label = None if labels is None else 5
    one = flow.sample((2, 3), label, context=context[0], seed=1)
    many = flow.sample(
        (2, 3), label, context=np.tile(context[:1], (2, 3, *[1] * (context.ndim - 1))), seed=1
    )
    np.testing.assert_array_equal(one, many)
    assert one.shape == (2, 3, 4, 4, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_the_flow_of_one_context(flow, context, labels, tmp_path):
    """`given` fixes what the flow is told, and what works for flows of images alone works with it."""
    given = flow.given(None if labels is None else 3, context=context[0])
    rows = None if labels is None else np.full(6, 3), np.repeat(context[:1], 6, axis=0)
    expected = flow.log_prob(IMAGES, rows[0], context=rows[1])
    np.testing.assert_allclose(given.log_prob(IMAGES), expected, rtol=1e-5)
    np.testing.assert_array_equal(given.decode(given.encode(IMAGES)), IMAGES)
    assert given.distribution.batch_shape == []
    np.testing.assert_allclose(given.in_precision("float32").log_prob(IMAGES), expected, rtol=1e-5)
    assert fit_latent(given, IMAGES).distribution.sample(2, seed=1).shape == (2, 4, 4, 1)
    given.save(tmp_path / "given.keras")
    loaded = keras.saving.load_model(tmp_path / "given.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(loaded.log_prob(IMAGES), expected, rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_a_morph_changes_what_the_flow_is_told(flow, context, labels):
    ends = None if labels is None else labels[:2]
    images, latents = morph(flow, *IMAGES[:2], steps=4, labels=ends, context=context[:2])
    np.testing.assert_array_equal(images[[0, 3]], IMAGES[:2])
    np.testing.assert_array_equal(images[4], images[2])
    expected = flow.encode(IMAGES[:2], ends, context=context[:2])
    np.testing.assert_allclose(latents[[0, 3]], expected, rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_saved_with_its_encoder(flow, context, labels, tmp_path):
    flow.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras", compile=False, safe_mode=True)
    assert loaded.context_shape == flow.context_shape
    np.testing.assert_allclose(
        loaded.log_prob(IMAGES, labels, context=context),
        flow.log_prob(IMAGES, labels, context=context),
        rtol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["image and label"], indirect=True)
def test_exported(flow, context, labels, tmp_path):
    signatures = tf.saved_model.load(str(export(flow, tmp_path))).signatures
    told = {"context": tf.constant(context)}
    if labels is not None:
        told["labels"] = tf.constant(labels, tf.int32)
    images, one, seed = tf.constant(IMAGES), tf.constant(1.0), tf.constant([1, 0])
    received = signatures["log_prob"](images=images, **told)["log_prob"]
    expected = flow.log_prob(IMAGES, labels, context=context)
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    drawn = signatures["sample"](seed=seed, temperature=one, **told)["images"]
    np.testing.assert_array_equal(drawn, flow.sample(6, labels, context=context, seed=1))
    seeds = tf.constant([[1, 0]] * 6)
    drawn = signatures["sample_rows"](seed=seeds, temperature=tf.ones([6]), **told)["images"]
    assert drawn.shape == (6, 4, 4, 1)
    latents = signatures["encode"](images=images, **told)["latents"]
    np.testing.assert_array_equal(signatures["decode"](latents=latents, **told)["images"], IMAGES)
    if labels is not None:
        found = signatures["classify"](images=images, context=told["context"])["labels"]
        np.testing.assert_array_equal(found, flow.classify(IMAGES, context=context))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`context` must have as many rows"):
        signatures["log_prob"](images=images, **{**told, "context": told["context"][:5]})
    with pytest.raises(tf.errors.InvalidArgumentError, match="`context` must be finite"):
        signatures["log_prob"](images=images, **{**told, "context": told["context"] * np.nan})


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_FLOW)
def test_learns_what_it_is_told(name):
    """The context says how bright an image is: told so, a flow scores it better, and draws such images."""
    random = np.random.default_rng(0)
    context = random.uniform(-1, 1, size=(600, 1)).astype("float32")
    bright = (96 + 80 * context).astype("int32")[:, None, None]
    images = (bright + random.integers(16, size=(600, 4, 4, 1))).astype("uint8")
    flow = FLOWS[name](
        context_shape=(2,), context_encoder=keras.Sequential([keras.layers.Dense(3)])
    )
    flow.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0))
    data = {"images": images, "context": np.repeat(context, 2, axis=1)}
    before = [weight.numpy() for weight in flow.context_encoder.trainable_weights]
    flow.fit(data, epochs=20, batch_size=20, verbose=0)
    after = flow.context_encoder.trainable_weights
    assert all(np.any(old != new) for old, new in zip(before, after, strict=True))
    right = flow.bits_per_dim(images, context=data["context"]).numpy().mean()
    wrong = flow.bits_per_dim(images, context=-data["context"]).numpy().mean()
    assert right < wrong - 0.2
    for given in (-0.8, 0.8):
        drawn = flow.sample(100, context=[given, given], seed=0).numpy().mean()
        assert abs(drawn - (96 + 80 * given + 8)) < 25


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_adaptation_of_the_flow_of_one_label():
    flow = FLOWS["multiscale"](labels=(3, 5))
    flow.adapt(random_images(1000, (4, 4, 1)))
    given = perturb(flow).given(3)
    adapted = Adapter(given, steps=2)(IMAGES)
    assert np.all(np.isfinite(adapted.log_prob(IMAGES)))
    assert np.any(adapted.log_prob(IMAGES) != given.log_prob(IMAGES).numpy())


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (None, ValueError, r"needs a context: .* shape \[..., 3\], received none"),
        (np.zeros((6, 4)), ValueError, r"`context` must have the shape \[..., 3\], received \[6, 4\]"),
        (np.zeros((5, 3)), ValueError, r"have the shape \[6, 3\] of the images' batch, received \[5, 3\]"),
        (np.full((6, 3), np.nan), ValueError, "`context` must be finite"),
        ([["a", "b", "c"]] * 6, TypeError, "`context` must be numbers, received string"),
    ],
)  # fmt: skip
def test_bad_context(given, error, words):
    flow = FLOWS["realnvp"](context_shape=(3,))
    with pytest.raises(error, match=words):
        flow.log_prob(IMAGES, context=given)


def test_where_a_context_does_not_belong(small):
    plain = small()
    with pytest.raises(ValueError, match="takes no context: leave it out"):
        plain.log_prob(IMAGES, context=np.zeros((6, 3)))
    with pytest.raises(ValueError, match="knows no labels and takes no context"):
        plain.given()
    told = small(context_shape=(3,))
    with pytest.raises(ValueError, match="needs a context"):
        _ = told.distribution
    with pytest.raises(ValueError, match=r"shape \[n, 3\], received \[3\]"):
        told.distribution_given(context=np.zeros(3))
    with pytest.raises(ValueError, match=r"one for all images, or have the shape \[4, 3\]"):
        told.sample(4, context=np.zeros((2, 3)))
    told.compile("adam")
    with pytest.raises(ValueError, match="needs a context"):
        told.fit(IMAGES, verbose=0)
    with pytest.raises(ValueError, match="must be told nothing"):
        Adapter(told)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"context_shape": (0,)}, ValueError, r"`context_shape` must be \(features,\) or"),
        ({"context_shape": (2, 2)}, ValueError, r"received \(2, 2\)"),
        ({"context_shape": (1.5,)}, ValueError, r"received \(1.5,\)"),
        ({"context_shape": (3, 3, 1)}, ValueError, "a context of 3x3 must have a height and a width"),
        ({"context_encoder": keras.Sequential()}, ValueError, "needs `context_shape`"),
        ({"context_shape": (3,), "context_encoder": abs}, TypeError, "must be a Keras model or layer"),
        (
            {"context_shape": (4,), "context_encoder": keras.layers.Reshape((2, 2))},
            ValueError, r"`context_encoder` must give .* received \[1, 2, 2\]",
        ),
    ],
)  # fmt: skip
def test_bad_options(options, error, words):
    with pytest.raises(error, match=words):
        FLOWS["multiscale"](**options)


def test_positions_of_a_context():
    """Nothing is lost, and what is near stays near."""
    context = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    blocks = ContextPositions((4, 4, 1), (2, 4))(context)
    np.testing.assert_array_equal(blocks[0, 0, 0], [0, 4])
    repeated = ContextPositions((4, 4, 1), (8, 4))(context)
    np.testing.assert_array_equal(repeated[0, :, 1, 0], [1, 1, 5, 5, 9, 9, 13, 13])


def test_label_and_context_together():
    told = Told((3, 5), (2, 2, 1))
    assert told.shape == (2, 2, 3)
    joined = told.join(tf.constant([5]), tf.ones([1, 2, 2, 1]))
    np.testing.assert_array_equal(joined[0, 1, 0], [1, 0, 1])
    assert Told((3, 5)).shape == (2,) and Told().shape == ()
