"""One table of bijectors, one set of checks."""

import bijector_checks as checks
import numpy as np
import pytest
import tensorflow as tf
from conftest import perturb

from tfp_realnvp import RealNVP, preprocessing
from tfp_realnvp.bijectors import Coupling
from tfp_realnvp.conditioners import DenseConditioner


def coupling(size, split, parity, dtype="float64"):
    kept = split if parity == 0 else size - split
    conditioner = DenseConditioner(size - kept, width=8, depth=3, activation="tanh", dtype=dtype)
    conditioner.build((None, kept))
    return Coupling(perturb(conditioner, 0.5), split=split, parity=parity)


def pixelwise_coupling():
    """Events of three axes: positions that the conditioner mixes, and channels that are cut."""

    def conditioner(kept):
        neighbours = tf.roll(kept, 1, axis=-2)
        return neighbours + kept, tf.tanh(kept - neighbours)

    return Coupling(conditioner, split=2, parity=1, event_ndims=3)


def whole_flow(image_shape):
    return perturb(RealNVP(image_shape, width=8, depth=3, alpha=0.05), 0.3).bijector


# name: (constructor, event shape, dtype, tolerance)
BIJECTORS = {
    "coupling, parity 0": (lambda: coupling(6, 3, 0), (6,), "float64", 1e-10),
    "coupling, parity 1": (lambda: coupling(6, 3, 1), (6,), "float64", 1e-10),
    "coupling, uneven split": (lambda: coupling(5, 3, 1), (5,), "float64", 1e-10),
    "coupling, three axes": (pixelwise_coupling, (2, 3, 4), "float64", 1e-10),
    "logit": (lambda: preprocessing.logit(0.05), (3,), "float32", 1e-4),
    "RealNVP 1x2": (lambda: whole_flow((1, 2, 1)), (1, 2, 1), "float32", 1e-4),
    "RealNVP 3x3x2": (lambda: whole_flow((3, 3, 2)), (3, 3, 2), "float32", 3e-4),
    "RealNVP 4x4": (lambda: whole_flow((4, 4, 1)), (4, 4, 1), "float32", 3e-4),
}


@pytest.fixture(params=BIJECTORS, scope="module")
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


def test_modes_agree(case):
    checks.check_modes_agree(*case)


def test_no_leak(case):
    bijector, x, _, _ = case
    checks.check_no_leak(bijector, x)


def test_checks_can_fail():
    """A coupling that forgets its shift on the way back, and one with a wrong log-determinant."""

    class ForgetsShift(Coupling):
        def _inverse(self, y):
            kept, other = self._parts(y)
            _, log_scale = self._conditioner(kept)
            return self._join(kept, other * tf.exp(-log_scale))

    class WrongLogDet(Coupling):
        def _forward_log_det_jacobian(self, x):
            return 0.5 * super()._forward_log_det_jacobian(x)

    x = tf.constant(np.random.default_rng(0).standard_normal((4, 6)))
    good = coupling(6, 3, 0)._conditioner
    with pytest.raises(AssertionError):
        checks.check_round_trip(ForgetsShift(good, split=3, parity=0), x, 1e-6)
    with pytest.raises(AssertionError):
        checks.check_log_det_against_autodiff(WrongLogDet(good, split=3, parity=0), x, 1, 1e-6)


def test_coupling_formula():
    """Golden numbers from the formula."""
    bijector = Coupling(lambda kept: (kept, tf.math.log(kept)), split=1, parity=0)
    np.testing.assert_allclose(bijector.forward([[2.0, 5.0]]), [[2.0, 5.0 * 2 + 2]], rtol=1e-6)
    np.testing.assert_allclose(bijector.inverse([[2.0, 12.0]]), [[2.0, 5.0]], rtol=1e-6)
    np.testing.assert_allclose(
        bijector.forward_log_det_jacobian([[2.0, 5.0]]), [np.log(2)], rtol=1e-6
    )
