"""The cluster that TF_CONFIG describes: which workers there are, which of them this process is, who answers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator

__all__ = ["Cluster", "read_cluster", "wait_for_workers"]

VARIABLE = "TF_CONFIG"
EXPECTED = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
LARGEST = 1_000_000  # characters
TRY_SECONDS = 0.2  # between two tries to reach a worker
ANSWER_SECONDS = 2.0  # for a worker to answer


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Workers that train together, a process each.

    Attributes:
      addresses: of the workers, "host:port", the chief's first.
      index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int


def read_cluster() -> Cluster | None:
    """The cluster of the environment variable TF_CONFIG; None if it names no other worker, or is not set.

    Raises:
      ValueError: it is not what TensorFlow expects, or this process is no worker of it.

    Reference:
      TensorFlow's guide "Multi-worker training with Keras", section "TF_CONFIG".
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        if len(text) > LARGEST:
            raise ValueError("it is too long")
        content = json.loads(text)
        jobs = content.get("cluster", {})
        if not jobs:
            return None
        chiefs, workers = jobs.get("chief", []), jobs.get("worker", [])
        addresses = (*chiefs, *workers)
        if len(chiefs) > 1 or not addresses:
            raise ValueError("there must be workers, and at most one chief")
        for address in addresses:
            if not re.fullmatch(r"(\S+):\d{1,5}", address):
                raise ValueError(f"{address!r} is not host:port")
        if len(set(addresses)) < len(addresses):
            raise ValueError("two workers have the same address")
        kind, index = content["task"]["type"], int(content["task"]["index"])
        if kind not in ("chief", "worker"):
            raise ValueError(f"a task {kind!r} does not train: leave out all but chief and worker")
        own = chiefs if kind == "chief" else workers
        if not 0 <= index < len(own):
            raise ValueError(f"there is no {kind} {index}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"the environment variable {VARIABLE} does not describe a cluster ({reason}): expected a value "
            f"such as {EXPECTED}, received {text[:200]!r}. Unset it to train on this machine alone."
        ) from error
    if len(addresses) == 1:
        return None
    return Cluster(addresses, index if kind == "chief" else len(chiefs) + index)


def wait_for_workers(cluster: Cluster, *, seconds: float) -> None:
    """Wait until each of the other workers was there once.

    TensorFlow itself waits much longer, cannot be interrupted then, and does not say for whom it waits.

    Args:
      cluster: of this process.
      seconds: how long.

    Raises:
      ValueError: some were not there in time, or this worker's own address is in use.
    """
    others = {a for number, a in enumerate(cluster.addresses) if number != cluster.index}
    end = time.monotonic() + seconds
    with _listening(cluster.addresses[cluster.index]):
        while others:
            others = {address for address in others if not _answers(address)}
            if others and time.monotonic() > end:
                raise ValueError(
                    f"worker {cluster.index} did not reach {', '.join(sorted(others))} in {seconds:.0f} s: "
                    f"start all workers that {VARIABLE} names, on machines that reach each other at these "
                    "addresses."
                )
            if others:
                time.sleep(TRY_SECONDS)


@contextlib.contextmanager
def _listening(address: str) -> Iterator[None]:
    """Answer at the port of an address."""
    port = int(address.rpartition(":")[2])
    try:
        server = socket.create_server(("", port), backlog=128)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"this worker cannot listen at {address}, its address in {VARIABLE}: {error}."
        ) from error

    def answer():
        with contextlib.suppress(OSError):  # it was closed
            while True:
                server.accept()[0].close()

    with server:
        threading.Thread(target=answer, daemon=True).start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # so that the thread ends


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS):
            return True
    except (OSError, OverflowError):
        return False
