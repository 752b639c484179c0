"""Pictures: from arrays to PNG files and figures. Nothing here shows a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tfp_realnvp.files import replacing

__all__ = ["show", "to_pillow", "write_png"]


def write_png(picture: np.ndarray | Figure, path: str | Path, *, scale: int = 1) -> None:
    """Write a picture as a PNG file.

    Args:
      picture: uint8 [height, width, channels], or a matplotlib figure.
      path: the file to write; an earlier one is replaced.
      scale: each pixel of an array becomes a square with sides of this many pixels.

    Raises:
      OSError: nothing can be written there; no incomplete file is left behind.
    """
    with replacing(path) as temporary:
        if isinstance(picture, Figure):
            picture.savefig(temporary, format="png", dpi=120)
        else:
            to_pillow(picture, scale).save(temporary, format="png")


def show(axes, picture: np.ndarray) -> None:
    """Draw a picture, uint8 [height, width, channels], into axes of matplotlib, without ticks and frame."""
    axes.imshow(to_pillow(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def to_pillow(picture: np.ndarray, scale: int = 1) -> Image.Image:
    """A picture for Pillow: grey for one channel, colours for three, else the mean of all channels in grey."""
    channels = picture.shape[-1]
    if channels == 1:
        picture = picture[..., 0]
    elif channels != 3:
        picture = np.round(picture.mean(axis=-1)).astype(np.uint8)
    image = Image.fromarray(picture)
    if scale == 1:
        return image
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
