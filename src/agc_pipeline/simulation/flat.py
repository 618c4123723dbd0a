"""Collections of objects as flat columns with a count for each event, and what is done to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Collection:
    """Objects of one kind, ordered by event.

    Attributes:
        counts: objects in each event, ``events * int64``.
        columns: name to one value for each object.
    """

    counts: np.ndarray
    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        """The column of this name."""
        return self.columns[name]

    def __len__(self) -> int:
        """Number of objects in all events."""
        return int(self.counts.sum())

    def with_columns(self, **columns: np.ndarray) -> "Collection":
        """The same objects with other values in some columns, or with more columns."""
        return Collection(self.counts, self.columns | columns)

    @property
    def event(self) -> np.ndarray:
        """Position of each object's event."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def objects(self, mask: np.ndarray) -> "Collection":
        """Only the objects where ``mask``, one bool for each object, is true."""
        counts = np.bincount(self.event[mask], minlength=len(self.counts))
        return Collection(counts, {name: column[mask] for name, column in self.columns.items()})

    def events(self, mask: np.ndarray) -> "Collection":
        """Only the events where ``mask``, one bool for each event, is true."""
        objects = np.repeat(mask, self.counts)
        return Collection(
            self.counts[mask], {name: column[objects] for name, column in self.columns.items()}
        )

    def sorted_by(self, name: str) -> "Collection":
        """The objects of each event in falling order of a column."""
        order = np.lexsort((-self[name], self.event))
        return Collection(
            self.counts, {name: column[order] for name, column in self.columns.items()}
        )


def from_events(event: np.ndarray, n_events: int, columns: dict[str, np.ndarray]) -> Collection:
    """A collection from objects in any order, given the position of each one's event."""
    order = np.argsort(event, kind="stable")
    counts = np.bincount(event, minlength=n_events)
    return Collection(counts, {name: column[order] for name, column in columns.items()})


def append(parts: Sequence[Collection]) -> Collection:
    """The events of several collections with the same columns, one after the other."""
    return Collection(
        np.concatenate([part.counts for part in parts]),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0].columns},
    )


def merge(one: Collection, other: Collection) -> Collection:
    """The objects of two collections of the same events and columns in one."""
    return from_events(
        np.concatenate([one.event, other.event]),
        len(one.counts),
        {name: np.concatenate([one[name], other[name]]) for name in one.columns},
    )


def pairs(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a left and a right object in the same event.

    Args:
        left: counts of the left objects, ``events * int64``.
        right: counts of the right objects of the same events.

    Returns:
        Positions of the left and of the right object of each pair in their flat columns.
    """
    n_pairs = left * right
    event = np.repeat(np.arange(len(left)), n_pairs)
    within = np.arange(n_pairs.sum()) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
    first_left, first_right = np.cumsum(left) - left, np.cumsum(right) - right
    return (
        first_left[event] + within // right[event],
        first_right[event] + within % right[event],
    )


def delta_r2(
    eta: np.ndarray, phi: np.ndarray, other_eta: np.ndarray, other_phi: np.ndarray
) -> np.ndarray:
    """Squared distance in pseudorapidity and azimuth."""
    difference = wrap(phi - other_phi)
    squared: np.ndarray = (eta - other_eta) ** 2 + difference**2
    return squared


def wrap(phi: np.ndarray) -> np.ndarray:
    """Azimuth brought into [-pi, pi)."""
    wrapped: np.ndarray = (phi + np.pi) % (2.0 * np.pi) - np.pi
    return wrapped
