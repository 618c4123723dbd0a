"""The events of an input file that a skim keeps, with all columns of the skim.

They are preselected by the code that selects them for the histograms, on the same columns. Baskets
are read as they are needed: cheap columns first, and the other columns only where there are events
to keep. Of a file on a server, all baskets of a range come before, see ``readers.ahead``.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import awkward as ak

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers import metadata
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.readers.ahead import Ahead
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.readers.baskets import BasketColumns
from agc_pipeline.readers.chunks import Chunk, chunks
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.local import stored_columns
from agc_pipeline.readers.opening import (
    READ_ERRORS,
    bytes_read,
    entry_ranges,
    only_reading,
    open_tree,
    present_branches,
    unreadable,
)
from agc_pipeline.readers.pages import PageColumns
from agc_pipeline.readers.ranges import arrays_of
from agc_pipeline.readers.remote import RemoteSource
from agc_pipeline.readers.root_format import speed_up_uproot
from agc_pipeline.readers.settings import NETWORK, NetworkSettings
from agc_pipeline.readers.tuning import keep_freed_memory, without_garbage_collection

# Of columns in memory at a time, at most.
_CHUNK_BYTES = 200_000_000


@dataclass(frozen=True)
class SkimContent:
    """What the skims of a dataset hold: it follows from the analysis, and knows no files.

    Attributes:
        columns: what to read and write.
        layout: of input and skims.
        preselect: from columns, or records, of events to the positions of those to keep, and the
            cutflow up to there.
        records: whether it is given records, coffea's NanoEvents.
        generated: from an open file to the sum of generator weights that it stands for; None where
            events are counted.
        description: of what decides which events are kept, how they are found in files, and what
            is counted, as JSON.
        code: paths of source files that decide it.
        weighing: paths of files that decide what ``generated`` gives.
    """

    columns: Columns
    layout: Layout
    preselect: Callable[[Any], tuple[Any, dict[str, int]]]
    records: bool
    generated: Callable[[Any], float] | None
    description: Any
    code: tuple[str, ...]
    weighing: tuple[str, ...] = ()


def open_input(url: str, content: SkimContent, network: NetworkSettings = NETWORK) -> Any:
    """Open an input file that has all columns of the skim.

    Args:
        url: path or address of the file.
        content: of the skim.
        network: of remote files.

    Returns:
        TTree or RNTuple; closing it closes the file.

    Raises:
        ReadError: if the file cannot be read.
        InputError: if it holds no such tree, or lacks a column.
    """
    speed_up_uproot()
    with without_garbage_collection():
        return open_tree(url, content.columns, content.layout, network, whole=True)


class PreselectionReader(Protocol):
    """Reads the events to keep of an open file, range by range.

    Attributes:
        ranges: first event of each, and the event behind its last.
    """

    ranges: tuple[tuple[int, int], ...]

    @property
    def bytes_read(self) -> int:
        """Bytes that were read so far."""

    def preselected(self, start: int, stop: int) -> tuple[ak.Array, dict[str, int]]:
        """The events to keep of a range, with all branches, and the cutflow up to there."""

    def close(self) -> None:
        """Read no more."""


def compare_counters(tree: Any, content: SkimContent, url: str, chunk_size: int) -> None:
    """Compare the counters of the collections of an open file on this machine with their lists.

    Who reads single baskets of such a file has no need of the counters. All other readers compare
    them as they read.

    Args:
        tree: TTree or RNTuple.
        content: of a skim.
        url: of the file.
        chunk_size: events to read at a time, at most.

    Raises:
        ReadError: naming the counter and the first event that differs.
    """
    layout = content.layout
    if is_remote(url) or not layout.counters:
        return
    file = _stored_file(tree, content, url)
    if file.branches is not None:
        sizes = {name: sum(branch.sizes) for name, branch in file.branches.items()}
    elif file.fields is not None:
        sizes = {name: field.stored_bytes for name, field in file.fields.items()}
    else:
        return
    smallest = {}
    for name, fields in content.columns.items():
        if layout.is_collection(name):
            by_size = sorted((sizes[layout.branch(name, field)], field) for field in fields)
            smallest[name] = by_size[0][1]
    for chunk in chunks(file, chunk_size=chunk_size, chunk_bytes=_CHUNK_BYTES):
        with _stored_columns(chunk, content, Clock()) as columns:
            try:
                for name, field in smallest.items():
                    columns.collection(name, (field,))
            except READ_ERRORS as error:
                raise unreadable(url, error, (chunk.start, chunk.stop)) from error


def _stored_file(tree: Any, content: SkimContent, url: str) -> metadata.FileMetadata:
    """Metadata of a file, with its counters."""
    names = present_branches(tree, content.columns, content.layout)
    return metadata.of_tree(tree, url, content.layout.tree, names)


def _stored_columns(
    chunk: Chunk,
    content: SkimContent,
    clock: Clock,
    *,
    keep: bool = False,
    had: Mapping[int, memoryview] | None = None,
) -> AbstractContextManager[BasketColumns | PageColumns]:
    columns = stored_columns(chunk, content.layout, clock, keep=keep, content=had)
    if columns is None:
        raise ValueError("where the columns of the file are is not known")
    return columns


def reader_of(tree: Any, content: SkimContent, url: str, chunk_size: int) -> PreselectionReader:
    """What reads an open file.

    Args:
        tree: TTree or RNTuple.
        content: of the skim.
        url: of the file.
        chunk_size: events to read at a time, at most.
    """
    if not content.records:
        file = _stored_file(tree, content, url)
        if file.n_events and (file.branches is not None or file.fields is not None):
            return _StoredReader(tree, file, content, chunk_size)
    return _RangeReader(tree, content, chunk_size)


class _StoredReader:
    def __init__(
        self, tree: Any, file: metadata.FileMetadata, content: SkimContent, chunk_size: int
    ) -> None:
        keep_freed_memory()
        self._tree = tree
        self._content = content
        self._clock = Clock()
        self._chunks = {
            (chunk.start, chunk.stop): chunk
            for chunk in chunks(file, chunk_size=chunk_size, chunk_bytes=_CHUNK_BYTES)
        }
        self.ranges = tuple(self._chunks)
        source = tree.file.source
        self._ahead = (
            Ahead(source, tuple(self._chunks.values()))
            if isinstance(source, RemoteSource)
            else None
        )

    @property
    def bytes_read(self) -> int:
        return self._clock.bytes if self._ahead is None else bytes_read(self._tree)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def preselected(self, start: int, stop: int) -> tuple[ak.Array, dict[str, int]]:
        chunk = self._chunks[start, stop]
        layout = self._content.layout
        had = None if self._ahead is None else self._ahead.next()
        with _stored_columns(chunk, self._content, self._clock, keep=True, had=had) as columns:
            events, cutflow = self._content.preselect(columns)
            arrays: dict[str, Any] = {}
            for name, fields in self._content.columns.items():
                if layout.is_collection(name):
                    lists = columns.collection(name, fields, events)
                    counts = lists.offsets[1:] - lists.offsets[:-1]
                    arrays |= {
                        layout.branch(name, field): ak.unflatten(lists[field], counts)
                        for field in fields
                    }
                else:
                    names = [layout.branch(name, field) for field in fields]
                    arrays |= columns.flat(names, events)
        return ak.zip(arrays, depth_limit=1), cutflow


class _RangeReader:
    """Reads all columns of a range at a time."""

    def __init__(self, tree: Any, content: SkimContent, chunk_size: int) -> None:
        self._tree = tree
        self._content = content
        self._names = present_branches(tree, content.columns, content.layout)
        self.ranges = tuple(entry_ranges(tree, self._names, chunk_size))

    @property
    def bytes_read(self) -> int:
        return bytes_read(self._tree)

    def preselected(self, start: int, stop: int) -> tuple[ak.Array, dict[str, int]]:
        layout = self._content.layout
        with only_reading():
            arrays = arrays_of(self._tree, self._names, (start, stop))
        columns = ArrayColumns(arrays, layout, first=start)
        columns.compare_lists(self._content.columns)
        view: Any = columns
        if self._content.records:
            # coffea takes longer to import than a small file to read.
            from agc_pipeline.readers.nano_events import of_root  # noqa: PLC0415

            view = of_root(self._tree, self._content.columns, layout, (start, stop))
        events, cutflow = self._content.preselect(view)
        return arrays[events], cutflow

    def close(self) -> None:
        """The file is closed with the tree."""
