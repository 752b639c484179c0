import json

import numpy as np
import pytest
from conftest import DENSE_FIRST, FLOWS, perturb, random_images

from tfp_realnvp import evaluation, fewshot
from tfp_realnvp.cli.output import transfer_lines
from tfp_realnvp.flows import pixels

SHOTS = random_images(5, (4, 4, 1), seed=3)
UNSEEN = random_images(20, (4, 4, 1), seed=4)
NAMES = [
    f"{space}_{kind}"
    for space in ("latent", "pixels")
    for kind in ("diagonal", "low_rank", "chosen")
]


@pytest.fixture(scope="module", params=DENSE_FIRST)
def flow(request):
    """As everywhere, but one for all tests: none changes it."""
    flow = FLOWS[request.param]()
    flow.adapt(random_images(1000, flow.image_shape))
    return perturb(flow)


@pytest.fixture(scope="module")
def comparison(flow):
    return fewshot.compare(flow, SHOTS, fewshot.FOR_PICTURES, unseen=UNSEEN, seed=1)


@pytest.mark.parametrize(
    ("route", "title"),
    [
        (fewshot.BASELINE, "a Gaussian on pixels, diagonal (the baseline)"),
        (fewshot.Route(covariance="spherical"), "a Gaussian on latents, spherical"),
        (
            fewshot.Route(space="pixels", intrinsic_dimension=3, temperature=0.5),
            "a Gaussian on pixels, low rank (3), temperature 0.5",
        ),
    ],
)
def test_titles(route, title):
    assert route.title == title


@pytest.mark.parametrize(
    ("shots", "dimensions", "rank"), [(10, 784, 9), (50, 784, 9), (5, 784, 4), (10, 6, 6)]
)
def test_rank_is_what_the_shots_allow(shots, dimensions, rank):
    assert fewshot.Route().for_shots(shots, dimensions).intrinsic_dimension == rank
    chosen = fewshot.Route(intrinsic_dimension=2)
    assert chosen.for_shots(shots, dimensions) == chosen
    diagonal = fewshot.Route(covariance="diagonal")
    assert diagonal.for_shots(shots, dimensions) == diagonal


def test_only_routes_through_latents_are_adapted():
    routes = fewshot.routes_to_compare(fewshot.ADAPTED, shots=10, dimensions=784)
    assert {name: route.adapted for name, route in routes.items()} == {
        name: name.startswith("latent") for name in NAMES
    }
    title = "a mixture (bandwidth 0.5) on latents of maps after adaptation, low rank (60), temperature 0.85"
    assert routes["latent_chosen"].title == title


def test_one_shot_leads_on_with_maps_alone():
    routes = fewshot.routes_to_compare(fewshot.ADAPTED, shots=1, dimensions=784)
    assert list(routes) == ["latent_chosen", "pixels_chosen"]
    assert {route.intrinsic_dimension for route in routes.values()} == {60}


@pytest.mark.slow
def test_one_shot_with_maps(flow):
    """The Gaussian is fitted to the shot and its maps."""
    chosen = fewshot.Route(maps=20, intrinsic_dimension=3)
    comparison = fewshot.compare(flow, SHOTS[:1], chosen, unseen=UNSEEN, seed=4)
    points = fewshot.with_maps(SHOTS[:1], 20, seed=4)
    expected = fewshot.fit_route(flow, points, chosen, seed=4).distribution
    found = comparison.fits["latent_chosen"].distribution
    np.testing.assert_allclose(found.distribution.mean(), expected.distribution.mean(), rtol=1e-5)
    assert np.isfinite(list(comparison.fair_bits_per_dim.values())).all()
    with pytest.raises(
        ValueError, match="`shots` must be at least 2 images, received 1: give more"
    ):
        fewshot.compare(flow, SHOTS[:1], fewshot.Route())
    with pytest.raises(ValueError, match="`shots` are all equal"):
        fewshot.compare(flow, SHOTS[[0, 0]], fewshot.Route())


