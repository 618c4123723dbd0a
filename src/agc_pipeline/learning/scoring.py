"""The row with the highest score of each event, by the model that was not trained on it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from agc_pipeline.learning import forest
from agc_pipeline.learning.forest import Forest
from agc_pipeline.learning.models import PARITIES, Models, Parity
from agc_pipeline.learning.trees import Array, first_highest

# An event is scored by the model that was trained on the events of the other parity.
SCORED_BY: Mapping[Parity, Parity] = {"even": "odd", "odd": "even"}


class Scorer(Protocol):
    """Computes scores. It is sent to other processes."""

    def best(self, features: Array, offsets: Array, event_numbers: Array) -> Array:
        """The row with the highest score of each event; the first of equal ones.

        Args:
            features: ``rows * features``, single precision, the events one after the other.
            offsets: of the events' rows, ``events + 1``; each event has some.
            event_numbers: of the events; events with even numbers are scored by the model that was
                trained on odd ones, and vice versa.

        Returns:
            Rows, ``events * int64``.
        """


class ForestScorer:
    """Scores by forests, in this process.

    Args:
        models: to score with.
        groups: see ``forest.parse``.

    Attributes:
        forests: the models, by the parity of the events that they were trained on.

    Raises:
        InputError: if a model cannot be scored here.
    """

    def __init__(self, models: Models, groups: Sequence[Sequence[int]] = ()) -> None:
        self.forests: dict[Parity, Forest] = {
            parity: forest.parse(
                models.contents[parity], place=str(models.paths[parity]), groups=groups
            )
            for parity in PARITIES
        }

    def best(self, features: Array, offsets: Array, event_numbers: Array) -> Array:
        """See ``Scorer``."""
        best = np.empty(len(event_numbers), np.int64)
        for parity, events in by_parity(event_numbers).items():
            scores = forest.scores(self.forests[SCORED_BY[parity]], features, offsets, events)
            best[events] = first_highest(scores, offsets, events)
        return best


def by_parity(event_numbers: Array) -> dict[Parity, Array]:
    """Positions of the events with even and with odd numbers, in rising order."""
    odd = event_numbers % 2 == 1
    return {"even": np.flatnonzero(~odd), "odd": np.flatnonzero(odd)}
