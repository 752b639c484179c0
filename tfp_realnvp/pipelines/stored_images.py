"""Reads the images of npz and TFRecord files a few at a time, wherever TensorFlow reads."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_realnvp.datasets.limits import MAX_BYTES
from tfp_realnvp.datasets.tfrecords import FEATURES, HEADER, png_image_shape
from tfp_realnvp.errors import one_line

__all__ = ["Rows", "read_images"]

Shape = tuple[int, int, int]


class Rows(NamedTuple):
    """Some of the images of a file.

    Attributes:
      images: uint8 [n, height, width, channels].
      labels: int64 [n], or None.
    """

    images: np.ndarray
    labels: np.ndarray | None


def read_images(file: str, image_shape: Shape, *, at_once: int) -> Iterator[Rows]:
    """Read a file, with memory that does not grow with it, but for the labels of an npz file.

    Args:
      file: NAME.npz, with `images`, uint8 [n, height, width] or [n, height, width, channels], and perhaps
        `labels`, integers [n]; or one with "tfrecord" in its name, as `datasets.write_tfrecords` writes it.
      image_shape: of each image.
      at_once: how many images.

    Raises:
      ValueError: the file is damaged, or has other images.
    """
    read = _read_npz if file.endswith(".npz") else _read_tfrecords
    try:
        yield from read(file, image_shape, at_once)
    except (tf.errors.OpError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        kind = "an npz file" if read is _read_npz else "TFRecords"
        raise ValueError(f"{file} cannot be read as {kind}: {one_line(error)}.") from error


def _read_npz(file: str, image_shape: Shape, at_once: int) -> Iterator[Rows]:
    with tf.io.gfile.GFile(file, "rb") as stream, zipfile.ZipFile(stream) as archive:
        names = archive.namelist()
        if "images.npy" not in names:
            raise ValueError(f"{file} has no key 'images', received {', '.join(names) or 'none'}.")
        labels = None
        if "labels.npy" in names:
            labels = _read_labels(file, archive)
        with archive.open("images.npy") as member:
            shape, in_columns, dtype = _header(file, member)
            expected = (image_shape, image_shape[:2] if image_shape[-1] == 1 else image_shape)
            if dtype != np.uint8 or in_columns or shape[1:] not in expected:
                raise ValueError(
                    f"{file}: `images` must be uint8 [n, {', '.join(map(str, image_shape))}], row after row, "
                    f"received {dtype} {list(shape)}{' in columns' if in_columns else ''}."
                )
            count = shape[0]
            if labels is not None and labels.shape != (count,):
                raise ValueError(
                    f"{file}: `labels` must be {count} integers, received {list(labels.shape)}."
                )
            for start in range(0, count, at_once):
                rows = min(at_once, count - start)
                images = np.frombuffer(_exactly(member, rows * math.prod(image_shape)), np.uint8)
                of_rows = None if labels is None else labels[start : start + rows]
                yield Rows(images.reshape(rows, *image_shape), of_rows)


def _read_labels(file: str, archive: zipfile.ZipFile) -> np.ndarray:
    if archive.getinfo("labels.npy").file_size > MAX_BYTES:
        raise ValueError(f"{file}: `labels` has more than {MAX_BYTES} bytes.")
    with archive.open("labels.npy") as member:
        labels = np.lib.format.read_array(member, allow_pickle=False)
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{file}: `labels` must be integers, received {labels.dtype}.")
    return labels.astype(np.int64)


def _header(file: str, member) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether columns come first, dtype) of an array in a file."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(member)
    raise ValueError(
        f"{file}: `images` is in version {version} of NumPy's format, expected 1 or 2."
    )


def _exactly(member, size: int) -> bytes:
    content = member.read(size)
    if len(content) < size:
        raise EOFError("`images` is shorter than it says")
    return content


def _read_tfrecords(file: str, image_shape: Shape, at_once: int) -> Iterator[Rows]:
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    for records in tf.data.TFRecordDataset(file).batch(at_once):
        try:
            columns = tf.io.parse_example(records, spec)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"{file}: expected `tf.train.Example`s with {FEATURES}.") from error
        for header in set(tf.strings.substr(columns["image"], 0, HEADER).numpy().tolist()):
            if (shape := png_image_shape(header, file)) != image_shape:
                raise ValueError(f"{file}: images must be {image_shape}, received {shape}.")
        images = tf.map_fn(
            lambda png: tf.ensure_shape(tf.io.decode_png(png, image_shape[-1]), image_shape),
            columns["image"],
            fn_output_signature=tf.uint8,
        )
        yield Rows(images.numpy(), columns["label"].numpy())
