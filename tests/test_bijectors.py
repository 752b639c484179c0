"""One table of bijectors, one set of checks."""

import bijector_checks as checks
import numpy as np
import pytest
import tensorflow as tf
from conftest import perturb, random_images
from tensorflow_probability import bijectors as tfb

from tfp_realnvp import MultiscaleRealNVP, RealNVP
from tfp_realnvp.bijectors import (
    ActNorm,
    Couplings,
    Elementwise,
    Partial,
    Reorder,
    Squeeze,
    ToneCurve,
    UpToDate,
    masks,
)
from tfp_realnvp.layers import ConvResNet, DenseConditioner
from tfp_realnvp.transforms import Affine, RationalQuadraticSpline
from tfp_realnvp.transforms.shared_spline import knots_up_to


def couplings(size, split, parity=0, count=1, dtype="float64", transform=None):
    sizes = [split, size - split]
    conditioners = []
    for step in range(count):
        kept = (parity + step) % 2
        conditioner = DenseConditioner(
            sizes[1 - kept],
            width=8,
            depth=3,
            activation="tanh",
            transform=transform,
            seed=step,
            dtype=dtype,
        )
        conditioner.build((None, sizes[kept]))
        conditioners.append(perturb(conditioner, 0.5))
    return Couplings(conditioners, split=split, transform=transform, parity=parity)


def pixelwise_couplings():
    """Events of three axes: positions that the conditioners mix, and channels that are cut."""

    def conditioner(kept, context):
        neighbours = tf.roll(kept, 1, axis=-2)
        return neighbours + kept, tf.tanh(kept - neighbours)

    return Couplings([conditioner] * 2, split=2, parity=1, event_ndims=3)


def convolutional_coupling(transform=None):
    conditioner = ConvResNet(
        2, channels=4, blocks=1, activation="tanh", transform=transform, dtype="float64"
    )
    conditioner.build((None, 2, 3, 2))
    conditioners = [perturb(conditioner, 0.5)]
    return Couplings(conditioners, split=2, transform=transform, parity=1, event_ndims=3)


def partial():
    """A chain within, so that its cache is at work."""
    inner = [tfb.Shift(tf.constant([0.5, -1.0], tf.float64)), couplings(2, 1), Squeeze()]
    inner = [tfb.Invert(Squeeze()), couplings(8, 4, 1), Squeeze(), *inner[:2]]
    return Partial(tfb.Chain(inner), channels=2)


def actnorm(shape):
    random = np.random.default_rng(2)
    return ActNorm(random.standard_normal(shape), random.standard_normal(shape))


def reorder():
    """There, a coupling, and back."""
    there = Reorder((2, 1, 3), [2, 0, 1, 5, 3, 4])
    return tfb.Chain([tfb.Invert(there), couplings(6, 3, 1), there])


def tone_curve():
    slopes = np.random.default_rng(3).uniform(1, 6, 6)
    return ToneCurve([0, 1, 3, 4, 7, 10], cells=10, slopes=slopes, lowest=-1.5)


def whole_flow(constructor, image_shape, **options):
    flow = constructor(image_shape, levels=3, **options)
    flow.adapt(random_images(100, image_shape, levels=3))
    return perturb(flow, 0.1).bijector


def dense_flow(image_shape, **options):
    return whole_flow(RealNVP, image_shape, width=8, depth=3, **options)


SPLINE = RationalQuadraticSpline(bins=3, bound=2.0)


def multiscale_flow(image_shape, scales, **options):
    return whole_flow(
        MultiscaleRealNVP, image_shape, scales=scales, channels=4, blocks=1, **options
    )