def test_bad_routes():
    with pytest.raises(ValueError, match="`space` must be one of latents, pixels, received 'sky'"):
        fewshot.Route(space="sky")
    with pytest.raises(ValueError, match="`covariance` must be one of diagonal, .* 'round'"):
        fewshot.Route(covariance="round")
    for name, value, words in (
        ("maps", -1, "from 0 to 10,000"),
        ("bandwidth", 1.5, "from 0.01 to 1"),
        ("temperature", 0.0, "above 0"),
        ("variance_floor", float("nan"), "above 0"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be {words}, received {value}"):
            fewshot.Route(**{name: value})


def test_every_score_is_that_of_its_own_route(flow, comparison):
    assert list(comparison.routes) == list(comparison.fits) == NAMES
    assert list(comparison.bits_per_dim) == ["flow", *NAMES]
    expected = evaluation.score(flow.log_prob, UNSEEN)["bits_per_dim"]
    assert comparison.bits_per_dim["flow"] == pytest.approx(expected, rel=1e-4)
    for name, route in comparison.routes.items():
        assert route.space == ("latents" if name.startswith("latent") else "pixels")
        fit = fewshot.fit_route(flow, SHOTS, route, seed=1)
        log_probs = pixels.log_prob(fit.distribution, UNSEEN, levels=256)
        expected = np.mean(pixels.bits_per_dim(log_probs, (4, 4, 1)))
        assert comparison.bits_per_dim[name] == pytest.approx(expected, rel=1e-4), name


@pytest.mark.slow
def test_learned_noise_counts_on_latents_alone(small):
    flow = small(dequantization="variational")
    flow.adapt(random_images(1000, flow.image_shape))
    comparison = fewshot.compare(flow, SHOTS, fewshot.BASELINE, unseen=UNSEEN)
    for name, dequantizer in (("latent_diagonal", flow.dequantizer), ("pixels_diagonal", None)):
        distribution = comparison.fits[name].distribution
        log_probs = pixels.log_prob(distribution, UNSEEN, levels=256, dequantizer=dequantizer)
        expected = np.mean(pixels.bits_per_dim(log_probs, (4, 4, 1)))
        assert comparison.bits_per_dim[name] == pytest.approx(expected, rel=1e-4)


def test_the_floor_is_that_of_latents_alone(flow):
    chosen = fewshot.Route(covariance="diagonal", variance_floor=0.5)
    comparison = fewshot.compare(flow, SHOTS, chosen)
    floors = [comparison.fits[name].variance_floor for name in NAMES]
    assert floors[:3] == [0.5] * 3
    assert floors[3:] == pytest.approx([1 / (12 * 256**2)] * 3)


def test_metrics(flow, comparison):
    metrics = json.loads(json.dumps(comparison.metrics(), allow_nan=False))
    assert metrics["shots"] == 5 and metrics["seed"] == 1 and metrics["unseen_images"] == 20
    assert metrics["chosen"] == {
        "covariance": "full", "intrinsic_dimension": 4, "temperature": 0.7
    }  # fmt: skip
    assert set(metrics["bits_per_dim"]) == {"flow", *NAMES}
    assert set(metrics["fair_bits_per_dim"]) == set(metrics["fair_floors"]) == set(NAMES)
    for name in NAMES:
        fair = fewshot.with_fair_floor(flow, SHOTS, comparison.routes[name], seed=1)
        assert metrics["fair_floors"][name] == fair.variance_floor
        bits = fewshot.Unseen(flow, UNSEEN).bits_per_dim(SHOTS, fair, seed=1)
        assert metrics["fair_bits_per_dim"][name] == pytest.approx(bits, rel=1e-4)
        assert metrics["routes"][name]["title"] == comparison.routes[name].title
        assert metrics["variances"][name]["raised"] == comparison.fits[name].raised


def test_without_unseen_images_there_are_no_scores(flow):
    comparison = fewshot.compare(flow, SHOTS, fewshot.FOR_PICTURES)
    assert comparison.unseen == 0 and comparison.bits_per_dim == {}
    assert comparison.fair_routes == comparison.fair_bits_per_dim == {}
    missing = {"unseen_images", "bits_per_dim", "fair_bits_per_dim", "fair_floors"}
    assert missing.isdisjoint(comparison.metrics())


@pytest.mark.slow
def test_pictures(flow, comparison):
    drawn = comparison.draw_each(3, seed=2)
    assert list(drawn) == [
        "a Gaussian on pixels, diagonal (the baseline)",
        "a Gaussian on latents, diagonal",
        "a Gaussian on latents, low rank (4)",
        "a Gaussian on latents, low rank (4), temperature 0.7",
    ]
    np.testing.assert_array_equal(list(drawn.values())[-1], comparison.draw(3, seed=2))
    same = fewshot.compare(flow, SHOTS, fewshot.Route())
    assert len(same.draw_each(1)) == 3  # the chosen route is the low-rank one: drawn once


def test_table_has_a_line_for_each_route_of_temperature_1(comparison):
    first, *lines, last = transfer_lines({**comparison.metrics(), "label": 9, "learned": False})
    assert first.split("  ")[0] == "bits per dimension of 20 unseen images of label 9 under"
    assert first.endswith("as drawn  fair floor") and last.startswith("(fair floor: ")
    names = {
        "a Gaussian on latents, diagonal": "latent_diagonal",
        "a Gaussian on latents, low rank (4)": "latent_low_rank",
        "a Gaussian on pixels, diagonal (the baseline)": "pixels_diagonal",
        "a Gaussian on pixels, low rank (4)": "pixels_low_rank",
    }
    expected = {"the flow with its own prior": [comparison.bits_per_dim["flow"]]} | {
        title: [comparison.bits_per_dim[name], comparison.fair_bits_per_dim[name]]
        for title, name in names.items()
    }
    start = len(first) - len("    as drawn  fair floor")
    found = {line[:start].strip(): line[start:].split() for line in lines}
    assert found == {
        title: [f"{value:.3f}" for value in values] for title, values in expected.items()
    }
