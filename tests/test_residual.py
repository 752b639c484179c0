"""Residual blocks: bounds, log-determinants and their gradients against what is exact, inverses."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from bijector_checks import (
    check_log_det_against_autodiff,
    check_log_dets_cancel,
    check_round_trip,
    check_shapes,
)
from scipy.stats import poisson
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors import Residual
from tfp_realnvp.bijectors import residual as residual_block
from tfp_realnvp.compute.conv_norm import conv_norms
from tfp_realnvp.compute.hashed_numbers import keys_of_rows, signs, uniforms
from tfp_realnvp.compute.log_det_series import draw_terms
from tfp_realnvp.layers import LipschitzConvNet, LipschitzDenseNet, lipschitz_net
from tfp_realnvp.layers.lipschitz_conv_net import LIPSWISH
from tfp_realnvp.layers.lipschitz_dense_net import CLIPSWISH

pytestmark = pytest.mark.slow

SHAPE = (3, 2, 2)
SIZE = 12
ROWS = 10_000
NETS = {
    "in a row": functools.partial(LipschitzConvNet, channels=5),
    "dense": functools.partial(LipschitzDenseNet, channels=3, layers=2),
}


def make_net(kind="in a row", scale=0.7, **options):
    """One whose norms are at their bound, and whose blocks are far from the identity."""
    net = NETS[kind](**options)
    net.build((None, *SHAPE))
    random = np.random.default_rng(0)
    for weight in net.trainable_weights:
        weight.assign_add(scale * random.standard_normal(weight.shape))
    return net


@pytest.fixture(scope="module", params=NETS)
def net(request):
    return make_net(request.param)


def points(count=1, seed=0):
    random = np.random.default_rng(seed)
    return tf.constant(random.standard_normal((count, *SHAPE)), tf.float32)


def jacobians(function, values):
    """Of each row: [n, SIZE, SIZE]."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        results = function(values)
    return tf.reshape(tape.batch_jacobian(results, values), [-1, SIZE, SIZE])


def exact_log_det(net, values):
    return tf.linalg.slogdet(tf.eye(SIZE) + jacobians(net, values))[1]


def residual(net):
    """A block with exact log-determinants."""
    kernels = net.read_kernels()

    def function(y, keys=None):
        change = net(y, kernels=kernels)
        if keys is None:
            return change
        return change, exact_log_det(lambda y: net(y, kernels=kernels), y)

    return Residual(lambda: function)


def test_bijector(net):
    bijector, x = residual(net), points(4)
    check_round_trip(bijector, x, 1e-5)
    check_log_dets_cancel(bijector, x, 3, 1e-4)
    check_log_det_against_autodiff(tfb.Invert(bijector), x, 3, 1e-4)  # the other way is a loop
    check_shapes(bijector, x, 3)
    assert not np.allclose(bijector.inverse(x), x, atol=0.1)


def matrix(kernel, shape):
    """Of the convolution with a kernel, on images of a shape."""
    size = int(np.prod(shape))
    units = tf.reshape(tf.eye(size), [size, *shape])
    return tf.reshape(tf.nn.conv2d(units, kernel, 1, "SAME"), [size, -1]).numpy()


KERNELS = {
    "few channels": (3, 3, 2, 5),
    "many channels": (3, 3, 16, 16),
    "one pixel": (1, 1, 7, 5),
    "smooth": None,
}


@pytest.mark.parametrize("name", KERNELS)
def test_conv_norm(name):
    """At least the norm on images of 8x8 pixels, and hardly more than that on an endless image."""
    shape, size = KERNELS[name], 8
    kernel = np.ones((3, 3, 1, 1)) if shape is None else np.random.default_rng(0).normal(size=shape)
    bound = float(conv_norms(tf.constant(kernel[np.newaxis], tf.float32))[0])
    on_image = np.linalg.norm(
        matrix(tf.constant(kernel, tf.float32), (size, size, kernel.shape[2])), 2
    )
    waves = np.exp(2j * np.pi * np.outer(np.arange(64), np.arange(kernel.shape[0])) / 64)
    endless = np.linalg.norm(np.einsum("fa,gb,abio->fgio", waves, waves, kernel), 2, (2, 3)).max()
    assert on_image <= 1.00001 * endless <= 1.0001 * bound <= 1.1 * endless
    assert on_image > 0.8 * endless


def test_conv_norm_has_the_gradient_of_the_norm():
    kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 4, 3)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        [norm] = conv_norms(kernel[tf.newaxis])
    gradient = tape.gradient(norm, kernel).numpy()
    # a norm is homogeneous, and a subgradient lies below it
    assert np.sum(gradient * kernel.numpy()) == pytest.approx(float(norm), rel=1e-4)
    step = np.random.default_rng(1).normal(size=kernel.shape) * 1e-3
    change = float(conv_norms((kernel + step)[tf.newaxis])[0] - norm)
    assert change == pytest.approx(np.sum(gradient * step), rel=0.2)


