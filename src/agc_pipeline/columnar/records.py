"""The selection of events that are records: coffea's NanoEvents, and functions in awkward.

Nothing is loosened here: an event is preselected if some variation of it is in some region.
"""

from collections.abc import Mapping, Sequence
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
        self._derived = analysis.derived
        self._preselector = Preselector(analysis, selection, dataset)

    def selected(self, events: Any, variation: Variation) -> tuple[Any, Array, dict[str, int]]:
        """The varied events that meet all requirements, their positions, and the cutflow."""
        varied = events if variation.records is None else variation.records(events, self._selection)
        positions, cutflow = np.arange(len(varied)), {ALL_EVENTS: len(varied)}
        if self._preselector.requirements:
            preselection = self._preselector(EventColumns(varied, self._layout))
            positions, cutflow = preselection.events, preselection.cutflow
            varied = varied[positions]
        if self._derived is not None:
            varied = self._derived(varied, self._selection)
        return varied, positions, cutflow

    def preselect(
        self, events: Any, masks: Mapping[Variation, Sequence[EventFunction]]
    ) -> tuple[Array, dict[str, int]]:
        """Positions of the events that some variation has in some region, and the cutflow.

        Args:
            events: coffea's NanoEvents.
            masks: of the regions that a variation acts on; the dataset's own variation is first.
        """
        somewhere = np.zeros(len(events), np.bool_)
        nominal: dict[str, int] = {}
        for shift, functions in masks.items():
            part, positions, cutflow = self.selected(events, shift)
            nominal = nominal or cutflow
            for mask in functions:
                somewhere[positions] |= np.asarray(mask(part, self._selection), np.bool_)
        return np.flatnonzero(somewhere), nominal
