"""What compiled processors read: flat columns, and collections packed for the events wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from agc_pipeline.columnar.compiling import kernel
from agc_pipeline.columnar.performance import Clock

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Collection:
    """Objects of some events, one after the other.

    Attributes:
        offsets: ``events + 1``; the objects of event ``i`` are ``offsets[i]:offsets[i + 1]``.
        fields: name to ``objects`` values.
    """

    offsets: Array
    fields: Mapping[str, Array]

    def __getitem__(self, field: str) -> Array:
        """The values of a field."""
        return self.fields[field]

    def take(self, events: Array, mask: Array | None = None) -> "Collection":
        """The same collection of some of the events.

        Args:
            events: their positions, in rising order.
            mask: keep only the objects that pass, ``objects * bool``; None keeps all.
        """
        if mask is not None:
            objects, offsets = kept(self.offsets, events, mask)
        elif len(events) == len(self.offsets) - 1:
            return self
        else:
            objects, offsets = taken(self.offsets, events)
        return Collection(
            offsets, {name: values.take(objects) for name, values in self.fields.items()}
        )

    def extended(self, **fields: Array) -> "Collection":
        """The same objects with more fields, or with other values."""
        return Collection(self.offsets, {**self.fields, **fields})

    def only(self, *fields: str) -> "Collection":
        """The same objects with fewer fields."""
        return Collection(self.offsets, {name: self.fields[name] for name in fields})

    def positions(self) -> Array:
        """Position of each object in its event: ``objects * int64``."""
        counts = np.diff(self.offsets)
        first: Array = np.repeat(self.offsets[:-1], counts)
        found: Array = np.arange(len(first)) - first
        return found

    def count(self, mask: Array) -> Array:
        """Number of objects of each event that pass: ``events * int64``."""
        return count(self.offsets, mask)

    def events(self, mask: Array, *, n_min: int = 1) -> Array:
        """Positions of the events with at least ``n_min`` objects that pass: ``int64``."""
        if not mask.any():
            return np.empty(0, np.int64)
        return np.flatnonzero(self.count(mask) >= n_min)


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


def offsets_of(counts: Array) -> Array:
    """Offsets of lists of these lengths: ``n + 1``, from 0."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


@kernel
def taken(offsets: Array, events: Array) -> tuple[Array, Array]:
    """Positions of the objects of some events, and the offsets of the events among them."""
    found = np.empty(len(events) + 1, np.int64)
    found[0] = 0
    for i in range(len(events)):
        found[i + 1] = found[i] + offsets[events[i] + 1] - offsets[events[i]]
    objects = np.empty(found[-1], np.int64)
    for i in range(len(events)):
        shift = offsets[events[i]] - found[i]
        for n in range(found[i], found[i + 1]):
            objects[n] = n + shift
    return objects, found


@kernel
def kept(offsets: Array, events: Array, mask: Array) -> tuple[Array, Array]:
    """The same for the objects that pass a mask."""
    most = 0
    for event in events:
        most += offsets[event + 1] - offsets[event]
    # One more: each object is written, and the next one overwrites it if it did not pass. That
    # needs no branch, which the processor would guess wrong as often as not.
    objects = np.empty(most + 1, np.int64)
    found = np.empty(len(events) + 1, np.int64)
    found[0] = 0
    n = 0
    for i in range(len(events)):
        for position in range(offsets[events[i]], offsets[events[i] + 1]):
            objects[n] = position
            n += mask[position]
        found[i + 1] = n
    return objects[:n], found


@kernel
def count(offsets: Array, mask: Array) -> Array:
    """Number of objects of each event that pass: ``int64``."""
    # Sums up to each object, instead of a loop in the loop, which would stall the processor.
    sums = np.empty(len(mask) + 1, np.int64)
    sums[0] = 0
    for i in range(len(mask)):
        sums[i + 1] = sums[i] + mask[i]
    counts = np.empty(len(offsets) - 1, np.int64)
    for event in range(len(counts)):
        counts[event] = sums[offsets[event + 1]] - sums[offsets[event]]
    return counts
