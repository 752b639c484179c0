"""Reader of the image sets of TensorFlow Datasets, with an answer in seconds where there is no network."""

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

DECODED_AHEAD = 256  # images; with 4, threads wait for each other: twice the time
NETWORK_SECONDS = 5  # how long to wait for a sign of the download server


def unknown_source(source: str) -> ValueError:
    """The error that says which sources there are."""
    return ValueError(
        f"unknown data set {source!r}: expected digits, idx:FOLDER, npz:FILE, or the name of an image set "
        "of TensorFlow Datasets (mnist, fashion_mnist, kmnist, cifar10 ...)."
    )


def check_tfds(
    name: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> None:
    """Find out in a few seconds whether an image set can be had.

    Args:
      name: as in the catalogue of TensorFlow Datasets.
      manual_dir: a folder with the original files, fetched beforehand; no network is used then.
      data_dir: where prepared sets are kept.

    Raises:
      ValueError: an unknown set, or one that does not consist of labelled images of one size.
      OSError: the set is not prepared yet, and its files are neither in `manual_dir` nor within reach.
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
            f"({', '.join(missing.values())}) are not in {manual_dir or '--manual-dir (not given)'} with "
            f"the expected checksums, and the network is out of reach ({reason}). Go on with one of: "
            "--manual-dir FOLDER (a folder with these files); --dataset idx:FOLDER or npz:FILE (other "
            "files of yours); --dataset digits (embedded)."
        )


def read_tfds(
    name: str, *, manual_dir: str | Path | None = None, data_dir: str | Path | None = None
) -> tuple[Arrays, Arrays | None]:
    """Prepare, if need be, and read an image set that `check_tfds` found to be within reach.

    Args:
      name: as in `check_tfds`.
      manual_dir: as in `check_tfds`.
      data_dir: as in `check_tfds`.

    Returns:
      ((images, labels) for training, the same for testing, or None).
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

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of its own deprecated parts
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise unknown_source(name) from error


def _read(tfds, builder, part: str, image_key: str, label_key: str) -> Arrays:
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    # tuning and caching are for what is read again and again
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
    """The names of the image and of the label, if the set is one of labelled images of one size."""
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
    """None if the server of this address answers at all, within NETWORK_SECONDS; or else why not."""
    outcome: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=NETWORK_SECONDS).close()
        except urllib.error.HTTPError:
            outcome.put(None)  # an answer, if not the wanted one
        except (OSError, http.client.HTTPException) as error:
            outcome.put(str(error))
        else:
            outcome.put(None)

    # In a thread, because a name server may hang for longer than the connection's own limit.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return outcome.get(timeout=NETWORK_SECONDS)
    except queue.Empty:
        return f"no answer within {NETWORK_SECONDS} s"
