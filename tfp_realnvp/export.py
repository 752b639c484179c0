"""Export: a SavedModel that runs wherever TensorFlow runs, without this package."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from tfp_realnvp import preprocessing
from tfp_realnvp.flows import ImageFlow

__all__ = ["export", "export_versions"]


def export(flow: ImageFlow, folder: str | Path) -> Path:
    """Write the next version of a SavedModel.

    Its signatures, each with any batch size n and named inputs and outputs:

    | signature | inputs | outputs |
    |---|---|---|
    | log_prob (default) | images uint8 [n, height, width, channels] | log_prob, bits_per_dim: float32 [n] |
    | sample | num_samples int32 [], seed int32 [2], temperature float32 [] | images uint8 |
    | encode | images uint8 | latents float32, of the images' shape |
    | decode | latents float32 [n, height, width, channels] | images uint8 |

    A class-conditional flow takes `labels` int32 [n] besides, in `sample` instead of num_samples, and has
    the signature `classify` from images to `labels` int32 [n].

    An image's score, and the images of a seed, are always the same.

    Args:
      flow: a trained flow.
      folder: the SavedModel's base folder; versions are its subfolders 1, 2, 3 ...

    Returns:
      The folder of the new version.

    Raises:
      OSError: nothing can be written there; no half version is left behind.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # beside the versions, under a name that is no version, so that a server never sees half of it
    temporary = Path(tempfile.mkdtemp(prefix=".export.", dir=folder))
    try:
        _write(flow, temporary / "model")
        version = folder / str(max(export_versions(folder), default=0) + 1)
        (temporary / "model").rename(version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return version


def export_versions(folder: str | Path) -> list[int]:
    """The versions in a SavedModel's base folder."""
    folder = Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def _write(flow: ImageFlow, folder: Path) -> None:
    """Signatures of a flow without labels take none, those of one with labels take one for each image."""
    images = tf.TensorSpec([None, *flow.image_shape], tf.uint8, name="images")
    latents = tf.TensorSpec([None, *flow.image_shape], tf.float32, name="latents")
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    temperature = tf.TensorSpec([], tf.float32, name="temperature")
    labels = [tf.TensorSpec([None], tf.int32, name="labels")] if flow.labels else []
    number = labels or [tf.TensorSpec([], tf.int32, name="num_samples")]

    def log_prob(images, labels=None):
        values = flow.log_prob(images, labels)
        bits = preprocessing.bits_per_dim(values, flow.image_shape)
        return {"log_prob": values, "bits_per_dim": bits}

    def sample(number, seed, temperature):
        known = number if flow.labels else None
        count = tf.size(number) if flow.labels else number
        return {"images": flow._sample(count, known, temperature, seed)}

    def encode(images, labels=None):
        return {"latents": flow.encode(images, labels)}

    def decode(latents, labels=None):
        return {"images": flow.decode(latents, labels)}

    archive = keras.export.ExportArchive()
    archive.add_endpoint("log_prob", log_prob, input_signature=[images, *labels])
    archive.add_endpoint("sample", sample, input_signature=[*number, seed, temperature])
    archive.add_endpoint("encode", encode, input_signature=[images, *labels])
    archive.add_endpoint("decode", decode, input_signature=[latents, *labels])
    if flow.labels:
        archive.add_endpoint(
            "classify", lambda images: {"labels": flow.classify(images)}, input_signature=[images]
        )
    archive.write_out(str(folder), verbose=False)