# name: (constructor, event shape, dtype, tolerance)
BIJECTORS = {
    "coupling, parity 0": (lambda: couplings(6, 3, 0), (6,), "float64", 1e-10),
    "coupling, parity 1": (lambda: couplings(6, 3, 1), (6,), "float64", 1e-10),
    "couplings, uneven split": (lambda: couplings(5, 3, 1, count=3), (5,), "float64", 1e-10),
    "couplings, splines": (
        lambda: couplings(6, 3, count=2, transform=SPLINE),
        (6,),
        "float64",
        1e-8,
    ),
    "coupling, splines, convolutions": (
        lambda: convolutional_coupling(SPLINE),
        (2, 3, 4),
        "float64",
        1e-8,
    ),
    "elementwise": (
        lambda: Elementwise(
            Affine(), [tf.constant([1.0, 2], tf.float64), tf.constant([0.5, -1], tf.float64)]
        ),
        (2, 2, 2),
        "float64",
        1e-10,
    ),
    "couplings, three axes": (pixelwise_couplings, (2, 3, 4), "float64", 1e-10),
    "coupling, convolutions": (convolutional_coupling, (2, 3, 4), "float64", 1e-10),
    "squeeze": (Squeeze, (4, 2, 3), "float64", 1e-10),
    "squeeze, inverted": (lambda: tfb.Invert(Squeeze()), (2, 1, 8), "float64", 1e-10),
    "reorder": (reorder, (2, 1, 3), "float64", 1e-10),
    "partial": (partial, (2, 2, 3), "float64", 1e-10),
    "actnorm, channels": (lambda: actnorm(3), (2, 2, 3), "float64", 1e-10),
    "actnorm, whole images": (lambda: actnorm((2, 2, 3)), (2, 2, 3), "float64", 1e-10),
    "tone curve": (tone_curve, (2, 3, 1), "float64", 1e-9),
    "RealNVP 1x2": (lambda: dense_flow((1, 2, 1)), (1, 2, 1), "float32", 1e-3),
    "RealNVP 1x2, affine": (
        lambda: dense_flow((1, 2, 1), transform="affine"),
        (1, 2, 1),
        "float32",
        1e-3,
    ),
    "RealNVP 3x3x2": (lambda: dense_flow((3, 3, 2)), (3, 3, 2), "float32", 1e-3),
    "MultiscaleRealNVP 2x2": (lambda: multiscale_flow((2, 2, 1), 1), (2, 2, 1), "float32", 1e-3),
    "MultiscaleRealNVP 2x2, affine": (
        lambda: multiscale_flow((2, 2, 1), 1, transform="affine"),
        (2, 2, 1),
        "float32",
        1e-3,
    ),
    "MultiscaleRealNVP 4x4x2": (lambda: multiscale_flow((4, 4, 2), 2), (4, 4, 2), "float32", 1e-3),
}


SLOW = "MultiscaleRealNVP 4x4x2"


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow if name == SLOW else ()) for name in BIJECTORS
    ],
    scope="module",
)
def case(request):
    make, shape, dtype, tolerance = BIJECTORS[request.param]
    random = np.random.default_rng(1)
    return make(), tf.constant(random.standard_normal((4, *shape)), dtype), len(shape), tolerance


def test_round_trip(case):
    bijector, x, _, tolerance = case
    checks.check_round_trip(bijector, x, tolerance)


def test_log_dets_cancel(case):
    checks.check_log_dets_cancel(*case)


def test_log_det_against_autodiff(case):
    checks.check_log_det_against_autodiff(*case)


def test_shapes(case):
    bijector, x, event_ndims, _ = case
    checks.check_shapes(bijector, x, event_ndims)


@pytest.mark.slow
def test_modes_agree(case):
    checks.check_modes_agree(*case)


def test_no_leak(case):
    bijector, x, _, _ = case
    checks.check_no_leak(bijector, x)


def test_checks_can_fail():
    """Couplings that end somewhere else on the way back, and some with a wrong log-determinant."""

    class GoesAstray(Couplings):
        def _inverse(self, y):
            return super()._inverse(y) + 0.1

    class WrongLogDet(Couplings):
        def _forward_log_det_jacobian(self, x):
            return 0.5 * super()._forward_log_det_jacobian(x)

    x = tf.constant(np.random.default_rng(0).standard_normal((4, 6)))
    good = couplings(6, 3)._conditioners
    with pytest.raises(AssertionError):
        checks.check_round_trip(GoesAstray(good, split=3), x, 1e-6)
    with pytest.raises(AssertionError):
        checks.check_log_det_against_autodiff(WrongLogDet(good, split=3), x, 1, 1e-6)


def test_couplings_formula():
    """Golden numbers from the formula: the first part decides, then the second one."""
    bijector = Couplings([lambda kept, context: (kept, tf.math.log(kept))] * 2, split=1)
    x, y = [[2.0, 5.0]], [[2.0 * 5 + 5, 5.0 * 15 + 15]]
    log_det = np.log([5.0 * 15])
    np.testing.assert_allclose(bijector.forward(x), y, rtol=1e-6)
    np.testing.assert_allclose(bijector.inverse(y), x, rtol=1e-6)
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(x), log_det, rtol=1e-6)
    np.testing.assert_allclose(bijector.inverse_log_det_jacobian(y), -log_det, rtol=1e-6)


def test_squeeze_puts_a_colour_of_the_checkerboard_first():
    image = masks.checkerboard((4, 6, 2)).astype(np.float32)
    squeezed = Squeeze().forward(image).numpy()
    assert squeezed.shape == (2, 3, 8)
    assert np.all(squeezed[..., :4] == 1) and np.all(squeezed[..., 4:] == 0)


