"""Any number of images, drawn to files."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp.compute.blocks import rows_of_block
from tfp_realnvp.files import check_folder, check_output, exclusive, replacing, write_json
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.flows.checks import check_temperature
from tfp_realnvp.views import to_256_levels
from tfp_realnvp.views.pictures import to_pillow

__all__ = ["PLAN", "draw_to_folder", "draw_to_npz"]

PLAN = "drawing.json"  # what is drawn there
PLACES = 9  # digits in the name of a file
DATE = (1980, 1, 1, 0, 0, 0)  # in the archive, so that the same images give the same file


def draw_to_npz(
    flow: ImageFlow,
    n: int,
    path: str | Path,
    *,
    labels: Sequence[int] = (),
    temperature: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
    on_images: Callable[[int], object] = lambda count: None,
) -> Path:
    """Draw images into an npz file, with memory that does not grow with their number.

    The parts are first written to a folder NAME.npz.parts. If the work is interrupted, the same call goes on.

    Args:
      flow: a flow without a context.
      n: number of images, at least 1.
      path: of the file, NAME.npz: `images`, uint8 [n, height, width, channels], and `labels`, int32 [n], if the
        flow has labels.
      labels: of the images, in turn, in a flow with labels; none draws them.
      temperature: as in `ImageFlow.sample`.
      seed: the same seed gives the same images.
      overwrite: whether a file that is there is replaced.
      on_images: called with the number of images that are there.

    Returns:
      The path.

    Raises:
      FileExistsError: the file is there, or parts of another drawing, or another process draws there.
      ValueError: arguments that do not fit the flow.

    Example:
      `draw_to_npz(flow, 1_000_000, "digits.npz", seed=1)`
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    drawing = _Drawing(flow, n, labels, temperature, seed)
    parts = path.with_name(f"{path.name}.parts")
    with exclusive(parts, name="path"):
        drawing.begin(parts)
        files = []
        for start, end in drawing.blocks():
            files.append(parts / f"{start:0{PLACES}}.npy")
            if not files[-1].exists():
                with replacing(files[-1]) as temporary:
                    np.save(temporary, drawing.images(start, end))
            on_images(end)
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            _write_array(
                archive, "images", (n, *flow.image_shape), np.dtype(np.uint8), map(np.load, files)
            )
            if flow.labels:
                columns = (drawing.labels(start, end) for start, end in drawing.blocks())
                _write_array(archive, "labels", (n,), np.dtype(np.int32), columns)
        for file in (*files, parts / PLAN):
            file.unlink()
    return path


def draw_to_folder(
    flow: ImageFlow,
    n: int,
    folder: str | Path,
    *,
    labels: Sequence[int] = (),
    temperature: float = 1.0,
    seed: int = 0,
    on_images: Callable[[int], object] = lambda count: None,
) -> Path:
    """Draw images as PNG files into a folder; if the work is interrupted, the same call goes on.

    The files are called 000000000.png, or 000000000_3.png for an image of label 3.

    Args:
      flow: a flow without a context.
      n: number of images, at least 1.
      folder: a new or empty one, or one with a part of the same drawing.
      labels: of the images, in turn, in a flow with labels; none draws them.
      temperature: as in `ImageFlow.sample`.
      seed: the same seed gives the same images.
      on_images: called with the number of images that are there.

    Returns:
      The folder.

    Raises:
      FileExistsError: a folder with something else, or another process draws there.
      ValueError: arguments that do not fit the flow.

    Example:
      `draw_to_folder(flow, 1000, "digits", seed=1)`
    """
    folder = Path(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise FileExistsError(
            f"{folder} is there and is no folder: choose another place, or a name that ends in .png or .npz."
        )
    check_folder(folder)
    drawing = _Drawing(flow, n, labels, temperature, seed)
    with exclusive(folder, name="folder"):
        drawing.begin(folder)
        for start, end in drawing.blocks():
            names = [f"{number:0{PLACES}}" for number in range(start, end)]
            if flow.labels:
                pairs = zip(names, drawing.labels(start, end), strict=True)
                names = [f"{name}_{label}" for name, label in pairs]
            files = [folder / f"{name}.png" for name in names]
            if not all(file.exists() for file in files):
                images = to_256_levels(drawing.images(start, end), flow.levels)
                for file, image in zip(files, images, strict=True):
                    temporary = folder / ".new.png"
                    to_pillow(image).save(temporary)
                    os.replace(temporary, file)
            on_images(end)
    return folder


class _Drawing:
    """What is drawn, one block after the other."""

    def __init__(self, flow, n, labels, temperature, seed):
        if flow.context_shape is not None:
            raise ValueError(
                "`flow` must be one without a context, received one with: take `flow.given`."
            )
        if n < 1:
            raise ValueError(f"`n` must be at least 1, received {n}.")
        check_temperature(temperature)
        self._flow, self._n, self._labels = flow, n, np.array(labels, np.int32)
        if len(self._labels):
            flow.told.check(self._labels, None)
        self._temperature, self._seed = temperature, seed

    def begin(self, folder: Path) -> None:
        """Write down what is drawn into the folder, or see that it is the same."""
        plan = self._plan()
        file = folder / PLAN
        if not file.exists():
            if left := [path.name for path in folder.iterdir() if path.name != ".lock"]:
                raise FileExistsError(
                    f"{folder} must be new or empty, and has {left[0]}: choose another place."
                )
            write_json(plan, file)
        elif _read(file) != plan:
            raise FileExistsError(
                f"{folder} has a part of another drawing: give the same model, number, labels, temperature and "
                "seed to go on with it, or choose another place."
            )

    def blocks(self) -> Iterator[tuple[int, int]]:
        size = rows_of_block(self._flow.image_shape)
        return ((start, min(start + size, self._n)) for start in range(0, self._n, size))

    def labels(self, start: int, end: int) -> np.ndarray:
        """In turn, or drawn; int32 [end - start]."""
        if len(self._labels):
            return self._labels[np.arange(start, end) % len(self._labels)]
        random = np.random.default_rng([self._seed, start])
        return random.choice(np.array(self._flow.labels, np.int32), size=end - start)

    def images(self, start: int, end: int) -> np.ndarray:
        labels = self.labels(start, end) if self._flow.labels else None
        options = {"temperature": self._temperature, "seed": self._seed}
        return self._flow.sample_rows(start, end, labels, **options).numpy()

    def _plan(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for weight in self._flow.get_weights():
            digest.update(weight.tobytes())
        return {
            "weights_sha256": digest.hexdigest(),
            "images": self._n,
            "labels": self._labels.tolist(),
            "temperature": float(self._temperature),
            "seed": int(self._seed),
        }


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError:
        return None


def _write_array(archive, name, shape, dtype, parts) -> None:
    """An array of an npz file, from parts of its rows."""
    entry = zipfile.ZipInfo(f"{name}.npy", DATE)
    with archive.open(entry, "w", force_zip64=True) as stream:
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            stream.write(np.ascontiguousarray(part, dtype).tobytes())
