"""The selection of events that are records: coffea's NanoEvents, and functions in awkward.

Nothing is loosened here: an event is preselected if some variation of it is in some region.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from agc_pipeline.columnar.selection import Preselector
from agc_pipeline.declaration import ALL_EVENTS, Analysis, Dataset, Variation
from agc_pipeline.declaration.analysis import EventFunction
from agc_pipeline.readers.arrays import EventColumns
from agc_pipeline.readers.columns import Array


class RecordSelection:
    """Applies requirements and variations to records.

    Args:
        analysis: the declaration.
        selection: ``physics.selection``.
        dataset: that the events are of.
    """

    def __init__(self, analysis: Analysis, selection: Any, dataset: Dataset) -> None:
        self._selection = selection
        self._layout = analysis.layout
        self._preselector = Preselector(analysis, selection, dataset)

    def selected(self, events: Any, variation: Variation) -> tuple[Any, dict[str, int]]:
        """The varied events that meet all requirements, and their cutflow."""
        varied, positions, cutflow = self._selected(events, variation)
        return varied[positions], cutflow

    def preselect(
        self, events: Any, shifts: Sequence[Variation], masks: Sequence[EventFunction]
    ) -> tuple[Array, dict[str, int]]:
        """Positions of the events that some variation has in some region, and the cutflow."""
        somewhere = np.zeros(len(events), np.bool_)
        nominal: dict[str, int] = {}
        for shift in shifts:
            varied, positions, cutflow = self._selected(events, shift)
            nominal = nominal or cutflow
            part = varied[positions]
            for mask in masks:
                somewhere[positions] |= np.asarray(mask(part, self._selection), np.bool_)
        return np.flatnonzero(somewhere), nominal

    def _selected(self, events: Any, variation: Variation) -> tuple[Any, Array, dict[str, int]]:
        varied = events if variation.records is None else variation.records(events, self._selection)
        if not self._preselector.requirements:
            return varied, np.arange(len(varied)), {ALL_EVENTS: len(varied)}
        preselection = self._preselector(EventColumns(varied, self._layout))
        return varied, preselection.events, preselection.cutflow
