"""What the machine has, and what is fastest on it: the one place that decides this.

| machine | precision of matrix products in training | XLA |
|---|---|---|
| GPU | bfloat16 | yes (Keras's own choice for `jit_compile="auto"`) |
| CPU with AMX, or of AMD with AVX-512's instructions for bfloat16 | bfloat16 | no |
| other CPUs | float32 | no |

Intel's CPUs have AVX-512's, too, but multiply with them at half the speed of float32: without AMX all jobs of
benchmarks/compare.py took 1.4 to 1.6 times as long in bfloat16. With AMX they were 1.2 to 2.8 times as fast.

On a CPU of two cores a batch is computed in two shards, each by a thread of its own (`shards`), and not in
TensorFlow's own way, by two threads for each operation. More cores are left to that: they were not measured.
There, too, a batch has as many shards as TensorFlow does operations at a time, if each has one thread:
`set_intra_op_parallelism_threads(1)`, `set_inter_op_parallelism_threads(4)` of `tf.config.threading`.

`train` does ten steps of a dense flow for each call from Python, on all machines. A step of convolutions is
called alone: it is long, and between two calls progress is shown and a run may end.

What a dense step takes the other ways, in parts of its time in shards, ten steps a call, without XLA, by
benchmarks/choices.py with 11 rounds on an Intel without AMX, in float32 (a run of 5 rounds before it had 1.14
and 0.90 in the first line: the machine is shared):

| | batch 128 | batch 512 |
|---|---|---|
| shards, a step a call | 1.06 | 1.15 |
| shards, XLA | 2.09 | 2.14 |
| TensorFlow's own threads | 1.39 | 1.23 |
| TensorFlow's own threads, XLA | 1.19 | 1.33 |

Scoring and drawing are in float32 unless asked (`ImageFlow.in_precision`). Batches are those of `config.FLOWS`
on all machines: they decide what is learned. benchmarks/compare.py measures the lines of CPUs; those of the
GPU are TensorFlow's advice, not measured.

Some virtual machines announce AMX, but not the size of its tiles. There oneDNN ends a process that computes in
bfloat16 by an illegal instruction (https://github.com/uxlfoundation/oneDNN/issues/5689), so importing
`tfp_realnvp` tells it to do without AMX.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from pathlib import Path
from typing import Literal

__all__ = [
    "Device",
    "avoid_broken_amx",
    "cores",
    "default_precision",
    "describe",
    "name",
    "shards",
    "use",
]

Device = Literal["auto", "cpu", "gpu"]
SHARDED_CORES = 2
ONEDNN_ISA = "ONEDNN_MAX_CPU_ISA"  # the variable that limits oneDNN's instructions
AMX_TILES = 0x1D  # the question about them: how many kinds there are
# push rbx; mov eax, edi; xor ecx, ecx; cpuid; pop rbx; ret
CPUID = bytes.fromhex("53 89f8 31c9 0fa2 5b c3")


def use(device: Device = "auto") -> None:
    """Choose the device of this process and its threads, before TensorFlow has used any.

    Threads stay as they are if TensorFlow has begun, or if they were chosen before.

    Args:
      device: "cpu", "gpu", or "auto" for a GPU if there is one.

    Raises:
      ValueError: no GPU is there, but one was asked for.
    """
    import tensorflow as tf  # noqa: PLC0415  (slow to import)

    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif device == "gpu" and not tf.config.get_visible_devices("GPU"):
        raise ValueError(
            "TensorFlow sees no GPU: install its libraries with pip install -e '.[gpu]' and look at "
            "nvidia-smi, or leave --device out."
        )
    threads = tf.config.threading
    chosen = (
        threads.get_intra_op_parallelism_threads() or threads.get_inter_op_parallelism_threads()
    )
    if cores() == SHARDED_CORES and not chosen and not tf.config.get_visible_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun
            threads.set_intra_op_parallelism_threads(1)
            threads.set_inter_op_parallelism_threads(SHARDED_CORES)


def shards() -> int:
    """In how many shards a flow computes a batch: one a thread, if each operation has one thread."""
    import tensorflow as tf  # noqa: PLC0415

    threads = tf.config.threading
    if tf.config.get_visible_devices("GPU") or threads.get_intra_op_parallelism_threads() != 1:
        return 1
    return max(1, threads.get_inter_op_parallelism_threads())


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
    cpu = _cpu()
    with_amx = "amx_bf16" in cpu and _amx_works()
    with_avx512 = "avx512_bf16" in cpu and "AuthenticAMD" in cpu
    return "mixed_bfloat16" if with_amx or with_avx512 else "float32"


def avoid_broken_amx() -> None:
    """Limit oneDNN to AVX-512 where the machine announces AMX, but no tiles for it.

    It has an effect before TensorFlow's first operation. A limit of the user's stays.
    """
    if "amx_tile" in _cpu() and not _amx_works():
        os.environ.setdefault(ONEDNN_ISA, "AVX512_CORE_FP16")


def _cpu():
    """What Linux tells of it: maker, flags and more."""
    file = Path("/proc/cpuinfo")
    return file.read_text() if file.is_file() else ""


def _amx_works():
    return _cpuid(AMX_TILES) > 0


def _cpuid(leaf):
    """What the processor says of itself in register eax: x86-64 only; 0 if it may not be asked.

    Linux tells its flags in a file, but not this. Only its own instruction does.
    """
    try:
        page = mmap.mmap(-1, len(CPUID), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # some hardened systems run nothing from a page that was written
        return 0
    page.write(CPUID)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(start)(leaf)
