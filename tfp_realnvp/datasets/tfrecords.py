"""Images that stay on disk: TFRecord files with PNG files, of which any rows can be read."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from PIL import Image

from tfp_realnvp.datasets.limits import MAX_FILES, MAX_PIXELS
from tfp_realnvp.files import replacing

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "FEATURES", "HEADER", "StoredImages", "check_tfrecords", "png_image_shape", "read_tfrecords",
    "write_tfrecords",
]  # fmt: skip

BEFORE, AFTER = 12, 4  # bytes around a record: its length with a checksum, its own checksum
AT_ONCE = 1024  # records that are looked at together
HEADER = 29  # bytes of a PNG file, up to its size and kind
START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
CHANNELS = {0: 1, 2: 3}  # of PNG's colour types
FEATURES = (
    "a feature `image` (a PNG file of 8 bits, grey or RGB) and a feature `label` (an integer)"
)


class Place(NamedTuple):
    """Where a record is.

    Attributes:
      file: the number of the file.
      start: of the record in it, bytes.
      length: bytes.
    """

    file: np.ndarray
    start: np.ndarray
    length: np.ndarray

    def take(self, index) -> Place:
        """Some of them."""
        return Place(*(column[index] for column in self))


class StoredImages:
    """uint8 [n, height, width, channels] on disk, in place of a NumPy array; `images[rows]` reads rows.

    Only their places are in memory, 16 bytes an image. What needs an array (`np.asarray`) reads them all.

    Args:
      files: TFRecord files.
      places: of the images in them.
      image_shape: (height, width, channels) of each.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, files: list[Path], places: Place, image_shape: tuple[int, int, int]):
        self.files, self.places, self.image_shape = files, places, image_shape

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of all images."""
        return len(self), *self.image_shape

    def __len__(self) -> int:
        return len(self.places.start)

    def __getitem__(self, rows) -> np.ndarray:
        """Read rows: a slice, or an array of their numbers or of bools."""
        numbers = np.arange(len(self))[rows]
        if not len(numbers):
            return np.zeros((0, *self.image_shape), np.uint8)
        starts = range(0, len(numbers), AT_ONCE)
        return np.concatenate([self._compiled(numbers[n : n + AT_ONCE]).numpy() for n in starts])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def __iter__(self):
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]

    def tobytes(self) -> bytes:
        """As of an array."""
        return self[:].tobytes()

    def some(self, rows) -> np.ndarray:
        """`StoredImages` of some rows, which are not read."""
        return cast(np.ndarray, StoredImages(self.files, self.places.take(rows), self.image_shape))

    def gather(self, rows) -> tf.Tensor:
        """Read rows; in a `tf.data.Dataset`, too.

        Args:
          rows: int [count], their numbers.
        """
        import tensorflow as tf  # noqa: PLC0415  (slow to import)

        records = tf.numpy_function(self._read, [rows], tf.string)
        files = tf.io.parse_example(records, {"image": tf.io.FixedLenFeature([], tf.string)})
        *_, channels = self.image_shape

        def decode(file):
            return tf.ensure_shape(tf.io.decode_png(file, channels=channels), self.image_shape)

        return tf.map_fn(decode, files["image"], fn_output_signature=tf.uint8)

    @functools.cached_property
    def _compiled(self):
        """`gather` for use outside of a `tf.data.Dataset`."""
        import tensorflow as tf  # noqa: PLC0415

        return tf.function(self.gather, input_signature=[tf.TensorSpec([None], tf.int64)])

    def fingerprint(self) -> bytes:
        """Of the places: other files have others, but for a chance of next to nothing."""
        digest = hashlib.sha256()
        for column in self.places:
            digest.update(column.tobytes())
        return digest.digest()

    def _read(self, rows: np.ndarray) -> np.ndarray:
        places = self.places.take(rows)
        records = np.empty(len(rows), object)
        # file by file, from its start to its end
        order = np.lexsort((places.start, places.file))
        for number in np.unique(places.file):
            with self.files[number].open("rb", buffering=0) as stream:
                for row in order[places.file[order] == number]:
                    records[row] = os.pread(
                        stream.fileno(), int(places.length[row]), int(places.start[row])
                    )
        return records


def check_tfrecords(folder: Path) -> None:
    """Check that a folder has TFRecord files for training.

    Raises:
      FileNotFoundError: it is not there, or has none.
      ValueError: too many files.
    """
    _files(folder, "train")


def read_tfrecords(
    folder: Path,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """Look at each record of a folder's TFRecord files once.

    Args:
      folder: with files that have `tfrecord` in their name, and `train` or `test`. Each record is a
        `tf.train.Example` as TensorFlow Datasets writes it: with a feature `image`, a PNG file of 8 bits, grey
        or RGB, and a feature `label`, an integer.

    Returns:
      ((images, labels) for training, the same for testing, or None without such files); the images are
      `StoredImages`.

    Raises:
      FileNotFoundError: as `check_tfrecords`.
      ValueError: a file is truncated or damaged, or its records are others.
    """
    train, test = _read(_files(folder, "train")), None
    if files := _files(folder, "test", needed=False):
        test = _read(files)
    return train, test


def write_tfrecords(
    images: Iterable[np.ndarray],
    labels: Iterable[int],
    folder: str | Path,
    *,
    part: str,
    files: int = 1,
) -> None:
    """Write images as TFRecord files that `load("tfrecord:FOLDER")` reads.

    Args:
      images: uint8 [height, width, channels] each, with 1 or 3 channels; they may come from a generator.
      labels: one for each image.
      folder: it need not exist yet.
      part: "train" or "test".
      files: how many, of about the same size.

    Raises:
      FileExistsError: the folder has files of this part.
      ValueError: `part` or `files` is another.

    Example:
      `write_tfrecords(data.images, data.labels, "faces", part="train", files=16)`
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    if part not in ("train", "test") or files < 1:
        raise ValueError(
            f"`part` must be train or test, and `files` at least 1, received {part!r} and {files}."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if _files(folder, part, needed=False):
        raise FileExistsError(
            f"{folder} has TFRecord files for `part` {part} already: choose another `folder`."
        )
    paths = [folder / f"{part}.tfrecord-{n:05d}-of-{files:05d}" for n in range(files)]
    with contextlib.ExitStack() as stack:  # all files are there in the end, or none
        temporary = [stack.enter_context(replacing(path)) for path in paths]
        writers = [stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in temporary]
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = io.BytesIO()
            Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "png")
            features = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[file.getvalue()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writers[number % files].write(example.SerializeToString())


def _files(folder: Path, part: str, *, needed: bool = True) -> list[Path]:
    files = sorted(
        path
        for path in Path(folder).glob("*tfrecord*")
        if part in path.name and path.is_file() and not path.name.startswith(".")
    )
    if needed and not files:
        raise FileNotFoundError(
            f"there are no TFRecord files for {part}ing in {folder}: expected files with {part} and tfrecord "
            f"in their names, such as {part}.tfrecord-00000-of-00001."
        )
    if len(files) > MAX_FILES:
        raise ValueError(
            f"{folder} has {len(files)} TFRecord files, more than the limit of {MAX_FILES}."
        )
    return files


def _read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    found = [_look_at(file) for file in files]
    headers = {header for _, header, _, _ in found}
    if len(headers) > 1:
        raise ValueError(
            f"{files[0].parent}: images must have one size and kind, received "
            f"{', '.join(str(png_image_shape(header)) for header in sorted(headers))} in its files."
        )
    columns = [
        np.concatenate([np.full(len(found[n][0]), n, np.int32) for n in range(len(files))]),
        np.concatenate([starts for *_, starts, _ in found]),
        np.concatenate([lengths for *_, lengths in found]),
    ]
    labels = np.concatenate([labels for labels, *_ in found])
    images = StoredImages(files, Place(*columns), png_image_shape(headers.pop()))
    return cast(np.ndarray, images), labels


def _look_at(file: Path) -> tuple[np.ndarray, bytes, np.ndarray, np.ndarray]:
    """The labels of a file's records, the one header of their images, and where the records are."""
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def look(records):
        columns = tf.io.parse_example(records, spec)
        headers = tf.strings.substr(columns["image"], 0, HEADER)
        return columns["label"], headers, tf.strings.length(records)

    labels, lengths, headers = [], [], set()
    try:
        for part in tf.data.TFRecordDataset(str(file)).batch(AT_ONCE).map(look):
            labels.append(part[0].numpy())
            headers.update(part[1].numpy().tolist())
            lengths.append(part[2].numpy())
    except tf.errors.OpError as error:
        kind = (
            "truncated or damaged"
            if isinstance(error, tf.errors.DataLossError)
            else "not as expected"
        )
        raise ValueError(
            f"{file} is {kind} after {sum(map(len, labels)):,} images ({error.message[:200]}): expected "
            f"TFRecords of `tf.train.Example`s with {FEATURES}."
        ) from error
    if not labels:
        raise ValueError(f"{file} has no records.")
    if len(headers) > 1:
        sizes = ", ".join(sorted({str(png_image_shape(header, file)) for header in headers}))
        raise ValueError(f"{file}: images must have one size and kind, received {sizes}.")
    [header] = headers
    png_image_shape(header, file)
    length = np.concatenate(lengths)
    ends = np.cumsum(length.astype(np.int64) + BEFORE + AFTER)
    return np.concatenate(labels), header, ends - length - AFTER, length


def png_image_shape(header: bytes, file: Path | str | None = None) -> tuple[int, int, int]:
    """(height, width, channels) of a PNG file that begins like this.

    Args:
      header: its first 29 bytes.
      file: where it is, for the error.

    Raises:
      ValueError: it is no PNG file, is too large, or has other colours or bits.
    """
    if not header.startswith(START) or len(header) < HEADER:
        raise ValueError(
            f"{file}: `image` must be a PNG file, received one that begins with {header[:8]!r}."
        )
    width, height = (int.from_bytes(header[start : start + 4], "big") for start in (16, 20))
    bits, kind = header[24], header[25]
    if bits != 8 or kind not in CHANNELS or not 0 < width * height <= MAX_PIXELS:
        raise ValueError(
            f"{file}: `image` must be a PNG file of 8 bits, grey or RGB, of at most {MAX_PIXELS:,} pixels, "
            f"received {width}x{height} of {bits} bits and colour type {kind}."
        )
    return height, width, CHANNELS[kind]
