"""Columns of a file in which their places are known: what its formats have in common."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

import numpy as np

from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.arrays import check_collection
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.columns import (
    Array,
    Collection,
    ListLengths,
    check_finite,
    offsets_of,
)

Place = TypeVar("Place")
Content = TypeVar("Content")

_NOTHING = memoryview(b"")


class StoredColumns(ABC, Generic[Place, Content]):
    """A range of events of a file, of which only what is wanted is read or decompressed.

    Args:
        path: the file; of one on a server, its address.
        places: where each column is, at least what overlaps with the range; counters of
            collections among them are compared with the lists.
        start: first event of the range.
        stop: the event behind the last.
        clock: takes the time, and counts the bytes.
        layout: of the file.
        keep: decompress nothing twice; for columns of which some are read again.

    Raises:
        ValueError: where the content is not what its description says.
        Disagreement: where the columns of a collection do not have the same lists.
        ImpossibleValue: where a momentum is not finite.
    """

    def __init__(
        self,
        path: str,
        places: Mapping[str, Place],
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
        self._places = places
        self._layout = layout
        self._start = start
        self._file = -1
        self._had: Mapping[int, memoryview] | None = None
        self._cache: dict[int, Content] | None = {} if keep else None
        self._lengths = ListLengths(stop - start, start)

    @contextmanager
    def opened(self, content: Mapping[int, memoryview] | None = None) -> Iterator[Self]:
        """Keep the file open until the block ends.

        Args:
            content: all that may be read of a file on a server, by its first byte; its bytes were
                counted when it came. None for a file on this machine.
        """
        self._had = content
        if content is not None:
            yield self
            return
        with self.clock.part("open"):
            self._file = os.open(self._path, os.O_RDONLY)
        try:
            yield self
        finally:
            os.close(self._file)

    def _stored(self, size: int, position: int) -> bytes | memoryview:
        """So many bytes from a position on, or what there is of them."""
        if self._had is not None:
            return self._had.get(position, _NOTHING)
        self.clock.bytes += size
        return os.pread(self._file, size, position)

    def flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """See ``Columns``."""
        with self.clock.part("read"):
            values = self._flat(names, events)
        for name in filter(self._layout.is_momentum, names):
            check_finite(name, values[name], None, events, first=self._start)
        return values

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """See ``Columns``."""
        named = {field: self._layout.branch(name, field) for field in fields}
        with self.clock.part("read"):
            self._compare_counter(name, events)
            before = np.empty(0, np.int32)
            values: dict[str, Array] = {}
            read = self._jagged(tuple(named.values()), events)
            for (field, branch), (lengths, column) in zip(named.items(), read, strict=True):
                # Most are those of the column before, which is quickly seen.
                if not values or not np.array_equal(lengths, before):
                    self._lengths.compare(name, branch, lengths, events)
                before, values[field] = lengths, column
            lists = Collection(offsets_of(before), values)
        check_collection(lists, named, self._layout, events, first=self._start)
        return lists

    def _compare_counter(self, name: str, events: Array | None) -> None:
        """Compare the counter of a collection, if there is one among the columns."""
        counter = self._layout.counter(name)
        if counter in self._places and name not in self._lengths:
            every = np.arange(self.n_events) if events is None else events
            lengths = self._flat((counter,), every)[counter]
            self._lengths.compare(name, counter, lengths.astype(np.int64), events)

    @abstractmethod
    def _flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """Columns with a value for each event, of the wanted ones."""

    @abstractmethod
    def _jagged(self, names: Sequence[str], events: Array | None) -> Iterator[tuple[Array, Array]]:
        """Of each column with lists: the number of values of each wanted event, and the values."""
