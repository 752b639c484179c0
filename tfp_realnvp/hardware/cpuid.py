"""CPUID, the instruction by which a processor describes itself, as machine code for x86-64.

Linux lists the processor's flags in a file, but not the size of AMX's tiles. Only this instruction tells it.
"""

from __future__ import annotations

import ctypes
import mmap

__all__ = ["cpuid"]

# push rbx; mov eax, edi; xor ecx, ecx; cpuid; pop rbx; ret
CODE = bytes.fromhex("53 89f8 31c9 0fa2 5b c3")


def cpuid(leaf: int) -> int:
    """Run CPUID, on an x86-64 processor.

    Args:
      leaf: what is asked, by its number in the processor's manual.

    Returns:
      Register eax, or 0 where the operating system forbids to run machine code from memory.
    """
    try:
        page = mmap.mmap(-1, len(CODE), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # hardened systems run no code from memory that was written
        return 0
    page.write(CODE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(start)(leaf)