@pytest.mark.parametrize("with_xla", [False, True])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_conv_norm_compiles_with_xla(with_xla, size):
    """Also for the kernel of a new network, which is zero."""
    kernels = size * np.random.default_rng(0).normal(size=(2, 3, 3, 2, 2)).astype(np.float32)

    @tf.function(jit_compile=with_xla)
    def compute(kernels):
        with tf.GradientTape() as tape:
            tape.watch(kernels)
            norms = conv_norms(kernels)
        return norms, tape.gradient(norms, kernels)

    norms, gradient = compute(tf.constant(kernels))
    expected = [float(conv_norms(tf.constant(kernel[np.newaxis]))[0]) for kernel in kernels]
    np.testing.assert_allclose(norms, expected, rtol=1e-4, atol=1e-6)
    assert np.isfinite(gradient).all()


def test_norms_are_bounded(net):
    for number, kernel in enumerate(net.read_kernels().kernels):
        norm = np.linalg.norm(matrix(kernel, (3, 2, kernel.shape[2])), 2)
        assert 0.5 < norm < 0.98001, number
    small = make_net(scale=0.0)
    small.kernels[0].assign(0.1 * small.kernels[0])
    np.testing.assert_array_equal(small.read_kernels().kernels[0], small.kernels[0])


def test_kernels_of_several_networks(net):
    """Norms are computed together, and each kernel gets its own."""
    nets = [net, *[make_net(kind, 0.3, coefficient=0.5) for kind in NETS], net]
    for received, one in zip(net.read_kernels_of(nets), nets, strict=True):
        for kernel, expected in zip(received.kernels, one.read_kernels().kernels, strict=True):
            np.testing.assert_allclose(kernel, expected, rtol=1e-5, atol=1e-7)


def test_lipschitz_constant(net):
    """The largest norm of a Jacobian that gradient ascent finds is below the bound, and not far below."""
    values = tf.Variable(points(20))
    optimizer = keras.optimizers.Adam(0.1)

    @tf.function
    def climb():
        with tf.GradientTape() as tape:
            norms = tf.linalg.svd(jacobians(net, values), compute_uv=False)[:, 0]
            loss = -tf.reduce_sum(norms)
        optimizer.apply([tape.gradient(loss, values)], [values])
        return tf.reduce_max(norms)

    optimizer.build([values])
    largest = max(float(climb()) for _ in range(100))
    assert 0.05 < largest < net.bound


def test_slope_of_lipswish():
    values = np.linspace(-10, 10, 100_001)
    gate = 1 / (1 + np.exp(-values))
    slopes = gate + values * gate * (1 - gate)
    assert 1.09 < np.max(slopes) < LIPSWISH
    # the other feature of CLipSwish has the slope of -x * sigmoid(-x)
    assert 1.104 < np.max(np.hypot(slopes, slopes - 1)) < CLIPSWISH


@pytest.fixture
def few_terms(monkeypatch):
    """So that those which are left to chance matter, and each row has its number of them."""
    monkeypatch.setattr(lipschitz_net, "SCORING_TERMS", 2)


def keys_of(count, seed=0):
    return keys_of_rows(points(count, seed=100 + seed))


def test_estimates_are_right_in_the_mean(net, monkeypatch):
    y = points()
    _, many_terms = net(tf.repeat(y, 1000, axis=0), keys=keys_of(1000))
    monkeypatch.setattr(lipschitz_net, "SCORING_TERMS", 2)
    _, log_dets = net(tf.repeat(y, ROWS, axis=0), keys=keys_of(ROWS))
    error = np.std(log_dets) / np.sqrt(ROWS)
    expected = float(exact_log_det(net, y)[0])
    assert 1e-5 < 5 * error < abs(expected)
    assert np.mean(log_dets) == pytest.approx(expected, abs=3 * error)
    assert np.std(many_terms) < 1.1 * np.std(log_dets)


def test_estimates_in_training_are_right_in_the_mean(net):
    """All rows have the same number of terms, so several batches are needed."""
    y = tf.repeat(points(), 20, axis=0)
    batch = tf.function(lambda keys, step: net(y, keys=keys, step=step)[1])
    means = [np.mean(batch(keys_of(20, seed), tf.constant(seed))) for seed in range(500)]
    error = np.std(means) / np.sqrt(len(means))
    expected = float(exact_log_det(net, points())[0])
    assert np.mean(means) == pytest.approx(expected, abs=3 * error)
    assert 5 * error < abs(expected)


