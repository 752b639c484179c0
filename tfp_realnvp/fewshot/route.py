"""Routes: the ways from a few images to a distribution over images. This module does without TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

__all__ = [
    "ADAPTED",
    "BASELINE",
    "CHOSEN",
    "CHOSEN_ON_PIXELS",
    "CONTROLS",
    "COVARIANCES",
    "FOR_PICTURES",
    "INTRINSIC_DIMENSION",
    "LATENT_VARIANCE_FLOOR",
    "ROUTES",
    "SPACES",
    "Covariance",
    "Route",
    "Space",
    "default_floor",
    "routes_to_compare",
]

CHOSEN = "latent_chosen"  # name of the route that the user wants, among those it is compared with
CHOSEN_ON_PIXELS = "pixels_chosen"  # and of the same on pixels

Covariance = Literal["diagonal", "spherical", "full"]
COVARIANCES = get_args(Covariance)
Space = Literal["latents", "pixels"]
SPACES = get_args(Space)

# Latents of training images have variance 1. Every direction of the shots' latents varies by more than this.
LATENT_VARIANCE_FLOOR = 0.01
INTRINSIC_DIMENSION = 9  # of a low-rank covariance, if there are enough shots for it
INTRINSIC_DIMENSION_OF_MAPS = 60  # and with affine maps of the shots
SMALLEST_BANDWIDTH = 0.01
MOST_MAPS = 10_000  # all of their points are in memory at the same time


def default_floor(space: Space, levels: int) -> float:
    """The variance floor if none is given: for pixels, the variance of the noise within a grey level."""
    return LATENT_VARIANCE_FLOOR if space == "latents" else 1 / (12 * levels**2)


@dataclasses.dataclass(frozen=True)
class Route:
    """A way from shots to a distribution over images: a Gaussian, fitted to their latents or their pixels.

    `gaussians.fit_route` follows it; `multinormal.fit` explains the covariances.

    Attributes:
      space: where the Gaussian is fitted, one of `SPACES`.
      covariance: one of `COVARIANCES`.
      intrinsic_dimension: number of directions with a covariance of their own, with "full" alone. None means
        as many as the shots allow.
      temperature: scale of the Gaussian's standard deviations, above 0.
      bandwidth: from 0.01 to 1. Below 1, the Gaussian becomes a mixture of Gaussians around the points.
      variance_floor: smallest variance of a direction, above 0. None means `LATENT_VARIANCE_FLOOR` for
        latents, and the variance of the dequantization noise for pixels.
      adapted: whether the latents are those of a copy of the flow that was first trained on from the shots,
        see `adaptation.adapt`. Whoever follows such a route gives this copy as the flow.
      maps: how many affine maps of the shots the Gaussian is fitted to beside the shots, from 0 to 10,000.
        Whoever follows such a route gives the shots with their maps, see `affine_maps.with_maps`.

    Example:
      >>> Route(intrinsic_dimension=9, temperature=0.7).title
      'a Gaussian on latents, low rank (9), temperature 0.7'
    """

    space: Space = "latents"
    covariance: Covariance = "full"
    intrinsic_dimension: int | None = None
    temperature: float = 1.0
    bandwidth: float = 1.0
    variance_floor: float | None = None
    adapted: bool = False
    maps: int = 0

    def __post_init__(self):
        for name, known in (("space", SPACES), ("covariance", COVARIANCES)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, received {value!r}.")
        if self.adapted and self.space != "latents":
            raise ValueError("`adapted` goes with the `space` latents alone: leave it out.")
        for name in ("temperature", "variance_floor"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be above 0, received {value}.")
        if not SMALLEST_BANDWIDTH <= self.bandwidth <= 1:
            raise ValueError(
                f"`bandwidth` must be from {SMALLEST_BANDWIDTH} to 1, received {self.bandwidth}."
            )
        if not 0 <= self.maps <= MOST_MAPS:
            raise ValueError(f"`maps` must be from 0 to {MOST_MAPS:,}, received {self.maps}.")

    @property
    def title(self) -> str:
        """The route in words, for tables and pictures."""
        rank = self.intrinsic_dimension
        covariance = self.covariance if rank is None else f"low rank ({rank})"
        heat = "" if self.temperature == 1 else f", temperature {self.temperature:g}"
        baseline = " (the baseline)" if self == BASELINE else ""
        adapted = " after adaptation" if self.adapted else ""
        maps = " of maps" if self.maps else ""
        kind = "a Gaussian" if self.bandwidth == 1 else f"a mixture (bandwidth {self.bandwidth:g})"
        return f"{kind} on {self.space}{maps}{adapted}, {covariance}{heat}{baseline}"

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `multinormal.fit`."""
        return {
            "covariance": self.covariance,
            "intrinsic_dimension": self.intrinsic_dimension,
            "temperature": self.temperature,
            "bandwidth": self.bandwidth,
            "variance_floor": self.variance_floor,
        }

    def floor(self, levels: int) -> float:
        """The variance floor for images of so many grey levels, also where `variance_floor` is None."""
        if self.variance_floor is not None:
            return self.variance_floor
        return default_floor(self.space, levels)

    def for_shots(self, shots: int, dimensions: int) -> Route:
        """The same route with a number in place of an `intrinsic_dimension` of None.

        Args:
          shots: number of shots, at least 2.
          dimensions: numbers in an image.

        Returns:
          A route. A full covariance has the intrinsic dimension 9, with maps 60, or what so few points allow.
        """
        if self.covariance != "full" or self.intrinsic_dimension is not None:
            return self
        most = INTRINSIC_DIMENSION_OF_MAPS if self.maps else INTRINSIC_DIMENSION
        rank = min(most, shots + self.maps - 1, dimensions)
        return dataclasses.replace(self, intrinsic_dimension=rank)


