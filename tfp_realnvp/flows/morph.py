"""A morph: from one image to another and back, through latent space."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = ["morph"]


def morph(
    flow: ImageFlow, start: np.ndarray, end: np.ndarray, *, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Go from one image to another and back, on a straight line between their latents.

    Args:
      flow: a trained flow without labels.
      start: uint8 [height, width, channels].
      end: uint8 [height, width, channels].
      steps: number of images from `start` to `end`, both included, at least 2.

    Returns:
      (images uint8 [2 steps - 2, height, width, channels], latents float32 of the same shape): first `start`,
      in the middle `end`, and back to the image after `start`, so that an animation of them can loop.

    Raises:
      TypeError, ValueError: fewer than 2 steps, or images that do not fit the flow.

    Example:
      `images, latents = morph(flow, two, eight, steps=12)`
    """
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2, received {steps}.")
    first, last = flow.encode(np.stack([start, end])).numpy()
    there = np.linspace(0, 1, steps, dtype=np.float32)
    shares = np.concatenate([there, there[-2:0:-1]])[:, None, None, None]
    latents = (1 - shares) * first + shares * last
    return flow.decode(latents).numpy(), latents