def test_tone_curve_formula():
    """Its slope, by which image values become latents, runs straight from knot to knot."""
    knots, slopes = np.array([0, 1, 3, 4, 7, 10]), np.array([1.0, 5, 2, 2, 3, 0.5])
    curve = ToneCurve(knots, cells=10, slopes=slopes, lowest=-1.5)
    y = np.linspace(-1, 2, 30_001).reshape(-1, 1, 1, 1)
    slope = np.interp(y, knots / 10, slopes)  # beyond the ends, the last one
    x = curve.inverse(tf.constant(y)).numpy()
    middles = (slope[1:] + slope[:-1]) / 2
    np.testing.assert_allclose(np.diff(x, axis=0), np.diff(y, axis=0) * middles, rtol=1e-4)
    assert curve.inverse(np.zeros((1, 1, 1))).numpy() == -1.5
    log_det = curve.inverse_log_det_jacobian(tf.constant(y))
    np.testing.assert_allclose(log_det, np.log(slope).ravel(), atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "knots",
    [[1, 3], np.linspace(-2, 3, 50), np.geomspace(1e-9, 1e9, 40), [*np.linspace(1, 1.001, 20), 50]],
    ids=["two", "even", "uneven", "crowded"],
)
def test_latents_find_their_pieces(knots, dtype):
    """In front of a knot, on it, behind it, anywhere and far away."""
    knots = np.array(knots, dtype)
    beside = [np.nextafter(knots, end) for end in np.array([-np.inf, np.inf], dtype)]
    anywhere = np.random.default_rng(0).uniform(knots[0] - 1, knots[-1] + 1, 1000)
    far = [-np.inf, -1e30, 1e30, np.inf]
    values = np.concatenate([knots, *beside, anywhere, far]).astype(dtype).reshape(-1, 1)
    expected = np.searchsorted(knots, values, side="right")
    for xla in (False, True):
        found = tf.function(knots_up_to, jit_compile=xla)(tf.constant(knots), values)
        np.testing.assert_array_equal(found, expected)


def test_a_latent_that_is_not_a_number_stays_so():
    assert np.isnan(tone_curve().forward(np.full((1, 1, 1), np.nan)))


def test_tone_curve_learns():
    """The gradient of its slopes, against differences."""
    y = tf.constant(np.random.default_rng(0).uniform(-0.5, 1.5, (1, 100, 1, 1)))
    weights = tf.constant(np.random.default_rng(1).standard_normal((1, 100, 1, 1)))

    def value(slopes):
        curve = ToneCurve([0, 1, 3, 4, 7, 10], cells=10, slopes=slopes, lowest=-1.5)
        log_det = curve.inverse_log_det_jacobian(y)
        return tf.reduce_sum(weights * curve.inverse(y)) + tf.reduce_sum(log_det)

    slopes = tf.Variable([1.0, 5, 2, 2, 3, 0.5], dtype=tf.float64)
    with tf.GradientTape() as tape:
        total = value(slopes)
    step = 1e-6 * np.eye(6)
    differences = [(value(slopes + row) - value(slopes - row)).numpy() / 2e-6 for row in step]
    np.testing.assert_allclose(tape.gradient(total, slopes), differences, rtol=1e-5)


@pytest.mark.parametrize("parts", ["couplings", "partial", "up to date"])
def test_conditioners_are_evaluated_once(parts):
    """Those within another bijector, too: the tensors within are the same in each call of a pair."""
    calls = []

    def conditioner(kept, context):
        calls.append(1)
        return kept, 0.1 * kept

    split = 1 if parts == "partial" else 2
    bijector = Couplings([conditioner] * 2, split=split, event_ndims=3)
    if parts == "partial":
        bijector = Partial(tfb.Chain([bijector]), channels=2)
    elif parts == "up to date":
        bijector = UpToDate(tfb.Chain([bijector]))
    x = tf.ones([5, 1, 1, 4])
    y = bijector.forward(x)
    bijector.forward_log_det_jacobian(x)
    bijector.inverse_log_det_jacobian(y)
    assert len(calls) == 2


