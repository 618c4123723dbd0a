"""All that is known here of ROOT's files beside what uproot's interface gives.

uproot reads and decompresses whole ranges of entries. Reading single baskets, and of these the
wanted events only, is several times faster, and relies on the following. All numbers in files are
big-endian, but the sizes of compressed blocks.

==================  ================================================  ============================
what                relied on                                         where it does not hold
==================  ================================================  ============================
start of a file     ``TFile::WriteHeader``, see ``file_header``       cached metadata are used as
                                                                      long as size, time and these
                                                                      bytes are the same
baskets of a        ``TBranch`` 10 to 13 (ROOT 5 and 6) as uproot 5   ``baskets_of`` gives None, and
branch              reads it: ``fBasketSeek``, ``fBasketBytes``,      uproot reads the columns of
                    ``fEntryOffsetLen``; plain numbers, and arrays    the file
                    of a fixed size and lists of these, by
                    ``AsDtype`` and ``AsJagged``
key of a basket     ``TKey`` 2 to 4, 1002 to 1004: bytes, version,    ``ValueError``: bytes, events
                    uncompressed bytes, time, length of the key,      or position are not those of
                    cycle, position of the key in the file; behind    the branch, or the content
                    class, name and title ``TBasket`` 2 and 3: ...,   does not decompress to its
                    events, last byte of values, flag                 size
compressed block    9 bytes: "ZL", "XZ", "ZS" or "L4", method,        ``ValueError``: another codec,
                    3 bytes of compressed and of uncompressed size,   another checksum, or more than
                    lower first; XXH64 of LZ4's data before them      the key of the basket says
lists in a basket   behind the values the number of offsets, one      ``ValueError``: another
                    more than events, then the offset of each event   number, or lists that overlap
                    from the start of the key                         or leave the basket
header of a tree    ``TObjArray``, ``TObject``, ``TNamed`` and        uproot reads all of the
                    ``TBufferFile::ReadObjectAny``: byte counts,      branches
                    tags of classes and objects, name of a
                    ``TBranch``; ``custom_classes`` of uproot 5
page of an RNTuple  XXH3 behind it, as its description says;          pages are not compared with
                    ``read_page`` of uproot's model                   their checksum
baskets of uproot   ``Model_TBasket.read_members``, and the start of  positions of baskets are not
                    the key as above                                  compared
uproot's codecs and ``uproot.compression._decompress_ZLIB`` (_LZMA,   uproot keeps its own: slower,
reading of headers  _LZ4, _ZSTD), ``model.classname_regularize``,     not bounded, and the same
                    ``Cursor.classname`` as in release 5.7            values
==================  ================================================  ============================

The layouts are described in ``io/doc/TFile`` of ROOT's sources, and read in full by uproot's
``reading``, ``compression`` and ``models.TBasket``.
"""

import inspect
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, NamedTuple

import cramjam
import deflate
import numpy as np
import uproot
import xxhash
from pydantic import NonNegativeInt, PositiveInt

from agc_pipeline.compiling import kernel
from agc_pipeline.readers.columns import Array
from agc_pipeline.readers.failures import Disagreement
from agc_pipeline.settings import Settings

