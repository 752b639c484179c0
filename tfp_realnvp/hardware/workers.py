"""Several workers, a process each, on one machine or more: what they say to each other beside gradients."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tfp_realnvp.hardware.cluster import Cluster, wait_for_workers

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "WorkerLostError",
    "check_agreement",
    "chief_first",
    "connect",
    "connected",
    "gather",
    "is_chief",
    "largest",
    "losses_as_one_error",
    "of_chief",
    "share_out",
    "strategy",
    "together",
    "worker",
    "workers",
]

Result = TypeVar("Result")
CONNECT_SECONDS = 60.0  # for TensorFlow to connect workers that are all there
GROUP = 1_000_000_007  # of our messages; TensorFlow numbers its own groups from 1 on
_cluster: Cluster | None = None
_strategy: tf.distribute.Strategy | None = None


class WorkerLostError(RuntimeError):
    """Another worker is gone, so that this one cannot go on."""


def connect(cluster: Cluster, *, wait: float) -> None:
    """Connect this process with the other workers of a cluster, before TensorFlow computes anything.

    Args:
      cluster: of this process.
      wait: seconds to wait for the others.

    Raises:
      ValueError: they were not there in time, or TensorFlow has begun.
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    global _cluster, _strategy  # noqa: PLW0603  (one setting of the process, as TensorFlow's own are)
    if _strategy is not None:
        return
    wait_for_workers(cluster, seconds=wait)
    # a worker that ended just now would leave TensorFlow waiting, where no exception reaches it
    faulthandler.dump_traceback_later(CONNECT_SECONDS, exit=True)
    try:
        _strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            f"workers must be connected before TensorFlow computes anything ({error}): call `hardware.connect` "
            "first."
        ) from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    _cluster = cluster


def connected() -> bool:
    """Whether this process is one of several workers."""
    return _cluster is not None


def strategy() -> tf.distribute.Strategy | None:
    """That of the connected workers; None if this process works alone."""
    return _strategy


def workers() -> int:
    """How many workers there are."""
    return len(_cluster.addresses) if _cluster else 1


def worker() -> int:
    """The number of this worker, from 0; 0 is the chief."""
    return _cluster.index if _cluster else 0


def is_chief() -> bool:
    """Whether this process is the one that writes files: the chief, or one that works alone."""
    return worker() == 0


def gather(values) -> np.ndarray:
    """The values of all workers, one after the other. All workers must call it, in the same order.

    Args:
      values: [n, ...], of the same shape and dtype on all workers.

    Returns:
      Array [workers * n, ...].

    Raises:
      WorkerLostError: a worker is gone.
    """
    values = np.asarray(values)
    if _cluster is None:
        return values
    import tensorflow as tf  # noqa: PLC0415

    if values.dtype.kind in "bu":  # which TensorFlow does not send
        return gather(values.astype(np.int64)).astype(values.dtype)
    # one key for each shape, since TensorFlow takes messages of a key for messages of one kind
    kind = f"{values.dtype.name}{values.shape}".encode()
    key = int.from_bytes(hashlib.sha256(kind).digest()[:3], "big")
    with losses_as_one_error(), tf.device("CPU:0"):
        received = tf.raw_ops.CollectiveGatherV2(
            input=values,
            group_size=workers(),
            group_key=GROUP,
            instance_key=key,
            ordering_token=[],
        )
        return received.numpy()


def largest(values: list[float]) -> list[float]:
    """For each of the values the largest of all workers'. All workers must call it, in the same order."""
    if _cluster is None:
        return values
    return gather(np.array([values], np.float64)).max(axis=0).tolist()


def of_chief(values) -> np.ndarray:
    """The chief's values. All workers must call it, in the same order, with values of the same shape."""
    return gather(np.asarray(values)[np.newaxis])[0]


def chief_first(function: Callable[[], Result]) -> Result:
    """What a function returns that must run on the chief before it does on the others."""
    for turn_of_chief in (True, False):
        with together("what the chief does first"):
            if is_chief() == turn_of_chief:
                result = function()
    return result


def share_out(function: Callable) -> Callable:
    """A function of rows, each of which is computed by one worker. All workers must call it, in the same order.

    Args:
      function: from arrays [n, ...] to an array [n], float32.
    """
    if _cluster is None:
        return function

    def shared(*columns):
        rows = len(columns[0])
        part = -(-rows // workers())
        # each the same number: where rows run out, the last one is computed once more
        own = np.minimum(np.arange(worker() * part, (worker() + 1) * part), rows - 1)
        return gather(np.asarray(function(*(column[own] for column in columns))))[:rows]

    return shared


@contextlib.contextmanager
def together(what: str) -> Iterator[None]:
    """A part of the work that all workers must come through: if one fails, all do.

    Args:
      what: it is, for the error.

    Raises:
      WorkerLostError: another worker failed.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(WorkerLostError):
            largest([worker() + 1.0])
        raise
    failed = int(largest([0.0])[0])
    if failed:
        raise WorkerLostError(f"worker {failed - 1} failed in {what}; what it printed says why.")


def check_agreement(what: dict[str, object]) -> None:
    """Make sure that all workers have the same.

    Args:
      what: by its name, for the error; values that JSON knows.

    Raises:
      ValueError: they do not.
    """
    digests = [
        hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
        for value in what.values()
    ]
    own = np.frombuffer(b"".join(digests), np.uint8)
    rows = gather(own[np.newaxis]).reshape(-1, len(what), 32)
    different = np.any(rows != rows[:1], axis=(0, 2))
    if different.any():
        names = [name for name, differs in zip(what, different, strict=True) if differs]
        others = np.flatnonzero(np.any(rows != rows[:1], axis=(1, 2)))
        raise ValueError(
            f"workers must have the same {' and '.join(names)}: worker {worker()} has "
            f"{'; '.join(json.dumps(what[name], sort_keys=True)[:1000] for name in names)}. Those that differ "
            f"from worker 0 are {', '.join(map(str, others))}."
        )


@contextlib.contextmanager
def losses_as_one_error() -> Iterator[None]:
    """Turn TensorFlow's many errors about lost workers into one.

    Raises:
      WorkerLostError: a worker is gone.
    """
    if _cluster is None:
        yield
        return
    import tensorflow as tf  # noqa: PLC0415

    lost = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    try:
        yield
    except lost as error:
        raise WorkerLostError(
            f"worker {worker()} of {workers()} ends because another worker is gone. Start all workers again; "
            "with `resume` they go on from the last state that the chief wrote."
        ) from error
