import dataclasses

import keras
import numpy as np
import pytest
from conftest import FLOWS, perturb, random_images

from tfp_realnvp.fewshot import (
    ADAPTED,
    BASELINE,
    FOR_PICTURES,
    Route,
    few_shot_flow,
    fit_route,
    with_maps,
)
from tfp_realnvp.flows import FewShotFlow, IdentityFlow, pixels
from tfp_realnvp.queries import diagnose_latents

SHOTS = random_images(5, (4, 4, 1), seed=3)
IMAGES = random_images(6, (4, 4, 1), seed=4)
ROUTES = {
    "mixture": dataclasses.replace(ADAPTED, maps=20),
    "low_rank": FOR_PICTURES,
    "diagonal": Route(covariance="diagonal"),
    "baseline": BASELINE,
    "pixels_mixture": Route(space="pixels", bandwidth=0.5),
}


@pytest.fixture(scope="module")
def flow():
    flow = FLOWS["multiscale"]()
    flow.adapt(random_images(1000, (4, 4, 1)))
    return perturb(flow, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTES)
def test_is_the_fitted_distribution(flow, name, tmp_path):
    route = ROUTES[name]
    few = few_shot_flow(flow, SHOTS, route, seed=2)
    points = with_maps(SHOTS, route.maps, seed=2)
    fitted = fit_route(flow, points, route.for_shots(5, 16), seed=2).distribution
    expected = pixels.log_prob(
        fitted, IMAGES, levels=256, noise=pixels.image_noise(IMAGES, np.int32([0, 0]))
    )
    np.testing.assert_allclose(few.log_prob(IMAGES), expected, rtol=1e-4)
    points = pixels.dequantize(IMAGES, 0.5, levels=256)
    np.testing.assert_allclose(
        few.distribution.log_prob(points), fitted.log_prob(points), rtol=1e-4
    )
    drawn = few.sample(12, seed=1).numpy()
    np.testing.assert_array_equal(few.sample_rows(4, 12, seed=1), drawn[4:])
    few.save(tmp_path / "few.keras")
    loaded = keras.saving.load_model(tmp_path / "few.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.sample(12, seed=1), drawn)
    np.testing.assert_array_equal(loaded.log_prob(IMAGES), few.log_prob(IMAGES))
    np.testing.assert_array_equal(few.decode(few.encode(IMAGES)), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixture", "low_rank", "diagonal"])
def test_latents_are_those_of_the_distribution(flow, name):
    """By their moments: the table of latents is made in another way than TFP draws."""
    few = few_shot_flow(flow, SHOTS, ROUTES[name])
    latents = few.draw_latents(40_000, 1.0, np.int32([1, 2])).numpy().reshape(-1, 16)
    expected = few.mixture.distribution().sample(40_000, seed=(3, 4)).numpy()
    spread = expected.std(axis=0)
    np.testing.assert_allclose(few.mixture.standard_deviations(), spread, rtol=0.05)
    np.testing.assert_allclose(latents.mean(axis=0), expected.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(latents.T), np.cov(expected.T), atol=0.05 * spread.max() ** 2)
    cool = few.draw_latents(40_000, 0.5, np.int32([1, 2])).numpy().reshape(-1, 16)
    mean = np.mean(few.mixture.centers, axis=0)
    np.testing.assert_allclose(cool - mean, (latents - mean) / 2, atol=1e-4)


@pytest.mark.slow
def test_diagnosis_is_in_its_own_standard_deviations(flow):
    few = few_shot_flow(flow, SHOTS, FOR_PICTURES)
    own = diagnose_latents(few, few.sample(2000, seed=0).numpy(), seed=1).summary()
    assert abs(own["mean"]) < 0.1 and abs(own["standard_deviation"] - 1) < 0.2
    other = diagnose_latents(few, IMAGES).summary()
    assert other["standard_deviation"] > 1.2


@pytest.mark.slow
def test_of_the_flow_of_a_label(tmp_path):
    told = FLOWS["realnvp"](labels=(3, 5))
    told.adapt(random_images(1000, (4, 4, 1)))
    few = few_shot_flow(perturb(told).given(3), SHOTS, FOR_PICTURES)
    few.save(tmp_path / "few.keras")
    loaded = keras.saving.load_model(tmp_path / "few.keras")
    np.testing.assert_array_equal(loaded.sample(4, seed=1), few.sample(4, seed=1))
    with pytest.raises(ValueError, match="`flow` must be told nothing, received one with labels"):
        FewShotFlow(told)


def test_bad_arguments(flow):
    for name, value in (
        ("centers", 0),
        ("centers", 10**9),
        ("rank", -1),
        ("rank", 17),
        ("rank", 1.5),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer from"):
            FewShotFlow(flow, **{name: value})
    with pytest.raises(ValueError, match="need independent latents"):
        few_shot_flow(flow, SHOTS, FOR_PICTURES).bits_per_pixel(IMAGES)
    with pytest.raises(ValueError, match="`shots` must be at least 2 images, received 1"):
        few_shot_flow(flow, SHOTS[:1], FOR_PICTURES)


def test_identity():
    flow = IdentityFlow((4, 4, 1), seed=0)
    np.testing.assert_allclose(flow.encode(IMAGES), (IMAGES + 0.5) / 256, rtol=1e-6)
    np.testing.assert_array_equal(flow.decode(flow.encode(IMAGES)), IMAGES)