# Start and end of the key of a basket: its bytes, version, uncompressed bytes and length of the
# key; number of events, and length of key and values without the offsets behind them. Where it is
# in the file stands in 4 bytes, in 8 of later versions.
_KEY_START = struct.Struct(">ihi4xhxx")
_KEY_POSITION, _LARGE_KEY_POSITION = struct.Struct(">i"), struct.Struct(">q")
_FIRST_LARGE_KEY = 1001
_KEY_END = struct.Struct(">iix")
# Header of a compressed block: codec, compressed and uncompressed bytes, each as two lower bytes
# and an upper one.
_BLOCK = struct.Struct("<2sxHBHB")
# What stands before LZ4's data: XXH64 of them.
_LZ4_CHECKSUM = struct.Struct(">Q")
# Number of offsets, with one behind the last event, and bytes of each.
_COUNT = struct.Struct(">i")
_OFFSET = 4
# Header of a tree: size of an array of objects; byte count and tag of an object, with their flags,
# and the class in front of its first object; version and bits of the ``TObject`` of a branch, and
# what may stand between them and the name.
_ARRAY = struct.Struct(">ii")
_OBJECT = struct.Struct(">II")
_BYTE_COUNT, _CLASS_MASK, _NEW_CLASS_TAG = 1 << 30, 1 << 31, 2**32 - 1
_NEW_CLASS = re.compile(rb"\xff{4}(T\w+)\0")
_BRANCH = b"TBranch\0"
_COUNTER = re.compile(r"\[([A-Za-z_]\w*)\]")
_MAP_OFFSET = 2
_NAMED = struct.Struct(">4x2x4x2xH4xI")
_HAS_COUNT, _IS_REFERENCED, _REFERENCE, _LONG = 1 << 14, 1 << 4, 2, 255
# What stands behind a page of an RNTuple, and what uproot's function that reads one takes.
PAGE_CHECKSUM = struct.Struct("<Q")
_PAGE = ("col_idx", "page_idx", "field_metadata")
# Values of a list that are copied at once: most lists have less.
_AT_ONCE = 8
# Values as words of their size.
_WORDS = {n: np.dtype(f"u{n}") for n in (1, 2, 4, 8)}
# Longer than nearly all names of classes, in bytes.
_CLASS_NAME = 256


# What damaged baskets and pages raise.
DECODING_ERRORS = (
    ValueError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    cramjam.DecompressionError,
)


class BranchMetadata(Settings):
    """Where the baskets of a branch are.

    Attributes:
        dtype: of its values, as numpy writes it, big-endian.
        jagged: lists of values, not one an event.
        length: values of each event in arrays of a fixed size; None of other branches.
        entries: first event of each basket, and the number of events behind the last.
        seeks: position of each basket in the file.
        sizes: compressed bytes of each basket with its key.
    """

    dtype: str
    jagged: bool
    entries: tuple[NonNegativeInt, ...]
    seeks: tuple[NonNegativeInt, ...]
    sizes: tuple[NonNegativeInt, ...]
    length: PositiveInt | None = None


def baskets_of(branch: Any) -> BranchMetadata | None:
    """Where the baskets of an open branch are.

    Args:
        branch: uproot's.

    Returns:
        None if not all of them lie in the file by themselves, as plain numbers, or lists or arrays
        of these.
    """
    if not isinstance(branch, uproot.TBranch):
        return None
    kind = branch.interpretation
    jagged = isinstance(kind, uproot.AsJagged)
    content = kind.content if jagged else kind
    if not isinstance(content, uproot.AsDtype):
        return None
    shape = content.from_dtype.shape
    if not (
        content.from_dtype.names is None
        # Arrays have as many values as there are in each event, and no offsets.
        and (shape == () or (len(shape) == 1 and not jagged and shape[0] > 0))
        and (shape == () or branch.member("fEntryOffsetLen") == 0)
        # Lists whose offsets are not stored cannot be found in a basket alone.
        and (not jagged or (kind.header_bytes == 0 and branch.member("fEntryOffsetLen") > 0))
        and not branch.embedded_baskets
    ):
        return None
    n = branch.num_baskets
    return BranchMetadata(
        dtype=content.from_dtype.base.str,
        jagged=jagged,
        entries=tuple(branch.entry_offsets),
        seeks=tuple(branch.member("fBasketSeek")[:n].tolist()),
        sizes=tuple(branch.member("fBasketBytes")[:n].tolist()),
        length=shape[0] if shape else None,
    )


def inflated(data: Any, size: int) -> Any:
    """Decompress zlib's format with libdeflate, which takes half of the time of zlib."""
    try:
        content = deflate.zlib_decompress(data, size)
    except deflate.DeflateError as error:
        raise zlib.error(str(error)) from error
    if len(content) != size:
        raise ValueError(f"a block of {size} bytes decompressed to {len(content)}")
    return content


def _lz4_into(data: Any, content: Any) -> int:
    """Decompress LZ4 without a size in front of it.

    If it is not told the size, cramjam takes the first four bytes for it where that works out.
    """
    n_bytes: int = cramjam.lz4.decompress_block_into(data, content, output_len=len(content))
    return n_bytes


