"""Reads columns with uproot: RNTuple, files that are not local, and unusual TTrees.

Columns are read in ranges of events between the edges of clusters, and only ranges with an event
that is wanted.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import awkward as ak
import numpy as np
import uproot

from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.arrays import check_collection, collection
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.columns import Array, Collection, ListLengths, check_finite
from agc_pipeline.readers.ntuple_format import FieldMetadata, Structure
from agc_pipeline.readers.opening import only_reading
from agc_pipeline.readers.remote import Range, RemoteSource

# First event of each cluster with the number of all events, and the fields.
Located: TypeAlias = tuple[tuple[int, ...], dict[str, FieldMetadata]]


class Timed:
    """Runs what uproot submits at once, and takes the time of a part."""

    def __init__(self, clock: Clock, part: str) -> None:
        self._clock = clock
        self._part = part
        self._inner = uproot.source.futures.TrivialExecutor()

    def submit(self, task: Callable[..., Any], /, *arguments: Any) -> Any:
        """Run a task."""
        with self._clock.part(self._part):
            return self._inner.submit(task, *arguments)


class RangeColumns:
    """A range of events of a TTree or RNTuple, read with uproot.

    Args:
        tree: open.
        layout: of the file.
        edges: first event of each cluster of the range, and the event behind the last.
        clock: takes the time, and counts the bytes.

    Raises:
        ValueError: where the content of the file is not what its header says.
        Disagreement: where the columns of a collection do not have the same lists.
        ImpossibleValue: where a momentum is not finite.
    """

    def __init__(self, tree: Any, layout: Layout, edges: Sequence[int], clock: Clock) -> None:
        self.n_events = edges[-1] - edges[0]
        self.clock = clock
        self._tree = tree
        self._layout = layout
        self._edges = np.array(edges)
        self._lengths = ListLengths(self.n_events, edges[0])

    def flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """See ``Columns``."""
        with self.clock.part("read"):
            arrays = self._arrays(names, events)
            values = {name: ak.to_numpy(arrays[name]) for name in names}
        for name in filter(self._layout.is_momentum, names):
            check_finite(name, values[name], None, events, first=int(self._edges[0]))
        return values

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """See ``Columns``."""
        with self.clock.part("read"):
            names = {field: self._layout.branch(name, field) for field in fields}
            branches = list(names.values())
            counter = self._layout.counter(name)
            if name not in self._lengths and self._layout.counters and counter in self._tree:
                arrays = self._arrays([counter, *branches], events)
                self._lengths.compare(name, counter, ak.to_numpy(arrays[counter]), events)
            else:
                arrays = self._arrays(branches, events)
            lists = {field: arrays[branch] for field, branch in names.items()}
            read = collection(name, lists, names, self._lengths, events)
        check_collection(read, names, self._layout, events, first=int(self._edges[0]))
        return read

    def _arrays(self, names: Sequence[str], events: Array | None) -> ak.Array:
        if events is None:
            return self._read(names, 0, self.n_events)
        parts = []
        for start, stop in self._runs(events):
            inside = events[np.searchsorted(events, start) : np.searchsorted(events, stop)]
            parts.append(self._read(names, start, stop)[inside - start])
        return ak.concatenate(parts) if parts else self._read(names, 0, 0)

    def _runs(self, events: Array) -> Iterator[tuple[int, int]]:
        """Ranges of events, as long as can be, of the clusters with wanted events."""
        edges = self._edges - self._edges[0]
        wanted = np.diff(np.searchsorted(events, edges)) > 0
        changes = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False]))))
        for first, behind in changes.reshape(-1, 2):
            yield int(edges[first]), int(edges[behind])

    def _read(self, names: Sequence[str], start: int, stop: int) -> ak.Array:
        first = int(self._edges[0])
        start, stop = first + start, first + stop
        requested = self._tree.file.source.num_requested_bytes
        with only_reading():
            arrays = arrays_of(
                self._tree,
                names,
                (start, stop),
                decompression_executor=Timed(self.clock, "decompress"),
            )
        self.clock.bytes += stored_bytes(self._tree, names, start, stop) or (
            self._tree.file.source.num_requested_bytes - requested
        )
        return arrays


def arrays_of(
    tree: Any, names: Sequence[str], entries: tuple[int, int], **options: Any
) -> ak.Array:
    """Branches of an open TTree or RNTuple, as one record; arrays of a fixed size as lists.

    Args:
        tree: open.
        names: of the branches.
        entries: first event, and the event behind the last.
        options: of uproot's ``arrays`` and ``array``.
    """
    options |= {"entry_start": entries[0], "entry_stop": entries[1]}
    if isinstance(tree, uproot.TTree):
        arrays = tree.arrays(list(names), **options)
        fixed = {name for name in names if getattr(tree[name].interpretation, "inner_shape", ())}
        if not fixed:
            return arrays
        parts = {name: arrays[name] for name in names}
        parts |= {name: ak.from_regular(arrays[name]) for name in fixed}
        return ak.zip(parts, depth_limit=1)
    source = tree.file.source
    if isinstance(source, RemoteSource):
        # uproot asks for one page after the other.
        source.prefetch(_pages(tree, tuple(names), entries))
    # ``arrays`` goes through the names of all fields, which takes seconds for a thousand.
    arrays = {name: tree[name].array(**options) for name in names}
    parts = {name: ak.from_regular(array, axis=None) for name, array in arrays.items()}
    return ak.zip(parts, depth_limit=1)


# Fields of open RNTuples on servers; None where they are stored in a way not known here.
_located: WeakKeyDictionary[RemoteSource, dict[tuple[str, ...], Located | None]]
_located = WeakKeyDictionary()


def _pages(tree: Any, names: tuple[str, ...], entries: tuple[int, int]) -> list[Range]:
    """Where the pages are that uproot reads for a range of events of an RNTuple.

    These are all of the clusters that have some of them, and of one that begins behind the last;
    none where it is not known.
    """
    known = _located.setdefault(tree.file.source, {})
    if names not in known:
        known[names] = Structure(tree).fields(names)
    located = known[names]
    if located is None or entries[0] >= entries[1]:
        return []
    edges, fields = located
    first, behind = bisect_right(edges, entries[0]) - 1, bisect_right(edges, entries[1])
    clusters = first, min(behind, len(edges) - 1)
    return sorted(
        {page for field in fields.values() for page in field.ranges(*clusters) if page[0] < page[1]}
    )


def stored_bytes(tree: Any, names: Iterable[str], start: int, stop: int) -> int:
    """Compressed bytes of the baskets of a TTree's branches in a range; 0 for an RNTuple."""
    if not isinstance(tree, uproot.TTree):
        return 0
    return sum(
        branch.basket_compressed_bytes(number)
        for branch in map(tree.__getitem__, names)
        for number, (first, behind) in enumerate(pairwise(branch.entry_offsets))
        if first < stop and start < behind
    )
