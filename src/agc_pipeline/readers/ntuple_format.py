"""Where the pages of an RNTuple are, for the columns that are wanted and no others.

uproot makes an object of each field, and of each page of each cluster; for a thousand fields that
takes as long as the events of a small file. What follows is version 1 of ROOT's "RNTuple Binary
Format Specification". All numbers are little-endian. Where a field is stored in another way,
uproot reads it.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import xxhash
from pydantic import NonNegativeInt

from agc_pipeline.readers.root_format import PAGE_CHECKSUM, unpacked
from agc_pipeline.settings import Settings

# Envelopes: type and length, and XXH3 of what stands before it. Frames: their bytes, negative for a
# list, and the number of items in it.
_WORD = struct.Struct("<Q")
_LONG = struct.Struct("<q")
_COUNT = struct.Struct("<I")
_LIST_BYTES = _LONG.size + _COUNT.size
_LENGTH_SHIFT = 16
_HEADER, _FOOTER, _PAGE_LIST = 1, 2, 3
# Field: versions, parent, role, flags; then strings; then what the flags say.
_FIELD = struct.Struct("<8xIHH")
_REPETITIVE, _PROJECTED = 1, 2
_LEAF, _COLLECTION = 0, 1
_CARDINALITY = b"ROOT::RNTupleCardinality"
_TEXT = b"std::string"
_NO_LISTS = (b"std::optional", b"std::unique_ptr")
# Column: type, bits, field, flags, representation. With flags it is suppressed or has a range.
_COLUMN = struct.Struct("<HHIHH")
# Cluster: first event, and number of events with flags in its upper byte. Group of clusters: first
# event, events, clusters; uncompressed bytes of the list of its pages, and where that is: bytes and
# position. Negative bytes are another kind of place.
_CLUSTER = struct.Struct("<QQ")
_EVENTS = (1 << 56) - 1
_GROUP = struct.Struct("<QQIQiQ")
# Page: number of values, negative where a checksum stands behind it, and where it is.
_PAGE = struct.Struct("<iiQ")

Encoding = Literal["plain", "split", "zigzag", "delta", "bits"]
# Types of columns: dtype of the values, and how they are stored.
_TYPES: dict[int, tuple[str, Encoding]] = {
    0x00: ("|b1", "bits"),
    0x03: ("|i1", "plain"),
    0x04: ("|u1", "plain"),
    0x05: ("<i2", "plain"),
    0x06: ("<u2", "plain"),
    0x07: ("<i4", "plain"),
    0x08: ("<u4", "plain"),
    0x09: ("<i8", "plain"),
    0x0A: ("<u8", "plain"),
    0x0C: ("<f4", "plain"),
    0x0D: ("<f8", "plain"),
    0x11: ("<i2", "zigzag"),
    0x12: ("<u2", "split"),
    0x13: ("<i4", "zigzag"),
    0x14: ("<u4", "split"),
    0x15: ("<i8", "zigzag"),
    0x16: ("<u8", "split"),
    0x18: ("<f4", "split"),
    0x19: ("<f8", "split"),
}
_INDICES: dict[int, tuple[str, Encoding]] = {
    0x0E: ("<u4", "plain"),
    0x0F: ("<u8", "plain"),
    0x1A: ("<u4", "delta"),
    0x1B: ("<u8", "delta"),
}


class PageMetadata(Settings):
    """Where the pages of a column are.

    Attributes:
        dtype: of its values, as numpy writes it.
        encoding: how they are stored.
        checksums: XXH3 stands behind each page.
        clusters: first page of each cluster, and the number of pages behind the last.
        elements: first value of each page, counted in the file, and the value behind the last.
        seeks: position of each page in the file.
        sizes: compressed bytes of each page.
    """

    dtype: str
    encoding: Encoding
    checksums: bool
    clusters: tuple[NonNegativeInt, ...]
    elements: tuple[NonNegativeInt, ...]
    seeks: tuple[NonNegativeInt, ...]
    sizes: tuple[NonNegativeInt, ...]

    def first(self, cluster: int) -> int:
        """The first value of a cluster."""
        return self.elements[self.clusters[cluster]]

    def ranges(self, first: int, behind: int) -> list[tuple[int, int]]:
        """Where the pages of a range of clusters begin and end, with their checksums."""
        pages = slice(self.clusters[first], self.clusters[behind])
        extra = PAGE_CHECKSUM.size * self.checksums
        return [
            (seek, seek + size + extra)
            for seek, size in zip(self.seeks[pages], self.sizes[pages], strict=True)
        ]

    def part(self, first: int, behind: int) -> "PageMetadata":
        """The pages of a range of clusters."""
        start, stop = self.clusters[first], self.clusters[behind]
        return self.model_copy(
            update={
                "clusters": tuple(page - start for page in self.clusters[first : behind + 1]),
                "elements": self.elements[start : stop + 1],
                "seeks": self.seeks[start:stop],
                "sizes": self.sizes[start:stop],
            }
        )


class FieldMetadata(Settings):
    """Where a field is.

    Attributes:
        offsets: for lists, the end of each, counted in its cluster; None for one value an event.
        values: None for a field that is nothing but the lengths of lists.
    """

    offsets: PageMetadata | None
    values: PageMetadata | None

    @property
    def edges(self) -> tuple[int, ...]:
        """First event of each cluster, and the event behind the last."""
        column = self.values if self.offsets is None else self.offsets
        if column is None:
            raise TypeError("a field without columns")
        return tuple(column.elements[page] for page in column.clusters)

    @property
    def bytes(self) -> int:
        """In memory."""
        return sum(c.elements[-1] * np.dtype(c.dtype).itemsize for c in self._columns)

    @property
    def stored_bytes(self) -> int:
        """In the file, compressed."""
        return sum(sum(c.sizes) for c in self._columns)

    @property
    def _columns(self) -> list[PageMetadata]:
        return [column for column in (self.offsets, self.values) if column is not None]

    def ranges(self, first: int, behind: int) -> list[tuple[int, int]]:
        """Where the pages of a range of clusters begin and end, see ``PageMetadata``."""
        return [page for column in self._columns for page in column.ranges(first, behind)]

    def part(self, first: int, behind: int) -> "FieldMetadata":
        """The pages of a range of clusters."""
        return FieldMetadata(
            offsets=self.offsets and self.offsets.part(first, behind),
            values=self.values and self.values.part(first, behind),
        )


class _Field(NamedTuple):
    parent: int
    role: int
    flags: int
    position: int


class _Group(NamedTuple):
    first: int
    n_events: int
    n_clusters: int
    full: int
    n_bytes: int
    seek: int


class Structure:
    """Fields, columns and clusters of an RNTuple.

    Args:
        ntuple: uproot's, open; what it reads when it is asked is not asked for.

    Raises:
        ValueError: if what describes them is damaged.
    """

    def __init__(self, ntuple: Any) -> None:
        self._ntuple = ntuple
        self._source = ntuple.file.source
        self._header = self._anchored("Header", _HEADER)
        # Behind the feature flags: name, description and writer.
        (self._features,) = _WORD.unpack_from(self._header, _WORD.size)
        at = 2 * _WORD.size
        for _ in range(3):
            _, at = _string(self._header, at)
        self._fields: list[_Field] = []
        self._top: dict[str, int] = {}
        self._children: dict[int, list[int]] = {}
        records, self._behind_fields = _records(self._header, at)
        for number, position in enumerate(records):
            parent, role, flags = _FIELD.unpack_from(self._header, position)
            field = _Field(parent, role, flags, position)
            self._fields.append(field)
            if field.parent == number:
                name, _ = _string(self._header, position + _FIELD.size)
                self._top[name.decode()] = number
            else:
                self._children.setdefault(field.parent, []).append(number)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields of an event, without those inside of them."""
        return tuple(self._top)

    def is_text(self, name: str) -> bool:
        """Whether a field of an event is a string."""
        return self._type_name(self._fields[self._top[name]]) == _TEXT

    def is_number(self, name: str) -> bool:
        """Whether a field of an event is one number."""
        number = self._top[name]
        field = self._fields[number]
        return (
            field.role == _LEAF
            and not field.flags & _REPETITIVE
            and (
                number not in self._children and not self._type_name(field).startswith(_CARDINALITY)
            )
        )

    @cached_property
    def _footer(self) -> tuple[bool, list[_Group]]:
        """Whether it adds fields, and the groups of clusters."""
        footer = self._anchored("Footer", _FOOTER)
        at = 3 * _WORD.size
        place, extended = at + _LONG.size, False
        for _ in range(4):
            n_bytes, n_items = _list_start(footer, place)
            extended |= n_items > 0
            place += n_bytes
        records, _ = _records(footer, at + _size(footer, at))
        return extended, [_Group(*_GROUP.unpack_from(footer, position)) for position in records]

    @property
    def n_events(self) -> int:
        """In all clusters."""
        _, groups = self._footer
        return sum(group.n_events for group in groups)

    @cached_property
    def _columns(self) -> dict[int, list[tuple[int, int, int, int]]]:
        """Columns of each field: number, type, flags and representation."""
        columns: dict[int, list[tuple[int, int, int, int]]] = {}
        records, _ = _records(self._header, self._behind_fields)
        for number, position in enumerate(records):
            kind, _, field, flags, representation = _COLUMN.unpack_from(self._header, position)
            columns.setdefault(field, []).append((number, kind, flags, representation))
        return columns

    def fields(
        self, names: Sequence[str]
    ) -> tuple[tuple[int, ...], dict[str, FieldMetadata]] | None:
        """First event of each cluster with the number of all events, and where the fields are.

        Args:
            names: of fields of an event, which must be there.

        Returns:
            None if one of them is more than a number or a list of numbers an event, if it is not in
            all clusters, or if it is stored in a way that is not known here.

        Raises:
            ValueError: if what describes the pages is damaged.
        """
        extended, groups = self._footer
        if self._features or extended or any(group.n_bytes < 0 for group in groups):
            return None
        columns: dict[int, tuple[str, Encoding]] = {}
        found: dict[str, tuple[int | None, int | None]] = {}
        for name in names:
            numbers = self._numbers(self._top[name], columns)
            if numbers is None:
                return None
            found[name] = numbers
        pages = _Pages(columns)
        for group in groups:
            page_list = self._envelope(group.seek, group.n_bytes, group.full, _PAGE_LIST)
            if not pages.add(page_list, group.n_clusters):
                return None
        stored = pages.metadata()
        edges = (*pages.firsts, pages.n_events)
        fields = {}
        for name, (offsets, values) in found.items():
            field = FieldMetadata(
                offsets=None if offsets is None else stored[offsets],
                values=None if values is None else stored[values],
            )
            if field.edges != edges:
                raise ValueError(f"the field {name} has not one value for each event")
            fields[name] = field
        return edges, fields

    def _numbers(
        self, number: int, columns: dict[int, tuple[str, Encoding]]
    ) -> tuple[int | None, int | None] | None:
        """Columns of a field with offsets and with values, which are added to ``columns``."""
        field = self._fields[number]
        kind = self._type_name(field)
        if field.role == _COLLECTION:
            children = self._children.get(number, [])
            offsets = self._column(number, _INDICES, columns)
            if offsets is None or len(children) != 1 or kind.startswith(_NO_LISTS):
                return None
            values = self._column(children[0], _TYPES, columns)
            plain = self._fields[children[0]].role == _LEAF and children[0] not in self._children
            return (offsets, values) if plain and values is not None else None
        if field.role != _LEAF or field.flags & _REPETITIVE or number in self._children:
            return None
        if kind.startswith(_CARDINALITY):
            offsets = self._column(number, _INDICES, columns)
            return None if offsets is None else (offsets, None)
        values = self._column(number, _TYPES, columns)
        return None if values is None else (None, values)

    def _column(
        self,
        number: int,
        types: dict[int, tuple[str, Encoding]],
        columns: dict[int, tuple[str, Encoding]],
    ) -> int | None:
        """The column of a field, or of the field that it is a projection of."""
        field = self._fields[number]
        if field.flags & _REPETITIVE:
            return None
        if field.flags & _PROJECTED:
            at = field.position + _FIELD.size
            for _ in range(4):
                _, at = _string(self._header, at)
            (number,) = _COUNT.unpack_from(self._header, at)
        match self._columns.get(number, []):
            case [(column, kind, 0, 0)] if kind in types:
                columns[column] = types[kind]
                return column
        return None

    def _type_name(self, field: _Field) -> bytes:
        _, at = _string(self._header, field.position + _FIELD.size)
        return _string(self._header, at)[0]

    def _anchored(self, name: str, kind: int) -> bytes:
        seek, n_bytes, full = (
            int(self._ntuple.member(f"f{what}{name}")) for what in ("Seek", "NBytes", "Len")
        )
        return self._envelope(seek, n_bytes, full, kind)

    def _envelope(self, seek: int, n_bytes: int, full: int, kind: int) -> bytes:
        data = memoryview(self._source.chunk(seek, seek + n_bytes).raw_data)
        content = bytes(data if n_bytes == full else unpacked(data, full))
        (start,) = _WORD.unpack_from(content)
        (checksum,) = _WORD.unpack_from(content, len(content) - _WORD.size)
        if (start & 0xFFFF, start >> _LENGTH_SHIFT) != (kind, len(content)):
            raise ValueError("what describes an RNTuple has another type or length than it says")
        if xxhash.xxh3_64_intdigest(content[: -_WORD.size]) != checksum:
            raise ValueError("what describes an RNTuple differs from its checksum")
        return content


