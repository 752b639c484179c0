"""The few-shot protocol: what is drawn on each route from the same shots, scored against real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.fewshot.adaptation import adapt
from tfp_realnvp.fewshot.affine_maps import AffineMaps
from tfp_realnvp.fewshot.gaussians import (
    check_shots,
    fit_route,
    latent_gaussian,
    sample_images,
)
from tfp_realnvp.fewshot.route import ROUTES
from tfp_realnvp.fewshot.unseen import Unseen, with_fair_floor
from tfp_realnvp.flows import ImageFlow

__all__ = ["Drawn", "draw_routes"]


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


def draw_routes(
    flow: ImageFlow,
    shots: np.ndarray,
    unseen: np.ndarray,
    more: np.ndarray,
    *,
    pictures: int = 1000,
    seed: int = 0,
    maps: AffineMaps | None = None,
    skip: frozenset[str] = frozenset(),
    on_step: Callable[[int], object] = lambda step: None,
) -> Iterator[Drawn]:
    """Draw pictures from the same shots as each of `CONTROLS` does, and on each of `ROUTES`.

    Args:
      flow: a trained flow without labels.
      shots: uint8 [k, height, width, channels], k at least 2, not all equal.
      unseen: uint8 [m, height, width, channels], real images of the same kind, for the bits.
      more: uint8 [at least `pictures`, height, width, channels], other real images of the same kind.
      pictures: how many are drawn on each route.
      seed: of everything that is drawn.
      maps: which affine maps are drawn. None means `AffineMaps()`.
      skip: names of routes that are left out.
      on_step: called after each step of an adaptation.

    Yields:
      A `Drawn` for each route, controls first.

    Raises:
      TypeError, ValueError: as `fit_latent`.

    Example:
      `for drawn in draw_routes(flow, ten_nines, test_nines, train_nines): print(drawn.bits_per_dim)`
    """
    check_shots(shots)
    repeated = np.resize(np.arange(len(shots)), pictures)
    controls = {
        "shots": lambda: shots[repeated],
        "affine_maps": lambda: (maps or AffineMaps())(
            tf.constant(shots[repeated]), seed=[seed, pictures]
        ).numpy(),
        "real": lambda: more[:pictures],
    }
    for name, draw in controls.items():
        if name not in skip:
            yield Drawn(name, draw())
    routes = {name: route for name, route in ROUTES.items() if name not in skip}
    flows = {False: flow}
    if any(route.adapted for route in routes.values()):
        flows[True] = adapt(flow, shots, maps=maps, seed=seed, on_step=on_step)
    scores = {adapted: Unseen(through, unseen) for adapted, through in flows.items()}
    for name, route in routes.items():
        through = flows[route.adapted]
        fair = with_fair_floor(through, shots, route, seed=seed)
        bits = scores[route.adapted].bits_per_dim(shots, fair, seed=seed)
        images = _draw(through, shots, route, pictures, seed)
        yield Drawn(name, images, bits, fair.variance_floor)


def _draw(flow, shots, route, pictures, seed) -> np.ndarray:
    if route.space == "pixels":
        distribution = fit_route(flow, shots, route, seed=seed).distribution
        return sample_images(distribution, pictures, levels=flow.levels, seed=seed).numpy()
    # `decode` is compiled once, however many Gaussians there are
    gaussian = latent_gaussian(flow, shots, seed=seed, **route.options)
    return flow.decode(gaussian.distribution.sample(pictures, seed=to_seed(seed))).numpy()
