import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import perturb

from tfp_realnvp.layers import ConvResNet, DenseConditioner, SelfAttention, TransformParameters


def built(**options):
    conditioner = DenseConditioner(3, width=8, **options)
    conditioner.build((None, 5))
    return conditioner


def convolutional(**options):
    conditioner = ConvResNet(3, channels=8, **options)
    conditioner.build((None, 4, 6, 2))
    return conditioner


CASES = {
    "dense": (built, (2, 5)),
    "convolutional": (convolutional, (2, 4, 6, 2)),
    "convolutional, gated": (lambda **options: convolutional(gated=True, **options), (2, 4, 6, 2)),
    "convolutional, attentive": (lambda **options: convolutional(heads=2, **options), (2, 4, 6, 2)),
}


@pytest.fixture(params=CASES)
def case(request):
    """(constructor, shape of what is kept) of each kind of conditioner."""
    return CASES[request.param]


def test_starts_as_the_identity(case):
    make, shape = case
    shift, log_scale = make()(np.ones(shape, np.float32))
    assert shift.shape == log_scale.shape == (*shape[:-1], 3)
    assert not np.any(shift) and not np.any(log_scale)


def test_context_matters(case):
    make, shape = case
    conditioner = perturb(make(context=2), 0.3)
    kept = np.ones(shape, np.float32)
    shift, _ = conditioner(kept, np.array([[1, 0], [0, 1]], np.float32))
    assert np.abs(shift[0] - shift[1]).max() > 1e-3
    same, _ = conditioner(kept, np.array([[1, 0], [1, 0]], np.float32))
    np.testing.assert_allclose(same[0], same[1], rtol=1e-6)


def test_every_weight_gets_a_gradient(case):
    make, shape = case
    conditioner = perturb(make(context=2), 0.3)
    random = np.random.default_rng(0)
    kept, context = random.standard_normal(shape), random.standard_normal((2, 2))
    with tf.GradientTape() as tape:
        parameters = conditioner(kept.astype(np.float32), context.astype(np.float32))
        loss = tf.reduce_sum(tf.concat(parameters, axis=-1) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in conditioner.trainable_weights])
    for weight, gradient in zip(conditioner.trainable_weights, gradients, strict=True):
        assert gradient is not None and np.any(gradient), weight.path


def test_positions_see_their_neighbours_alone():
    """Without blocks a conditioner sees 3x3 positions; a block adds two rings."""
    for blocks, reach in ((0, 1), (1, 3)):
        conditioner = ConvResNet(1, channels=8, blocks=blocks, activation="tanh")
        conditioner.build((None, 9, 9, 1))
        perturb(conditioner, 0.3)
        kept = np.zeros((2, 9, 9, 1), np.float32)
        kept[1, 4, 4] = 1
        shift, _ = conditioner(kept)
        rows, _ = np.nonzero(np.abs(shift[1] - shift[0])[..., 0] > 1e-7)
        assert rows.min() == 4 - reach and rows.max() == 4 + reach


def test_attention_sees_all_positions():
    conditioner = ConvResNet(1, channels=8, blocks=1, heads=1)
    conditioner.build((None, 9, 9, 1))
    perturb(conditioner, 0.3)
    kept = np.zeros((2, 9, 9, 1), np.float32)
    kept[1, 0, 0] = 3
    shift, _ = conditioner(kept)
    assert np.all(np.abs(shift[1] - shift[0]) > 1e-7)


def test_attention_by_the_formula():
    layer = SelfAttention(heads=2)
    layer.build((None, 2, 3, 5))
    perturb(layer, 0.5)
    features = np.random.default_rng(1).standard_normal((4, 2, 3, 5)).astype(np.float32)
    rows = features.reshape(4, 6, 5)
    mean, variance = rows.mean(-1, keepdims=True), rows.var(-1, keepdims=True)
    gamma, beta = (weight.numpy() for weight in layer.normalize.weights)
    seen = (rows - mean) / np.sqrt(variance + 1e-3) * gamma + beta + layer.position.numpy()
    numbers = seen @ layer.look.kernel.numpy() + layer.look.bias.numpy()
    expected = rows.copy()
    for head in range(2):
        query, key, value = (
            numbers[..., 32 * part + 16 * head : 32 * part + 16 * head + 16] for part in range(3)
        )
        weights = np.exp(query @ key.transpose(0, 2, 1) / 4)
        gathered = weights / weights.sum(-1, keepdims=True) @ value
        expected += gathered @ layer.gather.kernel.numpy()[16 * head : 16 * head + 16]
    np.testing.assert_allclose(layer(features), expected.reshape(features.shape), atol=1e-4)


def test_log_scale_is_bounded():
    conditioner = perturb(built(), 10.0)
    _, log_scale = conditioner(1e6 * np.ones((2, 5), np.float32))
    bound = np.abs(conditioner.output_layer.bound.numpy())
    assert np.all(np.abs(log_scale) <= bound * (1 + 1e-6))


def test_golden_numbers():
    """One hidden layer of known weights, by hand: relu(x W) V."""
    conditioner = DenseConditioner(1, depth=2, width=1, activation="relu")
    conditioner.build((None, 1))
    kernel, bias, out_kernel, out_bias = (
        *conditioner.hidden[0].weights,
        *conditioner.output_layer.dense.weights,
    )
    for weight, value in (
        (kernel, 2.0),
        (bias, 1.0),
        (out_kernel, [[1.0, 0.5]]),
        (out_bias, [3.0, 0.0]),
    ):
        weight.assign(np.broadcast_to(value, weight.shape))
    shift, log_scale = conditioner(np.array([[4.0]], np.float32))
    np.testing.assert_allclose(shift, [[9.0 + 3.0]], rtol=1e-6)
    np.testing.assert_allclose(log_scale, [[np.tanh(4.5)]], rtol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_counts_the_output_layer(depth):
    conditioner = built(depth=depth)
    assert len(conditioner.weights) == 2 * depth + 1  # kernels and biases, and the bound


def test_seed_decides_the_weights():
    first, same, other = built(seed=1), built(seed=1), built(seed=2)
    kernel = "hidden[0].kernel"
    np.testing.assert_array_equal(first.hidden[0].kernel, same.hidden[0].kernel)
    assert np.any(first.hidden[0].kernel.numpy() != other.hidden[0].kernel.numpy()), kernel
    assert np.any(first.hidden[0].kernel.numpy()[:, :3] != first.hidden[1].kernel.numpy()[:5, :3])


def test_half_precision_stays_inside():
    shift, log_scale = built(dtype="mixed_bfloat16")(np.ones((2, 5), np.float32))
    assert shift.dtype == log_scale.dtype == np.float32


@pytest.mark.parametrize(
    "layer",
    [
        built(depth=3, activation="gelu", context=2, seed=4),
        convolutional(blocks=1, activation="gelu", gated=True, context=2, seed=4),
        convolutional(blocks=1, heads=2, seed=4),
        SelfAttention(heads=3, seed=2),
        TransformParameters(3),
    ],
)
def test_config_is_complete(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
