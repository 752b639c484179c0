"""Export: a SavedModel that runs wherever TensorFlow runs, without this package."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.files import temporary_folder, write_json
from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.serving.limits import MAX_IMAGES
from tfp_realnvp.serving.model_card import model_card
from tfp_realnvp.serving.signatures import Signature, make_signatures
from tfp_realnvp.serving.warm_up_requests import FILE, example_inputs, write_warm_up_requests

__all__ = ["ASSETS", "export", "export_versions"]

ASSETS = "assets.extra"  # TF Serving reads its warmup requests there, and leaves other files alone
TEMPORARY = ".export."  # how the names of temporary folders begin
TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


def export(
    flow: ImageFlow,
    folder: str | Path,
    *,
    base: tfd.Distribution | None = None,
    max_images: int = MAX_IMAGES,
    warm_up_requests: Sequence[int] = (),
    about: str = "",
    scores: Mapping[str, float] | None = None,
    documents: Mapping[str, Any] | None = None,
) -> Path:
    """Write the next version of a SavedModel.

    Its signatures are those of `make_signatures`: `log_prob` (the default), `sample`, `sample_rows`, `encode`,
    `decode`, and some of them with PNG files. Its folder assets.extra holds the model card, the `documents`,
    and the warm-up requests of TF Serving.

    The version is written under a temporary name, loaded again, compared with the flow, and then renamed. A
    server that watches the folder never sees an incomplete version, whatever fails, and two exports at the same
    time get two versions. What an export that was killed left under its temporary name is removed.

    Args:
      flow: a trained flow.
      folder: the SavedModel's base folder; its versions are the subfolders 1, 2, 3 ...
      base: old, goes with version 0.7, see `make_signatures`.
      max_images: largest number of images of a request, at least 1.
      warm_up_requests: batch sizes, each at least 1, of requests that TF Serving answers at its start. They
        need the extra `serving`.
      about: what the model was made from, in Markdown, for the model card.
      scores: bits per dimension by what was scored, for the model card.
      documents: JSON content by name, written to assets.extra/NAME.json.

    Returns:
      The folder of the new version.

    Raises:
      OSError: nothing can be written there; no incomplete version is left behind.
      RuntimeError: the SavedModel answers otherwise than the flow.
      ModuleNotFoundError, ValueError: as `make_signatures` and `write_warm_up_requests`.

    Example:
      `export(flow, "saved_models/digits", scores={"test images": 1.09})`
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    signatures = make_signatures(flow, base=base, max_images=max_images)
    with temporary_folder(folder, TEMPORARY) as temporary:
        model = temporary / "model"
        assets = model / ASSETS  # written first, so that bad arguments show before the long work
        assets.mkdir(parents=True)
        card = model_card(flow, signatures, max_images=max_images, about=about, scores=scores)
        (assets / "model_card.md").write_text(card)
        for name, content in (documents or {}).items():
            write_json(content, assets / f"{name}.json")
        label = min(flow.labels, default=0)
        if warm_up_requests:
            write_warm_up_requests(signatures, warm_up_requests, assets / FILE, label=label)
        _write(flow, signatures, model)
        _compare(signatures, model, label=label)
        return _publish(model, folder)


def export_versions(folder: str | Path) -> list[int]:
    """The versions in a SavedModel's base folder, in ascending order; none if there is no such folder."""
    folder = Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def _write(flow: ImageFlow, signatures: Mapping[str, Signature], folder: Path) -> None:
    """Not by Keras's `ExportArchive`, which traces each function once more, to find its variables."""
    module = tf.Module()
    module.weights = [weight.value for weight in flow.weights]
    functions = {
        name: tf.function(signature.function, input_signature=signature.inputs, autograph=False)
        for name, signature in signatures.items()
    }
    for name, function in functions.items():
        setattr(module, name, function)
    functions["serving_default"] = functions["log_prob"]
    tf.saved_model.save(module, str(folder), signatures=functions)


def _compare(signatures: Mapping[str, Signature], folder: Path, *, label: int) -> None:
    """Compare the SavedModel's answers with the flow's."""
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
    """Whether the two are equal but for rounding."""
    if received.shape != expected.shape:
        return False
    if received.dtype == object:  # PNG files; a signature without _png compares their images
        return all(map(bool, received.ravel()))
    distance = np.abs(received.astype(np.float64) - expected)
    return float(np.mean(distance > 1e-3 * np.maximum(1, np.abs(expected)))) < 1e-3


def _publish(model: Path, folder: Path) -> Path:
    """Rename the model to the next free version; another export may take a number at the same time."""
    number = max(export_versions(folder), default=0)
    while True:
        number += 1
        try:
            return model.rename(folder / str(number))
        except OSError as error:
            if error.errno not in TAKEN:
                raise
