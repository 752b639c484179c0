"""Grids: many images in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tfp_realnvp.views.pictures import show

__all__ = [
    "COLUMNS",
    "check_count",
    "comparison",
    "grid",
    "scale_for",
    "titled_grid",
    "to_256_levels",
]

COLUMNS = 10  # images in a row of a grid
MOST_PIXELS = 1 << 28  # in a picture of a grid; it takes a byte for each, or three with colours


def grid(images: np.ndarray, *, columns: int = COLUMNS, levels: int = 256) -> np.ndarray:
    """Lay out images side by side, in rows.

    Args:
      images: uint8 [n, height, width, channels].
      columns: number of images in a row, at least 1.
      levels: number of grey levels of the images; the grid has 256.

    Returns:
      uint8 [rows * (height + gap) - gap, columns * (width + gap) - gap, channels], with a grey gap
      between the images of a fourteenth of their width, at least 1.

    Example:
      >>> grid(np.zeros((3, 8, 8, 1), np.uint8), columns=2).shape
      (17, 17, 1)
    """
    images = to_256_levels(images, levels)
    count, height, width, channels = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    gap = _gap(width)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    canvas = np.full(shape, 128, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def check_count(num: int, image_shape: tuple[int, int, int]) -> None:
    """Make sure, before images are made, that a picture can hold so many.

    Args:
      num: number of images, for a grid of ten columns that is written at the scale of `scale_for`.
      image_shape: (height, width, channels) of the images.

    Raises:
      ValueError: more images than that.

    Example:
      `check_count(10_000, (28, 28, 1))`
    """
    height, width, _ = image_shape
    gap, scale = _gap(width), _scale(width)
    row = COLUMNS * (width + gap) * (height + gap) * scale**2
    most = COLUMNS * (MOST_PIXELS // row)
    if num > most:
        raise ValueError(
            f"`num` must be at most {most:,}, since a picture has at most {MOST_PIXELS:,} pixels; received "
            f"{num:,}: draw several times, with different seeds."
        )


def scale_for(images: np.ndarray) -> int:
    """The `scale` of `write_png` at which a grid of ten columns of these images is about 1,100 pixels wide."""
    return _scale(images.shape[2])


def _scale(width: int) -> int:
    return max(1, 112 // width)


def titled_grid(
    images: np.ndarray, titles: Sequence[str], *, columns: int = COLUMNS, levels: int = 256
) -> Figure:
    """Draw images in rows, each under its own title.

    Args:
      images: uint8 [n, height, width, channels], n at least 1.
      titles: one for each image.
      columns: number of images in a row, at least 1.
      levels: number of grey levels of the images.

    Returns:
      A matplotlib figure.
    """
    images = to_256_levels(images, levels)
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.2 * columns, 1.4 * rows), layout="constrained")
    every = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in every:
        axes.set_axis_off()
    for axes, image, title in zip(every, images, titles, strict=False):
        show(axes, image)
        axes.set_title(title.replace("_", " "), fontsize=7)
    return figure


def _gap(width: int) -> int:
    return max(1, width // 14)


def to_256_levels(images: np.ndarray, levels: int) -> np.ndarray:
    """Stretch images of `levels` grey levels to 256 levels: black stays black, and white stays white."""
    images = np.asarray(images)
    return images if levels == 256 else np.round(images * (255 / (levels - 1))).astype(np.uint8)


def comparison(rows: Mapping[str, np.ndarray], *, levels: int = 256) -> Figure:
    """Draw rows of images under their titles.

    Args:
      rows: uint8 images [n, height, width, channels] by title.
      levels: number of grey levels of the images.

    Returns:
      A matplotlib figure.
    """
    columns = max(map(len, rows.values()))
    grids = {title: grid(images, columns=columns, levels=levels) for title, images in rows.items()}
    height, width, _ = next(iter(grids.values())).shape
    row_height = 10 * height / width
    figure = Figure(figsize=(10, len(grids) * (row_height + 0.35)), layout="constrained")
    for axes, (title, canvas) in zip(
        np.atleast_1d(figure.subplots(len(grids), 1)), grids.items(), strict=True
    ):
        show(axes, canvas)
        axes.set_title(title, fontsize=11, loc="left")
    return figure
