import numpy as np
import pytest

from tfp_realnvp.fewshot import multinormal
from tfp_realnvp.fewshot.route import COVARIANCES

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.standard_normal((10, 6)) @ RANDOM.standard_normal((6, 6)) + 3


def covariance_of(fit):
    return fit.distribution.covariance().numpy()


def test_diagonal_by_formula():
    fit = multinormal.fit(POINTS)
    np.testing.assert_allclose(fit.distribution.mean(), POINTS.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(covariance_of(fit), np.diag(POINTS.var(axis=0, ddof=1)), atol=1e-4)
    assert fit.raised == 0


def test_spherical_by_formula():
    fit = multinormal.fit(POINTS, covariance="spherical")
    expected = POINTS.var(axis=0, ddof=1).mean() * np.eye(6)
    np.testing.assert_allclose(covariance_of(fit), expected, atol=1e-4)


def test_full_of_many_points_is_the_sample_covariance():
    fit = multinormal.fit(POINTS, covariance="full")
    np.testing.assert_allclose(covariance_of(fit), np.cov(POINTS.T), rtol=1e-3, atol=1e-3)


def test_low_rank_by_formula():
    """The leading eigenvalues stay, the others become their mean."""
    fit = multinormal.fit(POINTS, covariance="full", intrinsic_dimension=2)
    values, vectors = np.linalg.eigh(np.cov(POINTS.T))
    values[:4] = values[:4].mean()
    expected = vectors @ np.diag(values) @ vectors.T
    np.testing.assert_allclose(covariance_of(fit), expected, rtol=1e-3, atol=1e-3)


def test_few_points_in_many_dimensions_need_the_floor():
    points = RANDOM.standard_normal((4, 50))
    fit = multinormal.fit(points, covariance="full", variance_floor=0.25)
    values = np.linalg.eigvalsh(covariance_of(fit))
    np.testing.assert_allclose(values[:47], 0.25, rtol=1e-3)
    expected = np.linalg.eigvalsh(np.cov(points.T))[-3:]
    np.testing.assert_allclose(values[-3:], expected, rtol=1e-3)
    assert fit.raised == 47 and fit.variance_floor == 0.25


def test_density_and_samples_agree():
    fit = multinormal.fit(POINTS, covariance="full", intrinsic_dimension=2, temperature=0.5)
    samples = fit.distribution.sample(20_000, seed=[1, 2]).numpy()
    np.testing.assert_allclose(np.cov(samples.T), covariance_of(fit), rtol=0.1, atol=0.05)
    mean, covariance = POINTS.mean(axis=0), covariance_of(fit).astype(np.float64)
    x = samples[0] - mean
    expected = -0.5 * (
        x @ np.linalg.solve(covariance, x) + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    np.testing.assert_allclose(fit.distribution.log_prob(samples[0]), expected, rtol=1e-3)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_temperature_scales_the_spread(covariance):
    options = {"intrinsic_dimension": 3} if covariance == "full" else {}
    one = covariance_of(multinormal.fit(POINTS, covariance=covariance, **options))
    half = covariance_of(multinormal.fit(POINTS, covariance=covariance, temperature=0.5, **options))
    np.testing.assert_allclose(half, one / 4, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("points", "options", "words"),
    [
        (POINTS[:1], {}, r"`points` must be at least 2 points .n, d., received the shape \[1, 6\]"),
        (POINTS[0], {}, "at least 2 points"),
        (np.ones((10, 6)), {}, "all equal"),
        (POINTS * np.nan, {}, "NaN"),
        (POINTS, {"covariance": "round"}, "diagonal, spherical, full, received 'round'"),
        (POINTS, {"intrinsic_dimension": 3}, "goes with the `covariance` 'full' alone"),
        (POINTS, {"covariance": "full", "intrinsic_dimension": 7}, "from 1 to 6 for 10 points"),
        (POINTS, {"covariance": "full", "intrinsic_dimension": 0}, "from 1 to 6"),
        (POINTS, {"temperature": 0}, "temperature"),
        (POINTS, {"variance_floor": -1}, "variance_floor"),
    ],
)
def test_bad_input(points, options, words):
    with pytest.raises(ValueError, match=words):
        multinormal.fit(points, **options)


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_floor_is_the_likeliest_for_points_left_out(covariance):
    points = np.random.default_rng(0).normal(size=(6, 20)) * np.linspace(0.1, 2, 20)
    floors = [1e-3, 0.1, 1.0, 10.0]
    scores = []
    for floor in floors:
        gaussians = [
            multinormal.fit(
                np.delete(points, out, axis=0), covariance=covariance, variance_floor=floor
            )
            for out in range(6)
        ]
        pairs = zip(gaussians, points.astype(np.float32), strict=True)
        scores.append(sum(float(one.distribution.log_prob(point)) for one, point in pairs))
    best = floors[int(np.argmax(scores))]
    assert multinormal.choose_floor(points, floors, covariance=covariance) == best
    assert multinormal.choose_floor(points, np.array(floors), covariance=covariance) == best


def test_floor_with_as_many_directions_as_points_allow():
    points = np.random.default_rng(0).normal(size=(4, 9))
    options = {"covariance": "full", "intrinsic_dimension": 3}
    assert multinormal.choose_floor(points, [1e-3, 1.0], **options) == 1.0


def test_points_of_a_group_are_left_out_together():
    """A point whose near copy stays is likely under the narrowest Gaussian."""
    random = np.random.default_rng(0)
    points = np.repeat(random.normal(size=(4, 50)), 2, axis=0)
    points += random.normal(0, 1e-2, points.shape)
    options = {"covariance": "full", "intrinsic_dimension": 7}
    assert multinormal.choose_floor(points, [1e-4, 1.0], **options) == 1e-4
    groups = np.arange(8) // 2
    assert multinormal.choose_floor(points, [1e-4, 1.0], groups=groups, **options) == 1.0


def test_floor_needs_points_and_floors():
    with pytest.raises(
        ValueError, match="`points` must be at least 3 to leave one out, received 2"
    ):
        multinormal.choose_floor(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="`floors` must be at least 1 variance"):
        multinormal.choose_floor(np.eye(3), [])