def _within(decompress: Callable[[Any, Any], int]) -> Callable[[Any, int], Any]:
    """A codec that writes into memory of the size that a block states, and not beyond."""

    def bounded(data: Any, size: int) -> Any:
        content = np.empty(size, np.uint8)
        n_bytes = decompress(data, content)
        if n_bytes != size:
            raise ValueError(f"a block of {size} bytes decompressed to {n_bytes}")
        return content

    return bounded


_unpacked_lz4 = _within(_lz4_into)


def _checked_lz4(data: Any, size: int) -> Any:
    """LZ4 as ROOT writes it, behind a checksum."""
    (checksum,) = _LZ4_CHECKSUM.unpack_from(data)
    packed = data[_LZ4_CHECKSUM.size :]
    if xxhash.xxh64_intdigest(packed) != checksum:
        raise ValueError("a compressed block differs from its checksum")
    return _unpacked_lz4(packed, size)


# From compressed data and their size to the data. ZLIB and XZ have checksums of their own, and so
# may ZSTD, which these libraries check; ROOT writes ZSTD without one.
_DECOMPRESS: dict[bytes, Callable[[Any, int], Any]] = {
    b"ZL": inflated,
    b"XZ": _within(cramjam.xz.decompress_into),
    b"ZS": _within(cramjam.zstd.decompress_into),
    b"L4": _checked_lz4,
}


class Content(NamedTuple):
    """A decompressed basket: key and values are ``last`` bytes long, offsets may follow."""

    payload: Any
    key_length: int
    last: int


def decompressed(data: bytes | memoryview, position: int, n_bytes: int, n_events: int) -> Content:
    """Decompress a basket, whose key must fit to what its branch says.

    Args:
        data: the basket with its key.
        position: in the file, as the branch says.
        n_bytes: its size, as the branch says.
        n_events: number of events in it, as the branch says.

    Raises:
        ValueError: if the key says something else, or the content does not fit to the key.
    """
    if len(data) != n_bytes:
        raise ValueError(f"the file ends within a basket of {n_bytes} bytes")
    stated, _, size, key_length = _KEY_START.unpack_from(data)
    if not _KEY_START.size + _KEY_END.size <= key_length <= n_bytes:
        raise ValueError(f"a basket of {n_bytes} bytes has a key of {key_length}")
    events, last = _KEY_END.unpack_from(data, key_length - _KEY_END.size)
    if (stated, events) != (n_bytes, n_events):
        raise ValueError(
            f"a basket of {n_bytes} bytes and {n_events} events says {stated} and {events}"
        )
    check_position(data, position)
    packed = memoryview(data)[key_length:]
    payload = packed if len(packed) == size else unpacked(packed, size)
    if not 0 <= last - key_length <= size:
        raise ValueError(f"the values of a basket of {size} bytes end at {last - key_length}")
    return Content(payload, key_length, last)


def check_position(key: bytes | memoryview, position: int) -> None:
    """Compare where the key of a basket was read with where it says to be.

    Many baskets are of one size, and servers may send one for another.

    Args:
        key: its bytes, more may follow.
        position: in the file.

    Raises:
        ValueError: if it is the key of another place.
    """
    _, version, *_ = _KEY_START.unpack_from(key)
    place = _KEY_POSITION if version < _FIRST_LARGE_KEY else _LARGE_KEY_POSITION
    (stated,) = place.unpack_from(key, _KEY_START.size)
    if stated != position:
        raise ValueError(f"a basket at byte {position} says to be at byte {stated}")


