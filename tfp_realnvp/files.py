"""Writes files completely or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing", "write_json"]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write to a temporary path, which takes the place of `path` if the block ends without an error.

    Args:
      path: a file, or a folder that does not exist yet. The folder around it is created if it is missing.

    Yields:
      The temporary path, with the same suffix. After an error it is deleted and `path` is unchanged.

    Raises:
      OSError: nothing can be written there, for example on a full or read-only disk.

    Example:
      `with replacing("notes.txt") as temporary: temporary.write_text("all of it")`
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = folder / f"new{path.suffix}"
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(content, path: str | Path) -> None:
    """Write indented JSON. NaN is refused with a ValueError: it is not valid JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
