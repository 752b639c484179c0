"""The device of this process, its threads, and the fastest precision on it."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Literal

from tfp_realnvp.hardware import workers
from tfp_realnvp.hardware.amx import amx_works, cpu
from tfp_realnvp.hardware.cluster import read_cluster

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "DEVICES", "Device", "connect", "cores", "default_precision", "describe", "name", "shards", "strategy",
    "use",
]  # fmt: skip

Device = str  # one of these, or GPUs such as "gpu:0,gpu:2"
DEVICES = ("auto", "cpu", "gpu", "all")
_several = False  # whether training uses all devices that TensorFlow sees
WAIT_SECONDS = 300.0  # for other workers, at the start
SHARDED_CORES = 2  # where shards are the default; more cores were not measured


def use(device: Device = "auto", *, shards: int | None = None, deterministic: bool = False) -> None:
    """Choose the devices of this process and its threads. Call it before TensorFlow computes anything.

    Args:
      device: "cpu"; "gpu"; "auto", a GPU if there is one; "all", all GPUs, or without one the CPU; or GPUs by
        their numbers, such as "gpu:0,gpu:2". Several are used by `train`, and by flows that are made in the
        scope of `strategy`.
      shards: into how many shards a flow cuts a batch on a CPU; each shard has a thread of its own. 1 leaves
        the threads to TensorFlow. None means two shards on a CPU of two cores, unless TensorFlow has begun or
        its threads were chosen before; then, and on other CPUs, nothing changes. A GPU takes whole batches.
      deterministic: whether TensorFlow must give the same numbers each time on a GPU, too, where it is slower
        then. On a CPU our training always does.

    Raises:
      ValueError: another device; a GPU was asked for and there is none; `shards` is not an integer of at least
        1; or the choice comes too late, after TensorFlow has begun.

    Example:
      `hardware.use("cpu", shards=4)` on a machine of four cores.
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    global _several  # noqa: PLW0603  (one setting of the process, as TensorFlow's own are)
    numbers = _numbers(device)
    if shards is not None and (not isinstance(shards, int) or shards < 1):
        raise ValueError(f"`shards` must be an integer of at least 1, received {shards!r}.")
    if device == "cpu":
        with _in_time("device"):
            tf.config.set_visible_devices([], "GPU")
    gpus = tf.config.get_visible_devices("GPU")
    if (device == "gpu" or numbers) and not gpus:
        raise ValueError(
            "TensorFlow sees no GPU: install its libraries with pip install -e '.[gpu]' and look at "
            "nvidia-smi, or leave `device` out."
        )
    if numbers:
        if max(numbers) >= len(gpus):
            raise ValueError(
                f"`device` names gpu:{max(numbers)}, but there are {len(gpus)} GPUs, from gpu:0 on."
            )
        with _in_time("device"):
            tf.config.set_visible_devices([gpus[number] for number in numbers], "GPU")
    _several = device == "all" or len(numbers) > 1
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    threads = tf.config.threading
    if gpus:
        return
    if shards is not None:
        with _in_time("shards"):
            _share_out(threads, shards)
    elif cores() == SHARDED_CORES and not (
        threads.get_intra_op_parallelism_threads() or threads.get_inter_op_parallelism_threads()
    ):
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun: its threads stay
            _share_out(threads, SHARDED_CORES)


def connect(*, wait: float | None = None) -> None:
    """Connect this process with the other workers that TF_CONFIG names, the environment variable, if it does.

    From then on, `train` trains on all of them. Call it after `use`, before TensorFlow computes anything. Each
    worker uses a GPU of its machine, or all those that `use` was asked for.

    Args:
      wait: seconds to wait for the others; None means 300.

    Raises:
      ValueError: TF_CONFIG does not describe a cluster, other workers were not there in time, or TensorFlow has
        begun.

    Example:
      In a script that runs on each of several machines:

          hardware.use("auto")
          hardware.connect()
          training.train(TrainingConfig("mnist"), "/shared/runs/mnist")
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    cluster = read_cluster()
    if cluster is None:
        return
    gpus = tf.config.get_visible_devices("GPU")
    if len(gpus) > 1 and not _several:
        with _in_time("device"):
            tf.config.set_visible_devices(gpus[:1], "GPU")
    workers.connect(cluster, wait=WAIT_SECONDS if wait is None else wait)


def _numbers(device: Device) -> list[int]:
    """Those of the GPUs that are named; none for one of `DEVICES`."""
    if device in DEVICES:
        return []
    names = device.split(",") if isinstance(device, str) else []
    if (
        not names
        or len(set(names)) < len(names)
        or not all(re.fullmatch(r"gpu:\d{1,3}", name) for name in names)
    ):
        raise ValueError(
            f"`device` must be one of {', '.join(DEVICES)}, or GPUs such as gpu:0,gpu:2, received {device!r}."
        )
    return [int(name.removeprefix("gpu:")) for name in names]


def strategy() -> tf.distribute.Strategy:
    """How training is spread over the devices that `use` chose: TensorFlow's own strategy.

    It is `MultiWorkerMirroredStrategy` for connected workers, `MirroredStrategy` for several devices of one
    process, each of which computes its part of every batch, and TensorFlow's default for one device. (Without
    a GPU, "several" are the logical CPUs that a program has set up itself.)
    """
    import tensorflow as tf  # noqa: PLC0415

    if (of_workers := workers.strategy()) is not None:
        return of_workers

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if _several and len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def _in_time(argument):
    try:
        yield
    except RuntimeError as error:
        raise ValueError(
            f"`{argument}` must be chosen before TensorFlow computes anything: call `hardware.use` first."
        ) from error


def _share_out(threads, count):
    from tfp_realnvp.compute import sharding  # noqa: PLC0415  (it imports TensorFlow)

    if count == sharding.shards():
        return
    threads.set_intra_op_parallelism_threads(1 if count > 1 else 0)  # 0: TensorFlow decides
    threads.set_inter_op_parallelism_threads(count if count > 1 else 0)
    sharding.use_shards(count)


def shards() -> int:
    """Into how many shards a flow cuts a batch."""
    from tfp_realnvp.compute import sharding  # noqa: PLC0415  (it imports TensorFlow)

    return sharding.shards()


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def name() -> str:
    """The name of the GPU, or "CPU"."""
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def describe(precision: str) -> str:
    """One line about the device, as a training run prints it at its start.

    Args:
      precision: that of the matrix products.

    Example:
      >>> describe("float32")
      'CPU (... cores), float32, without XLA'
    """
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        used = "" if _several else ", of which one is used"
        several = f" x {len(gpus)}{used}" if len(gpus) > 1 else ""
        return f"{name()}{several}, {precision}, with XLA"
    divided = f", batches in {shards()} shards" if shards() > 1 else ""
    return f"CPU ({cores()} cores){divided}, {precision}, without XLA"


def default_precision() -> Literal["float32", "mixed_bfloat16"]:
    """The precision in which this machine multiplies matrices fastest; a flow learns as well in either."""
    import tensorflow as tf  # noqa: PLC0415

    if tf.config.get_visible_devices("GPU"):
        return "mixed_bfloat16"
    flags = cpu()
    with_amx = "amx_bf16" in flags and amx_works()
    with_avx512 = "avx512_bf16" in flags and "AuthenticAMD" in flags
    return "mixed_bfloat16" if with_amx or with_avx512 else "float32"
