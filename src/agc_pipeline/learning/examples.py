"""Examples for training and evaluation: candidates of events, of which one is right."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from agc_pipeline.learning.models import PARITIES, Parity
from agc_pipeline.learning.trees import first_highest
from agc_pipeline.readers.columns import offsets_of
from agc_pipeline.settings import Settings

Array = npt.NDArray[Any]


class Wording(Settings):
    """Names of the quantities of a training, for people.

    Attributes:
        whole: what is right about the right candidate.
        part: what is right about the candidates that are right in part.
        baseline: the method that the models are compared with, which selects the part.
        size: the objects that are counted in an event.
    """

    whole: str
    part: str
    baseline: str
    size: str


@dataclass(frozen=True)
class Examples:
    """Events whose right candidate is known, with the features of all their candidates.

    Attributes:
        features: ``rows * features`` in single precision; a row is a candidate of an event.
        offsets: ``events + 1``; the rows of event ``i`` are ``offsets[i]:offsets[i + 1]``.
        right: whether a row is the right one: ``rows * bool``, one of each event.
        in_part: whether a row is right in the part that matters most: ``rows * bool``, also true of
            the right one.
        baseline: whether the baseline method is right in that part: ``events * bool``.
        sizes: number of objects that the candidates combine: ``events * int64``.
        numbers: of the events: ``events * uint64``.
    """

    features: Array
    offsets: Array
    right: Array
    in_part: Array
    baseline: Array
    sizes: Array
    numbers: Array

    def __len__(self) -> int:
        """Number of events."""
        return len(self.numbers)

    @property
    def event(self) -> Array:
        """Position of each row's event."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def select(self, mask: Array) -> "Examples":
        """Only the events where ``mask``, one bool for each event, is true."""
        rows = np.repeat(mask, np.diff(self.offsets))
        return Examples(
            features=self.features[rows],
            offsets=offsets_of(np.diff(self.offsets)[mask]),
            right=self.right[rows],
            in_part=self.in_part[rows],
            baseline=self.baseline[mask],
            sizes=self.sizes[mask],
            numbers=self.numbers[mask],
        )

    def of(self, parity: Parity) -> "Examples":
        """Only the events whose numbers have this parity."""
        return self.select(self.numbers % 2 == PARITIES.index(parity))

    def best(self, scores: Array) -> Array:
        """Row of the largest score of each event, the first of several: ``events * int64``.

        Args:
            scores: one for each row.
        """
        rows: Array = first_highest(scores, self.offsets, np.arange(len(self)))
        return rows


def append(parts: Sequence[Examples]) -> Examples:
    """The events of one or more sets, one after the other."""
    values = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Examples)
        if field.name != "offsets"
    }
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Examples(offsets=offsets_of(counts), **values)
