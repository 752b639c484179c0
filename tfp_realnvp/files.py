"""Writes files completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

__all__ = [
    "check_folder",
    "check_output",
    "exclusive",
    "replacing",
    "temporary_folder",
    "write_json",
]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(path: str | Path, *, overwrite: bool) -> None:
    """Make sure that a file can be written, before the work whose result it will hold.

    Args:
      path: of the file.
      overwrite: whether a file that is there may be replaced. What is not a regular file never is.

    Raises:
      FileExistsError: a file is there and `overwrite` is False, or something that is not a regular file.
      OSError: nothing can be written there.
    """
    path = Path(path)
    _check_regular(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} is there already: choose another place, or replace it by `overwrite`."
        )
    check_folder(path.parent)


def check_folder(folder: str | Path) -> None:
    """Make sure that something can be written into a folder, which need not exist yet.

    Raises:
      OSError: nothing can be written there.
    """
    folder = Path(folder).absolute()
    around = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        tempfile.TemporaryFile(dir=around).close()
    except OSError as error:
        raise OSError(f"nothing can be written into {folder}: {error.strerror}.") from error


def _check_regular(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise FileExistsError(
            f"{path} is a folder, a link or a device: only regular files are replaced. Choose another place."
        )


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write to a temporary path, which takes the place of `path` if the block ends without an error.

    Args:
      path: a file, or a folder that does not exist yet. The folder around it is created if it is missing.

    Yields:
      The temporary path, with the same suffix. After an error it is deleted and `path` is unchanged; if the
      process is killed, the next writing of `path` deletes it.

    Raises:
      FileExistsError: something other than a regular file is there.
      OSError: nothing can be written there, for example on a full or read-only disk.

    Example:
      `with replacing("notes.txt") as temporary: temporary.write_text("all of it")`
    """
    path = Path(path)
    _check_regular(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_folder(path.parent, f".{path.name}.") as folder:
            temporary = folder / f"new{path.suffix}"
            yield temporary
            os.replace(temporary, path)
    except OSError as error:
        if error.errno in FULL:  # Python does not say where
            raise OSError(f"cannot write {path}: {error.strerror}. Free some space.") from error
        raise


@contextlib.contextmanager
def exclusive(folder: Path, *, name: str) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs; it is removed again if it stays empty.

    Args:
      folder: it need not exist yet.
      name: the argument by which the user gave it, for the error.

    Raises:
      FileExistsError: another process has the folder.
      OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".lock"
    lock = filelock.FileLock(file, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise FileExistsError(
            f"{folder} is in use by another process: wait for it, or choose another `{name}`."
        ) from None
    try:
        yield
    finally:
        lock.release()
        file.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


@contextlib.contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A temporary folder, locked by this process; those whose process was killed, and unlocked, are removed.

    Args:
      parent: the folder around it.
      prefix: how its name begins; eight characters follow.
    """
    with contextlib.ExitStack() as stack:
        with _locked(parent):  # so that nobody finds a new folder before it is locked
            for left in parent.glob(f"{glob.escape(prefix)}????????"):
                with contextlib.suppress(OSError), _locked(left, wait=False):
                    shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(_locked(folder))
        yield folder


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process; without `wait`, OSError if it is taken or a link."""
    link = 0 if wait else os.O_NOFOLLOW
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | link)
    try:
        if wait:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def write_json(content, path: str | Path) -> None:
    """Write indented JSON. NaN is refused with a ValueError: it is not valid JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
