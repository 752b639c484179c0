import numpy as np
import pytest
import tensorflow as tf
from conftest import dense_first, random_images

from tfp_realnvp import fewshot

SHOTS = random_images(10, (4, 4, 1), seed=3)


@dense_first
def test_latent_gaussian_is_carried_over(flow):
    """Its density is that of the latent Gaussian times the flow's Jacobian."""
    fit = fewshot.fit_latent(flow, SHOTS, covariance="full", intrinsic_dimension=3, seed=1)
    points = tf.random.stateless_uniform((5, 4, 4, 1), [1, 2])
    gaussian = fit.distribution.distribution
    expected = gaussian.log_prob(
        flow.bijector.inverse(points)
    ) + flow.bijector.inverse_log_det_jacobian(tf.identity(points), event_ndims=3)
    np.testing.assert_allclose(fit.distribution.log_prob(points), expected, rtol=1e-4)


def test_mean_of_the_fit_is_the_mean_of_the_latents(flow):
    fit = fewshot.fit_latent(flow, SHOTS, seed=1)
    latents = flow.encode(SHOTS, seed=1).numpy()
    np.testing.assert_allclose(
        fit.distribution.distribution.mean(), latents.mean(axis=0), rtol=1e-4
    )


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_samples(flow, covariance):
    fits = [
        fewshot.fit_latent(flow, SHOTS, covariance=covariance),
        fewshot.fit_pixels(SHOTS, covariance=covariance),
    ]
    for fit in fits:
        images = fewshot.sample_images(fit.distribution, 7, seed=1).numpy()
        assert images.shape == (7, 4, 4, 1) and images.dtype == np.uint8
        np.testing.assert_array_equal(
            images, fewshot.sample_images(fit.distribution, 7, seed=1).numpy()
        )
        assert np.all(np.isfinite(fit.distribution.log_prob(images / np.float32(256))))


def test_cold_samples_are_the_mean(flow):
    fit = fewshot.fit_pixels(SHOTS, temperature=1e-4)
    images = fewshot.sample_images(fit.distribution, 3, seed=0).numpy().astype(float)
    np.testing.assert_allclose(images, np.broadcast_to(SHOTS.mean(axis=0), images.shape), atol=1.5)


def test_pixel_floor_is_that_of_the_dequantization():
    shots = SHOTS.copy()
    shots[:, 0] = 0
    fit = fewshot.fit_pixels(shots)
    assert fit.variance_floor == pytest.approx(1 / (12 * 256**2))
    assert 0 <= fit.raised <= 4


@pytest.mark.parametrize("fit", [fewshot.fit_pixels, None])
@pytest.mark.parametrize(
    ("shots", "error", "words"),
    [
        (SHOTS[:1], ValueError, "`shots` must be at least 2 images, received 1"),
        (np.repeat(SHOTS[:1], 5, axis=0), ValueError, "`shots` are all equal"),
        (SHOTS / 255, TypeError, "must be integers"),
    ],
)
def test_bad_shots(flow, fit, shots, error, words):
    with pytest.raises(error, match=words):
        fit(shots) if fit else fewshot.fit_latent(flow, shots)


def test_shots_of_another_shape(flow):
    with pytest.raises(ValueError, match="4, 4, 1"):
        fewshot.fit_latent(flow, random_images(5, (5, 4, 1)))
    with pytest.raises(ValueError, match="`n` must be at least 1"):
        fewshot.sample_images(flow.distribution, 0)


@pytest.mark.parametrize("space", ["latents", "pixels"])
def test_a_route_leads_where_its_function_does(flow, space):
    options = {"covariance": "full", "intrinsic_dimension": 3, "temperature": 0.5}
    route = fewshot.Route(space=space, variance_floor=0.02, **options)
    fit = fewshot.fit_route(flow, SHOTS, route, seed=1)
    options |= {"variance_floor": 0.02, "seed": 1}
    if space == "latents":
        expected = fewshot.fit_latent(flow, SHOTS, **options)
    else:
        expected = fewshot.fit_pixels(SHOTS, levels=flow.levels, **options)
    points = tf.random.stateless_uniform((5, 4, 4, 1), [1, 2])
    np.testing.assert_allclose(
        fit.distribution.log_prob(points), expected.distribution.log_prob(points), rtol=1e-5
    )
    assert (fit.variance_floor, fit.raised) == (0.02, expected.raised)


def test_floors_are_those_of_the_space(flow):
    for space, floor in (("latents", 0.01), ("pixels", 1 / (12 * 256**2))):
        fit = fewshot.fit_route(flow, SHOTS, fewshot.Route(space=space))
        assert fit.variance_floor == pytest.approx(floor)
