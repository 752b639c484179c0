"""Export: a SavedModel that runs wherever TensorFlow runs, without this package."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.files import write_json
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.serving.model_card import model_card
from tfp_realnvp.serving.signatures import MAX_IMAGES, Signature, make_signatures
from tfp_realnvp.serving.warm_up_requests import FILE, example_inputs, write_warm_up

__all__ = ["export", "export_versions"]

ASSETS = "assets.extra"  # what TF Serving leaves alone, or reads warm-up records from
TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


def export(
    flow: ImageFlow,
    folder: str | Path,
    *,
    base: tfd.Distribution | None = None,
    max_images: int = MAX_IMAGES,
    warm_up: Sequence[int] = (),
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    about: str = "",
) -> Path:
    """Write the next version of a SavedModel.

    Its signatures are those of `signatures.make_signatures`: `log_prob` (the default), `sample`,
    `sample_rows`, `encode`, `decode`, and others as PNG files. In `assets.extra` travel model_card.md, what is
    known of the run, and TF Serving's warm-up records.

    The version is written beside the others under a name that is none, loaded, compared with the flow, and
    then renamed: a server that watches the folder never sees half of it, whatever breaks, and two exports at
    once get two versions.

    Args:
      flow: a trained flow.
      folder: the SavedModel's base folder; versions are its subfolders 1, 2, 3 ...
      base: another distribution of its latents, see `make_signatures`.
      max_images: at most so many images are drawn at once.
      warm_up: batch sizes of warm-up records; they need the extra `serving`.
      config: config.json of the run that trained the flow, for the model card.
      metrics: metrics.json of that run, or of a transfer, likewise.
      about: a paragraph for the model card.

    Returns:
      The folder of the new version.

    Raises:
      OSError: nothing can be written there; no half version is left behind.
      RuntimeError: what was written does not answer as the flow does.
      ModuleNotFoundError, ValueError: as `make_signatures` and `write_warm_up`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    signatures = make_signatures(flow, base=base, max_images=max_images)
    temporary = Path(tempfile.mkdtemp(prefix=".export.", dir=folder))
    try:
        model = temporary / "model"
        assets = model / ASSETS  # first: what is wrong with arguments shows before the long work
        assets.mkdir(parents=True)
        card = model_card(
            flow, signatures, max_images=max_images, config=config, metrics=metrics, about=about
        )
        (assets / "model_card.md").write_text(card)
        for name, content in (("config", config), ("metrics", metrics)):
            if content is not None:
                write_json(content, assets / f"{name}.json")
        label = min(flow.labels, default=0)
        if warm_up:
            write_warm_up(signatures, warm_up, assets / FILE, label=label)
        _write(signatures, model)
        _compare(signatures, model, label=label)
        return _publish(model, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def export_versions(folder: str | Path) -> list[int]:
    """The versions in a SavedModel's base folder."""
    folder = Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def _write(signatures: Mapping[str, Signature], folder: Path) -> None:
    archive = keras.export.ExportArchive()
    for name, signature in signatures.items():
        archive.add_endpoint(name, signature.function, input_signature=signature.inputs)
    archive.write_out(str(folder), verbose=False)


def _compare(signatures: Mapping[str, Signature], folder: Path, *, label: int) -> None:
    """Ask what was written what the flow is asked."""
    loaded = tf.saved_model.load(str(folder)).signatures
    for name, signature in signatures.items():
        inputs = dict(example_inputs(signature, 2, label=label))
        expected = signature.function(*map(tf.constant, inputs.values()))
        received = loaded[name](**{key: tf.constant(value) for key, value in inputs.items()})
        for key, value in expected.items():
            if not _alike(received[key].numpy(), value.numpy()):
                raise RuntimeError(
                    f"the SavedModel does not answer as the flow does: `{key}` of `{name}` is "
                    f"{received[key].numpy().ravel()[:3]}, expected {value.numpy().ravel()[:3]}."
                )


def _alike(received: np.ndarray, expected: np.ndarray) -> bool:
    """The same, but for rounding."""
    if received.shape != expected.shape:
        return False
    if received.dtype == object:  # files; their images are compared where they come without files
        return all(map(bool, received.ravel()))
    distance = np.abs(received.astype(np.float64) - expected)
    return float(np.mean(distance > 1e-3 * np.maximum(1, np.abs(expected)))) < 1e-3


def _publish(model: Path, folder: Path) -> Path:
    """Rename to the next version that nobody else has taken meanwhile."""
    number = max(export_versions(folder), default=0)
    while True:
        number += 1
        try:
            return model.rename(folder / str(number))
        except OSError as error:
            if error.errno not in TAKEN:
                raise
