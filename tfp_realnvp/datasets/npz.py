"""Reads npz files. Sizes are checked first, and nothing is unpickled: that could run code."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfp_realnvp.datasets.images import Arrays
from tfp_realnvp.datasets.limits import MAX_BYTES
from tfp_realnvp.errors import one_line

__all__ = ["read_npz"]

INT32 = np.iinfo(np.int32)  # the labels of flows


def read_npz(file: Path) -> tuple[Arrays, Arrays | None]:
    """Read an npz file with `images` and `labels`, and, for a test split, `test_images` and `test_labels`.

    Images are uint8 [n, height, width] or [n, height, width, channels], labels integers [n] that
    int32 can hold.

    Returns:
      ((images, labels) for training, the same for testing, or None without a test split).

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an npz file, a key is missing, or an array has another type or shape, is too large,
        or holds Python objects.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}.")
    if not zipfile.is_zipfile(file):  # np.load would try other formats
        raise ValueError(f"{file} is not an npz file.")
    with _naming(file):
        opened = np.load(file, allow_pickle=False)
    with opened as arrays:
        train = _npz_pair(file, arrays, "images", "labels")
        test = "test_images" in arrays
        return train, _npz_pair(file, arrays, "test_images", "test_labels") if test else None


@contextlib.contextmanager
def _naming(file: Path, part: str = "") -> Iterator[None]:
    """The errors of NumPy and zipfile, of many kinds, as one that names the file and the part of it."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{file}{part} is damaged, or holds Python objects: {one_line(error)}."
        ) from error


def _npz_pair(file: Path, arrays, image_key: str, label_key: str) -> Arrays:
    for key in (image_key, label_key):
        if key not in arrays:
            raise ValueError(
                f"{file} has no key {key!r}: expected `images` and `labels`, received "
                f"{', '.join(arrays) or 'no keys'}."
            )
        with _naming(file, f": {key!r}"):
            size = arrays.zip.getinfo(f"{key}.npy").file_size
        if size > MAX_BYTES:
            raise ValueError(
                f"{file}: {key!r} has {size} bytes, more than the limit of {MAX_BYTES}."
            )
    with _naming(file, f": {image_key!r} or {label_key!r}"):
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
    outside = labels[(labels < INT32.min) | (labels > INT32.max)]
    if len(outside):
        raise ValueError(
            f"{file}: {label_key!r} must be in [{INT32.min}, {INT32.max}], received {outside[0]}."
        )
    return images[..., np.newaxis] if images.ndim == 3 else images, labels.astype(np.int64)
