"""Memory management that makes reading faster."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Parameters of the C library's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_GIBIBYTE = 2**30


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Do not look for garbage meanwhile.

    The header of a tree alone is ten thousand objects, all of which would be looked at.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory, instead of getting each basket's anew from the system.

    It would give back large blocks at once, above all in Dask's workers, whose nanny asks for that.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _GIBIBYTE)
        library.mallopt(_TRIM_THRESHOLD, _GIBIBYTE)
