"""Files that are written whole or not at all."""

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
    """A temporary file beside `path` that takes its place when the block ends without an error.

    Args:
      path: the file, or a folder that does not exist yet; the folder that it is in is made if need be.

    Yields:
      The path to write to, with the same suffix. After an error, `path` is as it was and nothing else is
      left.

    Raises:
      OSError: nothing can be written there (a full or read-only disk).
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
    """Write JSON for people and machines: indented, and never NaN, which is not JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
