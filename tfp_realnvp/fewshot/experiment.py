"""The few-shot experiment: several routes from the same shots, fitted, scored and drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow_probability import distributions as tfd

from tfp_realnvp import evaluation
from tfp_realnvp.fewshot.gaussians import fit_route, sample_images
from tfp_realnvp.fewshot.multinormal import FittedGaussian
from tfp_realnvp.fewshot.route import BASELINE, CHOSEN, Route, routes_to_compare
from tfp_realnvp.flows import ImageFlow, pixels
from tfp_realnvp.flows.checks import check_images

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
    """

    shots: np.ndarray
    levels: int
    seed: int
    routes: Mapping[str, Route]
    fits: Mapping[str, FittedGaussian]
    unseen: int
    bits_per_dim: Mapping[str, float]

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
            content |= {"unseen_images": self.unseen, "bits_per_dim": dict(self.bits_per_dim)}
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
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
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
    routes = routes_to_compare(chosen, len(shots), flow.dimensions)
    fits = {name: fit_route(flow, shots, route, seed=seed) for name, route in routes.items()}
    scores = {} if unseen is None else _bits_per_dim(flow, routes, fits, unseen)
    count = 0 if unseen is None else len(unseen)
    return Comparison(shots, flow.levels, seed, routes, fits, count, scores)


def _bits_per_dim(
    flow: ImageFlow,
    routes: Mapping[str, Route],
    fits: Mapping[str, FittedGaussian],
    unseen: np.ndarray,
) -> dict[str, float]:
    def score(distribution: tfd.Distribution, dequantizer: Callable | None) -> float:
        def log_prob(images):
            images = check_images(images, flow.image_shape, levels=flow.levels)
            return pixels.log_prob(
                distribution, images, levels=flow.levels, dequantizer=dequantizer
            )

        return evaluation.score(log_prob, unseen)["bits_per_dim"]

    scores = {"flow": score(flow.distribution, flow.dequantizer)}
    for name, fit in fits.items():
        learned_noise = flow.dequantizer if routes[name].space == "latents" else None
        scores[name] = score(fit.distribution, learned_noise)
    return scores
