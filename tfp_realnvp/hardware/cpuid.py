"""The processor's own instruction for questions about itself, as machine code: x86-64 only.

Linux tells the processor's flags in a file, but not the size of AMX's tiles. Only this instruction does.
"""

from __future__ import annotations

import ctypes
import mmap

__all__ = ["cpuid"]

# push rbx; mov eax, edi; xor ecx, ecx; cpuid; pop rbx; ret
CODE = bytes.fromhex("53 89f8 31c9 0fa2 5b c3")


def cpuid(leaf: int) -> int:
    """What the processor answers in register eax; 0 if it may not be asked.

    Args:
      leaf: the number of the question.
    """
    try:
        page = mmap.mmap(-1, len(CODE), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # some hardened systems run nothing from a page that was written
        return 0
    page.write(CODE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(start)(leaf)
