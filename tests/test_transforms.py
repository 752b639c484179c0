"""One table of transforms, one set of checks, and what is particular to splines."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.layers import TransformParameters
from tfp_realnvp.layers.transform_parameters import as_transform
from tfp_realnvp.transforms import (
    Affine,
    RationalQuadraticSpline,
    SharedQuadraticSpline,
    Transform,
    spline,
)

ENTRIES = 200


def random_parameters(transform, scale, dtype="float64", entries=ENTRIES):
    """Those of so many entries."""
    random = np.random.default_rng(1)
    shapes = transform.shapes([entries])
    return [tf.constant(scale * random.standard_normal(shape), dtype) for shape in shapes]


def slopes():
    return [tf.constant(np.random.default_rng(3).uniform(0.2, 6, 6))]


# name: (transform, its parameters in float64)
TRANSFORMS = {
    "affine": (Affine(), random_parameters(Affine(), 1.0)),
    **{
        f"spline, {bins} bins to {bound:g}": (
            RationalQuadraticSpline(bins=bins, bound=bound),
            random_parameters(RationalQuadraticSpline(bins=bins, bound=bound), 1.0),
        )
        for bins, bound in [(2, 4.0), (3, 0.5), (8, 4.0), (20, 10.0)]
    },
    "shared spline": (
        SharedQuadraticSpline([0, 1, 3, 4, 7, 10], cells=10, lowest=-1.5),
        slopes(),
    ),
}


@pytest.fixture(params=TRANSFORMS)
def case(request):
    return TRANSFORMS[request.param]


def values(dtype=np.float64):
    """Near the middle and far out."""
    random = np.random.default_rng(0)
    return tf.constant(random.standard_normal(ENTRIES) * np.geomspace(1e-3, 30, ENTRIES), dtype)


def test_there_and_back(case):
    transform, parameters = case
    y, there = transform.forward(values(), *parameters)
    x, back = transform.inverse(y, *parameters)
    np.testing.assert_allclose(x, values(), atol=1e-9, rtol=1e-9)
    np.testing.assert_allclose(there, back, atol=1e-8)
    y, _ = transform.forward(transform.inverse(values(), *parameters)[0], *parameters)
    np.testing.assert_allclose(y, values(), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_slope_against_autodiff(case, direction):
    transform, parameters = case
    given = values()
    with tf.GradientTape() as tape:
        tape.watch(given)
        result, log_slope = getattr(transform, direction)(given, *parameters)
    sign = 1 if direction == "forward" else -1
    np.testing.assert_allclose(
        tf.math.log(tape.gradient(result, given)), sign * log_slope, atol=1e-8
    )


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_it_rises(case, direction):
    """On a fine grid of values, for the parameters of some entries."""
    transform, parameters = case
    grid = tf.constant(np.linspace(-6, 6, 20_001))
    for entry in range(5):
        of_entry = parameters
        if not isinstance(transform, SharedQuadraticSpline):
            of_entry = [
                tf.repeat(parameter[..., entry : entry + 1], len(grid), axis=-1)
                for parameter in parameters
            ]
        result, _ = getattr(transform, direction)(grid, *of_entry)
        assert np.all(np.diff(result) > 0)


def test_gradients_of_parameters_against_differences(case):
    """Those of the result and of its slope, along a random direction."""
    transform, parameters = case
    random = np.random.default_rng(5)
    weights = tf.constant(random.standard_normal((2, ENTRIES)))
    ways = [tf.constant(random.standard_normal(parameter.shape)) for parameter in parameters]

    def total(step, direction):
        moved = [parameter + step * way for parameter, way in zip(parameters, ways, strict=True)]
        return tf.reduce_sum(weights * getattr(transform, direction)(values() / 5, *moved))

    for direction in ("forward", "inverse"):
        step = tf.constant(0.0, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(step)
            result = total(step, direction)
        difference = (total(1e-6, direction) - total(-1e-6, direction)) / 2e-6
        np.testing.assert_allclose(tape.gradient(result, step), difference, rtol=1e-5)


def spline_of_tfp(transform, knots):
    """TFP's spline of the same knots, with widths, heights and slopes by the formulas of the docstring."""
    widths, heights, numbers = np.split(knots, [transform.bins, 2 * transform.bins], axis=0)

    def shares(numbers):
        weights = 1.01 + np.tanh(numbers)
        return np.moveaxis(2 * transform.bound * weights / weights.sum(axis=0), 0, -1)

    knot_slopes = np.log1p(np.exp(numbers + np.log(np.expm1(0.999)))) + 1e-3
    return tfb.RationalQuadraticSpline(
        shares(widths), shares(heights), np.moveaxis(knot_slopes, 0, -1), range_min=-transform.bound
    )


def test_gradients_of_a_bin_against_autodiff():
    """Which TensorFlow has of the same formulas, written once more."""
    random = np.random.default_rng(0)
    t, up_rise, up_log = (tf.constant(random.uniform(size=ENTRIES)) for _ in range(3))
    slopes = [tf.constant(random.uniform(0.1, 3, ENTRIES)) for _ in range(3)]

    def of_formulas(t, mean, slope0, slope1):
        divisor = mean + (slope0 + slope1 - 2 * mean) * t * (1 - t)
        slope = slope1 * t**2 + 2 * mean * t * (1 - t) + slope0 * (1 - t) ** 2
        rise = (mean * t**2 + slope0 * t * (1 - t)) / divisor
        return rise, 2 * tf.math.log(mean / divisor) + tf.math.log(slope)

    values, gradients = [], []
    for function in (spline._bin, of_formulas):
        with tf.GradientTape() as tape:
            tape.watch([t, *slopes])
            values.append(function(t, *slopes))
        gradients.append(
            tape.gradient(values[-1], [t, *slopes], output_gradients=[up_rise, up_log])
        )
    for received, expected in (values, gradients):
        np.testing.assert_allclose(received, expected, rtol=1e-11)