class _Pages:
    """Collects the pages of some columns, cluster by cluster.

    Args:
        columns: number to type and encoding.
    """

    def __init__(self, columns: Mapping[int, tuple[str, Encoding]]) -> None:
        # Their lists follow one another in this order.
        self._columns = {number: _Column(*columns[number]) for number in sorted(columns)}
        self.firsts: list[int] = []
        self.n_events = 0

    def add(self, page_list: bytes, n_clusters: int) -> bool:
        """Add the clusters of a list; False if pages are stored in a way that is not known."""
        records, at = _records(page_list, 2 * _WORD.size)
        n_bytes, n_lists = _list_start(page_list, at)
        if (len(records), n_lists) != (n_clusters, n_clusters):
            raise ValueError("the clusters of an RNTuple are not as many as it says")
        for position in records:
            first, n_events = _CLUSTER.unpack_from(page_list, position)
            if first != self.n_events:
                raise ValueError("the clusters of an RNTuple do not follow one another")
            self.firsts.append(first)
            self.n_events += n_events & _EVENTS
        at += _LIST_BYTES
        for _ in range(n_lists):
            if not self._cluster(page_list, at):
                return False
            n_bytes, _ = _list_start(page_list, at)
            at += n_bytes
        return True

    def _cluster(self, page_list: bytes, at: int) -> bool:
        _, n_columns = _list_start(page_list, at)
        at += _LIST_BYTES
        number = 0
        for wanted, column in self._columns.items():
            if wanted >= n_columns:
                return False
            for _ in range(wanted - number):
                at += _size(page_list, at)
            number = wanted
            n_bytes, n_pages = _list_start(page_list, at)
            first = at + _LIST_BYTES
            behind = first + n_pages * _PAGE.size
            if behind + _LONG.size > at + n_bytes:
                return False
            (element,) = _LONG.unpack_from(page_list, behind)
            if element < 0:
                # Its values are in another column.
                return False
            if element != column.elements[-1]:
                raise ValueError("the clusters of a column of an RNTuple do not follow one another")
            pages = list(_PAGE.iter_unpack(page_list[first:behind]))
            if not all(column.add(*page) for page in pages):
                return False
            column.clusters.append(len(column.seeks))
        return True

    def metadata(self) -> dict[int, PageMetadata]:
        """By number of the column."""
        return {number: column.metadata() for number, column in self._columns.items()}


