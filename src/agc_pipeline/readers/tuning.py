"""Settings of libraries that make reading faster and change no bit."""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import uproot

from agc_pipeline.readers.decoding import inflated

# Parameters of the C library's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_GIBIBYTE = 2**30
# Longer than nearly all names of classes, in bytes.
_CLASS_NAME = 256


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


class _Libdeflate(uproot.ZLIB):
    """uproot's codec of zlib's format, with the faster library."""

    def decompress(self, data: Any, uncompressed_bytes: int | None = None) -> Any:
        """Decompress a block whose size is known."""
        if uncompressed_bytes is None:
            return super().decompress(data)
        return inflated(data, uncompressed_bytes)


@cache
def inflate_with_libdeflate() -> None:
    """Let uproot decompress with libdeflate, for which it has no setting."""
    # Where a release of uproot keeps its codec elsewhere, this changes nothing.
    uproot.compression._decompress_ZLIB = _Libdeflate(1)


@cache
def read_headers_faster() -> None:
    """Let uproot read the headers of trees with many branches faster.

    It relies on two methods of uproot as they are in release 5: ``model.classname_regularize``
    depends on its argument alone, and is called for each object; ``Cursor.classname`` reads a
    string that ends with a null byte, and copies all that is left of the header to find its end.
    Files that uproot wrote name the class of each branch and leaf, those of ROOT each class once.
    """
    model, cursor = uproot.model, uproot.source.cursor.Cursor
    model.classname_regularize = cache(model.classname_regularize)
    cursor.classname = _short_names_first(cursor.classname)


def _short_names_first(read: Callable[..., str]) -> Callable[..., str]:
    @wraps(read)
    def classname(cursor: Any, chunk: Any, context: Any, move: bool = True) -> str:
        start = cursor.index
        beginning = chunk.get(start, min(start + _CLASS_NAME, chunk.stop), cursor, context)
        name, terminator, _ = beginning.tobytes().partition(b"\0")
        if not terminator:
            return read(cursor, chunk, context, move=move)
        if move:
            cursor.skip(len(name) + 1)
        return str(name, errors="surrogateescape")

    return classname


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory, instead of getting each basket's anew from the system.

    It would give back large blocks at once, above all in Dask's workers, whose nanny asks for that.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _GIBIBYTE)
        library.mallopt(_TRIM_THRESHOLD, _GIBIBYTE)