def unpacked(packed: memoryview, size: int) -> Any:
    """The content of compressed blocks.

    Raises:
        ValueError: if it is larger or smaller than ``size``.
    """
    blocks = []
    missing = size
    while packed:
        codec, low, high, size_low, size_high = _BLOCK.unpack_from(packed)
        stop, n_bytes = _BLOCK.size + low + (high << 16), size_low + (size_high << 16)
        if codec not in _DECOMPRESS:
            raise ValueError(f"unknown compression {codec!r}")
        # Before anything is decompressed: a few bytes may stand for more than the memory holds.
        if stop > len(packed) or n_bytes > missing:
            raise ValueError(f"the blocks of a basket of {size} bytes go beyond it")
        blocks.append(_DECOMPRESS[codec](packed[_BLOCK.size : stop], n_bytes))
        packed = packed[stop:]
        missing -= n_bytes
    if missing:
        raise ValueError(f"a basket of {size} bytes decompressed to {size - missing}")
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def flat(content: Content, dtype: np.dtype[Any], n_events: int, length: int = 1) -> Array:
    """The values of a basket with one value an event, or as many of each.

    Raises:
        ValueError: if it has more or less.
    """
    if len(content.payload) != n_events * length * dtype.itemsize:
        raise ValueError(f"a basket has {len(content.payload)} bytes for {n_events} events")
    return np.frombuffer(content.payload, dtype)


class Lists:
    """The lists of wanted events of the baskets of a branch, one after the other.

    Baskets write into the same memory: putting pieces together would take as long as reading them.

    Args:
        dtype: of the values, as they are stored.
        n_events: number of the events wanted of all baskets.
    """

    def __init__(self, dtype: np.dtype[Any], n_events: int) -> None:
        self._dtype = dtype
        # Sizes of values are powers of two: shifting is much faster than dividing.
        self._shift = dtype.itemsize.bit_length() - 1
        self._lengths = np.empty(n_events, np.int32)
        self._values = np.empty(0, _WORDS[dtype.itemsize])
        self._filled = 0
        self._n_values = 0

    def add(self, content: Content, n_events: int, events: Array | None) -> None:
        """Add the next basket.

        Args:
            content: of the basket.
            n_events: in the basket.
            events: positions in the basket of the events wanted, in rising order; None is all.

        Raises:
            ValueError: if the lists overlap or end within a value, or if there are more or less.
        """
        border = content.last - content.key_length
        # In front of the offsets, counted from the start of the key, stands their number.
        (stated,) = _COUNT.unpack_from(content.payload, border)
        if stated != n_events + 1:
            raise ValueError(f"a basket has {stated - 1} lists for {n_events} events")
        # Whether memory can be written to is part of the type that kernels are compiled for.
        payload = memoryview(content.payload).toreadonly()
        offsets = np.frombuffer(payload, np.uint8, _OFFSET * n_events, border + _OFFSET)
        words = np.frombuffer(payload, self._values.dtype, border >> self._shift)
        if self._n_values + len(words) > len(self._values):
            self._make_room(len(words))
        key = content.key_length, self._shift
        lengths = self._lengths[self._filled :]
        values = self._values[self._n_values :]
        if events is None:
            n = len(words) if _all_lengths(offsets, border, key, lengths[:n_events]) else -1
            values[: len(words)] = words
            self._filled += n_events
        else:
            n = _gather(offsets, words, events, key, (lengths, values))
            self._filled += len(events)
        if n < 0:
            raise ValueError("lists overlap in a basket, or end within a value")
        self._n_values += n

    def _make_room(self, n_more: int) -> None:
        """Have memory for so many more values, and for those that the other events may have."""
        expected = self._n_values * len(self._lengths) // max(self._filled, 1)
        values = np.empty(max(self._n_values, expected) + 2 * n_more, self._values.dtype)
        values[: self._n_values] = self._values[: self._n_values]
        self._values = values

    def columns(self) -> tuple[Array, Array]:
        """How long the lists are, and their values, in the byte order of the machine."""
        values = self._values[: self._n_values]
        if not self._dtype.isnative:
            values.byteswap(inplace=True)
        return self._lengths, values.view(self._dtype.newbyteorder("="))


@kernel
def _all_lengths(offsets: Array, border: int, key: tuple[int, int], lengths: Array) -> bool:
    """Write the lengths of all lists, and tell whether they lie one behind the other.

    Args:
        offsets: in the basket, as they are stored.
        border: end of the values.
        key: its length, and the logarithm of the size of values.
        lengths: of the lists.
    """
    key_length, shift = key
    valid = _big_endian(offsets, 0) == key_length
    inside = (1 << shift) - 1
    stop = border
    for i in range(len(lengths) - 1, -1, -1):
        start = _big_endian(offsets, _OFFSET * i) - key_length
        valid &= start <= stop and start & inside == 0
        lengths[i] = (stop - start) >> shift
        stop = start
    return valid and border & inside == 0


