"""Morphs: images on their way from one to another, beside their latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfp_realnvp.files import replacing
from tfp_realnvp.views.grids import comparison, to_256_levels
from tfp_realnvp.views.pictures import show, to_pillow

__all__ = ["morph_strip", "write_gif"]


def morph_strip(images: np.ndarray, latents: np.ndarray, *, levels: int = 256) -> Figure:
    """Draw the first half of a morph, from one image to the other, as a strip: images above, latents below.

    Args:
      images: uint8 [n, height, width, channels], there and back, as `flows.morph.morph` returns them.
      latents: float [n, height, width, channels], those of the images.
      levels: number of grey levels of the images.

    Returns:
      A matplotlib figure.
    """
    there = slice(0, len(images) // 2 + 1)
    return comparison(
        {
            "images": to_256_levels(images[there], levels),
            "their latents (grey: 0, black: -3, white: 3)": _latent_pictures(latents[there]),
        }
    )


def write_gif(
    images: np.ndarray,
    latents: np.ndarray,
    path: str | Path,
    *,
    levels: int = 256,
    seconds: float = 6,
) -> None:
    """Write a morph as an animation that loops, each image beside its latent.

    Args:
      images: uint8 [n, height, width, channels], there and back, as `flows.morph.morph` returns them.
      latents: float [n, height, width, channels], those of the images.
      path: the GIF file to write; an earlier one is replaced.
      levels: number of grey levels of the images.
      seconds: length of one loop; the two ends are shown for longer than the other images.

    Raises:
      OSError: nothing can be written there; no incomplete file is left behind.
    """
    pairs = zip(to_256_levels(images, levels), _latent_pictures(latents), strict=True)
    frames = [to_pillow(_draw(_side_by_side(*pair))) for pair in pairs]
    milliseconds = np.full(len(frames), 1000 * seconds / (len(frames) + 8))
    milliseconds[[0, len(frames) // 2]] *= 5
    with replacing(path) as temporary:
        frames[0].save(
            temporary,
            format="gif",
            save_all=True,
            append_images=frames[1:],
            duration=[int(value) for value in milliseconds],
            loop=0,
        )


def _side_by_side(image: np.ndarray, latent: np.ndarray) -> Figure:
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    for axes, picture, title in zip(
        figure.subplots(1, 2), (image, latent), ("image", "latent"), strict=True
    ):
        show(axes, picture)
        axes.set_title(title)
    return figure


def _latent_pictures(latents: np.ndarray) -> np.ndarray:
    """Latents as pictures: 0 is grey, -3 and below black, 3 and above white."""
    return np.round((np.clip(latents, -3, 3) + 3) * (255 / 6)).astype(np.uint8)


def _draw(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
