"""Export: a SavedModel that runs wherever TensorFlow runs, without this package."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from tfp_realnvp import preprocessing
from tfp_realnvp.flows import ImageFlow

__all__ = ["export"]


def export(flow: ImageFlow, folder: str | Path) -> Path:
    """Write the next version of a SavedModel.

    Its signatures, each with any batch size n and named inputs and outputs:

    | signature | inputs | outputs |
    |---|---|---|
    | log_prob (default) | images uint8 [n, height, width, channels] | log_prob, bits_per_dim: float32 [n] |
    | sample | num_samples int32 [], seed int32 [2], temperature float32 [] | images uint8 |
    | encode | images uint8 | latents float32, of the images' shape |
    | decode | latents float32 [n, height, width, channels] | images uint8 |

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
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
        version = folder / str(max(versions, default=0) + 1)
        (temporary / "model").rename(version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return version


def _write(flow: ImageFlow, folder: Path) -> None:
    images = tf.TensorSpec([None, *flow.image_shape], tf.uint8, name="images")
    latents = tf.TensorSpec([None, *flow.image_shape], tf.float32, name="latents")

    def log_prob(images):
        values = flow.log_prob(images)
        bits = preprocessing.bits_per_dim(values, flow.image_shape)
        return {"log_prob": values, "bits_per_dim": bits}

    def sample(num_samples, seed, temperature):
        return {"images": flow._sample(num_samples, temperature, seed)}

    archive = keras.export.ExportArchive()
    archive.track(flow)
    archive.add_endpoint("log_prob", log_prob, input_signature=[images])
    archive.add_endpoint(
        "sample",
        sample,
        input_signature=[
            tf.TensorSpec([], tf.int32, name="num_samples"),
            tf.TensorSpec([2], tf.int32, name="seed"),
            tf.TensorSpec([], tf.float32, name="temperature"),
        ],
    )
    archive.add_endpoint(
        "encode", lambda images: {"latents": flow.encode(images)}, input_signature=[images]
    )
    archive.add_endpoint(
        "decode", lambda latents: {"images": flow.decode(latents)}, input_signature=[latents]
    )
    archive.write_out(str(folder), verbose=False)
