"""Reads the image sets of TensorFlow Datasets. Without a network it says so within seconds."""

from __future__ import annotations

import hashlib
import http.client
import logging
import queue
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from tfp_realnvp.datasets.images import Arrays

__all__ = ["check_tfds", "read_tfds", "unknown_source"]

DECODED_AHEAD = 256  # images; with 4, threads wait for each other and it takes twice as long
NETWORK_SECONDS = 5  # how long to wait for the download server to answer


def unknown_source(source: str) -> ValueError:
    """The error for an unknown source, which lists the known ones."""
    return ValueError(
        f"unknown data set {source!r}: expected digits, idx:FOLDER, npz:FILE, tfrecord:FOLDER, or the name of "
        "an image set of TensorFlow Datasets (mnist, fashion_mnist, kmnist, cifar10 ...)."
    )


def check_tfds(
    name: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> None:
    """Check within seconds that an image set is there or can be downloaded.

    Args:
      name: as in the catalogue of TensorFlow Datasets.
      manual_dir: a folder with the original files, downloaded beforehand; the network is then not used.
      data_dir: the folder of prepared data sets.

    Raises:
      ValueError: the name is unknown, or the set does not consist of labelled images of one size.
      OSError: the set is not prepared yet, its files are not in `manual_dir`, and the server does not answer.
    """
    builder = _builder(name, data_dir)
    _keys(builder)
    if builder.info.splits:
        return
    missing = {
        url: info.filename
        for url, info in (builder.url_infos or {}).items()
        if manual_dir is None or not _is_file(Path(manual_dir) / info.filename, info.checksum)
    }
    if missing and (reason := _why_unreachable(next(iter(missing)))) is not None:
        raise OSError(
            f"the data set {builder.name!r} is not prepared in {builder.data_dir}, its files "
            f"({', '.join(missing.values())}) are not in {manual_dir or '`manual_dir` (not given)'} with "
            f"the expected checksums, and they cannot be downloaded ({reason}). Put these files into a "
            "folder and name it by `manual_dir`, or choose another data set: idx:FOLDER or npz:FILE for "
            "files of your own, digits for the embedded one."
        )


def read_tfds(
    name: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> tuple[Arrays, Arrays | None]:
    """Read an image set that passed `check_tfds`; prepare it first if that was not done before.

    Args:
      name: as in `check_tfds`.
      manual_dir: as in `check_tfds`.
      data_dir: as in `check_tfds`.

    Returns:
      ((images, labels) for training, the same for testing, or None without a test split).
    """
    import tensorflow_datasets as tfds  # noqa: PLC0415  (slow to import)

    builder = _builder(name, data_dir)
    if not builder.info.splits:
        config = tfds.download.DownloadConfig(
            manual_dir=None if manual_dir is None else Path(manual_dir), try_download_gcs=False
        )
        builder.download_and_prepare(download_config=config)
    keys = _keys(builder)
    test = _read(tfds, builder, "test", *keys) if "test" in builder.info.splits else None
    return _read(tfds, builder, "train", *keys), test


def _builder(name: str, data_dir: str | Path | None):
    import tensorflow_datasets as tfds  # noqa: PLC0415  (slow to import)

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns about its own deprecated parts
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (
        ValueError,
        TypeError,
    ) as error:  # not the form of a name, or an unknown version or configuration
        raise unknown_source(name) from error


def _read(tfds, builder, part: str, image_key: str, label_key: str) -> Arrays:
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    # the set is read once: tuning and caching would not pay
    options = tf.data.Options()
    options.autotune.enabled = False
    config = tfds.ReadConfig(
        options, try_autocache=False, num_parallel_calls_for_decode=DECODED_AHEAD
    )
    dataset = builder.as_dataset(split=part, batch_size=1000, read_config=config)
    batches = list(tfds.as_numpy(dataset))
    images = np.concatenate([batch[image_key] for batch in batches])
    return images, np.concatenate([batch[label_key] for batch in batches]).astype(np.int64)


def _keys(builder) -> tuple[str, str]:
    """The names of the features that hold the image and the label. Images must be uint8 and of one size."""
    features, keys = builder.info.features, builder.info.supervised_keys
    if keys is not None and len(keys) == 2 and set(keys) <= set(features):
        image = features[keys[0]]
        fits = image.shape is not None and len(image.shape) == 3 and None not in image.shape
        if fits and image.dtype == np.uint8 and features[keys[1]].shape == ():
            return keys
    raise ValueError(
        f"the data set {builder.name!r} does not consist of labelled uint8 images of one size; "
        f"its features are {dict(features.items())}."
    )


def _is_file(file: Path, checksum: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == checksum


def _why_unreachable(url: str) -> str | None:
    """Why the server of this address does not answer within NETWORK_SECONDS; None if it does."""
    outcome: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=NETWORK_SECONDS).close()
        except urllib.error.HTTPError:
            outcome.put(None)  # it refuses, but it answers
        except (OSError, http.client.HTTPException) as error:
            outcome.put(str(error))
        else:
            outcome.put(None)

    # In a thread, because looking up the name may take longer than the timeout, which does not count it.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return outcome.get(timeout=NETWORK_SECONDS)
    except queue.Empty:
        return f"no answer within {NETWORK_SECONDS} s"
