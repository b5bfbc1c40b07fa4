"""How the C library hands out memory for batches."""

from __future__ import annotations

import os
from functools import cache

# glibc's numbers of its parameters, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_BLOCK = 32 << 20
_KEPT = 64 << 20


@cache
def keep_freed_memory() -> None:
    """Let the process keep up to 64 MB of freed memory for the next batch, once and for good.

    glibc returns blocks of over 128 kB to the system when they are freed, and takes new ones, whose pages the system
    fills with zeros one by one while all threads wait for each other. Batches and what is between their steps are such
    blocks: two threads with pictures of 96×96 were slower than one, and are 1.4 times as quick with this.

    Nothing happens with another C library, or where an environment variable (`MALLOC_…`, `GLIBC_TUNABLES`) has set
    the allocator.
    """
    if os.name != "posix" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