class _Column:
    def __init__(self, dtype: str, encoding: Encoding) -> None:
        self._dtype = dtype
        self._encoding = encoding
        self._checksums: set[bool] = set()
        self.clusters = [0]
        self.elements = [0]
        self.seeks: list[int] = []
        self._sizes: list[int] = []

    def add(self, n_values: int, n_bytes: int, seek: int) -> bool:
        """Add a page; False if it is stored in a way that is not known."""
        self._checksums.add(n_values < 0)
        self.elements.append(self.elements[-1] + abs(n_values))
        self.seeks.append(seek)
        self._sizes.append(n_bytes)
        return n_bytes >= 0 and len(self._checksums) == 1

    def metadata(self) -> PageMetadata:
        return PageMetadata(
            dtype=self._dtype,
            encoding=self._encoding,
            checksums=True in self._checksums,
            clusters=tuple(self.clusters),
            elements=tuple(self.elements),
            seeks=tuple(self.seeks),
            sizes=tuple(self._sizes),
        )


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string, and where it ends."""
    (length,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    return data[at : at + length], at + length


def _size(data: bytes, at: int) -> int:
    """Bytes of a frame."""
    n_bytes: int = abs(_LONG.unpack_from(data, at)[0])
    if not _LONG.size <= n_bytes <= len(data) - at:
        raise ValueError("a part of what describes an RNTuple has an impossible size")
    return n_bytes


def _list_start(data: bytes, at: int) -> tuple[int, int]:
    """Bytes and items of a list."""
    (n_items,) = _COUNT.unpack_from(data, at + _LONG.size)
    return _size(data, at), n_items


def _records(data: bytes, at: int) -> tuple[list[int], int]:
    """Where the records of a list start, behind their sizes, and where the list ends."""
    n_bytes, n_items = _list_start(data, at)
    start = at + _LIST_BYTES
    records = []
    for _ in range(n_items):
        records.append(start + _LONG.size)
        start += _size(data, start)
    return records, at + n_bytes
