"""Skims: the events that some variation may select, with the columns that the analysis reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, assert_never

import awkward as ak
import numpy as np
import uproot

from agc_pipeline.datasets import TREE
from agc_pipeline.delivery.parquet import ParquetWriter
from agc_pipeline.delivery.reading import (
    READ_ERRORS,
    branch_names,
    bytes_read,
    entry_ranges,
    present_branches,
    unreadable,
)
from agc_pipeline.delivery.settings import Format
from agc_pipeline.files import atomic_path

Columns = Mapping[str, Sequence[str]]

# Skims are read much more often than written: half as large again as with ZSTD, and read in four
# fifths of its time.
_COMPRESSION = uproot.LZ4(4)


def collections(arrays: ak.Array, columns: Columns) -> ak.Array:
    """NanoAOD's flat columns as one record of collections.

    Args:
        arrays: ``events * {"Jet_pt": var * float32, ...}``.
        columns: collection (or "") to the names of its fields.

    Returns:
        ``events * {run, ..., Jet: var * {pt, ...}, ...}``.
    """
    record = {name: arrays[name] for name in columns.get("", ())}
    for collection, fields in columns.items():
        if collection:
            record[collection] = ak.zip({name: arrays[f"{collection}_{name}"] for name in fields})
    return ak.zip(record, depth_limit=1)


def flat(arrays: ak.Array, columns: Columns) -> ak.Array:
    """NanoAOD's flat columns as one record, with the counters of the collections.

    Args:
        arrays: ``events * {"Jet_pt": var * float32, ...}``.
        columns: collection (or "") to the names of its fields.

    Returns:
        ``events * {run, ..., nJet: uint32, Jet_pt: var * float32, ...}``.
    """
    counts = {
        f"n{name}": ak.values_astype(
            ak.num(arrays[f"{name}_{fields[0]}"]), np.uint32, including_unknown=True
        )
        for name, fields in columns.items()
        if name
    }
    content = {
        name: counts[name] if name in counts else arrays[name] for name in branch_names(columns)
    }
    return ak.zip(content, depth_limit=1)


class SkimWriter(Protocol):
    """Writes a skim chunk by chunk, so that memory stays bounded."""

    def extend(self, arrays: ak.Array) -> None:
        """Add events; the first call, also with none, fixes the schema."""


@contextmanager
def skim_writer(path: Path, columns: Columns, kind: Format) -> Iterator[SkimWriter]:
    """A writer that makes a file of the format, complete when the block ends."""
    match kind:
        case "ttree" | "rntuple":
            with uproot.recreate(path, compression=_COMPRESSION) as file:
                yield (_TreeWriter if kind == "ttree" else _NTupleWriter)(file, columns)
        case "parquet":
            with closing(ParquetWriter(path)) as file:
                yield _TableWriter(file, columns)
        case _:
            assert_never(kind)


class _TreeWriter:
    def __init__(self, file: uproot.WritableDirectory, columns: Columns) -> None:
        self._file = file
        self._columns = columns
        self._tree: Any = None

    def extend(self, arrays: ak.Array) -> None:
        record = collections(arrays, self._columns)
        content = {name: record[name] for name in record.fields}
        if self._tree is None:
            self._tree = self._file.mktree(
                TREE,
                {name: array.type.content for name, array in content.items()},
                counter_name=lambda collection: f"n{collection}",
                field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
            )
        if len(arrays):
            self._tree.extend(content)


class _NTupleWriter:
    def __init__(self, file: uproot.WritableDirectory, columns: Columns) -> None:
        self._file = file
        self._columns = columns
        self._ntuple: Any = None

    def extend(self, arrays: ak.Array) -> None:
        content = flat(arrays, self._columns)
        if self._ntuple is None:
            self._ntuple = self._file.mkrntuple(TREE, content[:0])
        if len(arrays):
            self._ntuple.extend({name: content[name] for name in content.fields})


class _TableWriter:
    def __init__(self, file: ParquetWriter, columns: Columns) -> None:
        self._file = file
        self._columns = columns

    def extend(self, arrays: ak.Array) -> None:
        self._file.extend(flat(arrays, self._columns))


def write_skim(
    tree: Any,
    columns: Columns,
    preselect: Any,
    path: Path,
    *,
    url: str,
    kind: Format,
    chunk_size: int,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> tuple[int, int, dict[str, int]]:
    """Write the preselected events of a tree to a file, atomically.

    Args:
        tree: open TTree or RNTuple with the columns.
        columns: what to read and write.
        preselect: from collections to a mask and a cutflow.
        path: of the skim.
        url: of the input, for errors.
        kind: its format.
        chunk_size: events to read at a time, at most.
        advance: told the events and bytes that were read since the last call; events that were
            read in vain are taken back.

    Returns:
        Events read, events written, and the cutflow. A skim without events has its schema.

    Raises:
        ReadError: with the range of entries that could not be read.
    """
    names = present_branches(tree, columns)
    read = written = n_bytes = 0
    cutflow: dict[str, int] = {}
    with (
        atomic_path(path) as temporary,
        skim_writer(temporary, columns, kind) as writer,
    ):
        for start, stop in entry_ranges(tree, names, chunk_size):
            try:
                arrays = tree.arrays(names, entry_start=start, entry_stop=stop)
            except READ_ERRORS as error:
                advance(-read, 0)
                raise unreadable(url, error, (start, stop)) from error
            mask, counts = preselect(collections(arrays, columns))
            cutflow = {cut: cutflow.get(cut, 0) + count for cut, count in counts.items()}
            writer.extend(arrays[mask])
            read += len(arrays)
            written += int(np.count_nonzero(mask))
            advance(len(arrays), bytes_read(tree) - n_bytes)
            n_bytes = bytes_read(tree)
    return read, written, cutflow