@kernel
def _gather(
    offsets: Array,
    words: Array,
    events: Array,
    key: tuple[int, int],
    lists: tuple[Array, Array],
) -> int:
    """Write lengths and values of the lists of some events.

    Args:
        offsets: in the basket, as they are stored.
        words: all values.
        events: positions in the basket, in rising order.
        key: its length, and the logarithm of the size of values.
        lists: lengths and values, with room for all of the basket.

    Returns:
        The number of values; -1 if a list is not in the basket.
    """
    key_length, shift = key
    lengths, values = lists
    border = len(words) << shift
    inside = (1 << shift) - 1
    last_start, last = len(words) - _AT_ONCE, len(values) - _AT_ONCE
    n = 0
    for i in range(len(events)):
        at = _OFFSET * events[i]
        start = _big_endian(offsets, at) - key_length
        stop = border
        if at + _OFFSET < len(offsets):
            stop = _big_endian(offsets, at + _OFFSET) - key_length
        if not 0 <= start <= stop <= border or (start | stop) & inside:
            return -1
        start >>= shift
        length = (stop >> shift) - start
        # There is room for all values of the basket: only lists that overlap have more.
        if n + length > len(values):
            return -1
        lengths[i] = length
        if length <= _AT_ONCE and start <= last_start and n <= last:
            _copy_at_once(words, start, values, n)
        else:
            for k in range(length):
                values[n + k] = words[start + k]
        n += length
    return n


@kernel
def _copy_at_once(words: Array, start: int, values: Array, n: int) -> None:
    """Copy a list, maybe with values behind it, which the next list overwrites.

    The processor would guess the end of a loop over each list wrong as often as not.
    """
    # Indices without sign are not looked at twice.
    source, target = np.uint64(start), np.uint64(n)
    for k in range(np.uint64(_AT_ONCE)):
        values[target + k] = words[source + k]


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


class _Codec:
    """One of uproot's codecs, with the function that decompresses here."""

    def __init__(self, codec: Any, decompress: Callable[[Any, int], Any]) -> None:
        self._codec = codec
        self._decompress = decompress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decompress(self, data: Any, uncompressed_bytes: int) -> Any:
        """Decompress a block whose size is known."""
        return self._decompress(data, uncompressed_bytes)


# uproot looks at the checksum of LZ4 itself.
_UPROOT_CODECS = {
    "ZLIB": _DECOMPRESS[b"ZL"],
    "LZMA": _DECOMPRESS[b"XZ"],
    "ZSTD": _DECOMPRESS[b"ZS"],
    "LZ4": _unpacked_lz4,
}


@cache
def speed_up_uproot() -> None:
    """Let uproot decompress with the codecs of this module, and read headers of large trees faster.

    It has settings for neither. The codecs never give more than a block says.
    ``model.classname_regularize`` depends on its argument alone, and is called for each object;
    ``Cursor.classname`` reads a string that ends with a null byte, and copies all that is left of
    the header to find its end. Files that uproot wrote name the class of each branch and leaf,
    those of ROOT each class once.
    """
    compression, model, cursor = uproot.compression, uproot.model, uproot.source.cursor.Cursor
    for name, decompress in _UPROOT_CODECS.items():
        codec = getattr(compression, f"_decompress_{name}", None)
        if hasattr(codec, "decompress"):
            setattr(compression, f"_decompress_{name}", _Codec(codec, decompress))
    pages: Any = getattr(uproot.models.RNTuple, "Model_ROOT_3a3a_RNTuple", None)
    if _takes(pages, "read_page", "self", "destination", "cluster_idx", *_PAGE):
        pages.read_page = _checked_page(pages.read_page)
    basket = uproot.models.TBasket.Model_TBasket
    if _takes(basket, "read_members", "self", "chunk", "cursor", "context", "file"):
        basket.read_members = _checked_basket(basket.read_members)
    if _takes(model, "classname_regularize", "classname"):
        model.classname_regularize = cache(model.classname_regularize)
    if _takes(cursor, "classname", "self", "chunk", "context", "move"):
        cursor.classname = _short_names_first(cursor.classname)


