"""Pictures: grids of images, learning curves, morphs. Nothing here shows a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tfp_realnvp.files import replacing
from tfp_realnvp.flows import ImageFlow

__all__ = [
    "COLUMNS",
    "comparison",
    "grid",
    "learning_curve",
    "morph",
    "morph_strip",
    "scale_for",
    "to_256_levels",
    "write_gif",
    "write_png",
]

COLUMNS = 10  # images in a row of a grid


def write_png(picture: np.ndarray | Figure, path: str | Path, *, scale: int = 1) -> None:
    """Write a picture, whole or not at all.

    Args:
      picture: uint8 [height, width, channels], or a matplotlib figure.
      path: where; a file there is replaced.
      scale: every pixel of an array becomes a square of so many.
    """
    with replacing(path) as temporary:
        if isinstance(picture, Figure):
            picture.savefig(temporary, format="png", dpi=120)
        else:
            _to_pillow(picture, scale).save(temporary, format="png")


def grid(images: np.ndarray, *, columns: int = COLUMNS, levels: int = 256) -> np.ndarray:
    """Images side by side, in rows.

    Args:
      images: uint8 [n, height, width, channels].
      columns: images in a row.
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
    gap = max(1, width // 14)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    canvas = np.full(shape, 128, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def scale_for(images: np.ndarray) -> int:
    """The scale at which a grid of ten columns of these images is some 1,100 pixels wide."""
    return max(1, 112 // images.shape[2])


def to_256_levels(images: np.ndarray, levels: int) -> np.ndarray:
    """Images of `levels` grey levels as pictures of 256, black and white staying black and white."""
    images = np.asarray(images)
    return images if levels == 256 else np.round(images * (255 / (levels - 1))).astype(np.uint8)


def comparison(rows: Mapping[str, np.ndarray], *, levels: int = 256) -> Figure:
    """Rows of images under titles.

    Args:
      rows: title to uint8 images [n, height, width, channels].
      levels: number of grey levels of the images.
    """
    columns = max(map(len, rows.values()))
    grids = {title: grid(images, columns=columns, levels=levels) for title, images in rows.items()}
    height, width, _ = next(iter(grids.values())).shape
    row_height = 10 * height / width
    figure = Figure(figsize=(10, len(grids) * (row_height + 0.35)), layout="constrained")
    for axes, (title, canvas) in zip(
        np.atleast_1d(figure.subplots(len(grids), 1)), grids.items(), strict=True
    ):
        _show(axes, canvas)
        axes.set_title(title, fontsize=11, loc="left")
    return figure


def learning_curve(history: Mapping[str, Sequence[float]]) -> Figure:
    """Bits per dimension against epochs, for training and validation images, the best one marked.

    Args:
      history: columns `epoch`, `bits_per_dim` and `val_bits_per_dim`.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    epochs, validation = np.asarray(history["epoch"]), np.asarray(history["val_bits_per_dim"])
    axes.plot(epochs, history["bits_per_dim"], label="training")
    axes.plot(epochs, validation, label="validation")
    if np.any(np.isfinite(validation)):
        best = int(np.nanargmin(validation))
        label = f"best: {validation[best]:.3f} after epoch {epochs[best]:.0f}"
        axes.plot(epochs[best], validation[best], "o", color="black", label=label)
        # the first epochs fall so far that nothing else would be seen
        known = np.concatenate([validation, np.asarray(history["bits_per_dim"])])
        known = known[np.isfinite(known)]
        low, high = known.min(), np.quantile(known, 0.9)
        margin = 0.15 * (high - low) + 1e-3
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("epoch")
    axes.set_ylabel("bits per dimension")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


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


def morph_strip(images: np.ndarray, latents: np.ndarray, *, levels: int = 256) -> Figure:
    """The way there of `morph` as a strip: images above, their latents below."""
    way_there = slice(0, len(images) // 2 + 1)
    return comparison(
        {
            "images": to_256_levels(images[way_there], levels),
            "their latents (grey: 0, black: -3, white: 3)": _latent_pictures(latents[way_there]),
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
    """The way there and back of `morph` as an animation that loops: each image beside its latent.

    Args:
      images: uint8 [n, height, width, channels].
      latents: float [n, height, width, channels].
      path: where; a file there is replaced.
      levels: number of grey levels of the images.
      seconds: length of one loop; the two ends are held for longer.
    """
    pairs = zip(to_256_levels(images, levels), _latent_pictures(latents), strict=True)
    frames = [_to_pillow(_draw(_side_by_side(*pair))) for pair in pairs]
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
        _show(axes, picture)
        axes.set_title(title)
    return figure


def _latent_pictures(latents: np.ndarray) -> np.ndarray:
    """Latents as pictures: 0 is grey, -3 and below black, 3 and above white."""
    return np.round((np.clip(latents, -3, 3) + 3) * (255 / 6)).astype(np.uint8)


def _draw(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _show(axes, picture: np.ndarray) -> None:
    axes.imshow(_to_pillow(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def _to_pillow(picture: np.ndarray, scale: int = 1) -> Image.Image:
    """Grey for one channel, colours for three, the channels' mean for any other number."""
    channels = picture.shape[-1]
    if channels == 1:
        picture = picture[..., 0]
    elif channels != 3:
        picture = np.round(picture.mean(axis=-1)).astype(np.uint8)
    return Image.fromarray(np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1))
