import dataclasses

import numpy as np
import pytest
from conftest import dense_first, of_couplings, perturb, random_images

from tfp_realnvp import fewshot
from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.fewshot import Route, Unseen, draw_routes, with_fair_floor
from tfp_realnvp.fewshot.route import CONTROLS, ROUTES
from tfp_realnvp.fewshot.unseen import FLOORS
from tfp_realnvp.flows import pixels

SHOTS = random_images(5, (4, 4, 1), seed=3)
UNSEEN = random_images(20, (4, 4, 1), seed=4)
MORE = random_images(30, (4, 4, 1), seed=5)
WITHOUT_ADAPTATION = frozenset({"adapted"})


def test_controls_are_drawn_from_what_they_say(flow):
    drawn = {
        one.route: one
        for one in draw_routes(
            Unseen(flow, UNSEEN), SHOTS, MORE, pictures=12, skip=frozenset(ROUTES)
        )
    }
    assert list(drawn) == list(CONTROLS)
    np.testing.assert_array_equal(drawn["shots"].images, SHOTS[np.arange(12) % 5])
    np.testing.assert_array_equal(drawn["real"].images, MORE[:12])
    maps = drawn["affine_maps"].images
    assert maps.shape == (12, 4, 4, 1) and maps.dtype == np.uint8
    assert len(np.unique(maps, axis=0)) == 12
    assert all(one.bits_per_dim is None and one.variance_floor is None for one in drawn.values())


@pytest.mark.slow
@of_couplings
def test_bits_are_those_of_the_route_with_the_chosen_floor(flow):
    """Computed here through the flow's bijector, and there from the flow's scores and the latents."""
    drawn = list(
        draw_routes(
            Unseen(flow, UNSEEN),
            SHOTS,
            MORE,
            pictures=8,
            seed=2,
            skip=WITHOUT_ADAPTATION | {*CONTROLS},
        )
    )
    assert [one.route for one in drawn] == [name for name in ROUTES if name != "adapted"]
    for one in drawn:
        assert one.images.shape == (8, 4, 4, 1) and one.images.dtype == np.uint8
        assert one.variance_floor in FLOORS
        route = ROUTES[one.route].for_shots(5, 16)
        route = dataclasses.replace(route, variance_floor=one.variance_floor)
        points = fewshot.with_maps(SHOTS, route.maps, seed=2)
        fit = fewshot.fit_route(flow, points, route, seed=2)
        dequantizer = flow.dequantizer if route.space == "latents" else None
        log_probs = pixels.log_prob(fit.distribution, UNSEEN, levels=256, dequantizer=dequantizer)
        expected = np.mean(pixels.bits_per_dim(log_probs, (4, 4, 1)))
        assert one.bits_per_dim == pytest.approx(expected, rel=1e-3), one.route


@pytest.mark.slow
@of_couplings
def test_adapted_route_is_that_of_the_adapted_flow(flow, monkeypatch):
    adapted = perturb(type(flow).from_config(flow.get_config()), seed=7)
    adapter = fewshot.Adapter(flow)
    told = {}

    def adapt(self, *arguments, **options):
        told.update(options, arguments=arguments)
        return adapted

    monkeypatch.setattr(fewshot.Adapter, "__call__", adapt)
    skip = frozenset({*CONTROLS, *ROUTES}) - {"adapted"}
    unseen = Unseen(flow, UNSEEN)
    (drawn,) = draw_routes(
        unseen, SHOTS, MORE, adapter=adapter, pictures=8, seed=2, skip=skip, on_step=print
    )
    assert told == {"arguments": (SHOTS,), "seed": 2, "on_step": print}
    route = ROUTES["adapted"].for_shots(5, 16)
    points = fewshot.with_maps(SHOTS, route.maps, seed=2)
    gaussian = fewshot.latent_gaussian(adapted, points, seed=2, **route.options)
    expected = adapted.decode(gaussian.distribution.sample(8, seed=to_seed(2)))
    np.testing.assert_array_equal(drawn.images, expected)
    fair = with_fair_floor(adapted, points, route, shots=5, seed=2)
    assert drawn.bits_per_dim == Unseen(adapted, UNSEEN).bits_per_dim(points, fair, seed=2)


@pytest.mark.slow
@of_couplings
def test_one_shot_leads_to_routes_with_maps_alone(flow, monkeypatch):
    monkeypatch.setattr(fewshot.Adapter, "__call__", lambda self, shots, **_: flow)
    for shots in (SHOTS[:1], SHOTS[[1, 1]]):
        drawn = list(draw_routes(Unseen(flow, UNSEEN), shots, MORE, pictures=8))
        assert [one.route for one in drawn] == [*CONTROLS, "pixels_mixture", "adapted"]
        assert np.isfinite(drawn[-1].bits_per_dim)
    assert fewshot.names_of_routes(1) == (*CONTROLS, "pixels_mixture", "adapted")
    assert fewshot.names_of_routes(2) == (*CONTROLS, *ROUTES)


@pytest.mark.slow
def test_the_same_seed_draws_the_same(flow):
    skip = WITHOUT_ADAPTATION | {"real"}
    first, same, other = (
        [
            one.images
            for one in draw_routes(
                Unseen(flow, UNSEEN), SHOTS, MORE, pictures=8, seed=seed, skip=skip
            )
        ]
        for seed in (1, 1, 2)
    )
    for images, again, others in zip(first[1:], same[1:], other[1:], strict=True):
        np.testing.assert_array_equal(images, again)
        assert np.any(images != others)


def test_adaptation_is_of_latents():
    with pytest.raises(ValueError, match="`adapted` goes with the `space` latents alone"):
        Route(space="pixels", adapted=True)
    assert Route(adapted=True).title == "a Gaussian on latents after adaptation, full"


def test_two_shots_say_nothing_about_the_floor(flow):
    """None can be left out, so the route's own floor stands."""
    for shots in (SHOTS[:2], SHOTS[[0, 0, 1]]):
        assert with_fair_floor(flow, shots, Route(variance_floor=0.3)).variance_floor == 0.3
    floor = with_fair_floor(flow, SHOTS[:2], Route(space="pixels")).variance_floor
    assert floor == pytest.approx(1 / (12 * 256**2))


@dense_first
def test_fair_floor_is_fairer(flow):
    """Shots that are left out, and unseen images like them, are likelier than with the floor for pictures."""
    route = ROUTES["latent_low_rank"]
    fair = with_fair_floor(flow, SHOTS, route)
    assert fair == dataclasses.replace(route, variance_floor=fair.variance_floor)
    others = Unseen(flow, UNSEEN)
    assert others.bits_per_dim(SHOTS, fair) < others.bits_per_dim(SHOTS, route)
