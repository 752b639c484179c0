"""A morph: from one image to another and back, through latent space."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = ["morph"]


def morph(
    flow: ImageFlow, start: np.ndarray, end: np.ndarray, *, steps: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """From one image to another and back, on a straight line between their latents.

    Args:
      flow: a trained flow.
      start: uint8 [height, width, channels].
      end: uint8 [height, width, channels].
      steps: images on the way, `start` and `end` included, at least 2.

    Returns:
      (images uint8 [2 steps - 2, height, width, channels], latents float32 of the same shape): the way
      there and back, without repeating the two ends, so that it can loop.

    Raises:
      ValueError: fewer than 2 steps.
      TypeError, ValueError: images that do not fit the flow.
    """
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2, received {steps}.")
    latents = flow.encode(np.stack([start, end])).numpy()
    way = np.linspace(0, 1, steps, dtype=np.float32)
    way = np.concatenate([way, way[-2:0:-1]])[:, None, None, None]
    between = (1 - way) * latents[0] + way * latents[1]
    return flow.decode(between).numpy(), between
