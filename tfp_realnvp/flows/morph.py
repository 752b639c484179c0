"""A morph: from one image to another and back, through latent space."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = ["morph"]


def morph(
    flow: ImageFlow, start: np.ndarray, end: np.ndarray, *, steps: int, labels=None, context=None
) -> tuple[np.ndarray, np.ndarray]:
    """Go from one image to another and back, on a straight line between their latents.

    What the flow is told of the images goes along a line, too.

    Args:
      flow: a trained flow.
      start: uint8 [height, width, channels].
      end: uint8 [height, width, channels].
      steps: number of images from `start` to `end`, both included, at least 2.
      labels: int [2], those of `start` and `end`, in a class-conditional flow.
      context: float [2, *context_shape], those of `start` and `end`, in a flow with a context.

    Returns:
      (images uint8 [2 steps - 2, height, width, channels], latents float32 of the same shape): first `start`,
      in the middle `end`, and back to the image after `start`, so that an animation of them can loop.

    Raises:
      TypeError, ValueError: fewer than 2 steps, or images, labels or a context that do not fit the flow.

    Example:
      `images, latents = morph(flow, two, eight, steps=12)`
    """
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2, received {steps}.")
    latents = flow.encode(np.stack([start, end]), labels, context=context).numpy()
    labels, context = flow.told.check_rows(labels, context)
    told = flow.told.join(labels, flow.told.encode(context))
    there = np.linspace(0, 1, steps, dtype=np.float32)
    shares = np.concatenate([there, there[-2:0:-1]])
    latents = _on_line(latents, shares)
    told = None if told is None else tf.constant(_on_line(told.numpy(), shares))
    points = flow.bijector_told(told).forward(tf.constant(latents))
    return pixels.quantize(points, levels=flow.levels).numpy(), latents


def _on_line(ends: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """From the first of two arrays, at a share of 0, to the second one, at 1."""
    first, last = ends
    shares = shares.reshape(-1, *[1] * first.ndim)
    return (1 - shares) * first + shares * last
