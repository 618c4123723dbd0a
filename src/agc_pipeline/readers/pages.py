"""Reads pages of RNTuples: only those that hold an event that is wanted.

As ``readers.baskets`` for TTrees. RNTuples that it does not cover have no ``fields`` among their
metadata, and are read by ``readers.ranges``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, assert_never

import numpy as np
import xxhash

from agc_pipeline.compiling import kernel
from agc_pipeline.readers.columns import Array, joined
from agc_pipeline.readers.failures import DamagedPart
from agc_pipeline.readers.ntuple_format import FieldMetadata, PageMetadata
from agc_pipeline.readers.root_format import DECODING_ERRORS, PAGE_CHECKSUM, unpacked
from agc_pipeline.readers.stored import StoredColumns

# Bytes of the longer kind of offsets.
_WORD = 8
# Values of the longest list whose length fits into 4 bytes.
_LONGEST = 2**31 - 1


class _Lists(NamedTuple):
    """Lists of the events wanted.

    Attributes:
        clusters: number of each cluster, and which of the events are in it.
        starts: first value of each list, counted in its cluster: ``events * int64``.
        lengths: of each: ``events * int32``.
    """

    clusters: Sequence[tuple[int, slice]]
    starts: Array
    lengths: Array


class PageColumns(StoredColumns[FieldMetadata, Array]):
    """A range of events of an RNTuple, read page by page."""

    def _flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        return {name: self._single(self._places[name], events) for name in names}

    def _jagged(self, names: Sequence[str], events: Array | None) -> Iterator[tuple[Array, Array]]:
        # Fields of one collection may share their offsets.
        read: dict[tuple[int, ...], _Lists] = {}
        for name in names:
            field = self._places[name]
            if field.offsets is None or field.values is None:
                raise ValueError(f"{name} has no lists")
            if field.offsets.seeks not in read:
                read[field.offsets.seeks] = self._lists(field.offsets, events)
            lists = read[field.offsets.seeks]
            yield lists.lengths, self._values(field.values, lists)

    def _single(self, field: FieldMetadata, events: Array) -> Array:
        if field.values is None or field.offsets is not None:
            return self._counts(field, events)
        column = field.values
        edges = np.array(column.elements) - self._start
        places = np.searchsorted(events, edges)
        parts = []
        for page in np.flatnonzero(np.diff(places)).tolist():
            content = self._page(column, page)
            wanted = events[places[page] : places[page + 1]]
            # Mostly it is all of them.
            parts.append(content if len(wanted) == len(content) else content[wanted - edges[page]])
        return joined(parts, np.dtype(column.dtype))

    def _counts(self, field: FieldMetadata, events: Array) -> Array:
        if field.offsets is None or field.values is not None:
            raise ValueError("lists where there should be one value an event")
        return self._lists(field.offsets, events).lengths.astype(np.int64)

    def _lists(self, column: PageMetadata, events: Array | None) -> _Lists:
        """The lists of the events wanted."""
        n_events = self.n_events if events is None else len(events)
        starts, lengths = np.empty(n_events, np.int64), np.empty(n_events, np.int32)
        clusters = []
        n = 0
        for cluster in range(len(column.clusters) - 1):
            first, behind = column.first(cluster), column.first(cluster + 1)
            low = max(first, self._start)
            high = min(behind, self._start + self.n_events)
            # Positions in the cluster of the events wanted: all of a range, or those of a list.
            wanted: range | Array = range(low - first, high - first)
            if events is not None:
                here = np.searchsorted(events, (low - self._start, high - self._start))
                wanted = events[here[0] : here[1]] + (self._start - first)
            if len(wanted):
                part = slice(n, n + len(wanted))
                # The start of a list is the end of the one before.
                event = first + max(int(wanted[0]) - 1, 0)
                ends, base = self._range(column, cluster, event, first + int(wanted[-1]) + 1)
                ends = ends.view(np.int64) if ends.itemsize == _WORD else ends.astype(np.int64)
                bounds = starts[part], lengths[part]
                if isinstance(wanted, range):
                    valid = _all_bounds(ends, wanted.start - (base - first), bounds)
                else:
                    valid = _bounds(ends, base - first, wanted, bounds)
                if not valid:
                    raise ValueError("lists overlap in a cluster")
                clusters.append((cluster, part))
                n = part.stop
        return _Lists(clusters, starts, lengths)

    def _range(
        self, column: PageMetadata, cluster: int, first: int, behind: int
    ) -> tuple[Array, int]:
        """Values of a range of a cluster, maybe more, and which is the first of them."""
        pages = range(
            max(bisect_right(column.elements, first) - 1, column.clusters[cluster]),
            min(bisect_left(column.elements, behind), column.clusters[cluster + 1]),
        )
        contents = [self._page(column, page) for page in pages]
        values = contents[0] if len(contents) == 1 else np.concatenate(contents)
        return values, column.elements[pages.start]

    def _values(self, column: PageMetadata, lists: _Lists) -> Array:
        # Clusters write into the same memory: putting pieces together would take as long as reading
        # them.
        values = np.empty(lists.lengths.sum(), column.dtype)
        words = values.view(f"u{values.itemsize}")
        n = 0
        for cluster, part in lists.clusters:
            starts, lengths = lists.starts[part], lists.lengths[part]
            n_values = int(lengths.sum())
            if n_values:
                contents, base = self._needed(column, cluster, starts, lengths)
                _gather(contents.view(words.dtype), base, starts, lengths, words[n : n + n_values])
                n += n_values
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _needed(
        self, column: PageMetadata, cluster: int, starts: Array, lengths: Array
    ) -> tuple[Array, int]:
        """Values of a cluster from the first page with a wanted one to the last.

        What lies between is filled where a value of it is wanted.

        Returns:
            The values, and which is the first of them, counted in the cluster.
        """
        first, behind = column.clusters[cluster], column.clusters[cluster + 1]
        edges = np.array(column.elements[first : behind + 1]) - column.elements[first]
        if starts[-1] + lengths[-1] > edges[-1]:
            raise ValueError("lists go beyond the values of their cluster")
        if behind - first == 1:
            return self._page(column, first), 0
        filled = np.flatnonzero(lengths)
        starts, stops = starts[filled], starts[filled] + lengths[filled]
        # The first list that does not end in front of a page, and whether it begins in it.
        following = np.searchsorted(stops, edges[:-1], side="right")
        begins = np.append(starts, edges[-1])[following]
        pages = np.flatnonzero(begins < edges[1:]).tolist()
        contents = [self._page(column, first + page) for page in pages]
        base, last = pages[0], pages[-1]
        if len(pages) == 1:
            return contents[0], int(edges[base])
        values = np.empty(edges[last + 1] - edges[base], column.dtype)
        for page, content in zip(pages, contents, strict=True):
            values[edges[page] - edges[base] : edges[page + 1] - edges[base]] = content
        return values, int(edges[base])

    def _page(self, column: PageMetadata, page: int) -> Array:
        """The values of a page."""
        seek, size = column.seeks[page], column.sizes[page]
        if self._cache is not None and seek in self._cache:
            return self._cache[seek]
        data = self._stored(size + column.checksums * PAGE_CHECKSUM.size, seek)
        n_values = column.elements[page + 1] - column.elements[page]
        try:
            with self.clock.part("decompress"):
                values = _decoded(memoryview(data), size, column, n_values)
        except DECODING_ERRORS as error:
            fields = self._places.items()
            name = next(n for n, field in fields if column in (field.offsets, field.values))
            raise DamagedPart(f"a page of the field {name}", seek, seek + size, error) from error
        if self._cache is not None:
            self._cache[seek] = values
        return values


def _decoded(data: memoryview, n_bytes: int, column: PageMetadata, n_values: int) -> Array:
    """The values of a compressed page, behind which its checksum may stand.

    Raises:
        ValueError: if it has more or less, or differs from its checksum.
    """
    packed = data[:n_bytes]
    if column.checksums:
        (checksum,) = PAGE_CHECKSUM.unpack_from(data, n_bytes)
        if xxhash.xxh3_64_intdigest(packed) != checksum:
            raise ValueError("a page differs from its checksum")
    dtype = np.dtype(column.dtype)
    size = -(-n_values // 8) if column.encoding == "bits" else n_values * dtype.itemsize
    content = packed if len(packed) == size else unpacked(packed, size)
    if len(content) != size:
        raise ValueError(f"a page of {size} bytes has {len(content)}")
    stored = np.frombuffer(content, np.uint8)
    match column.encoding:
        case "plain":
            values: Array = stored.view(dtype)
        case "bits":
            values = np.unpackbits(stored, count=n_values, bitorder="little").view(dtype)
        case "split":
            values = _merged(stored, dtype)
        case "zigzag":
            words = _merged(stored, dtype.newbyteorder("=")).view(f"u{dtype.itemsize}")
            values = ((words >> 1) ^ -(words & 1)).view(dtype)
        case "delta":
            values = np.cumsum(_merged(stored, dtype), dtype=dtype)
        case _:
            assert_never(column.encoding)
    return values


def _merged(stored: Array, dtype: np.dtype[Any]) -> Array:
    """Values of which the first bytes of all are stored, then the second ones of all."""
    words = np.zeros(len(stored) // dtype.itemsize, f"u{dtype.itemsize}")
    _merge(stored, words, words.dtype.type(dtype.itemsize))
    return words.view(dtype)


@kernel
def _merge(stored: Array, words: Array, n_bytes: Any) -> None:
    for place in range(n_bytes):
        begin = place * len(words)
        for i in range(len(words)):
            words[i] |= words.dtype.type(stored[begin + i]) << words.dtype.type(8 * place)


@kernel
def _all_bounds(ends: Array, first: int, bounds: tuple[Array, Array]) -> bool:
    """Starts and lengths of lists that follow one another, and whether they do not overlap.

    Args:
        ends: of lists.
        first: the first of the lists wanted; where it is 0, it is the first of its cluster.
        bounds: starts and lengths, which are filled.
    """
    starts, lengths = bounds
    n = len(starts)
    # Without branches, the loop is compiled to instructions for several values at a time.
    valid = True
    for i in range(max(first, 1), first + n):
        length = ends[i] - ends[i - 1]
        valid &= (length >= 0) & (length <= _LONGEST)
        starts[i - first] = ends[i - 1]
        lengths[i - first] = length
    if first == 0:
        valid &= (ends[0] >= 0) & (ends[0] <= _LONGEST)
        starts[0] = 0
        lengths[0] = ends[0]
    return bool(valid & (starts[0] >= 0))


@kernel
def _bounds(ends: Array, base: int, events: Array, bounds: tuple[Array, Array]) -> bool:
    """The same for some events.

    Args:
        ends: of the lists of all events from ``base`` on.
        base: an event of the cluster, the one before the first wanted or earlier.
        events: positions in the cluster, in rising order.
        bounds: starts and lengths, which are filled.
    """
    starts, lengths = bounds
    last = 0
    for i in range(len(events)):
        event = events[i] - base
        start = 0 if events[i] == 0 else ends[event - 1]
        stop = ends[event]
        if not (last <= start <= stop and stop - start <= _LONGEST):
            return False
        starts[i] = start
        lengths[i] = stop - start
        last = stop
    return True


@kernel
def _gather(words: Array, base: int, starts: Array, lengths: Array, values: Array) -> None:
    """Fill in the values of lists, one after the other; ``base`` is the first of the words."""
    first, last = starts[0] - base, starts[-1] + lengths[-1] - base
    if last - first == len(values):
        # Nothing lies between the lists.
        values[:] = words[first:last]
        return
    n = 0
    for i in range(len(starts)):
        for position in range(starts[i] - base, starts[i] + lengths[i] - base):
            values[n] = words[position]
            n += 1
