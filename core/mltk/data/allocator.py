"""Memory allocation of the C library for batches."""

from __future__ import annotations

import os
from functools import cache

# Parameter numbers of glibc, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MAX_BLOCK = 32 << 20
_MAX_KEPT = 64 << 20


@cache
def keep_freed_memory() -> None:
    """Let the process keep up to 64 MB of freed memory for the next batch; the setting is permanent.

    glibc returns freed blocks of over 128 kB to the system and requests new ones, whose pages the system fills with
    zeros one by one while all threads wait for each other. Batches and intermediate arrays are such blocks: with images
    of 96×96, two threads were slower than one; with this setting they are 1.4 times as fast.

    Does nothing with another C library, or if an environment variable (`MALLOC_…`, `GLIBC_TUNABLES`) configures the
    allocator.
    """
    if os.name != "posix" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAX_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _MAX_KEPT)
