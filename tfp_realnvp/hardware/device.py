"""The device of this process, its threads, and the fastest precision on it."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from tfp_realnvp.hardware.amx import amx_works, cpu

__all__ = ["Device", "cores", "default_precision", "describe", "name", "shards", "use"]

Device = Literal["auto", "cpu", "gpu"]
SHARDED_CORES = 2


def use(device: Device = "auto", *, shards: int | None = None) -> None:
    """Choose the device of this process and its threads, before TensorFlow has used any.

    Args:
      device: "cpu", "gpu", or "auto" for a GPU if there is one.
      shards: in how many shards flows compute a batch on a CPU, each in a thread of its own. None means two on
        a CPU of two cores, if TensorFlow has not begun and its threads were not chosen before; else one.

    Raises:
      ValueError: no GPU is there, but one was asked for; fewer than one shard; or `shards` that come too late,
        after TensorFlow has begun.

    Example:
      `hardware.use("cpu", shards=4)` on a machine of four cores.
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    from tfp_realnvp.compute import sharding  # noqa: PLC0415

    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif device == "gpu" and not tf.config.get_visible_devices("GPU"):
        raise ValueError(
            "TensorFlow sees no GPU: install its libraries with pip install -e '.[gpu]' and look at "
            "nvidia-smi, or leave `device` out."
        )
    threads = tf.config.threading
    if shards is None:
        chosen = (
            threads.get_intra_op_parallelism_threads() or threads.get_inter_op_parallelism_threads()
        )
        if cores() != SHARDED_CORES or chosen or tf.config.get_visible_devices("GPU"):
            return
        with contextlib.suppress(
            RuntimeError
        ):  # TensorFlow has begun: its threads stay as they are
            _set_threads(threads, SHARDED_CORES)
            sharding.use_shards(SHARDED_CORES)
        return
    if shards < 1:
        raise ValueError(f"`shards` must be at least 1, received {shards}.")
    if shards > 1:
        try:
            _set_threads(threads, shards)
        except RuntimeError as error:
            raise ValueError(
                "`shards` must be chosen before TensorFlow computes anything: call `hardware.use` first."
            ) from error
    sharding.use_shards(shards)


def _set_threads(threads, count):
    threads.set_intra_op_parallelism_threads(1)
    threads.set_inter_op_parallelism_threads(count)


def shards() -> int:
    """In how many shards a flow computes a batch."""
    from tfp_realnvp.compute import sharding  # noqa: PLC0415  (it imports TensorFlow)

    return sharding.shards()


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def name() -> str:
    """The GPU's name, or CPU."""
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def describe(precision: str) -> str:
    """What a run says at its start of what it uses.

    Args:
      precision: of the matrix products.

    Example:
      >>> describe("float32")
      'CPU (... cores), float32, without XLA'
    """
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        several = f" x {len(gpus)}, of which one is used" if len(gpus) > 1 else ""
        return f"{name()}{several}, {precision}, with XLA"
    divided = f", batches in {shards()} shards" if shards() > 1 else ""
    return f"CPU ({cores()} cores){divided}, {precision}, without XLA"


def default_precision() -> Literal["float32", "mixed_bfloat16"]:
    """The fastest precision of this machine's matrix products that learns as well as float32."""
    import tensorflow as tf  # noqa: PLC0415

    if tf.config.get_visible_devices("GPU"):
        return "mixed_bfloat16"
    flags = cpu()
    with_amx = "amx_bf16" in flags and amx_works()
    with_avx512 = "avx512_bf16" in flags and "AuthenticAMD" in flags
    return "mixed_bfloat16" if with_amx or with_avx512 else "float32"