def _takes(owner: Any, function: str, *parameters: str) -> bool:
    """Whether a function is there, and has these parameters."""
    stated = getattr(owner, function, None)
    return stated is not None and tuple(inspect.signature(stated).parameters) == parameters


def _checked_page(read: Callable[..., None]) -> Callable[..., None]:
    """Reading of a page of an RNTuple, behind which XXH3 of it stands if its description says so.

    uproot does not look at it. It asks for the page again, without its checksum: of a file on a
    server ``RemoteSource`` has it then.
    """

    @wraps(read)
    def read_page(
        ntuple: Any, destination: Any, cluster_idx: int, col_idx: int, page_idx: int, *others: Any
    ) -> None:
        page = ntuple._ntuple.page_link_list[cluster_idx][col_idx].pages[page_idx]
        source = ntuple.file.source
        if page.has_checksum:
            start, stop = page.locator.offset, page.locator.offset + page.locator.num_bytes
            content = source.chunk(start, stop + PAGE_CHECKSUM.size).raw_data
            (checksum,) = PAGE_CHECKSUM.unpack_from(content, stop - start)
            if xxhash.xxh3_64_intdigest(content[: stop - start]) != checksum:
                raise ValueError("a page differs from its checksum")
        read(ntuple, destination, cluster_idx, col_idx, page_idx, *others)

    return read_page


def _checked_basket(read: Callable[..., None]) -> Callable[..., None]:
    """Reading of a basket, which must be where its key says; uproot does not look at that."""

    @wraps(read)
    def read_members(basket: Any, chunk: Any, cursor: Any, context: Any, file: Any) -> None:
        start = cursor.index
        read(basket, chunk, cursor, context, file)
        if not basket.is_embedded:
            stop = min(start + _KEY_START.size + _LARGE_KEY_POSITION.size, chunk.stop)
            check_position(chunk.get(start, stop, cursor, context).tobytes(), start)

    return read_members


def _short_names_first(read: Callable[..., str]) -> Callable[..., str]:
    @wraps(read)
    def classname(cursor: Any, chunk: Any, context: Any, move: bool = True) -> str:
        start = cursor.index
        beginning = chunk.get(start, min(start + _CLASS_NAME, chunk.stop), cursor, context)
        name, terminator, _ = beginning.tobytes().partition(b"\0")
        if not terminator:
            return read(cursor, chunk, context, move=move)
        if move:
            cursor.skip(len(name) + 1)
        return str(name, errors="surrogateescape")

    return classname


def tree_of(directory: Any, name: str, branches: Collection[str]) -> Any:
    """A tree of an open file with these of its branches and maybe others.

    Reading the header of a tree with a thousand branches takes as long as processing the events of
    a small file. The others are skipped where the header is as this module knows it.

    Args:
        directory: of the open file.
        name: of the tree.
        branches: names of those that are needed, with the counters of lists among them.

    Raises:
        DeserializationError: if the header cannot be read, or what uproot raises else.
    """
    names = frozenset(branches)
    # A second time for counters whose names differ from those that were expected.
    for _ in range(2):
        tree = _some_branches(directory, name, names)
        if not isinstance(tree, uproot.TTree):
            break
        leaves = [leaf for branch in tree.branches for leaf in branch.member("fLeaves")]
        if None in leaves:
            break
        counters = _skipped_counters(leaves)
        if not counters:
            return tree
        names |= counters
    return directory[name] if tree is None or isinstance(tree, uproot.TTree) else tree


def _some_branches(directory: Any, name: str, branches: frozenset[str]) -> Any:
    file = directory.file
    before = file.custom_classes
    array = type("Model_TObjArray", (_SomeBranches,), {"tree": name, "names": branches})
    file.custom_classes = {**(before or uproot.classes), "TObjArray": array}
    try:
        with same_classes(always=True):
            return directory[name]
    except Disagreement:
        raise
    except (uproot.DeserializationError, struct.error, ValueError, IndexError, TypeError):
        # Reading all of the header says better what is wrong with it, if anything is.
        return None
    finally:
        file.custom_classes = before


