"""What `export` writes beside the versions of a SavedModel: the results of the run of the newest one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from tfp_realnvp import serving
from tfp_realnvp.files import check_output
from tfp_realnvp.serving.saved_model import ASSETS
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["RECORD", "check_beside", "record_of", "write_beside"]

RECORD = (
    "beside"  # each version's document with the names and checksums of what was written beside it
)


def record_of(run: RunFolder) -> dict[str, str]:
    """The SHA-256 of a run's results by their names, as hexadecimal digits."""
    return {path.name: _checksum(path) for path in _results(run)}


def write_beside(target: RunFolder, run: RunFolder) -> None:
    """Copy a run's results beside the versions; those of an earlier version go."""
    names = [path.name for path in _results(run)]
    for path in _results(target):
        if path.name not in names:
            path.unlink()
    run.copy_result(target)


def check_beside(target: RunFolder, *, overwrite: bool) -> None:
    """Make sure that only files which an earlier export wrote will be replaced.

    Args:
      target: the folder of the versions.
      overwrite: whether other files of these names may be replaced, too.

    Raises:
      FileExistsError: a file of somebody else's is there, or versions of something else.
      OSError: nothing can be written there.
    """
    versions = serving.export_versions(target.path)
    assets = [target.path / str(version) / ASSETS for version in versions]
    records = [_read_json(folder / f"{RECORD}.json") for folder in assets]
    written = {item for record in records if record for item in record.items()}
    without_record = [
        folder for folder, record in zip(assets, records, strict=True) if record is None
    ]
    former = _is_of_version_0_4(target, without_record)
    if versions and not written and not former and not overwrite:
        raise FileExistsError(
            f"{target.path} has versions of something else: choose another `folder`, or add to them by "
            "`overwrite`."
        )
    for path in _results(target):
        ours = path.is_file() and (former or (path.name, _checksum(path)) in written)
        check_output(path, overwrite=overwrite or ours)


def _is_of_version_0_4(target: RunFolder, assets: list[Path]) -> bool:
    """Whether version 0.4.0 exported here: it kept no record, but put the same config.json in both places."""
    config = _read_json(target.config)
    is_run = target.samples.exists()  # which that version never copied
    same = any(_read_json(folder / "config.json") == config for folder in assets)
    return config is not None and not is_run and same


def _results(run: RunFolder) -> list[Path]:
    """Those that are there."""
    files = (run.config, run.history, run.model, run.metrics)
    return [path for path in files if os.path.lexists(path)]


def _read_json(path: Path) -> dict | None:
    """The object in a file; None if there is no such file, or something else in it."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
