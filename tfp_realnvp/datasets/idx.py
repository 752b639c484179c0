"""Reads idx files, the format of MNIST. Sizes are checked before anything is read."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from tfp_realnvp.datasets.images import Arrays
from tfp_realnvp.datasets.limits import MAX_BYTES

__all__ = ["read_idx", "read_idx_folder"]


def read_idx_folder(folder: Path) -> tuple[Arrays, Arrays]:
    """Read the four idx files of a folder, raw or gzip.

    Returns:
      ((images, labels) for training, the same for testing).

    Raises:
      FileNotFoundError: one of the four is missing.
      ValueError: one is damaged or does not hold what its name says.
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
    """Read one idx file of unsigned bytes, raw or gzip.

    The format: two zero bytes, the element type (8: unsigned byte), the number of axes, the length of each
    axis as a big-endian 32-bit integer, the elements.

    Raises:
      ValueError: the file has another format, is cut short, or goes on after its last element.
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