@pytest.mark.parametrize("bins", [2, 8])
def test_spline_against_tfp(bins):
    """TFP's forward direction is our way from image to latent."""
    transform = RationalQuadraticSpline(bins=bins, bound=3.0)
    shift, log_scale, knots = random_parameters(transform, 1.5)
    y = values()
    u = (y - shift) * tf.exp(-log_scale)
    reference = spline_of_tfp(transform, knots.numpy())
    x, log_slope = transform.inverse(y, shift, log_scale, knots)
    np.testing.assert_allclose(x, reference.forward(u), atol=1e-10)
    expected = log_scale - reference.forward_log_det_jacobian(u, event_ndims=0)
    np.testing.assert_allclose(log_slope, expected, atol=1e-9)


def test_spline_of_zeros_is_the_identity():
    transform = RationalQuadraticSpline()
    zeros = random_parameters(transform, 0.0, "float32")
    for direction in (transform.forward, transform.inverse):
        result, log_slope = direction(values(np.float32), *zeros)
        np.testing.assert_allclose(result, values(), atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(log_slope, np.zeros(ENTRIES), atol=1e-6)


def at_knots(transform, knots):
    """Values of u at every knot of each entry, in front of it and behind it: [values, entries]."""
    weights = 1.01 + np.tanh(knots[: transform.bins].numpy().astype(np.float64))
    ends = np.concatenate([np.zeros_like(weights[:1]), np.cumsum(weights, axis=0)])
    places = (2 * transform.bound * ends / ends[-1] - transform.bound).astype(np.float32)
    return np.concatenate([places, *(np.nextafter(places, end) for end in np.float32([-9, 9]))])


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_spline_is_finite_everywhere(scale, direction):
    """Values and all gradients: at knots, at the ends, far out; also for knots that are extreme."""
    transform = RationalQuadraticSpline(bins=4)
    *_, knots = random_parameters(transform, scale, "float32", entries=50)
    far = np.float32([-4, 4, -1e6, 1e6, 0, 1e-30, -3.9999998, 3.9999998])[:, np.newaxis]
    for given in [*at_knots(transform, knots), *np.broadcast_to(far, (8, 50))]:
        zeros = tf.zeros_like(given)
        inputs = [tf.constant(given), zeros, zeros, knots]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            result, log_slope = getattr(transform, direction)(*inputs)
            total = tf.reduce_sum(result) + tf.reduce_sum(log_slope)
        for tensor in (result, log_slope, *tape.gradient(total, inputs)):
            assert np.all(np.isfinite(tensor))
        outside = np.abs(given) > 4
        np.testing.assert_allclose(result[outside], given[outside], rtol=1e-6)


def test_spline_in_float32():
    """What it loses there and back, for parameters of usual size."""
    transform = RationalQuadraticSpline()
    parameters = random_parameters(transform, 0.7, "float32")
    x, _ = transform.inverse(values(np.float32), *parameters)
    y, _ = transform.forward(x, *parameters)
    np.testing.assert_allclose(y, values(), atol=1e-4, rtol=1e-4)


def test_not_a_number_stays_where_it_is(case):
    transform, parameters = case
    poisoned = tf.concat([[np.nan], values()[1:]], axis=0)
    for direction in (transform.forward, transform.inverse):
        result, _ = direction(poisoned, *parameters)
        np.testing.assert_array_equal(np.isfinite(result), np.isfinite(poisoned))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bins": 1}, "`bins` must be at least 2, received 1"),
        ({"bound": 0.0}, "`bound` must be above 0 and finite, received 0.0"),
        ({"bound": -1.0}, "`bound` must be above 0"),
        ({"bound": np.nan}, "`bound` must be above 0"),
        ({"bound": np.inf}, "`bound` must be above 0 and finite"),
    ],
)
def test_spline_options(options, words):
    with pytest.raises(ValueError, match=words):
        RationalQuadraticSpline(**options)


@pytest.mark.parametrize("transform", [Affine(), RationalQuadraticSpline(bins=3, bound=2.5)])
def test_transforms_in_files(transform):
    layer = TransformParameters(3, transform)
    copy = TransformParameters.from_config(layer.get_config())
    assert type(copy.transform) is type(transform)
    assert copy.transform.get_config() == transform.get_config()


@pytest.mark.parametrize(
    "name", ["builtins>eval", "tfp_realnvp>RealNVP", "keras>Lambda", None, "os>system"]
)
def test_a_file_that_describes_something_else(name):
    description = {"module": "os", "class_name": "system", "registered_name": name, "config": {}}
    with pytest.raises(
        ValueError, match="`transform` must describe a Transform that is registered"
    ):
        as_transform(description)


def test_own_transform():
    """What a user may write: here half of an affine map."""

    @keras.saving.register_keras_serializable(package="test")
    class Shift(Transform):
        def forward(self, x, shift, log_scale):
            return x + shift, tf.zeros_like(x)

        def inverse(self, y, shift, log_scale):
            return y - shift, tf.zeros_like(y)

    layer = TransformParameters(3, Shift())
    copy = TransformParameters.from_config(layer.get_config())
    assert isinstance(copy.transform, Shift)


def test_old_name_of_the_layer():
    import tfp_realnvp.layers

    with pytest.warns(FutureWarning, match="now called `TransformParameters`"):
        assert tfp_realnvp.layers.ShiftAndLogScale is TransformParameters
