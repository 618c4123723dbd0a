"""Reads baskets of TTree files: only those that hold an event that is wanted.

uproot reads whole ranges of entries. Knowing where each basket is, this reads and decompresses
single ones, and makes columns of the events wanted only. Files that it does not cover have no
``branches`` among their metadata, and are read by ``readers.ranges``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from agc_pipeline.readers import root_format
from agc_pipeline.readers.columns import Array, joined
from agc_pipeline.readers.failures import DamagedPart
from agc_pipeline.readers.root_format import (
    DECODING_ERRORS,
    BranchMetadata,
    Content,
    decompressed,
)
from agc_pipeline.readers.stored import StoredColumns


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

    @property
    def n_wanted(self) -> int:
        """Number of the events wanted."""
        return self.stop - self.first if self.events is None else len(self.events)


class BasketColumns(StoredColumns[BranchMetadata, Content]):
    """A range of events of a TTree file, read basket by basket."""

    def _flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        branches = [self._places[name] for name in names]
        baskets = self._baskets(branches, events)
        return {
            name: self._values(branch, wanted)
            for name, branch, wanted in zip(names, branches, baskets, strict=True)
        }

    def _values(self, branch: BranchMetadata, baskets: Sequence[_Basket], length: int = 1) -> Array:
        dtype = np.dtype(branch.dtype)
        parts = []
        # One after the other: each is used while it is in the cache.
        for basket in baskets:
            with self._decoding(branch, basket) as content:
                values = root_format.flat(content, dtype, basket.stop - basket.first, length)
            if basket.events is not None and length == 1:
                values = values[basket.events]
            elif basket.events is not None:
                values = values.reshape(-1, length)[basket.events].ravel()
            parts.append(values)
        return joined(parts, dtype)

    def _jagged(self, names: Sequence[str], events: Array | None) -> Iterator[tuple[Array, Array]]:
        branches = [self._places[name] for name in names]
        return map(self._lists, branches, self._baskets(branches, events))

    def _lists(self, branch: BranchMetadata, baskets: Sequence[_Basket]) -> tuple[Array, Array]:
        n_wanted = sum(basket.n_wanted for basket in baskets)
        if branch.length is not None:
            lengths = np.full(n_wanted, branch.length, np.int32)
            return lengths, self._values(branch, baskets, branch.length)
        lists = root_format.Lists(np.dtype(branch.dtype), n_wanted)
        for basket in baskets:
            with self._decoding(branch, basket) as content:
                lists.add(content, basket.stop - basket.first, basket.events)
        return lists.columns()

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

    def _content(self, branch: BranchMetadata, basket: _Basket) -> Content:
        seek, size = branch.seeks[basket.number], branch.sizes[basket.number]
        if self._cache is not None and seek in self._cache:
            return self._cache[seek]
        data = self._stored(size, seek)
        with self.clock.part("decompress"):
            content = decompressed(data, seek, size, basket.stop - basket.first)
        if self._cache is not None:
            self._cache[seek] = content
        return content

    @contextmanager
    def _decoding(self, branch: BranchMetadata, basket: _Basket) -> Iterator[Content]:
        """The content of a basket; what it does not decode to is told with its place."""
        try:
            yield self._content(branch, basket)
        except DECODING_ERRORS as error:
            seek = branch.seeks[basket.number]
            name = next(name for name, place in self._places.items() if place is branch)
            part = f"a basket of the branch {name}"
            raise DamagedPart(part, seek, seek + branch.sizes[basket.number], error) from error
