import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.fewshot import multinormal
from tfp_realnvp.flows.smoothed_bootstrap import SmoothedBootstrap

POINTS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32) * [3.0, 1.0, 0.2]
COVARIANCES = [("full", 2), ("diagonal", None), ("spherical", None)]
VARIANCES = np.float32([0.25, 0.04, 0.01])
FACTORS = np.float32([[0.5, 0.0], [-0.2, 0.3], [0.0, 0.1]])


@pytest.fixture(params=["diagonal", "low rank"])
def factors(request):
    """Of the noise."""
    return FACTORS if request.param == "low rank" else FACTORS[:, :0]


@pytest.fixture
def bootstrap(factors):
    return SmoothedBootstrap(tf.constant(POINTS, tf.float32), VARIANCES, factors)


def test_density_is_that_of_the_mixture(bootstrap, factors):
    covariance = np.diag(VARIANCES) + factors @ factors.T
    points = tf.constant(POINTS, tf.float32)
    components = tfd.MultivariateNormalFullCovariance(points, covariance)
    mixture = tfd.MixtureSameFamily(tfd.Categorical(tf.zeros(7)), components)
    values = tf.random.stateless_normal([2, 5, 3], [0, 1])
    log_probs = bootstrap.log_prob(values)
    np.testing.assert_allclose(log_probs, mixture.log_prob(values), rtol=1e-5)
    assert bootstrap.log_prob(values[0, 0]).shape == ()
    compiled = tf.function(bootstrap.log_prob, autograph=False)
    np.testing.assert_allclose(compiled(values), log_probs, rtol=1e-5)
    np.testing.assert_allclose(bootstrap.mean(), mixture.mean(), rtol=1e-5)


def test_samples_are_points_with_noise(bootstrap, factors):
    samples = bootstrap.sample(40_000, seed=(1, 2)).numpy()
    np.testing.assert_array_equal(samples, bootstrap.sample(40_000, seed=(1, 2)))
    assert np.any(samples != bootstrap.sample(40_000, seed=(1, 3)))
    expected = np.cov(POINTS.T, ddof=0) + np.diag(VARIANCES) + factors @ factors.T
    np.testing.assert_allclose(np.cov(samples.T), expected, atol=0.15)
    np.testing.assert_allclose(samples.mean(axis=0), POINTS.mean(axis=0), atol=0.05)
    assert bootstrap.sample((2, 4), seed=(1, 2)).shape == (2, 4, 3)
    assert bootstrap.sample(seed=(1, 2)).shape == (3,)


@pytest.mark.parametrize(("covariance", "rank"), COVARIANCES)
def test_bandwidths_have_the_moments_of_the_gaussian(covariance, rank):
    options = {"covariance": covariance, "intrinsic_dimension": rank, "temperature": 0.8}
    points = np.repeat(POINTS, 40, axis=0)  # divisors n and n - 1 hardly differ
    points += 0.01 * np.random.default_rng(1).normal(size=points.shape)
    gaussian = multinormal.fit(points, **options).distribution
    mixture = multinormal.fit(points, bandwidth=0.4, **options).distribution
    samples = mixture.sample(40_000, seed=(1, 2)).numpy()
    np.testing.assert_allclose(samples.mean(axis=0), gaussian.mean(), atol=0.05)
    if covariance == "full":
        np.testing.assert_allclose(np.cov(samples.T), gaussian.covariance(), atol=0.2)
    np.testing.assert_allclose(mixture.mean(), gaussian.mean(), atol=1e-3)


@pytest.mark.parametrize("bandwidth", [1.0, 0.4])
@pytest.mark.parametrize(("covariance", "rank"), COVARIANCES)
def test_chosen_floor_is_the_best_of_those_fitted(covariance, rank, bandwidth):
    """By fitting to the others, and scoring what was left out, with all floors."""
    options = {"covariance": covariance, "intrinsic_dimension": rank, "bandwidth": bandwidth}
    floors, groups = [1e-3, 0.03, 1.0, 30.0], np.arange(7) // 2
    sums = []
    for floor in floors:
        sums.append(0.0)
        for group in range(4):
            fitted = multinormal.fit(POINTS[groups != group], variance_floor=floor, **options)
            sums[-1] += np.sum(fitted.distribution.log_prob(POINTS[groups == group].astype("f")))
    best = floors[int(np.argmax(sums))]
    assert multinormal.choose_floor(POINTS, floors, groups=groups, **options) == best


@pytest.mark.parametrize("bandwidth", [0.0, 1.5, -1.0, float("nan")])
def test_bad_bandwidths(bandwidth):
    with pytest.raises(ValueError, match="`bandwidth` must be above 0 and at most 1, received"):
        multinormal.fit(POINTS, bandwidth=bandwidth)
