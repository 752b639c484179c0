"""Reads folders of PNG files. Sizes are checked before anything is decoded."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tfp_realnvp.datasets.limits import MAX_FILES, MAX_PIXELS

__all__ = ["png_files", "read_png", "read_png_folder"]

MODES = {1: "L", 3: "RGB"}


def read_png_folder(
    folder: Path, image_shape: tuple[int, int, int], *, levels: int = 256
) -> np.ndarray:
    """Read the PNG files of a folder, in the order of their names, as images of one shape.

    A file of another size is resized if its ratio of width to height fits. With one channel, colours become
    grey; with three, grey becomes three equal colours. 16 bits become 8. A transparent picture is put on white
    if what it shows is dark, and on black if it is light.

    Args:
      folder: the folder; only regular files that end in .png are read.
      image_shape: (height, width, channels) of the result, with 1 or 3 channels.
      levels: number of grey levels of the result.

    Returns:
      uint8 array [n, height, width, channels] in [0, levels).

    Raises:
      FileNotFoundError: there is no such folder, or it has no PNG files.
      ValueError: there are too many files or pixels, a ratio does not fit, or a file is not a PNG, or shows
        nothing.
    """
    files = png_files(folder)
    return np.stack([read_png(file, image_shape, levels=levels) for file in files])


def png_files(folder: str | Path) -> list[Path]:
    """The PNG files of a folder, in the order of their names.

    Raises:
      FileNotFoundError: there is no such folder, or it has no PNG files.
      ValueError: too many files.
    """
    files = sorted(
        path
        for path in Path(folder).glob("*")
        if path.suffix.lower() == ".png" and path.is_file()  # to open a pipe would wait for ever
    )
    if not files:
        raise FileNotFoundError(f"there are no PNG files (NAME.png) in {folder}.")
    if len(files) > MAX_FILES:
        raise ValueError(
            f"{folder} has {len(files)} PNG files, more than the limit of {MAX_FILES}."
        )
    return files


def read_png(
    file: str | Path,
    image_shape: tuple[int, int, int],
    *,
    levels: int = 256,
    resize: bool = True,
) -> np.ndarray:
    """Read a PNG file as an image, see `read_png_folder`.

    Args:
      file: its path.
      image_shape: (height, width, channels) of the result, with 1 or 3 channels.
      levels: number of grey levels of the result.
      resize: whether a file of another size is resized, and colours become grey. Otherwise that is an error.

    Returns:
      uint8 array [height, width, channels] in [0, levels).

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as `read_png_folder`.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"there is no file {file}: expected a PNG file.")
    if image_shape[-1] not in MODES:
        raise ValueError(
            f"PNG files have 1 or 3 channels, but images with {image_shape[-1]} are needed here."
        )
    values = _read_png(Path(file), image_shape[:2], MODES[image_shape[-1]], resize)
    return (values.reshape(image_shape).astype(np.int64) * levels // 256).astype(np.uint8)


def _read_png(file: Path, size: tuple[int, int], mode: str, resize: bool) -> np.ndarray:
    height, width = size
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(
                    f"{file} has {picture.width}x{picture.height} pixels, more than the limit of {MAX_PIXELS}."
                )
            if not resize and picture.size != (width, height):
                raise ValueError(
                    f"{file} must have {width}x{height} pixels (width x height), received "
                    f"{picture.width}x{picture.height}: change it, or ask for that by `resize`."
                )
            if picture.width * height != picture.height * width:
                raise ValueError(
                    f"{file} must have the ratio of {width}x{height} pixels (width x height), received "
                    f"{picture.width}x{picture.height}: cut or pad it."
                )
            opaque = _opaque(_to_8_bits(picture), file)
            if not resize and mode == "L" and _has_colours(opaque):
                raise ValueError(
                    f"{file} must be grey, received one with colours: change it, or ask for that by `resize`."
                )
            converted = opaque.convert(mode)
            if converted.size != (width, height):
                converted = converted.resize((width, height), Image.Resampling.LANCZOS)
            return np.asarray(converted)
    except (OSError, SyntaxError, zlib.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is not a PNG, or damaged: {error}.") from error


def _has_colours(picture: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    return bool(np.any(red != green) or np.any(green != blue))


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """Pillow has 16 bits in grey pictures alone, and clips them where it converts them."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    grey = Image.fromarray(np.round(values / 257).astype(np.uint8))
    transparent = picture.info.get("transparency")  # the value that means it
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _opaque(picture: Image.Image, file: Path) -> Image.Image:
    """A transparent picture on the background on which it can be seen."""
    if picture.mode not in ("LA", "PA", "RGBA") and "transparency" not in picture.info:
        return picture
    picture = picture.convert("RGBA")
    opacity = np.asarray(picture.getchannel("A")).astype(float)
    if not opacity.any():
        raise ValueError(f"{file} shows nothing: all of it is transparent. Leave it out.")
    brightness = np.average(np.asarray(picture.convert("RGB").convert("L")), weights=opacity)
    background = Image.new("RGBA", picture.size, "white" if brightness < 128 else "black")
    return Image.alpha_composite(background, picture).convert("RGB")
