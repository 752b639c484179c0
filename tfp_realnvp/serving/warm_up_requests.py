"""Warm-up records: requests that TF Serving answers to itself before it takes those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_realnvp.serving.signatures import Signature

__all__ = ["FILE", "example_inputs", "write_warm_up"]

FILE = "tf_serving_warmup_requests"  # in assets.extra
MOST = 1000  # records that TF Serving reads


def write_warm_up(
    signatures: Mapping[str, Signature], batch_sizes: Sequence[int], path: Path, *, label: int = 0
) -> None:
    """Write a request to every signature that takes rows, for every batch size.

    Those with other inputs are left out: a server with batching refuses them, and a request that is refused
    keeps TF Serving from loading the model.

    Args:
      signatures: of the SavedModel.
      batch_sizes: each at least 1.
      path: where the file goes.
      label: that the requests name where labels are wanted.

    Raises:
      ModuleNotFoundError: the extra `serving` is not installed.
      ValueError: a batch size below 1, or more records than TF Serving reads.
    """
    in_rows = {
        name: signature
        for name, signature in signatures.items()
        if all(spec.shape.rank and spec.shape[0] is None for spec in signature.inputs)
    }
    if min(batch_sizes) < 1:
        raise ValueError(f"a batch size must be at least 1, received {min(batch_sizes)}.")
    if len(batch_sizes) * len(in_rows) > MOST:
        raise ValueError(f"TF Serving reads at most {MOST} records: name fewer batch sizes.")
    try:
        from tensorflow_serving.apis import prediction_log_pb2  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "warm-up records need the extra `serving`: pip install -e '.[serving]'."
        ) from error
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in in_rows.items():
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
    """Inputs that a signature answers with `size` rows."""
    values = {"num_samples": size, "temperature": 1, "labels": label}
    for spec in signature.inputs:
        shape = [size if side is None else side for side in spec.shape]
        yield spec.name, np.full(shape, values.get(spec.name, 0), spec.dtype.as_numpy_dtype)
