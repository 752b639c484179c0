"""Readers of image files that may come from anywhere: nothing is executed, sizes are checked first."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = [
    "Arrays",
    "read_idx",
    "read_idx_folder",
    "read_npz",
    "read_png_folder",
    "unknown_source",
]

MAX_BYTES = 8 << 30  # of one array; a larger data set would not fit into memory anyway
MAX_PIXELS = 1 << 24  # of one PNG
MAX_FILES = 10_000

Arrays = tuple[
    np.ndarray, np.ndarray
]  # images uint8 [n, height, width, channels], labels int64 [n]


def unknown_source(source: str) -> ValueError:
    """The error that says which sources there are."""
    return ValueError(
        f"unknown data set {source!r}: expected digits, idx:FOLDER, npz:FILE, or the name of an image set "
        "of TensorFlow Datasets (mnist, fashion_mnist, kmnist, cifar10 ...)."
    )


def read_idx_folder(folder: Path) -> tuple[Arrays, Arrays]:
    """The four idx files of a folder, raw or gzip: ((images, labels) for training, the same for testing).

    Raises:
      FileNotFoundError: one of the four is not there.
      ValueError: one is not what its name says.
    """
    train, test = (
        _idx_pair(_find_idx(folder, part, "images", 3), _find_idx(folder, part, "labels", 1))
        for part in ("train", "t10k")
    )
    return train, test


def _find_idx(folder: Path, part: str, content: str, dimensions: int) -> Path:
    names = [
        f"{part}-{content}{separator}idx{dimensions}-ubyte{suffix}"
        for separator in "-."
        for suffix in (".gz", "")
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"no file {names[0]} (or {names[1]}) in {folder}: expected the four files "
        "{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each raw or .gz."
    )


def _idx_pair(image_file: Path, label_file: Path) -> Arrays:
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"{image_file} and {label_file} do not belong together: expected n images and n labels, "
            f"received the shapes {list(images.shape)} and {list(labels.shape)}."
        )
    return images, labels.astype(np.int64)


def read_idx(file: Path) -> np.ndarray:
    """One idx file of unsigned bytes, raw or gzip.

    The format: two zero bytes, the element type (8: unsigned byte), the number of axes, the length of each
    axis as a big-endian 32-bit integer, the elements.

    Raises:
      ValueError: another format, a file that is cut short or goes on after its last element.
    """
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= 4:
                raise ValueError(
                    f"{file} is not an idx file of unsigned bytes: expected the first bytes 00 00 08 and "
                    f"1 to 4 axes, received {magic.hex(' ') or 'an empty file'}."
                )
            header = stream.read(4 * magic[3])
            shape = [int(size) for size in np.frombuffer(header[: len(header) // 4 * 4], ">u4")]
            size = math.prod(shape)
            if len(shape) < magic[3] or size > MAX_BYTES:
                raise ValueError(
                    f"{file} is cut short or damaged: its header gives the shape {shape}."
                )
            content = stream.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{file} is cut short or damaged: {error}.") from error
    if len(content) != size:
        received = len(content) if len(content) < size else "more"
        raise ValueError(
            f"{file} is cut short or damaged: its header announces {size} bytes of shape {shape}, "
            f"received {received}."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_npz(file: Path) -> tuple[Arrays, Arrays | None]:
    """An npz file with `images` and `labels`, and `test_images` and `test_labels` if it has a test split.

    Images are uint8 [n, height, width] or [n, height, width, channels], labels integers [n].

    Raises:
      ValueError: not an npz file, a key that is missing, arrays of another type or too large, or objects
        in need of pickle.
    """
    try:
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {file}.")
        if not zipfile.is_zipfile(file):  # np.load would try other formats
            raise ValueError(f"{file} is not an npz file.")
        with np.load(file, allow_pickle=False) as arrays:
            train = _npz_pair(file, arrays, "images", "labels")
            test = "test_images" in arrays
            return train, _npz_pair(file, arrays, "test_images", "test_labels") if test else None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{file} is not an npz file, or damaged: {error}.") from error


def _npz_pair(file: Path, arrays, image_key: str, label_key: str) -> Arrays:
    for key in (image_key, label_key):
        if key not in arrays:
            raise ValueError(
                f"{file} has no key {key!r}: expected `images` and `labels`, received "
                f"{', '.join(arrays) or 'no keys'}."
            )
        size = arrays.zip.getinfo(f"{key}.npy").file_size
        if size > MAX_BYTES:
            raise ValueError(
                f"{file}: {key!r} has {size} bytes, more than the limit of {MAX_BYTES}."
            )
    images, labels = arrays[image_key], arrays[label_key]
    if not isinstance(images, np.ndarray) or not isinstance(labels, np.ndarray):
        raise ValueError(f"{file} is damaged: {image_key!r} or {label_key!r} is not an array.")
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"{file}: {image_key!r} must be uint8 [n, height, width] or [n, height, width, channels], "
            f"received {images.dtype} {list(images.shape)}."
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{file}: {label_key!r} must be {len(images)} integers, received {labels.dtype} "
            f"{list(labels.shape)}."
        )
    return images[..., np.newaxis] if images.ndim == 3 else images, labels.astype(np.int64)


def read_png_folder(
    folder: Path, image_shape: tuple[int, int, int], *, levels: int = 256
) -> np.ndarray:
    """The PNG files of a folder, in the order of their names, as images of a shape.

    Files of another size are resized if their height and width have the same ratio; colours become grey,
    or grey three equal colours, as the shape asks.

    Args:
      folder: with files that end in .png.
      image_shape: (height, width, channels), 1 or 3 channels.
      levels: number of grey levels of the result.

    Returns:
      uint8 array [n, height, width, channels] in [0, levels).

    Raises:
      FileNotFoundError: there is no such folder, or it has no PNG files.
      ValueError: too many files or pixels, another ratio, or a file that is no PNG.
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
        raise ValueError(f"a PNG has 1 or 3 channels, the images of this flow {image_shape[-1]}.")
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
