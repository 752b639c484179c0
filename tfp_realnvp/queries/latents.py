"""Are the latents of images what the model says they are?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfp_realnvp.flows import ImageFlow

__all__ = ["LatentDiagnosis", "diagnose_latents"]

TAILS = (2, 3, 4, 5)  # standard deviations


class LatentDiagnosis:
    """How the latents of images differ from independent standard normals.

    Attributes:
      latents: float32 [n, height, width, channels].
      mean, standard_deviation: float [height, width, channels], of each latent; 0 and 1 if the model is right.
    """

    def __init__(self, latents: np.ndarray):
        self.latents = latents
        self.mean = latents.mean(axis=0)
        self.standard_deviation = latents.std(axis=0)

    def summary(self) -> dict[str, Any]:
        """Numbers over all latents.

        Returns:
          `latents`, their number; `mean`, `standard_deviation`, `excess_kurtosis`: 0, 1 and 0 if the model is
          right; `kolmogorov_smirnov`, the largest distance of their distribution function from the normal one,
          0 to 1; `beyond`: for 2, 3, 4 and 5 standard deviations the share of latents outside, and `expected`;
          `farthest_mean` and `farthest_standard_deviation`, those of the latents that differ most;
          `noise`, what a mean differs by chance: `1 / sqrt(n)`.
        """
        values = np.sort(self.latents.astype(np.float64).ravel())
        centred = values - values.mean()
        normal = np.array(
            [_normal_cdf(value) for value in values[:: max(1, len(values) // 10_000)]]
        )
        steps = np.linspace(0, 1, len(normal), endpoint=False)
        widest = np.argmax(np.abs(np.log(np.maximum(self.standard_deviation, 1e-9))))
        return {
            "latents": len(values),
            "mean": float(values.mean()),
            "standard_deviation": float(values.std()),
            "excess_kurtosis": float(np.mean(centred**4) / np.mean(centred**2) ** 2 - 3),
            "kolmogorov_smirnov": float(np.max(np.abs(normal - steps))),
            "beyond": {
                str(tail): {
                    "share": float(np.mean(np.abs(values) > tail)),
                    "expected": math.erfc(tail / math.sqrt(2)),
                }
                for tail in TAILS
            },
            "farthest_mean": float(self.mean.ravel()[np.argmax(np.abs(self.mean))]),
            "farthest_standard_deviation": float(self.standard_deviation.ravel()[widest]),
            "noise": 1 / math.sqrt(len(self.latents)),
        }


def diagnose_latents(
    flow: ImageFlow, images, labels=None, *, context=None, seed: int = 0
) -> LatentDiagnosis:
    """Encode images that were not learned from, with dequantization noise, and look at their latents.

    If the model were the true distribution, the latents of real images would be independent standard normals. A
    mean that is off tells which pixels are systematically brighter or darker than the model thinks; a standard
    deviation above 1, where it is too sure; heavy tails, what it has hardly seen.

    Args:
      flow: a trained flow. Latents that are not standard normal are first standardized
        (`ImageFlow.standardize`).
      images: integers in [0, levels), [n, height, width, channels], n at least 2.
      labels: int [n], in a class-conditional flow.
      context: float [n, *context_shape], in a flow with a context.
      seed: of the noise.

    Raises:
      ValueError: fewer than two images.
      TypeError, ValueError: as `ImageFlow.encode`.

    Example:
      `diagnose_latents(flow, test.images).summary()["beyond"]["4"]`
    """
    if len(images) < 2:
        raise ValueError(f"`images` must be at least 2, received {len(images)}.")
    latents = flow.encode(images, labels, context=context, seed=seed)
    return LatentDiagnosis(flow.standardize(latents).numpy())


def _normal_cdf(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2))
