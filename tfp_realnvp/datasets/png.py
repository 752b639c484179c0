"""Reads folders of PNG files. Sizes are checked before anything is decoded."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tfp_realnvp.datasets.limits import MAX_FILES, MAX_PIXELS

__all__ = ["read_png_folder"]


def read_png_folder(
    folder: Path, image_shape: tuple[int, int, int], *, levels: int = 256
) -> np.ndarray:
    """Read the PNG files of a folder, in the order of their names, as images of one shape.

    A file of another size is resized if its ratio of width to height fits. With one channel, colours become
    grey; with three, grey becomes three equal colours.

    Args:
      folder: the folder; files that do not end in .png are left out.
      image_shape: (height, width, channels) of the result, with 1 or 3 channels.
      levels: number of grey levels of the result.

    Returns:
      uint8 array [n, height, width, channels] in [0, levels).

    Raises:
      FileNotFoundError: there is no such folder, or it has no PNG files.
      ValueError: there are too many files or pixels, a ratio does not fit, or a file is not a PNG.
    """
    files = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() == ".png")
    if not files:
        raise FileNotFoundError(f"there are no PNG files (NAME.png) in {folder}.")
    if len(files) > MAX_FILES:
        raise ValueError(
            f"{folder} has {len(files)} PNG files, more than the limit of {MAX_FILES}."
        )
    modes = {1: "L", 3: "RGB"}
    if image_shape[-1] not in modes:
        raise ValueError(
            f"PNG files have 1 or 3 channels, but images with {image_shape[-1]} are needed here."
        )
    images = [_read_png(file, image_shape[:2], modes[image_shape[-1]]) for file in files]
    pixels = np.stack(images).reshape(len(images), *image_shape).astype(np.int64)
    return (pixels * levels // 256).astype(np.uint8)


def _read_png(file: Path, size: tuple[int, int], mode: str) -> np.ndarray:
    height, width = size
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(
                    f"{file} has {picture.width}x{picture.height} pixels, more than the limit of {MAX_PIXELS}."
                )
            if picture.width * height != picture.height * width:
                raise ValueError(
                    f"{file} must have the ratio of {width}x{height} pixels (width x height), received "
                    f"{picture.width}x{picture.height}: cut or pad it."
                )
            converted = picture.convert(mode)
            if converted.size != (width, height):
                converted = converted.resize((width, height), Image.Resampling.LANCZOS)
            return np.asarray(converted)
    except (OSError, SyntaxError, zlib.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is not a PNG, or damaged: {error}.") from error
