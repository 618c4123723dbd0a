"""Ranges of events that are processed at a time: bounded in events and in memory."""

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from agc_pipeline.columnar.facts import BranchFacts, FileFacts


class Piece(NamedTuple):
    """A range of events of a file.

    Attributes:
        path: of the file, or its address.
        edges: first event of each cluster in the range, and the event behind the last.
        branches: where the baskets are; None if uproot must look for them.
    """

    path: str
    edges: tuple[int, ...]
    branches: dict[str, BranchFacts] | None

    @property
    def start(self) -> int:
        """The first event."""
        return self.edges[0]

    @property
    def stop(self) -> int:
        """The event behind the last."""
        return self.edges[-1]


def pieces(facts: FileFacts, *, chunk_size: int, chunk_bytes: int) -> list[Piece]:
    """Split a file, between clusters where that is possible.

    Args:
        facts: what is known of the file.
        chunk_size: largest number of events in a piece.
        chunk_bytes: largest size of its columns in memory, if they were all read.
    """
    most = max(1, min(chunk_size, int(chunk_bytes / max(facts.event_bytes, 1.0))))
    made = []
    start = 0
    while start < facts.n_events:
        inside = facts.edges[
            bisect_right(facts.edges, start) : bisect_right(facts.edges, start + most)
        ]
        # A cluster that is too large is cut: its baskets are then read twice.
        edges = (start, *inside) if inside else (start, min(start + most, facts.n_events))
        made.append(Piece(facts.path, edges, _overlapping(facts, start, edges[-1])))
        start = edges[-1]
    return made


def _overlapping(facts: FileFacts, start: int, stop: int) -> dict[str, BranchFacts] | None:
    """Facts of the branches with the baskets of a range only: less to send to another process."""
    if facts.branches is None:
        return None
    return {name: _cut(branch, start, stop) for name, branch in facts.branches.items()}


def _cut(branch: BranchFacts, start: int, stop: int) -> BranchFacts:
    first = bisect_right(branch.entries, start) - 1
    behind = bisect_left(branch.entries, stop)
    return branch.model_copy(
        update={
            "entries": branch.entries[first : behind + 1],
            "seeks": branch.seeks[first:behind],
            "sizes": branch.sizes[first:behind],
        }
    )
