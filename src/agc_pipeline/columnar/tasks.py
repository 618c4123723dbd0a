"""What an executor runs for each piece of a file: the compiled or the coffea processor."""

import ctypes
import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from agc_pipeline.analyses.base import CompiledProcessor
from agc_pipeline.columnar import filling
from agc_pipeline.columnar.baskets import BasketColumns
from agc_pipeline.columnar.columns import Columns
from agc_pipeline.columnar.decoding import inflated
from agc_pipeline.columnar.facts import FileFacts, learn
from agc_pipeline.columnar.performance import Clock, Seconds, Stopwatch
from agc_pipeline.columnar.pieces import Piece
from agc_pipeline.columnar.ranges import RangeColumns, Timed, stored_bytes
from agc_pipeline.datasets import TREE
from agc_pipeline.delivery.reading import READ_ERRORS, branch_names, unreadable
from agc_pipeline.delivery.settings import Format
from agc_pipeline.errors import InputError

# Parameters of the C library's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_GIBIBYTE = 2**30


class NanoAOD(NanoAODSchema):
    """coffea's NanoAOD schema, silent about the collections that are not read."""

    warn_missing_crossrefs = False


class LearnTask:
    """Learns what must be known of a file."""

    def __init__(self, columns: Mapping[str, Sequence[str]], names: Sequence[str]) -> None:
        self._columns = columns
        self._names = names

    def __call__(self, path: str) -> dict[str, tuple[FileFacts, Seconds] | InputError]:
        """By path, what was learned and what it cost, or why the file cannot be read."""
        keep_freed_memory()
        watch = Stopwatch()
        try:
            with _without_garbage_collection():
                learned = learn(path, self._columns, self._names)
        except InputError as error:
            # Not raised: what is learned of other files would be lost.
            return {path: error}
        return {path: (learned, watch.lap())}


class CompiledTask:
    """Runs a compiled processor on pieces; reads baskets where these are known.

    A file that cannot be read raises ``InputError`` with its path, from whatever process.
    """

    def __init__(self, processor: CompiledProcessor, columns: Mapping[str, Sequence[str]]) -> None:
        self._processor = processor
        self._columns = columns

    def __call__(self, piece: Piece) -> dict[str, Any]:
        """The processor's output, events ``processed`` of the file, and what it cost."""
        keep_freed_memory()
        inflate_with_libdeflate()
        clock = Clock()
        try:
            with _without_garbage_collection(), self._opened(piece, clock) as columns:
                output = self._processor.process(columns)
        except READ_ERRORS as error:
            raise unreadable(piece.path, error) from error
        return _accounted(output, piece, clock, "uproot" if piece.branches is None else "baskets")

    def _opened(self, piece: Piece, clock: Clock) -> AbstractContextManager[Columns]:
        if piece.branches is None:
            return RangeColumns(piece.path, self._columns, piece.edges, clock).opened()
        return BasketColumns(piece.path, piece.branches, piece.start, piece.stop, clock).opened()


class CoffeaTask:
    """Runs a coffea processor on pieces, whose columns are read when it asks for them."""

    def __init__(
        self, processor: Any, columns: Mapping[str, Sequence[str]], kind: Format | None
    ) -> None:
        self._processor = processor
        self._columns = columns
        self._kind = kind

    def __call__(self, piece: Piece) -> dict[str, Any]:
        """The processor's output, events ``processed`` of the file, and what it cost."""
        inflate_with_libdeflate()
        clock = Clock()
        try:
            if self._kind == "parquet":
                output = self._parquet(piece, clock)
            else:
                output = self._root(piece, clock)
        except READ_ERRORS as error:
            raise unreadable(piece.path, error) from error
        return _accounted(output, piece, clock, "coffea")

    def _root(self, piece: Piece, clock: Clock) -> dict[str, Any]:
        asked: list[Any] = []
        with clock.part("open"), _without_garbage_collection():
            file = uproot.open({piece.path: None}, array_cache=None)
        with file:
            with clock.part("open"), _without_garbage_collection():
                events = NanoEventsFactory.from_root(
                    file,
                    treepath=TREE,
                    entry_start=piece.start,
                    entry_stop=piece.stop,
                    schemaclass=NanoAOD,
                    metadata={"filename": piece.path},
                    iteritems_options={"filter_name": branch_names(self._columns)},
                    access_log=asked,
                    decompression_executor=Timed(clock, "decompress"),
                    interpretation_executor=Timed(clock, "read"),
                ).events()
            before = file.file.source.num_requested_bytes
            output = self._process(events, clock)
            branches = {access.branch for access in asked}
            clock.bytes += stored_bytes(file[TREE], branches, piece.start, piece.stop) or (
                file.file.source.num_requested_bytes - before
            )
        return output

    def _parquet(self, piece: Piece, clock: Clock) -> dict[str, Any]:
        with clock.part("open"):
            events = NanoEventsFactory.from_parquet(
                piece.path,
                entry_start=piece.start,
                entry_stop=piece.stop,
                schemaclass=NanoAOD,
                metadata={"filename": piece.path},
                mode="virtual",
            ).events()
        return self._process(events, clock)

    def _process(self, events: Any, clock: Clock) -> dict[str, Any]:
        with clock.part("physics"), filling.timed(clock):
            output: dict[str, Any] = self._processor.process(events)
        return output


def _accounted(output: dict[str, Any], piece: Piece, clock: Clock, way: str) -> dict[str, Any]:
    n_events = piece.stop - piece.start
    return {
        **output,
        "processed": {piece.path: n_events},
        "performance": clock.report(way, n_events),
    }


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
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
def keep_freed_memory() -> None:
    """Let the C library keep freed memory, instead of getting each basket's anew from the system.

    It would give back large blocks at once, above all in Dask's workers, whose nanny asks for that.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _GIBIBYTE)
        library.mallopt(_TRIM_THRESHOLD, _GIBIBYTE)
