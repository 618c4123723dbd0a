"""Makes arrays of the bytes of a basket: decompressed, and of the events wanted only."""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import deflate
import numpy as np
import uproot

from agc_pipeline.compiling import kernel
from agc_pipeline.readers.columns import Array

# Start and end of the key of a basket: its bytes, uncompressed bytes and length of the key; number
# of events, and length of key and values without the offsets behind them.
_KEY_START = struct.Struct(">ixxi4xh")
_KEY_END = struct.Struct(">iix")
# Header of a compressed block: codec, compressed and uncompressed bytes, each as two lower bytes
# and an upper one.
_BLOCK = struct.Struct("<2sxHBHB")
_LZ4_CHECKSUM = 8
# Bytes of an offset.
_OFFSET = 4


def inflated(data: Any, size: int) -> Any:
    """Decompress zlib's format with libdeflate, which takes half of the time of zlib."""
    try:
        return deflate.zlib_decompress(data, size)
    except deflate.DeflateError as error:
        raise zlib.error(str(error)) from error


_LZ4 = uproot.LZ4(1)
_DECOMPRESS: dict[bytes, Callable[[Any, int], Any]] = {
    b"ZL": inflated,
    b"XZ": uproot.LZMA(1).decompress,
    b"ZS": uproot.ZSTD(1).decompress,
    b"L4": lambda data, size: _LZ4.decompress(data[_LZ4_CHECKSUM:], size),
}


class Content(NamedTuple):
    """A decompressed basket: key and values are ``last`` bytes long, offsets may follow."""

    payload: Any
    key_length: int
    last: int


def decompressed(data: bytes, n_bytes: int, n_events: int) -> Content:
    """Decompress a basket, whose key must fit to what its branch says.

    Args:
        data: the basket with its key.
        n_bytes: its size, as the branch says.
        n_events: number of events in it, as the branch says.

    Raises:
        ValueError: if the key says something else, or the content does not fit to the key.
    """
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
        return Content(packed, key_length, last)
    blocks = list(_blocks(packed))
    payload = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    if len(payload) != size:
        raise ValueError(f"a basket of {size} bytes decompressed to {len(payload)}")
    return Content(payload, key_length, last)


def _blocks(packed: memoryview) -> Iterator[Any]:
    while packed:
        codec, low, high, size_low, size_high = _BLOCK.unpack_from(packed)
        stop = _BLOCK.size + low + (high << 16)
        if codec not in _DECOMPRESS:
            raise ValueError(f"unknown compression {codec!r}")
        yield _DECOMPRESS[codec](packed[_BLOCK.size : stop], size_low + (size_high << 16))
        packed = packed[stop:]


def flat(content: Content, dtype: np.dtype[Any], n_events: int) -> Array:
    """The values of a basket with one value an event.

    Raises:
        ValueError: if it has more or less.
    """
    if len(content.payload) != n_events * dtype.itemsize:
        raise ValueError(f"a basket has {len(content.payload)} bytes for {n_events} events")
    return np.frombuffer(content.payload, dtype)


def lists(
    content: Content, dtype: np.dtype[Any], n_events: int, events: Array | None
) -> tuple[Array, Array]:
    """How long the lists of events of a basket are, and their values one after the other.

    Args:
        content: of the basket.
        dtype: of the values.
        n_events: in the basket.
        events: positions in the basket of the events wanted, in rising order; None is all.

    Raises:
        ValueError: if the lists overlap.
    """
    border = content.last - content.key_length
    # In front of the offsets, which are counted from the start of the key, stands their number.
    offsets = np.frombuffer(content.payload, np.uint8, _OFFSET * n_events, border + _OFFSET)
    # Sizes of values are powers of two: shifting is much faster than dividing.
    shift = dtype.itemsize.bit_length() - 1
    if events is None:
        lengths, valid = _lengths(offsets, content.key_length, border, shift)
        values = np.frombuffer(content.payload, dtype, border >> shift)
    else:
        words = np.frombuffer(content.payload, f"u{dtype.itemsize}", border >> shift)
        lengths, found, valid = _gathered(offsets, words, content.key_length, shift, events)
        values = found.view(dtype)
    if not valid:
        raise ValueError("lists overlap in a basket")
    return lengths, values


@kernel
def _lengths(offsets: Array, key_length: int, border: int, shift: int) -> tuple[Array, bool]:
    """Lengths of all lists, and whether they lie one behind the other."""
    lengths = np.empty(len(offsets) // _OFFSET, np.int64)
    valid = _big_endian(offsets, 0) == key_length
    stop = border
    for i in range(len(lengths) - 1, -1, -1):
        start = _big_endian(offsets, _OFFSET * i) - key_length
        valid &= start <= stop
        lengths[i] = (stop - start) >> shift
        stop = start
    return lengths, valid


@kernel
def _gathered(
    offsets: Array, words: Array, key_length: int, shift: int, events: Array
) -> tuple[Array, Array, bool]:
    """Lengths and values of the lists of some events, and whether they lie in the basket."""
    border = len(words) << shift
    starts = np.empty(len(events), np.int64)
    lengths = np.empty(len(events), np.int64)
    total = 0
    for i in range(len(events)):
        at = _OFFSET * events[i]
        start = _big_endian(offsets, at) - key_length
        stop = border
        if at + _OFFSET < len(offsets):
            stop = _big_endian(offsets, at + _OFFSET) - key_length
        if not 0 <= start <= stop <= border:
            return lengths, words[:0].copy(), False
        starts[i] = start >> shift
        lengths[i] = (stop - start) >> shift
        total += lengths[i]
    found = np.empty(total, words.dtype)
    n = 0
    for i in range(len(events)):
        for position in range(starts[i], starts[i] + lengths[i]):
            found[n] = words[position]
            n += 1
    return lengths, found, True


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