@contextmanager
def same_classes(*, always: bool = False) -> Iterator[None]:
    """A block that leaves the classes of uproot as they were if it fails.

    uproot makes classes of what a file says of them, and keeps them for all files that the process
    reads later: those of a damaged file must not be among them.

    Args:
        always: also if it does not fail.
    """
    classes, versions = dict(uproot.classes), {}
    for cls in classes.values():
        if issubclass(cls, uproot.model.DispatchByVersion):
            versions[cls] = dict(cls.known_versions)
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed or always:
            uproot.classes.clear()
            uproot.classes.update(classes)
            for cls, known in versions.items():
                cls.known_versions.clear()
                cls.known_versions.update(known)


def _skipped_counters(leaves: Sequence[Any]) -> frozenset[str]:
    """Names of the counters of lists that were skipped."""
    titles = [leaf.member("fTitle") for leaf in leaves if leaf.member("fLeafCount") is None]
    return frozenset(match[1] for title in titles if (match := _COUNTER.search(title)))


class _SomeBranches(uproot.models.TObjArray.Model_TObjArray):
    """uproot's array of objects, which skips the branches of a tree that are not needed."""

    tree: str
    names: frozenset[str]

    def read_members(self, chunk: Any, cursor: Any, context: Any, file: Any) -> None:
        """See uproot."""
        tree = self.parent
        if not isinstance(tree, uproot.TTree) or tree.member("fName") != self.tree:
            super().read_members(chunk, cursor, context, file)
            return
        base = uproot.models.TObject.Model_TObject.read(
            chunk, cursor, context, file, self._file, tree, concrete=self.concrete
        )
        self._bases.append(base)
        self._members["fName"] = cursor.string(chunk, context)
        size, self._members["fLowerBound"] = cursor.fields(chunk, _ARRAY, context)
        self._data = []
        if tree.has_member("fBranches"):
            # The leaves once more, most of which were skipped.
            cursor.skip_after(self)
            return
        start = cursor.index
        data = chunk.get(start, chunk.stop, cursor, context).tobytes()
        # Whoever comes later may refer to a class that is named in what is skipped.
        references: dict[str, int] = {}
        for match in _NEW_CLASS.finditer(data):
            position = start + match.start() - cursor.origin + _MAP_OFFSET
            references.setdefault(match[1].decode(), position)
        for name, position in references.items():
            cursor.refs.setdefault(position, file.class_named(name))
        for _ in range(size):
            stop = self._stop(data, cursor.index - start, references.get("TBranch"))
            if stop is None:
                item = uproot.deserialization.read_object_any(
                    chunk, cursor, context, file, self._file, tree
                )
                self._data.append(item)
            else:
                cursor.move_to(start + stop)
        self._members["fSize"] = len(self._data)

    def _stop(self, data: bytes, at: int, reference: int | None) -> int | None:
        """Where a branch that is not needed ends; None of all other objects.

        Args:
            data: of the array.
            at: position of an object.
            reference: what objects say instead of the name of the class of branches.
        """
        n_bytes: int
        n_bytes, tag = _OBJECT.unpack_from(data, at)
        first = at + _OBJECT.size
        if tag == _NEW_CLASS_TAG:
            if not data.startswith(_BRANCH, first):
                return None
            first += len(_BRANCH)
        elif not tag & _CLASS_MASK or tag & ~_CLASS_MASK != reference:
            return None
        if not n_bytes & _BYTE_COUNT or _branch_name(data, first) in self.names:
            return None
        return at + _COUNT.size + (n_bytes & ~_BYTE_COUNT)


def _branch_name(data: bytes, at: int) -> str:
    version, bits = _NAMED.unpack_from(data, at)
    if version & _HAS_COUNT:
        raise ValueError("an object has its size where none has one")
    at += _NAMED.size + (_REFERENCE if bits & _IS_REFERENCED else 0)
    length, at = data[at], at + 1
    if length == _LONG:
        (length,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
    return data[at : at + length].decode(errors="surrogateescape")
