"""Latents, and the bits of pixels, as pictures."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from tfp_realnvp.views.grids import to_256_levels
from tfp_realnvp.views.pictures import show

__all__ = ["bits_maps", "latent_plots"]

WIDTH = 5.0  # standard deviations that a plot shows


def latent_plots(latents: np.ndarray) -> Figure:
    """Plot all latents as a histogram beside the normal density, and the mean and deviation of each as maps.

    Args:
      latents: float [n, height, width, channels]. Of several channels the mean is shown.

    Returns:
      A matplotlib figure.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    histogram, means, deviations = figure.subplots(1, 3)
    grid = np.linspace(-WIDTH, WIDTH, 101)
    histogram.hist(np.clip(latents.ravel(), -WIDTH, WIDTH), grid, density=True, label="latents")
    histogram.plot(grid, np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi), "k", label="normal")
    histogram.set_yscale("log")
    histogram.set_ylim(1e-6, 1)
    histogram.set_xlabel("latent")
    histogram.set_ylabel("density")
    histogram.legend()
    maps = {
        "mean": (means, latents.mean(axis=0), -1, 1),
        "standard deviation": (deviations, latents.std(axis=0), 0, 2),
    }
    for title, (axes, values, low, high) in maps.items():
        picture = axes.imshow(values.mean(axis=-1), cmap="coolwarm", vmin=low, vmax=high)
        figure.colorbar(picture, ax=axes)
        axes.set_title(f"{title} of each latent", fontsize=10)
        axes.set_axis_off()
    return figure


def bits_maps(images: np.ndarray, bits: np.ndarray, *, levels: int = 256) -> Figure:
    """Draw images, and below each the bits of its pixels.

    Args:
      images: uint8 [n, height, width, channels].
      bits: float, of the same shape. Of several channels the sum is shown.
      levels: number of grey levels of the images.

    Returns:
      A matplotlib figure.
    """
    count, summed = len(images), bits.sum(axis=-1)
    figure = Figure(figsize=(1.2 * count, 2.9), layout="constrained")
    rows = figure.subplots(2, count, squeeze=False)
    highest = float(np.quantile(summed, 0.999))
    for number, image in enumerate(to_256_levels(images, levels)):
        show(rows[0, number], image)
        picture = rows[1, number].imshow(summed[number], cmap="magma", vmin=0, vmax=highest)
        rows[1, number].set_axis_off()
    figure.colorbar(picture, ax=rows[1, :].tolist(), label="bits")
    return figure
