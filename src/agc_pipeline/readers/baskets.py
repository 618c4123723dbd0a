"""Reads baskets of local TTree files: only those that hold an event that is wanted.

uproot reads whole ranges of entries. Knowing where each basket is, this reads and decompresses
single ones, and makes columns of the events wanted only. Files that it does not cover have no
``branches`` among their metadata, and are read by ``readers.ranges``.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers import root_format
from agc_pipeline.readers.arrays import check_collection
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.columns import (
    Array,
    Collection,
    ListLengths,
    check_finite,
    joined,
    offsets_of,
)
from agc_pipeline.readers.root_format import BranchMetadata, Content, decompressed


class _Basket(NamedTuple):
    """A basket with wanted events.

    Attributes:
        number: which one of its branch.
        first: its first event.
        stop: the event behind its last.
        events: positions in the basket of the events wanted; None if it is all of them.
    """

    number: int
    first: int
    stop: int
    events: Array | None


class BasketColumns:
    """A range of events of a TTree file, read basket by basket.

    Args:
        path: the file.
        branches: where its baskets are, at least those that overlap with the range; counters of
            collections among them are compared with the lists.
        start: first event of the range.
        stop: the event behind the last.
        clock: takes the time, and counts the bytes.
        layout: of the file.
        keep: decompress no basket twice; for columns of which some are read again.

    Raises:
        ValueError: where the content of a basket is not what the branch says.
        Disagreement: where the columns of a collection do not have the same lists.
        ImpossibleValue: where a momentum is not finite.
    """

    def __init__(
        self,
        path: str,
        branches: Mapping[str, BranchMetadata],
        start: int,
        stop: int,
        clock: Clock,
        *,
        layout: Layout,
        keep: bool = False,
    ) -> None:
        self.n_events = stop - start
        self.clock = clock
        self._path = path
        self._branches = branches
        self._layout = layout
        self._start = start
        self._file = -1
        self._cache: dict[int, Content] | None = {} if keep else None
        self._lengths = ListLengths(stop - start, start)

    @contextmanager
    def opened(self) -> Iterator["BasketColumns"]:
        """Keep the file open until the block ends."""
        with self.clock.part("open"):
            self._file = os.open(self._path, os.O_RDONLY)
        try:
            yield self
        finally:
            os.close(self._file)

    def flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """See ``Columns``."""
        with self.clock.part("read"):
            branches = [self._branches[name] for name in names]
            baskets = self._baskets(branches, events)
            values = {
                name: self._flat(branch, wanted)
                for name, branch, wanted in zip(names, branches, baskets, strict=True)
            }
        for name in filter(self._layout.is_momentum, names):
            check_finite(name, values[name], None, events, first=self._start)
        return values

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """See ``Columns``."""
        with self.clock.part("read"):
            self._compare_counter(name, events)
            named = {field: self._layout.branch(name, field) for field in fields}
            branches = [self._branches[branch] for branch in named.values()]
            read = list(map(self._jagged, branches, self._baskets(branches, events)))
            for branch, (lengths, _) in zip(named.values(), read, strict=True):
                self._lengths.compare(name, branch, lengths, events)
            lists = Collection(
                offsets_of(read[0][0]),
                {field: values for field, (_, values) in zip(fields, read, strict=True)},
            )
        check_collection(lists, named, self._layout, events, first=self._start)
        return lists

    def _compare_counter(self, name: str, events: Array | None) -> None:
        """Compare the counter of a collection, if there is one among the branches."""
        counter = self._layout.counter(name)
        if counter in self._branches and name not in self._lengths:
            every = np.arange(self.n_events) if events is None else events
            lengths = self.flat((counter,), every)[counter]
            self._lengths.compare(name, counter, lengths.astype(np.int64), events)

    def _flat(self, branch: BranchMetadata, baskets: Sequence[_Basket]) -> Array:
        dtype = np.dtype(branch.dtype)
        parts = []
        for basket, content in self._contents(branch, baskets):
            values = root_format.flat(content, dtype, basket.stop - basket.first)
            parts.append(values if basket.events is None else values[basket.events])
        return joined(parts, dtype)

    def _jagged(self, branch: BranchMetadata, baskets: Sequence[_Basket]) -> tuple[Array, Array]:
        """Number of values of each wanted event, and the values."""
        dtype = np.dtype(branch.dtype)
        counts, parts = [], []
        for basket, content in self._contents(branch, baskets):
            lengths, values = root_format.lists(
                content, dtype, basket.stop - basket.first, basket.events
            )
            counts.append(lengths)
            parts.append(values)
        return joined(counts, np.dtype(np.int64)), joined(parts, dtype)

    def _baskets(
        self, branches: Sequence[BranchMetadata], events: Array | None
    ) -> list[list[_Basket]]:
        """The baskets of each branch that hold wanted events; mostly they end at the same."""
        by_entries = {
            entries: self._wanted(entries, events)
            for entries in {branch.entries for branch in branches}
        }
        return [by_entries[branch.entries] for branch in branches]

    def _wanted(self, entries: tuple[int, ...], events: Array | None) -> list[_Basket]:
        baskets = []
        begin = max(bisect_right(entries, self._start) - 1, 0)
        end = bisect_left(entries, self._start + self.n_events)
        edges = np.array(entries[begin : end + 1]) - self._start
        places = (
            edges.clip(0, self.n_events) if events is None else np.searchsorted(events, edges)
        ).tolist()
        for i, (first, stop) in enumerate(pairwise(edges.tolist())):
            if places[i] == places[i + 1]:
                continue
            positions = None
            if places[i + 1] - places[i] < stop - first:
                here = slice(places[i], places[i + 1])
                wanted = np.arange(here.start, here.stop) if events is None else events[here]
                positions = wanted - first
            baskets.append(_Basket(begin + i, first, stop, positions))
        return baskets

    def _contents(
        self, branch: BranchMetadata, baskets: Sequence[_Basket]
    ) -> Iterator[tuple[_Basket, Content]]:
        """The wanted baskets, one after the other: each is used while it is in the cache."""
        for basket in baskets:
            yield basket, self._content(branch, basket)

    def _content(self, branch: BranchMetadata, basket: _Basket) -> Content:
        seek, size = branch.seeks[basket.number], branch.sizes[basket.number]
        if self._cache is not None and seek in self._cache:
            return self._cache[seek]
        data = os.pread(self._file, size, seek)
        self.clock.bytes += size
        with self.clock.part("decompress"):
            content = decompressed(data, size, basket.stop - basket.first)
        if self._cache is not None:
            self._cache[seek] = content
        return content
