"""Files and folders where TensorFlow reads and writes: local ones, gs://, and others."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import posixpath
import re
import uuid
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

__all__ = [
    "check_plan", "digest", "newest_version", "read_json", "replacing", "stored_files", "write_json",
]  # fmt: skip

TEMPORARY = r".+\.new-[0-9a-f]{32}"  # the names of files that are being written
AT_ONCE = 1 << 20  # bytes
KINDS = ("*.npz", "*tfrecord*")


def stored_files(files: str) -> list[str]:
    """The files of a folder, or of a pattern such as images/part-*.npz, in order.

    Raises:
      FileNotFoundError: there are none.
      ValueError: two of them have the same name.
    """
    patterns = [files]
    if tf.io.gfile.isdir(files):
        patterns = [posixpath.join(files, kind) for kind in KINDS]
    found = sorted(
        {file for file in tf.io.gfile.glob(patterns) if not tf.io.gfile.isdir(file)},
        key=lambda file: (posixpath.basename(file), file),
    )
    if not found:
        raise FileNotFoundError(
            f"there are no files {files}: expected a folder with npz or TFRecord files, or a pattern."
        )
    for first, second in itertools.pairwise(found):
        if posixpath.basename(first) == posixpath.basename(second):
            raise ValueError(
                f"two files are called {posixpath.basename(first)}, {first} and {second}: their results would "
                "be, too."
            )
    return found


def newest_version(model: str) -> str:
    """The folder of a SavedModel: the given one, or its newest version, a subfolder whose name is a number.

    Raises:
      FileNotFoundError: there is no SavedModel.
    """
    if tf.io.gfile.exists(posixpath.join(model, "saved_model.pb")):
        return model
    names = tf.io.gfile.listdir(model) if tf.io.gfile.isdir(model) else []
    versions = [int(name.rstrip("/")) for name in names if name.rstrip("/").isdecimal()]
    if not versions:
        raise FileNotFoundError(
            f"there is no SavedModel in {model}: expected a folder that `export` wrote, or one of its versions."
        )
    return newest_version(posixpath.join(model, str(max(versions))))


def digest(model: str) -> str:
    """Of the graph and the weights of a SavedModel: SHA-256, hexadecimal."""
    result = hashlib.sha256()
    weights = tf.io.gfile.glob(posixpath.join(model, "variables", "*"))
    for file in (posixpath.join(model, "saved_model.pb"), *sorted(weights)):
        with tf.io.gfile.GFile(file, "rb") as stream:
            while part := stream.read(AT_ONCE):
                result.update(part)
    return result.hexdigest()


@contextlib.contextmanager
def replacing(path: str) -> Iterator[tf.io.gfile.GFile]:
    """A stream for bytes; what is written takes the place of `path` if the block ends without an error."""
    temporary = f"{path}.new-{uuid.uuid4().hex}"
    try:
        with tf.io.gfile.GFile(temporary, "wb") as stream:
            yield stream
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.remove(temporary)
        raise


def write_json(content: Any, path: str) -> None:
    """Indented; NaN is refused."""
    with replacing(path) as stream:
        stream.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: str) -> Any:
    """The content; None if it is not JSON."""
    with tf.io.gfile.GFile(path, "rb") as stream:
        try:
            return json.loads(stream.read())
        except ValueError:
            return None


def check_plan(plan: Any, folder: str, name: str) -> None:
    """Write down what is done into a folder, or see that it is the same; remove what a killed worker left.

    Args:
      plan: JSON.
      folder: where the results will be, which need not exist yet.
      name: of the file of the plan.

    Raises:
      FileExistsError: the folder has something else.
    """
    path = posixpath.join(folder, name)
    tf.io.gfile.makedirs(folder)
    there = [file.rstrip("/") for file in tf.io.gfile.listdir(folder)]
    left = [file for file in there if re.fullmatch(TEMPORARY, file)]
    if name not in there:
        if others := set(there) - set(left):
            raise FileExistsError(
                f"{folder} must be new or empty, and has {min(others)}: choose another place."
            )
        write_json(plan, path)
    elif read_json(path) != plan:
        raise FileExistsError(
            f"{folder} has results of other work, see {name}: give the same model, files and options to go on "
            "with it, or choose another place."
        )
    for file in left:
        tf.io.gfile.remove(posixpath.join(folder, file))
