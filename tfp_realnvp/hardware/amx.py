"""AMX, the tiles of Intel's processors: whether they work, and what to do where they do not.

Some virtual machines announce AMX, but not the size of its tiles. There oneDNN ends a process that computes in
bfloat16 by an illegal instruction (https://github.com/uxlfoundation/oneDNN/issues/5689), so importing
`tfp_realnvp` tells it to do without AMX.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["amx_works", "avoid_broken_amx", "cpu"]

ONEDNN_ISA = "ONEDNN_MAX_CPU_ISA"  # the variable that limits oneDNN's instructions
AMX_TILES = 0x1D  # the leaf of CPUID that describes them: eax is how many kinds there are


def avoid_broken_amx() -> None:
    """Limit oneDNN to AVX-512 where the machine announces AMX, but no tiles for it.

    It has an effect before TensorFlow's first operation. A limit of the user's stays.
    """
    if "amx_tile" in cpu() and not amx_works():
        os.environ.setdefault(ONEDNN_ISA, "AVX512_CORE_FP16")


def amx_works() -> bool:
    """Whether a processor that announces AMX has tiles for it."""
    # machine code: only machines that announce AMX load it
    from tfp_realnvp.hardware.cpuid import cpuid  # noqa: PLC0415

    return cpuid(AMX_TILES) > 0


def cpu() -> str:
    """What Linux tells of the processor: maker, flags and more; nothing on other systems."""
    file = Path("/proc/cpuinfo")
    return file.read_text() if file.is_file() else ""
