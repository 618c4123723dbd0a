"""Skims: the events that some variation may select, with the columns that the analysis reads."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, assert_never

import awkward as ak
import numpy as np
import uproot

from agc_pipeline.delivery.preselected import SkimContent, reader_of
from agc_pipeline.files import atomic_path
from agc_pipeline.readers.arrays import grouped
from agc_pipeline.readers.opening import READ_ERRORS, unreadable
from agc_pipeline.readers.settings import Format

if TYPE_CHECKING:
    from agc_pipeline.readers.parquet import ParquetWriter

# Skims are read much more often than written: half as large again as with ZSTD, and read in four
# fifths of its time.
_COMPRESSION = uproot.LZ4(4)


def flat(arrays: Any, content: SkimContent) -> ak.Array:
    """Branches as one record, with the counters of the collections.

    Args:
        arrays: names of branches to their arrays.
        content: of the skim.

    Returns:
        ``events * {run, ..., nJet: uint32, Jet_pt: var * float32, ...}``.
    """
    layout, columns = content.layout, content.columns
    counts = {}
    if layout.counters:
        counts = {
            layout.counter(name): ak.values_astype(
                ak.num(arrays[layout.branch(name, fields[0])]), np.uint32, including_unknown=True
            )
            for name, fields in columns.items()
            if layout.is_collection(name)
        }
    names = layout.all_branches(columns)
    return ak.zip(
        {name: counts[name] if name in counts else arrays[name] for name in names}, depth_limit=1
    )


class SkimWriter(Protocol):
    """Writes a skim chunk by chunk, so that memory stays bounded."""

    def extend(self, arrays: ak.Array) -> None:
        """Add events; the first call, also with none, fixes the schema."""


@contextmanager
def skim_writer(path: Path, content: SkimContent, kind: Format) -> Iterator[SkimWriter]:
    """A writer that makes a file of the format, complete when the block ends."""
    match kind:
        case "ttree" | "rntuple":
            with uproot.recreate(path, compression=_COMPRESSION) as file:
                yield (_TreeWriter if kind == "ttree" else _NTupleWriter)(file, content)
        case "parquet":
            from agc_pipeline.readers.parquet import ParquetWriter  # noqa: PLC0415 - takes long

            with closing(ParquetWriter(path)) as file:
                yield _TableWriter(file, content)
        case _:
            assert_never(kind)


class _TreeWriter:
    def __init__(self, file: uproot.WritableDirectory, content: SkimContent) -> None:
        self._file = file
        self._content = content
        self._tree: Any = None

    def extend(self, arrays: ak.Array) -> None:
        layout, columns = self._content.layout, self._content.columns
        if layout.counters:
            record = grouped(arrays, columns, layout)
            branches = {
                layout.branch(name, field): record[name][field]
                for name, fields in columns.items()
                if name in layout.records
                for field in fields
            } | {name: record[name] for name in record.fields if name not in layout.records}
        else:
            branches = {name: arrays[name] for name in layout.branches(columns)}
        if self._tree is None:
            self._tree = self._file.mktree(
                layout.tree,
                {name: array.type.content for name, array in branches.items()},
                counter_name=lambda collection: f"n{collection}",
                field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
            )
        if len(arrays):
            self._tree.extend(branches)


class _NTupleWriter:
    def __init__(self, file: uproot.WritableDirectory, content: SkimContent) -> None:
        self._file = file
        self._content = content
        self._ntuple: Any = None

    def extend(self, arrays: ak.Array) -> None:
        branches = flat(arrays, self._content)
        if self._ntuple is None:
            # Of events, even of none, uproot makes a cluster, and ROOT reads no empty ones.
            form = ak.to_packed(branches[:0]).layout.form
            self._ntuple = self._file.mkrntuple(self._content.layout.tree, form)
        if len(arrays):
            self._ntuple.extend({name: branches[name] for name in branches.fields})


class _TableWriter:
    def __init__(self, file: "ParquetWriter", content: SkimContent) -> None:
        self._file = file
        self._content = content

    def extend(self, arrays: ak.Array) -> None:
        self._file.extend(flat(arrays, self._content))


class SkimCounts(NamedTuple):
    """What a skim was made of.

    Attributes:
        before: events read.
        after: events written.
        cutflow: events behind each cut of the preselection.
        bytes_read: of the input.
    """

    before: int
    after: int
    cutflow: dict[str, int]
    bytes_read: int


def write_skim(
    tree: Any,
    content: SkimContent,
    path: Path,
    *,
    url: str,
    kind: Format,
    chunk_size: int,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> SkimCounts:
    """Write the preselected events of a tree to a file, atomically.

    Args:
        tree: open TTree or RNTuple with the columns.
        content: of the skim.
        path: of the skim.
        url: of the input.
        kind: format of the skim.
        chunk_size: events to read at a time, at most.
        advance: told the events and bytes that were read since the last call; events that were
            read in vain are taken back.

    Returns:
        What it was made of. A skim without events has its schema.

    Raises:
        ReadError: with the range of entries that could not be read.
    """
    try:
        reader = reader_of(tree, content, url, chunk_size)
    except READ_ERRORS as error:
        raise unreadable(url, error) from error
    read = written = n_bytes = 0
    cutflow: dict[str, int] = {}
    with (
        closing(reader),
        atomic_path(path) as temporary,
        skim_writer(temporary, content, kind) as writer,
    ):
        # A file without events still has a schema.
        for start, stop in reader.ranges or ((0, 0),):
            try:
                arrays, counts = reader.preselected(start, stop)
            except READ_ERRORS as error:
                advance(-read, 0)
                raise unreadable(url, error, (start, stop)) from error
            cutflow = {cut: cutflow.get(cut, 0) + count for cut, count in counts.items()}
            writer.extend(arrays)
            read += stop - start
            written += len(arrays)
            advance(stop - start, reader.bytes_read - n_bytes)
            n_bytes = reader.bytes_read
    return SkimCounts(read, written, cutflow, reader.bytes_read)
