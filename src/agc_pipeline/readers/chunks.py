"""Ranges of events that are processed at a time: bounded in events and in memory."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from agc_pipeline.readers.metadata import FileMetadata
from agc_pipeline.readers.ntuple_format import FieldMetadata
from agc_pipeline.readers.root_format import BranchMetadata

Stored = TypeVar("Stored", BranchMetadata, FieldMetadata)


class Chunk(NamedTuple):
    """A range of events of a file.

    Attributes:
        path: of the file, or its address.
        edges: first event of each cluster in the range, and the event behind the last.
        branches: where the baskets of a TTree are; None if uproot must look for them.
        fields: likewise of an RNTuple.
        uuid: that ROOT gave the file, hexadecimal; nothing for other files.
    """

    path: str
    edges: tuple[int, ...]
    branches: dict[str, BranchMetadata] | None
    fields: dict[str, FieldMetadata] | None
    uuid: str = ""

    @property
    def start(self) -> int:
        """The first event."""
        return self.edges[0]

    @property
    def stop(self) -> int:
        """The event behind the last."""
        return self.edges[-1]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Where the baskets or pages begin and end in the file, in order; none if not known."""
        ranges = set()
        for branch in (self.branches or {}).values():
            ranges |= {
                (seek, seek + size) for seek, size in zip(branch.seeks, branch.sizes, strict=True)
            }
        for field in (self.fields or {}).values():
            ranges |= set(field.ranges(0, len(field.edges) - 1))
        return sorted(ranges)


def chunks(metadata: FileMetadata, *, chunk_size: int, chunk_bytes: int) -> list[Chunk]:
    """Split a file, between clusters where that is possible.

    Args:
        metadata: of the file.
        chunk_size: largest number of events in a chunk.
        chunk_bytes: largest size of its columns in memory, if they were all read.
    """
    most = max(1, min(chunk_size, int(chunk_bytes / max(metadata.event_bytes, 1.0))))
    ranges = []
    start = 0
    while start < metadata.n_events:
        inside = metadata.edges[
            bisect_right(metadata.edges, start) : bisect_right(metadata.edges, start + most)
        ]
        # A cluster that is too large is cut: its baskets are then read twice.
        edges = (start, *inside) if inside else (start, min(start + most, metadata.n_events))
        branches, fields = metadata.branches, metadata.fields
        if (start, edges[-1]) != (0, metadata.n_events):
            branches = _overlapping(branches, start, edges[-1], _cut)
            fields = _overlapping(fields, start, edges[-1], _cut_field)
        ranges.append(Chunk(metadata.path, edges, branches, fields, metadata.uuid))
        start = edges[-1]
    return ranges


def _overlapping(
    stored: Mapping[str, Stored] | None,
    start: int,
    stop: int,
    cut: Callable[[Stored, int, int], Stored],
) -> dict[str, Stored] | None:
    """Of each branch or field what holds a range: less to send to another process."""
    if stored is None:
        return None
    return {name: cut(column, start, stop) for name, column in stored.items()}


def _cut(branch: BranchMetadata, start: int, stop: int) -> BranchMetadata:
    first = bisect_right(branch.entries, start) - 1
    behind = bisect_left(branch.entries, stop)
    return branch.model_copy(
        update={
            "entries": branch.entries[first : behind + 1],
            "seeks": branch.seeks[first:behind],
            "sizes": branch.sizes[first:behind],
        }
    )


def _cut_field(field: FieldMetadata, start: int, stop: int) -> FieldMetadata:
    firsts = field.edges
    return field.part(bisect_right(firsts, start) - 1, bisect_left(firsts, stop))
