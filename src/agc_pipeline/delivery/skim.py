"""Skims: the events that some variation may select, with the columns that the analysis reads."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot

from agc_pipeline.datasets import TREE
from agc_pipeline.delivery.reading import (
    READ_ERRORS,
    branch_names,
    bytes_read,
    entry_ranges,
    present_branches,
    unreadable,
)
from agc_pipeline.files import atomic_path

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0

Columns = Mapping[str, Sequence[str]]
Format = Literal["ttree", "rntuple"]

# Measured on this kind of content: small, and fast to read.
_COMPRESSION = uproot.ZSTD(3)


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


class SkimWriter:
    """Writes a skim chunk by chunk, so that memory stays bounded.

    Args:
        file: an open, writable ROOT file.
        columns: what to write.
        kind: TTree or RNTuple.
    """

    def __init__(self, file: uproot.WritableDirectory, columns: Columns, kind: Format) -> None:
        self._file = file
        self._columns = columns
        self._kind = kind
        self._tree: Any = None

    def extend(self, arrays: ak.Array) -> None:
        """Add events; the first call, also with none, fixes the schema."""
        content = self._branches(arrays)
        if self._tree is None:
            self._create(content)
        if len(arrays):
            self._tree.extend(content)

    def _branches(self, arrays: ak.Array) -> dict[str, Any]:
        if self._kind == "rntuple":
            counts = {
                f"n{name}": ak.values_astype(
                    ak.num(arrays[f"{name}_{fields[0]}"]), np.uint32, including_unknown=True
                )
                for name, fields in self._columns.items()
                if name
            }
            names = branch_names(self._columns)
            return {name: counts[name] if name in counts else arrays[name] for name in names}
        record = collections(arrays, self._columns)
        return {name: record[name] for name in record.fields}

    def _create(self, content: dict[str, Any]) -> None:
        if self._kind == "rntuple":
            self._tree = self._file.mkrntuple(TREE, ak.zip(content, depth_limit=1)[:0])
        else:
            self._tree = self._file.mktree(
                TREE,
                {name: array.type.content for name, array in content.items()},
                counter_name=lambda collection: f"n{collection}",
                field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
            )


def _no_progress(events: int, n_bytes: int) -> None:
    """Progress that nobody watches."""


def write_skim(
    tree: Any,
    columns: Columns,
    preselect: Any,
    path: Path,
    *,
    url: str,
    kind: Format,
    chunk_size: int,
    advance: Callable[[int, int], None] = _no_progress,
) -> tuple[int, int, dict[str, int]]:
    """Write the preselected events of a tree to a file, atomically.

    Args:
        tree: open TTree or RNTuple with the columns.
        columns: what to read and write.
        preselect: from collections to a mask and a cutflow.
        path: of the skim.
        url: of the input, for errors.
        kind: TTree or RNTuple.
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
    told = time.monotonic()
    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=_COMPRESSION) as out,
    ):
        writer = SkimWriter(out, columns, kind)
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
            if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                log.info("%d of %d events, %d kept: %s", read, tree.num_entries, written, url)
    return read, written, cutflow
