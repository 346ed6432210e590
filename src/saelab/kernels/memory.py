"""Memory that is freed stays with the process."""

from __future__ import annotations

import ctypes
import sys

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed, for this process; whether it is one that can (glibc).

    A step frees and asks for the same hundreds of megabytes again. As shipped, glibc gives blocks of that size back to
    the system each time and every page of them is faulted in anew: a sixth of a step's time at d_sae = 4,096 (CPU).
    Peak memory stays what it is; what is freed is not seen by other processes before this one ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, 2**31 - 1))
