"""What an executor runs for each chunk of a file: the processing, on columns of some reader."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uproot

from agc_pipeline.columnar.processing import Processing
from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.errors import InputError
from agc_pipeline.readers import metadata
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.readers.baskets import BasketColumns
from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.clock import Clock, Seconds, Stopwatch
from agc_pipeline.readers.columns import Columns as ReadColumns
from agc_pipeline.readers.metadata import FileMetadata
from agc_pipeline.readers.nano_events import of_parquet, of_root
from agc_pipeline.readers.opening import READ_ERRORS, open_tree, unreadable
from agc_pipeline.readers.ranges import RangeColumns, Timed, stored_bytes
from agc_pipeline.readers.root_format import speed_up_uproot
from agc_pipeline.readers.settings import Format
from agc_pipeline.readers.tuning import keep_freed_memory, without_garbage_collection


class MetadataTask:
    """Reads the metadata of a file."""

    def __init__(self, columns: Columns, layout: Layout) -> None:
        self._columns = columns
        self._layout = layout

    def __call__(self, path: str) -> dict[str, tuple[FileMetadata, Seconds] | InputError]:
        """By path, the metadata and what they cost, or why the file cannot be read."""
        keep_freed_memory()
        speed_up_uproot()
        watch = Stopwatch()
        try:
            with without_garbage_collection():
                content = metadata.read(path, self._columns, self._layout)
        except InputError as error:
            # Not raised: the metadata of other files would be lost.
            return {path: error}
        return {path: (content, watch.lap())}


class ColumnsTask:
    """Processes chunks of TTrees and RNTuples whose columns are read as they are needed.

    A file that cannot be read raises ``InputError`` with its path, from whatever process.
    """

    def __init__(self, processing: Processing) -> None:
        self._processing = processing

    def __call__(self, chunk: Chunk) -> dict[str, Any]:
        """The processing's output, events ``processed`` of the file, and what it cost."""
        keep_freed_memory()
        speed_up_uproot()
        clock = Clock()
        try:
            with without_garbage_collection(), self._opened(chunk, clock) as columns:
                output = self._processing.process(columns)
        except READ_ERRORS as error:
            raise unreadable(chunk.path, error) from error
        return _accounted(output, chunk, clock, "uproot" if chunk.branches is None else "baskets")

    @contextmanager
    def _opened(self, chunk: Chunk, clock: Clock) -> Iterator[ReadColumns]:
        if chunk.branches is not None:
            with BasketColumns(
                chunk.path, chunk.branches, chunk.start, chunk.stop, clock
            ).opened() as columns:
                yield columns
            return
        layout = self._processing.analysis.layout
        with clock.part("open"):
            tree = open_tree(chunk.path, self._processing.columns, layout)
        with tree:
            yield RangeColumns(tree, layout, chunk.edges, clock)


class CoffeaTask:
    """Processes chunks as coffea's NanoEvents, whose columns are read when they are asked for."""

    def __init__(self, processing: Processing, kind: Format | None) -> None:
        self._processing = processing
        self._layout = processing.analysis.layout
        self._kind = kind
        # Columns need no vectors: branches as they are.
        self._flat = processing.analysis.events == "columns"

    def __call__(self, chunk: Chunk) -> dict[str, Any]:
        """The processing's output, events ``processed`` of the file, and what it cost."""
        speed_up_uproot()
        clock = Clock()
        try:
            if self._kind == "parquet":
                output = self._parquet(chunk, clock)
            else:
                output = self._root(chunk, clock)
        except READ_ERRORS as error:
            raise unreadable(chunk.path, error) from error
        return _accounted(output, chunk, clock, "coffea")

    def _root(self, chunk: Chunk, clock: Clock) -> dict[str, Any]:
        accesses: list[Any] = []
        with clock.part("open"), without_garbage_collection():
            file = uproot.open({chunk.path: None}, array_cache=None)
        with file:
            with clock.part("open"), without_garbage_collection():
                events = of_root(
                    file,
                    self._processing.columns,
                    self._layout,
                    (chunk.start, chunk.stop),
                    flat=self._flat,
                    metadata={"filename": chunk.path, "dataset": self._processing.dataset.name},
                    access_log=accesses,
                    decompression_executor=Timed(clock, "decompress"),
                    interpretation_executor=Timed(clock, "read"),
                )
            before = file.file.source.num_requested_bytes
            output = self._processed(events, chunk, clock)
            branches = {access.branch for access in accesses}
            tree = file[self._layout.tree]
            clock.bytes += stored_bytes(tree, branches, chunk.start, chunk.stop) or (
                file.file.source.num_requested_bytes - before
            )
        return output

    def _parquet(self, chunk: Chunk, clock: Clock) -> dict[str, Any]:
        with clock.part("open"):
            events = of_parquet(
                chunk.path,
                self._processing.columns,
                self._layout,
                (chunk.start, chunk.stop),
                flat=self._flat,
                metadata={"filename": chunk.path, "dataset": self._processing.dataset.name},
            )
        return self._processed(events, chunk, clock)

    def _processed(self, events: Any, chunk: Chunk, clock: Clock) -> dict[str, Any]:
        if self._flat:
            columns = ArrayColumns(events, self._layout, clock, first=chunk.start)
            return self._processing.process(columns)
        return self._processing.process_records(events, clock)


def _accounted(output: dict[str, Any], chunk: Chunk, clock: Clock, reader: str) -> dict[str, Any]:
    n_events = chunk.stop - chunk.start
    return {
        **output,
        "processed": {chunk.path: n_events},
        "performance": clock.report(reader, n_events),
    }
