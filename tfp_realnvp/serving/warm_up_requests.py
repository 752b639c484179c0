"""Warm-up requests: what TF Serving answers at its start, before it takes the requests of others.

TF Serving calls them warmup requests: https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_realnvp.serving.signatures import Signature

__all__ = ["FILE", "example_inputs", "write_warm_up_requests"]

FILE = "tf_serving_warmup_requests"  # in assets.extra
MOST = 1000  # that TF Serving reads


def write_warm_up_requests(
    signatures: Mapping[str, Signature], batch_sizes: Sequence[int], path: Path, *, label: int = 0
) -> None:
    """Write one request for every batch size, to every signature all of whose inputs have a batch axis.

    The other signatures get none: a server with batching refuses requests to them, and TF Serving does not
    load a model that refuses one of its warm-up requests.

    Args:
      signatures: those of the SavedModel, by name.
      batch_sizes: each at least 1.
      path: the file to write.
      label: that of every row, where a signature takes labels.

    Raises:
      ModuleNotFoundError: the extra `serving` is not installed.
      ValueError: a batch size below 1, or more requests than TF Serving reads.
    """
    batched = {
        name: signature
        for name, signature in signatures.items()
        if all(spec.shape.rank and spec.shape[0] is None for spec in signature.inputs)
    }
    if min(batch_sizes) < 1:
        raise ValueError(
            f"`warm_up_requests` must be batch sizes of at least 1, received {min(batch_sizes)}."
        )
    count = len(batch_sizes) * len(batched)
    if count > MOST:
        raise ValueError(
            f"`warm_up_requests` must be at most {MOST // len(batched)} batch sizes, received "
            f"{len(batch_sizes)}: for {len(batched)} signatures they are {count} requests, of which TF "
            f"Serving reads {MOST}."
        )
    try:
        from tensorflow_serving.apis import prediction_log_pb2  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`warm_up_requests` need the extra `serving`: pip install -e '.[serving]'."
        ) from error
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in batched.items():
            for size in dict.fromkeys(batch_sizes):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.signature_name = name
                for key, value in example_inputs(signature, size, label=label):
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
                writer.write(log.SerializeToString())


def example_inputs(
    signature: Signature, size: int, *, label: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    """Inputs of `size` rows that a signature answers, by name."""
    values = {"num_samples": size, "temperature": 1, "labels": label}
    for spec in signature.inputs:
        shape = [size if side is None else side for side in spec.shape]
        yield spec.name, np.full(shape, values.get(spec.name, 0), spec.dtype.as_numpy_dtype)
