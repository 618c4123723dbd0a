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
        if mask is None and len(events) == len(self.offsets) - 1:
            return self
        counts = self.offsets[events + 1] - self.offsets[events]
        objects = positions(self.offsets[events], counts)
        if mask is not None:
            objects = objects[mask[objects]]
            counts = self.count(mask)[events]
        return Collection(
            offsets_of(counts), {name: values[objects] for name, values in self.fields.items()}
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
def positions(starts: Array, counts: Array) -> Array:
    """Positions of all objects of some events, in order: ``int64``.

    Args:
        starts: position of the first object of each event.
        counts: number of its objects.
    """
    found = np.empty(counts.sum(), np.int64)
    n = 0
    for event in range(len(starts)):
        for position in range(starts[event], starts[event] + counts[event]):
            found[n] = position
            n += 1
    return found


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
