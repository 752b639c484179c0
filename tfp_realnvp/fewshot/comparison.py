"""Several routes from the same shots, fitted, scored and drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_realnvp.fewshot.affine_maps import with_maps
from tfp_realnvp.fewshot.gaussians import check_shots, fit_route, sample_images
from tfp_realnvp.fewshot.multinormal import FittedGaussian
from tfp_realnvp.fewshot.route import BASELINE, CHOSEN, Route, routes_to_compare
from tfp_realnvp.fewshot.unseen import Unseen, with_fair_floor
from tfp_realnvp.flows import ImageFlow

__all__ = ["Comparison", "compare"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Routes from the same shots, what was fitted on each, and how well it scores unseen images.

    Attributes:
      shots: uint8 [n, height, width, channels].
      levels: number of grey levels.
      seed: of the shots' dequantization noise.
      routes: by name; `CHOSEN` is the one that the user wants.
      fits: the fitted distributions over images, by the names of their routes.
      unseen: number of unseen images, 0 for none.
      bits_per_dim: mean bits per dimension of the unseen images, by the names of the routes, and of the
        flow itself as "flow". Empty without unseen images.
      fair_routes: the routes with a fair variance floor, see `with_fair_floor`. Empty without unseen images.
      fair_bits_per_dim: mean bits per dimension of the unseen images under these.
    """

    shots: np.ndarray
    levels: int
    seed: int
    routes: Mapping[str, Route]
    fits: Mapping[str, FittedGaussian]
    unseen: int
    bits_per_dim: Mapping[str, float]
    fair_routes: Mapping[str, Route]
    fair_bits_per_dim: Mapping[str, float]

    @property
    def chosen(self) -> Route:
        """The route that the user wants."""
        return self.routes[CHOSEN]

    def draw(self, n: int, *, name: str = CHOSEN, seed: int = 0) -> np.ndarray:
        """Draw images on one route.

        Args:
          n: number of images, at least 1.
          name: of the route.
          seed: the same seed gives the same images.

        Returns:
          uint8 [n, height, width, channels].
        """
        distribution = self.fits[name].distribution
        return sample_images(distribution, n, levels=self.levels, seed=seed).numpy()

    def draw_each(self, n: int, *, seed: int = 0) -> dict[str, np.ndarray]:
        """Draw images on the baseline and on each different route through latents.

        Args:
          n: number of images from each, at least 1.
          seed: the same seed gives the same images.

        Returns:
          uint8 [n, height, width, channels] by the titles of the routes, the baseline first.
        """
        names = {route.title: name for name, route in self.routes.items() if route == BASELINE}
        for name, route in self.routes.items():
            if route.space == "latents":
                names.setdefault(route.title, name)
        return {title: self.draw(n, name=name, seed=seed) for title, name in names.items()}

    def metrics(self) -> dict[str, Any]:
        """What metrics.json of a transfer holds."""
        of_routes = {
            name: {**dataclasses.asdict(route), "title": route.title}
            for name, route in self.routes.items()
        }
        variances = {
            name: {"floor": fit.variance_floor, "raised": fit.raised}
            for name, fit in self.fits.items()
        }
        chosen = of_routes[CHOSEN]
        content = {
            "shots": len(self.shots),
            "seed": self.seed,
            "chosen": {
                key: chosen[key] for key in ("covariance", "intrinsic_dimension", "temperature")
            },
            "routes": of_routes,
            "variances": variances,
        }
        if self.unseen:
            content |= {
                "unseen_images": self.unseen,
                "bits_per_dim": dict(self.bits_per_dim),
                "fair_bits_per_dim": dict(self.fair_bits_per_dim),
                "fair_floors": {
                    name: route.variance_floor for name, route in self.fair_routes.items()
                },
            }
        return content


def compare(
    flow: ImageFlow,
    shots: np.ndarray,
    chosen: Route,
    *,
    unseen: np.ndarray | None = None,
    seed: int = 0,
) -> Comparison:
    """Fit the routes of `routes_to_compare` to the shots, and score unseen images under each.

    Args:
      flow: a trained flow.
      shots: uint8 [n, height, width, channels], n at least 1. If all are equal, only routes with maps are
        compared.
      chosen: the route that the user wants.
      unseen: uint8 [m, height, width, channels], other images of the same kind. None means no scores.
      seed: of the shots' dequantization noise.

    Returns:
      A `Comparison`.

    Raises:
      TypeError, ValueError: as `fit_latent`.

    Example:
      `compare(flow, ten_nines, FOR_PICTURES).draw(40)`
    """
    different = len(np.unique(shots, axis=0))
    routes = routes_to_compare(chosen, different, flow.dimensions)
    points = {name: with_maps(shots, route.maps, seed=seed) for name, route in routes.items()}
    check_shots(points.get(CHOSEN, shots))
    fits = {name: fit_route(flow, points[name], route, seed=seed) for name, route in routes.items()}
    if unseen is None:
        return Comparison(shots, flow.levels, seed, routes, fits, 0, {}, {}, {})
    others = Unseen(flow, unseen)
    fair = {
        name: with_fair_floor(flow, points[name], route, shots=len(shots), seed=seed)
        for name, route in routes.items()
    }

    def score(some):
        return {
            name: others.bits_per_dim(points[name], route, seed=seed)
            for name, route in some.items()
        }

    scores = {"flow": others.bits_per_dim_of_flow(), **score(routes)}
    return Comparison(
        shots, flow.levels, seed, routes, fits, len(unseen), scores, fair, score(fair)
    )
