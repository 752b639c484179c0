"""AMX, the matrix instructions of Intel's processors: whether they work, and how to do without them.

Some virtual machines announce AMX, but not the size of its tiles. On these, oneDNN crashes with an illegal
instruction as soon as a process computes in bfloat16 (https://github.com/uxlfoundation/oneDNN/issues/5689).
Importing `tfp_realnvp` therefore tells oneDNN not to use AMX there.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["amx_works", "avoid_broken_amx", "cpu"]

ONEDNN_ISA = "ONEDNN_MAX_CPU_ISA"  # the environment variable that limits oneDNN's instructions
AMX_TILES = 0x1D  # the leaf of CPUID that describes the tiles; its eax is 0 where there are none


def avoid_broken_amx() -> None:
    """Limit oneDNN to AVX-512 where the machine announces AMX, but no tiles for it.

    It must be called before TensorFlow's first operation. A limit that the user has set stays.
    """
    if "amx_tile" in cpu() and not amx_works():
        os.environ.setdefault(ONEDNN_ISA, "AVX512_CORE_FP16")


def amx_works() -> bool:
    """Whether a processor that announces AMX has tiles for it."""
    # machine code, so it is only loaded where AMX is announced
    from tfp_realnvp.hardware.cpuid import cpuid  # noqa: PLC0415

    return cpuid(AMX_TILES) > 0


def cpu() -> str:
    """Linux's description of the processor, with maker and flags; empty on other systems."""
    file = Path("/proc/cpuinfo")
    return file.read_text() if file.is_file() else ""
