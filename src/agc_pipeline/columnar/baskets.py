"""Reads baskets of local TTree files: only those that hold an event that is wanted.

uproot reads whole ranges of entries. Knowing where each basket is, this reads and decompresses
single ones, and makes columns of the events wanted only. Files that it does not cover have no
``branches`` among their facts, and are read by ``columnar.ranges``.
"""

import os
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import deflate
import numpy as np
import uproot

from agc_pipeline.columnar.columns import Array, Collection, offsets_of, positions
from agc_pipeline.columnar.compiling import kernel
from agc_pipeline.columnar.facts import BranchFacts
from agc_pipeline.columnar.performance import Clock

# Start and end of the key of a basket: its bytes, uncompressed bytes and length of the key; number
# of events, and length of key and values without the offsets behind them.
_KEY_START = struct.Struct(">ixxi4xh")
_KEY_END = struct.Struct(">iix")
# Header of a compressed block: codec, compressed and uncompressed bytes.
_BLOCK = struct.Struct("<2sx3s3s")
_LZ4_CHECKSUM = 8


def inflated(data: Any, size: int) -> Any:
    """Decompress zlib's format with libdeflate, which takes half of the time of zlib."""
    try:
        return deflate.zlib_decompress(data, size)
    except deflate.DeflateError as error:
        raise zlib.error(str(error)) from error


_DECOMPRESS: dict[bytes, Callable[[Any, int], Any]] = {
    b"ZL": inflated,
    b"XZ": uproot.LZMA(1).decompress,
    b"ZS": uproot.ZSTD(1).decompress,
    b"L4": lambda data, size: uproot.LZ4(1).decompress(data[_LZ4_CHECKSUM:], size),
}


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


class _Content(NamedTuple):
    """A decompressed basket: key and values are ``last`` bytes long, offsets may follow."""

    payload: Any
    key_length: int
    last: int


