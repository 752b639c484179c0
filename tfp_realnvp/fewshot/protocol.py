"""The few-shot protocol: what is drawn on each route from the same shots, scored against real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.fewshot.adaptation import Adapter
from tfp_realnvp.fewshot.affine_maps import with_maps
from tfp_realnvp.fewshot.gaussians import (
    fit_route,
    latent_gaussian,
    sample_images,
)
from tfp_realnvp.fewshot.route import CONTROLS, ROUTES
from tfp_realnvp.fewshot.unseen import Unseen, with_fair_floor

__all__ = ["Drawn", "draw_routes", "names_of_routes"]


class Drawn(NamedTuple):
    """Pictures of one route.

    Attributes:
      route: its name.
      images: uint8 [n, height, width, channels].
      bits_per_dim: mean of unseen images under the route's distribution with a fair variance floor, see
        `with_fair_floor`; None for a control. The pictures are drawn with the route's own floor.
      variance_floor: the fair one, or None.
    """

    route: str
    images: np.ndarray
    bits_per_dim: float | None = None
    variance_floor: float | None = None


def names_of_routes(shots: int) -> tuple[str, ...]:
    """The names of what is drawn from so many different shots: of the controls, and of the routes.

    A Gaussian needs two different points: with one shot, only routes with maps have them.
    """
    routes = (name for name, route in ROUTES.items() if shots + route.maps > 1)
    return (*CONTROLS, *routes)


def draw_routes(
    unseen: Unseen,
    shots: np.ndarray,
    more: np.ndarray,
    *,
    adapter: Adapter | None = None,
    pictures: int = 1000,
    seed: int = 0,
    skip: frozenset[str] = frozenset(),
    on_step: Callable[[int], object] = lambda step: None,
) -> Iterator[Drawn]:
    """Draw pictures from the same shots as each of `CONTROLS` does, and on each of `ROUTES`.

    Args:
      unseen: real images of the same kind, for the bits, and a trained flow without labels.
      shots: uint8 [k, height, width, channels], k at least 1. If all are equal, only routes with maps are
        followed.
      more: uint8 [at least `pictures`, height, width, channels], other real images of the same kind.
      adapter: of the flow; its maps are those of the control, too. None means `Adapter(unseen.flow)`. Give the
        same one for other shots: it is compiled once.
      pictures: how many are drawn on each route.
      seed: of everything that is drawn.
      skip: names of routes that are left out.
      on_step: called after each step of an adaptation.

    Yields:
      A `Drawn` for each route, controls first.

    Raises:
      TypeError, ValueError: as `fit_latent`.

    Example:
      `for drawn in draw_routes(Unseen(flow, test_nines), ten_nines, train_nines): print(drawn.bits_per_dim)`
    """
    flow = unseen.flow
    adapter = adapter or Adapter(flow)
    repeated = np.resize(np.arange(len(shots)), pictures)
    controls = {
        "shots": lambda: shots[repeated],
        "affine_maps": lambda: adapter.maps(
            tf.constant(shots[repeated]), seed=[seed, pictures]
        ).numpy(),
        "real": lambda: more[:pictures],
    }
    for name, draw in controls.items():
        if name not in skip:
            yield Drawn(name, draw())
    possible = set(names_of_routes(len(np.unique(shots, axis=0)))) - skip
    routes = {
        name: route.for_shots(len(shots), flow.dimensions)
        for name, route in ROUTES.items()
        if name in possible
    }
    scores = {False: unseen}
    if any(route.adapted for route in routes.values()):
        scores[True] = Unseen(adapter(shots, seed=seed, on_step=on_step), unseen.images)
    for name, route in routes.items():
        through = scores[route.adapted].flow
        points = with_maps(shots, route.maps, maps=adapter.maps, seed=seed)
        fair = with_fair_floor(through, points, route, shots=len(shots), seed=seed)
        bits = scores[route.adapted].bits_per_dim(points, fair, seed=seed)
        images = _draw(through, points, route, pictures, seed)
        yield Drawn(name, images, bits, fair.variance_floor)


def _draw(flow, shots, route, pictures, seed) -> np.ndarray:
    if route.space == "pixels":
        distribution = fit_route(flow, shots, route, seed=seed).distribution
        return sample_images(distribution, pictures, levels=flow.levels, seed=seed).numpy()
    # `decode` is compiled once, however many Gaussians there are
    gaussian = latent_gaussian(flow, shots, seed=seed, **route.options)
    return flow.decode(gaussian.distribution.sample(pictures, seed=to_seed(seed))).numpy()
