"""Unseen images under few-shot distributions, and a variance floor that is fair to them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from tfp_realnvp.fewshot import multinormal
from tfp_realnvp.fewshot.gaussians import route_points
from tfp_realnvp.fewshot.route import Route
from tfp_realnvp.flows import ImageFlow, pixels

__all__ = ["Unseen", "with_fair_floor"]

FLOORS = np.geomspace(1e-4, 10.0, 16)  # variances to choose among


def with_fair_floor(
    flow: ImageFlow, images: np.ndarray, route: Route, *, shots: int | None = None, seed: int = 0
) -> Route:
    """The route with the variance floor under which shots are likeliest that are left out, one at a time.

    Ten shots say nothing about the variance in most directions. A small floor there makes for good pictures,
    but all other images fall out of such a distribution.

    Args:
      flow: the flow of the route.
      images: uint8 [n, height, width, channels], n at least 2: the shots, and their maps if the route has them.
        With fewer than three different shots, nothing can be left out, and the floor is that of the route.
      route: from the shots to a distribution.
      shots: number of shots; a shot is left out with its maps. None means that all images are shots.
      seed: of the shots' dequantization noise.

    Returns:
      A route whose `variance_floor` is a number.

    Raises:
      TypeError, ValueError: as `fit_latent`.

    Example:
      `with_fair_floor(flow, ten_nines, FOR_PICTURES).variance_floor`
    """
    floor = route.floor(flow.levels)
    shots = len(images) if shots is None else shots
    if len(np.unique(images[:shots], axis=0)) > 2:
        options = {name: value for name, value in route.options.items() if name != "variance_floor"}
        points = route_points(flow, images, route, seed=seed)
        groups = np.arange(len(images)) % shots  # see `with_maps`
        floor = multinormal.choose_floor(points, FLOORS, groups=groups, **options)
    return dataclasses.replace(route, variance_floor=floor)


class Unseen:
    """Scores images that a few-shot distribution was not fitted to.

    The images go through the flow once, however many routes there are.

    Args:
      flow: the flow of the routes.
      images: uint8 [n, height, width, channels].

    Attributes:
      flow: as given.
      images: as given.

    Example:
      `Unseen(flow, test_nines).bits_per_dim(ten_nines, with_fair_floor(flow, ten_nines, route))`
    """

    def __init__(self, flow: ImageFlow, images: np.ndarray):
        self.flow = flow
        self.images = images

    def bits_per_dim(self, images: np.ndarray, route: Route, *, seed: int = 0) -> float:
        """The mean over the images under the distribution of a route.

        Args:
          images: uint8 [k, height, width, channels], k at least 2, not all equal: the shots, and their maps if
            the route has them.
          route: from the shots to a distribution.
          seed: of the shots' dequantization noise.

        Raises:
          TypeError, ValueError: as `fit_latent`.
        """
        flow = self.flow
        points = route_points(flow, images, route, seed=seed)
        options = {**route.options, "variance_floor": route.floor(flow.levels)}
        gaussian = multinormal.fit(points, **options).distribution
        if route.space == "latents":
            values = gaussian.log_prob(self._latents).numpy() + self._log_dets
        else:
            values = gaussian.log_prob(route_points(flow, self.images, route)).numpy()
            values -= flow.dimensions * np.log(flow.levels)
        return float(np.mean(pixels.bits_per_dim(values, flow.image_shape)))

    def bits_per_dim_of_flow(self) -> float:
        """The mean over the images under the flow's own distribution."""
        return float(np.mean(pixels.bits_per_dim(self._log_probs, self.flow.image_shape)))

    @functools.cached_property
    def _log_probs(self) -> np.ndarray:
        return self.flow.log_prob(self.images).numpy()

    @functools.cached_property
    def _latents(self) -> np.ndarray:
        """With the noise of `_log_probs`, [n, d]."""
        return self.flow.encode(self.images, seed=0).numpy().reshape(len(self.images), -1)

    @functools.cached_property
    def _log_dets(self) -> np.ndarray:
        """What the flow's log_prob has besides that of the latents, [n]."""
        latents = self._latents.reshape(-1, *self.flow.image_shape)
        return self._log_probs - self.flow.base_distribution().log_prob(latents).numpy()