class BasketColumns:
    """A range of events of a TTree file, read basket by basket.

    Args:
        path: the file.
        branches: where its baskets are, at least those that overlap with the range.
        start: first event of the range.
        stop: the event behind the last.
        clock: takes the time, and counts the bytes.

    Raises:
        ValueError: where the content of a basket is not what the branch says.
    """

    def __init__(
        self, path: str, branches: Mapping[str, BranchFacts], start: int, stop: int, clock: Clock
    ) -> None:
        self.n_events = stop - start
        self.clock = clock
        self._path = path
        self._branches = branches
        self._start = start
        self._file = -1

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
            return {name: self._flat(self._branches[name], events) for name in names}

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """See ``Columns``."""
        with self.clock.part("read"):
            read = [self._jagged(self._branches[f"{name}_{field}"], events) for field in fields]
            offsets = offsets_of(read[0][0])
        for field, (_, values) in zip(fields, read, strict=True):
            if len(values) != offsets[-1]:
                raise ValueError(f"{name}_{field} and {name}_{fields[0]} differ in list lengths")
        return Collection(
            offsets, {field: values for field, (_, values) in zip(fields, read, strict=True)}
        )

    def _flat(self, branch: BranchFacts, events: Array) -> Array:
        dtype = np.dtype(branch.dtype)
        parts = []
        baskets = self._wanted(branch, events)
        for basket, content in zip(baskets, self._contents(branch, baskets), strict=True):
            n = basket.stop - basket.first
            if len(content.payload) != n * dtype.itemsize:
                raise ValueError(f"a basket has {len(content.payload)} bytes for {n} events")
            values = np.frombuffer(content.payload, dtype)
            parts.append(values if basket.events is None else values[basket.events])
        return _joined(parts, dtype)

    def _jagged(self, branch: BranchFacts, events: Array | None) -> tuple[Array, Array]:
        """Number of values of each wanted event, and the values."""
        dtype = np.dtype(branch.dtype)
        counts, parts = [], []
        baskets = self._wanted(branch, events)
        for basket, content in zip(baskets, self._contents(branch, baskets), strict=True):
            n_events = basket.stop - basket.first
            border = content.last - content.key_length
            # In front of the offsets stands their number.
            stored = np.frombuffer(content.payload, np.uint8, 4 * n_events, border + 4)
            values = np.frombuffer(content.payload, dtype, border // dtype.itemsize)
            chosen = np.arange(n_events) if basket.events is None else basket.events
            starts, lengths = _lists(stored, content.key_length, border, dtype.itemsize, chosen)
            counts.append(lengths)
            parts.append(values if basket.events is None else values[positions(starts, lengths)])
        return _joined(counts, np.dtype(np.int64)), _joined(parts, dtype)

    def _wanted(self, branch: BranchFacts, events: Array | None) -> list[_Basket]:
        """The baskets of a branch that hold wanted events."""
        baskets = []
        begin = max(bisect_right(branch.entries, self._start) - 1, 0)
        end = bisect_left(branch.entries, self._start + self.n_events)
        edges = np.array(branch.entries[begin : end + 1]) - self._start
        places = (
            edges.clip(0, self.n_events) if events is None else np.searchsorted(events, edges)
        ).tolist()
        for i, (first, stop) in enumerate(pairwise(edges.tolist())):
            if places[i] == places[i + 1]:
                continue
            chosen = None
            if places[i + 1] - places[i] < stop - first:
                here = slice(places[i], places[i + 1])
                wanted = np.arange(here.start, here.stop) if events is None else events[here]
                chosen = wanted - first
            baskets.append(_Basket(begin + i, first, stop, chosen))
        return baskets

    def _contents(self, branch: BranchFacts, baskets: Sequence[_Basket]) -> Iterator[_Content]:
        """The baskets, one after the other: each is used while it is in the processor's cache."""
        for basket in baskets:
            size = branch.sizes[basket.number]
            data = os.pread(self._file, size, branch.seeks[basket.number])
            self.clock.bytes += len(data)
            with self.clock.part("decompress"):
                content = _content(data, size, basket.stop - basket.first)
            yield content


def _content(data: bytes, n_bytes: int, n_events: int) -> _Content:
    """Decompress a basket, whose key must fit to what its branch says."""
    if len(data) != n_bytes:
        raise ValueError(f"the file ends within a basket of {n_bytes} bytes")
    stated, size, key_length = _KEY_START.unpack_from(data)
    found, last = _KEY_END.unpack_from(data, key_length - _KEY_END.size)
    if (stated, found) != (n_bytes, n_events):
        raise ValueError(
            f"a basket of {n_bytes} bytes and {n_events} events says {stated} and {found}"
        )
    packed = memoryview(data)[key_length:]
    if len(packed) == size:
        return _Content(packed, key_length, last)
    blocks = list(_blocks(packed))
    payload = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    if len(payload) != size:
        raise ValueError(f"a basket of {size} bytes decompressed to {len(payload)}")
    return _Content(payload, key_length, last)


def _blocks(packed: memoryview) -> Iterator[Any]:
    while packed:
        codec, *lengths = _BLOCK.unpack_from(packed)
        stored, size = (int.from_bytes(length, "little") for length in lengths)
        if codec not in _DECOMPRESS:
            raise ValueError(f"unknown compression {codec!r}")
        yield _DECOMPRESS[codec](packed[_BLOCK.size : _BLOCK.size + stored], size)
        packed = packed[_BLOCK.size + stored :]


@kernel
def _lists(
    stored: Array, key_length: int, border: int, size: int, events: Array
) -> tuple[Array, Array]:
    """Where the lists of events begin in the values of a basket, and how long they are.

    Args:
        stored: bytes of the offsets: four for each event of the basket, big-endian, counted from
            the start of the key.
        key_length: bytes in front of the values.
        border: bytes of the values.
        size: bytes of one value.
        events: positions of the events in the basket.
    """
    starts = np.empty(len(events), np.int64)
    lengths = np.empty(len(events), np.int64)
    for i in range(len(events)):
        at = 4 * events[i]
        start = _big_endian(stored, at) - key_length
        stop = border
        if at + 4 < len(stored):
            stop = _big_endian(stored, at + 4) - key_length
        if not 0 <= start <= stop <= border:
            raise ValueError("lists overlap in a basket")
        starts[i] = start // size
        lengths[i] = (stop - start) // size
    return starts, lengths


@kernel
def _big_endian(stored: Array, at: int) -> Any:
    # An index without sign is not looked at twice, so that the four bytes become one load.
    first = np.uint64(at)
    return np.int64(
        (np.uint32(stored[first]) << np.uint32(24))
        | (np.uint32(stored[first + np.uint64(1)]) << np.uint32(16))
        | (np.uint32(stored[first + np.uint64(2)]) << np.uint32(8))
        | np.uint32(stored[first + np.uint64(3)])
    )


def _joined(parts: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """One array in the byte order of the machine."""
    native = dtype.newbyteorder("=")
    return np.concatenate(parts, dtype=native) if parts else np.empty(0, native)