BASELINE = Route(space="pixels", covariance="diagonal")
FOR_PICTURES = Route(temperature=0.7)  # draws the best pictures from ten shots without adaptation
ADAPTED = Route(temperature=0.85, bandwidth=0.5, adapted=True, maps=300)  # and with it


# What few-shot pictures are scored beside: names, and what they are.
CONTROLS = {
    "shots": "the shots themselves, repeated",
    "affine_maps": "small random affine maps of the shots, without a flow",
    "real": "other real images",
}
# The routes that are scored.
ROUTES = {
    "pixels_diagonal": BASELINE,
    "pixels_low_rank": Route(space="pixels"),
    "pixels_mixture": dataclasses.replace(ADAPTED, space="pixels", adapted=False),
    "latent_diagonal": Route(covariance="diagonal"),
    "latent_low_rank": FOR_PICTURES,
    "adapted": ADAPTED,
}


def routes_to_compare(chosen: Route, shots: int, dimensions: int) -> dict[str, Route]:
    """The routes of an experiment: each kind of Gaussian, on latents and on pixels.

    To compare another kind, add it to the table in this function.

    Args:
      chosen: what the user wants, on latents; the comparison includes the same on pixels.
      shots: number of different shots, at least 1. From one, only routes with maps lead on.
      dimensions: numbers in an image.

    Returns:
      Routes by their names in metrics.json. `variance_floor` and `adapted` are those of the chosen route for
      latents, and the defaults for pixels.

    Example:
      >>> list(routes_to_compare(FOR_PICTURES, shots=10, dimensions=784))
      ['latent_diagonal', 'latent_low_rank', 'latent_chosen',
       'pixels_diagonal', 'pixels_low_rank', 'pixels_chosen']
    """
    kinds = {"diagonal": Route(covariance="diagonal"), "low_rank": Route(), "chosen": chosen}
    spaces: dict[str, tuple[Space, float | None]] = {
        "latent": ("latents", chosen.variance_floor),
        "pixels": ("pixels", None),
    }
    return {
        f"{prefix}_{name}": dataclasses.replace(
            kind,
            space=space,
            variance_floor=floor,
            adapted=chosen.adapted and space == "latents",
        ).for_shots(shots, dimensions)
        for prefix, (space, floor) in spaces.items()
        for name, kind in kinds.items()
        if shots + kind.maps > 1
    }
