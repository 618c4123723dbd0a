"""Columns of events as flat arrays, read for the events that need them only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from agc_pipeline.compiling import kernel
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.failures import Disagreement, ImpossibleValue

Array: TypeAlias = npt.NDArray[Any]


def read_only(values: Array) -> Array:
    """The same values, which nobody can change: functions share what they are given."""
    view = values.view()
    view.flags.writeable = False
    return view


class Collection:
    """Objects of some events, one after the other, with fields that are had when first asked for.

    Args:
        offsets: ``events + 1``; the objects of event ``i`` are ``offsets[i]:offsets[i + 1]``.
        fields: name to ``objects`` values.
        lookup: gives the values of a field that is not among them; None where there are no others.
    """

    def __init__(
        self,
        offsets: Array,
        fields: Mapping[str, Array],
        lookup: Callable[[str], Array] | None = None,
    ) -> None:
        self.offsets = offsets
        self.fields = {name: read_only(values) for name, values in fields.items()}
        self._lookup = lookup

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, field: str) -> Array:
        """The values of a field."""
        if field not in self.fields:
            self.fields[field] = read_only(self.lookup(field))
        return self.fields[field]

    def __getattr__(self, field: str) -> Array:
        """The values of a field."""
        if field.startswith("_"):
            raise AttributeError(field)
        return self[field]

    def lookup(self, field: str) -> Array:
        """Get the values of a field for the first time.

        Raises:
            KeyError: if there is no such field.
        """
        if self._lookup is None:
            raise KeyError(field)
        return self._lookup(field)

    def take(self, events: Array, mask: Array | None = None) -> "Collection":
        """The same collection of some of the events.

        Args:
            events: their positions, in rising order.
            mask: keep only the objects that pass, ``objects * bool``; None keeps all.
        """
        if mask is None and len(events) == len(self):
            return self
        objects, offsets = self.objects(events, mask)
        return Collection(offsets, {}, lambda field: self[field].take(objects))

    def objects(self, events: Array, mask: Array | None = None) -> tuple[Array, Array]:
        """Positions of the objects of some events, and the offsets of the events among them."""
        if mask is None:
            objects, offsets = taken(self.offsets, events)
        else:
            objects, offsets = passing(self.offsets, events, mask)
        return objects, offsets

    def extended(self, **fields: Array) -> "Collection":
        """The same objects with more fields, or with other values."""
        return Collection(self.offsets, {**self.fields, **fields}, self.__getitem__)

    def positions(self) -> Array:
        """Position of each object in its event: ``objects * int64``."""
        first: Array = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        positions: Array = np.arange(len(first)) - first
        return positions

    def count(self, mask: Array) -> Array:
        """Number of objects of each event that pass: ``events * int64``."""
        return count(self.offsets, mask)

    def sum(self, field: str) -> Array:
        """Sum of a field over the objects of each event, added in order: ``events * float64``."""
        return sums(self.offsets, self[field])

    def nth(self, number: int, field: str) -> Array:
        """The values of a field of one object of each event, counted from 0.

        Raises:
            IndexError: if an event has no such object.
        """
        fewest = int(np.diff(self.offsets).min(initial=number + 1))
        if not 0 <= number < fewest:
            raise IndexError(
                f"number {number}, counted from 0, of the {field} of each event is asked for, and "
                f"an event has {fewest}"
            )
        values: Array = self[field][self.offsets[:-1] + number]
        return values

    def events(self, mask: Array, *, n_min: int = 1) -> Array:
        """Positions of the events with at least ``n_min`` objects that pass: ``int64``."""
        if not mask.any():
            return np.empty(0, np.int64)
        return with_enough(self.offsets, mask, n_min)


class Columns(Protocol):
    """A range of events of a file, whose columns are read when they are asked for.

    Attributes:
        n_events: in the range.
        clock: takes the time.
    """

    n_events: int
    clock: Clock

    def flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """Columns with one value an event.

        Args:
            names: of the columns.
            events: positions in the range, in rising order, of the events wanted.
        """

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """Columns of a collection for the events wanted; None is all."""


class ListLengths:
    """The lengths of the lists of collections, which all columns of a collection must share.

    Columns are read one after the other, and some for a part of the events only. Each is compared
    with those before, event by event.

    Args:
        n_events: in the range that is read.
        first: the first of them in the file.
    """

    def __init__(self, n_events: int, first: int = 0) -> None:
        self._n_events = n_events
        self._first = first
        # Of each collection, -1 where no column was read, and the name of the first column.
        self._lengths: dict[str, tuple[str, Array]] = {}

    def __contains__(self, collection: str) -> bool:
        return collection in self._lengths

    def compare(
        self, collection: str, column: str, lengths: Array, events: Array | None = None
    ) -> None:
        """Compare the lists of a column with those of the others of its collection.

        Args:
            collection: its name.
            column: its name.
            lengths: of the lists of the events.
            events: positions in the range, in rising order; None is all.

        Raises:
            Disagreement: naming both columns, and the first event where they differ.
        """
        if collection not in self._lengths:
            if events is None:
                self._lengths[collection] = column, np.require(lengths, np.int32, "W")
                return
            self._lengths[collection] = column, np.full(self._n_events, -1, np.int32)
        other, expected = self._lengths[collection]
        if len(lengths) != (self._n_events if events is None else len(events)):
            raise Disagreement(
                f"{column} has {len(lengths)} of {self._n_events} events from event {self._first}"
            )
        i = _first_other(expected, lengths, np.arange(len(lengths)) if events is None else events)
        if i >= 0:
            event = i if events is None else int(events[i])
            raise Disagreement(
                f"the lists of {column} and {other} differ in length, first in event "
                f"{self._first + event}: {int(lengths[i])} and {int(expected[event])}"
            )


def joined(parts: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """One array of several, in the byte order of the machine."""
    native = dtype.newbyteorder("=")
    return np.concatenate(parts, dtype=native) if parts else np.empty(0, native)


@kernel
def _first_other(expected: Array, lengths: Array, events: Array) -> int:
    """Position of the first length that is not the expected one; -1 if there is none.

    Where none is expected yet, it is from now on.
    """
    for i in range(len(events)):
        event = events[i]
        if expected[event] < 0:
            expected[event] = lengths[i]
        elif expected[event] != lengths[i]:
            return i
    return -1


def check_finite(
    branch: str,
    values: Array,
    offsets: Array | None = None,
    events: Array | None = None,
    *,
    first: int = 0,
) -> None:
    """Refuse momenta that are infinite or not a number: no cut on them means anything.

    Args:
        branch: its name.
        values: of some events, one after the other.
        offsets: of the values of each event, ``events + 1``; None is one value an event.
        events: positions in the range, in rising order; None is all.
        first: the first event of the range in the file.

    Raises:
        ImpossibleValue: naming the branch, the first such value and its event.
    """
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    place = int(np.argmin(np.isfinite(values)))
    event = place
    if offsets is not None:
        event = int(np.searchsorted(offsets[1:], place, side="right"))
    position = event if events is None else int(events[event])
    raise ImpossibleValue(
        f"a value of {branch} is {values[place]:g}, first in event {first + position}"
    )


@kernel
def offsets_of(counts: Array) -> Array:
    """Offsets of lists of these lengths: ``n + 1``, from 0."""
    offsets = np.empty(len(counts) + 1, np.int64)
    offsets[0] = 0
    for i in range(len(counts)):
        offsets[i + 1] = offsets[i] + counts[i]
    return offsets


@kernel
def taken(offsets: Array, events: Array) -> tuple[Array, Array]:
    """Positions of the objects of some events, and the offsets of the events among them."""
    borders = np.empty(len(events) + 1, np.int64)
    borders[0] = 0
    for i in range(len(events)):
        borders[i + 1] = borders[i] + offsets[events[i] + 1] - offsets[events[i]]
    objects = np.empty(borders[-1], np.int64)
    for i in range(len(events)):
        shift = offsets[events[i]] - borders[i]
        for n in range(borders[i], borders[i + 1]):
            objects[n] = n + shift
    return objects, borders


@kernel
def passing(offsets: Array, events: Array, mask: Array) -> tuple[Array, Array]:
    """The same for the objects that pass a mask."""
    most = 0
    for event in events:
        most += offsets[event + 1] - offsets[event]
    # One more: each object is written, and the next one overwrites it if it did not pass. That
    # needs no branch, which the processor would guess wrong as often as not.
    objects = np.empty(most + 1, np.int64)
    borders = np.empty(len(events) + 1, np.int64)
    borders[0] = 0
    n = 0
    for i in range(len(events)):
        for position in range(offsets[events[i]], offsets[events[i] + 1]):
            objects[n] = position
            n += mask[position]
        borders[i + 1] = n
    return objects[:n], borders


@kernel
def _running(mask: Array) -> Array:
    """Number of objects in front of each that pass, and of all.

    For differences, instead of a loop in the loop, which would stall the processor.
    """
    # As short as can be: what these loops take is the time of the memory.
    numbers = np.empty(len(mask) + 1, np.int32)
    number = np.int32(0)
    numbers[0] = 0
    for i in range(len(mask)):
        number += np.int32(mask[i])
        numbers[i + 1] = number
    return numbers


@kernel
def count(offsets: Array, mask: Array) -> Array:
    """Number of objects of each event that pass: ``int64``."""
    numbers = _running(mask)
    counts = np.empty(len(offsets) - 1, np.int64)
    before = numbers[offsets[0]]
    for event in range(len(counts)):
        after = numbers[offsets[event + 1]]
        counts[event] = after - before
        before = after
    return counts


@kernel
def with_enough(offsets: Array, mask: Array, n_min: int) -> Array:
    """Positions of the events with at least ``n_min`` objects that pass: ``int64``."""
    numbers = _running(mask)
    events = np.empty(len(offsets) - 1, np.int64)
    n = 0
    before = numbers[offsets[0]]
    for event in range(len(events)):
        after = numbers[offsets[event + 1]]
        events[n] = event
        n += after - before >= n_min
        before = after
    return events[:n]


@kernel
def sums(offsets: Array, values: Array) -> Array:
    """Sum of the values of each event, added in order: ``float64``."""
    total = np.zeros(len(offsets) - 1, np.float64)
    for event in range(len(total)):
        for i in range(offsets[event], offsets[event + 1]):
            total[event] += values[i]
    return total