@pytest.mark.parametrize("size", [1, 3])
def test_conditioner_of_a_wrong_width(size):
    """One that could be broadcast would give a wrong log-determinant, without a word."""

    def conditioner(kept, context):
        return tf.zeros([2, size]), tf.ones([2, size])

    bijector = Couplings([conditioner], split=2)
    for use in (bijector.forward, bijector.inverse):
        with pytest.raises(
            ValueError, match=rf"`shift` of the shape \[2, 2\].*received \[2, {size}\]"
        ):
            use(tf.ones([2, 4]))
    with pytest.raises(ValueError, match="`shift` of the shape"):
        bijector.forward_log_det_jacobian(tf.ones([2, 4]))


def test_conditioner_of_another_transform():
    """An affine one for splines, one for splines of other bins, and one for splines in affine couplings."""
    kept, knots = tf.zeros([5, 2]), tf.zeros([8, 5, 2])
    cases = [
        (
            SPLINE,
            (kept, kept),
            r"\(shift, log_scale, knots\) for RationalQuadraticSpline, received 2",
        ),
        (
            SPLINE,
            (kept, kept, knots[:5]),
            r"`knots` of the shape \[8, 5, 2\].*received \[5, 5, 2\]",
        ),
        (None, (kept, kept, knots), r"\(shift, log_scale\) for Affine, received 3"),
    ]
    for transform, parameters, words in cases:
        bijector = Couplings([lambda *_, given=parameters: given], split=2, transform=transform)
        with pytest.raises(ValueError, match=words):
            bijector.inverse(tf.ones([5, 4]))


@pytest.mark.parametrize("order", [[0, 0, 1], [0, 1], [0, 1, 3], [-1, 0, 1]])
def test_reorder_takes_permutations_alone(order):
    with pytest.raises(ValueError, match="`order` must hold each of the numbers from 0 to 2 once"):
        Reorder((1, 3, 1), order)


@pytest.mark.parametrize(
    ("knots", "slopes", "words"),
    [
        ([0, 2, 4], [1.0, -1.0, 1.0], "`slopes` must be above 0"),
        ([0, 2, 4], [1.0, 0.0, 1.0], "`slopes` must be above 0"),
        ([0, 2, 4], [1.0, np.nan, 1.0], "`slopes` must be above 0"),
        ([0, 3, 2, 4], [1.0] * 4, "`knots` must rise from 0 to 4"),
        ([1, 4], [1.0] * 2, "`knots` must rise from 0 to 4"),
        ([0, 3], [1.0] * 2, "`knots` must rise from 0 to 4"),
    ],
)
def test_tone_curve_rises(knots, slopes, words):
    with pytest.raises(ValueError, match=words):
        ToneCurve(knots, cells=4, slopes=slopes, lowest=0.0)


def test_variables_are_read_when_used():
    """Also for a tensor that was seen before: TFP's own bijectors then give the old log-determinant."""
    center, log_spread, slopes = (tf.Variable(value) for value in ([1.0], [0.0], [1.0, 1.0]))
    y = tf.ones([1, 1, 1])
    bijectors = {
        "actnorm": ActNorm(center, log_spread),
        "curve": ToneCurve([0, 4], cells=4, slopes=slopes, lowest=0.0),
    }
    for name, expected in (("actnorm", (-1, -np.log(2))), ("curve", (2, np.log(2)))):
        center.assign([1.0])
        log_spread.assign([0.0])
        slopes.assign([1.0, 1.0])
        bijector = UpToDate(bijectors[name])
        assert bijector.inverse(y).numpy().item() == (1 if name == "curve" else 0)
        assert bijector.inverse_log_det_jacobian(y).numpy() == 0
        center.assign([3.0])
        log_spread.assign([np.log(2.0)])
        slopes.assign([2.0, 2.0])
        log_det = bijector.inverse_log_det_jacobian(y).numpy()
        assert (bijector.inverse(y).numpy().item(), log_det) == pytest.approx(expected)


def test_context_of_each_row():
    """Values of any batch shape that ends in n are told a context of n rows; single values are repeated."""
    context = tf.constant([[1.0], [2.0], [3.0]])
    bijector = Couplings(
        [lambda kept, context: (context, tf.zeros_like(context))], split=1, context=context
    )
    for batch in ((3,), (2, 3), (4, 2, 3)):
        y = bijector.forward(tf.zeros([*batch, 2])).numpy()
        np.testing.assert_array_equal(y[..., 1], np.broadcast_to([1, 2, 3], batch))
    for batch in ((), (1,), (2, 1)):
        y = bijector.forward(tf.zeros([*batch, 2]))
        np.testing.assert_array_equal(y[..., 1], np.broadcast_to([1, 2, 3], (*batch[:-1], 3)))
        log_det = bijector.forward_log_det_jacobian(tf.zeros([*batch, 2]), event_ndims=1)
        assert log_det.shape == (*batch[:-1], 3)