def test_gradients_are_right_in_the_mean(net, few_terms):
    """Of the log-determinant, by all weights and by the values; in 100 parts, for their errors."""
    y, weights = points(), [weight.value for weight in net.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(y)
        log_det = exact_log_det(net, y)
    expected = flat(tape.gradient(log_det, [y, *weights], unconnected_gradients="zero"))

    @tf.function
    def part(keys):
        with tf.GradientTape() as tape:
            tape.watch(y)
            log_det = tf.reduce_mean(net(tf.repeat(y, 100, axis=0), keys=keys)[1])
        return tape.gradient(log_det, [y, *weights], unconnected_gradients="zero")

    parts = np.array([flat(part(keys_of(100, seed))) for seed in range(100)])
    error = parts.std(axis=0) / 10
    deviations = (parts.mean(axis=0) - expected) / np.maximum(error, 1e-7)
    assert np.abs(expected).max() > 20 * error.mean() > 0
    assert np.sqrt(np.mean(deviations[error > 1e-6] ** 2)) < 1.3
    assert np.abs(deviations).max() < 5


def flat(gradients):
    return np.concatenate([np.ravel(gradient) for gradient in gradients])


def test_gradients_of_the_residual_are_those_of_autodiff(net):
    y, towards = points(3), points(3, seed=1)
    received = []
    for probe in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(y)
            change = net(y, keys=keys_of(3))[0] if probe else net(y)
            total = tf.reduce_sum(change * towards)
        received.append(flat(tape.gradient(total, [y, *net.trainable_weights])))
    np.testing.assert_allclose(*received, atol=1e-5)


def test_an_estimate_does_not_depend_on_the_batch(net):
    y = points(8)
    together = net(y, keys=keys_of_rows(y))[1]
    alone = [net(y[n : n + 1], keys=keys_of_rows(y[n : n + 1]))[1][0] for n in range(8)]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.std(together) > 0.001


def test_terms():
    """A term is taken as often as the Poisson distribution says, and weighs the more, the rarer it is."""
    terms = draw_terms(uniforms(keys_of(ROWS), salt=0), exact=2, more=1.5)
    taken = terms.weights.numpy() > 0
    assert (
        taken[: 2 + 1].all()
        and taken[int(terms.last)].any()
        and not taken[int(terms.last) + 1 :].any()
    )
    for term in range(3, 8):
        share = poisson.sf(term - 3, 1.5)
        assert np.mean(taken[term]) == pytest.approx(share, abs=4 * np.sqrt(share / ROWS))
        weights = terms.weights.numpy()[term]
        np.testing.assert_allclose(weights[weights > 0], 1 / share, rtol=1e-3)


def test_hashed_numbers():
    keys = keys_of(ROWS)
    assert len(np.unique(keys)) > ROWS - 5
    both = np.concatenate([signs(keys, (20,), salt=salt) for salt in (1, 2)], axis=1)
    assert set(np.unique(both)) == {-1.0, 1.0}
    assert np.abs(both.mean(axis=0)).max() < 0.05
    assert np.abs(np.corrcoef(both.T) - np.eye(40)).max() < 0.05
    numbers = uniforms(keys, salt=3).numpy()
    np.testing.assert_allclose(np.histogram(numbers, 10, (0, 1))[0] / ROWS, 0.1, atol=0.015)


def test_saved_and_compiled(net, tmp_path):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, type(net).from_config(net.get_config())(inputs))
    model.layers[-1].set_weights(net.get_weights())
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    y = points(3)
    np.testing.assert_allclose(loaded(y), net(y), atol=1e-6)
    compiled = tf.function(residual(net).forward)
    np.testing.assert_allclose(compiled(y), residual(net).forward(y), atol=1e-5)


def test_a_network_that_is_too_steep(net):
    steep = Residual(lambda: lambda y: 1.5 * y, event_ndims=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no Lipschitz constant below 1"):
        steep.forward(tf.ones([2, 3]))
    infinite = tf.tensor_scatter_nd_update(points(3), [[1, 0, 0, 0]], [np.nan])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"change:\W+1\W+nan"):
        residual(net).forward(infinite)


NONLINEAR = {
    "straight": lambda y: 0.9 * y,
    "waves": lambda y: 0.9 * tf.sin(3 * tf.roll(y, 1, axis=1)) / 3,
    "corners": lambda y: 0.9 * tf.abs((3 * tf.roll(y, 1, axis=1)) % 2 - 1) / 3,
}


@pytest.mark.parametrize("name", NONLINEAR)
def test_iteration_is_accelerated(name):
    """It needs fewer steps than plain iteration, and finds the fixed point where slopes jump, too."""
    function = NONLINEAR[name]
    x = tf.constant(np.random.default_rng(0).normal(size=(100, 5)), tf.float32)
    found = Residual(lambda: function, event_ndims=1).solve(x)
    y, steps, changes = x, 0, np.inf
    while np.max(changes) > residual_block.TOLERANCE:
        new = x - function(y)
        changes = np.linalg.norm(new - y, axis=1) / (1 + np.linalg.norm(new, axis=1))
        y, steps = new, steps + 1
    assert int(found.steps) < (5 if name == "straight" else steps)
    np.testing.assert_allclose(found.points, y, atol=1e-4)
    left = np.linalg.norm(found.points + function(found.points) - x, axis=1)
    assert np.all(left <= 1.9 * found.changes + 1e-6)  # the last step, and what it changed


@pytest.mark.parametrize("coefficient", [0.0, 1.0, 2.0])
def test_bad_coefficient(coefficient):
    with pytest.raises(ValueError, match="`coefficient` must be above 0 and below 1, received"):
        LipschitzConvNet(coefficient=coefficient)
