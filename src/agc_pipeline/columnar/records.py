"""The selection of events that are records: coffea's NanoEvents, and functions in awkward.

Nothing is loosened here: an event is preselected if some variation of it is in some region.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agc_pipeline.columnar.function_values import mask_of
from agc_pipeline.columnar.selection import Preselector
from agc_pipeline.declaration import ALL_EVENTS, Analysis, Dataset, Variation
from agc_pipeline.declaration.analysis import EventFunction
from agc_pipeline.errors import AnalysisError
from agc_pipeline.functions import place_of
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
        """The varied events that meet all requirements, their positions, and the cutflow.

        Raises:
            AnalysisError: if a variation, or what is derived, has not as many events.
        """
        varied = events
        if variation.records is not None:
            varied = self._all(variation.records, events, f"the variation {variation.name}")
        positions, cutflow = np.arange(len(varied)), {ALL_EVENTS: len(varied)}
        if self._preselector.requirements:
            preselection = self._preselector(EventColumns(varied, self._layout))
            positions, cutflow = preselection.events, preselection.cutflow
            varied = varied[positions]
        if self._derived is not None:
            varied = self._all(self._derived, varied, "the function `derived`")
        return varied, positions, cutflow

    def _all(self, function: EventFunction, events: Any, name: str) -> Any:
        """What a function makes of events, as many as it is given.

        Raises:
            AnalysisError: if it returns no events, or leaves out any: cuts are masks and
                requirements, which are counted.
        """
        changed = function(events, self._selection)
        if not getattr(changed, "fields", ()):
            raise AnalysisError(
                f"{name} returns {getattr(changed, 'type', type(changed).__name__)}",
                place=place_of(function),
                remedy="return the events, e.g. those of `ak.with_field`",
            )
        if len(changed) != len(events):
            raise AnalysisError(
                f"{name} returns {len(changed)} of {len(events)} events",
                place=place_of(function),
                remedy="return every event that it is given; which of them count is said by masks "
                "and requirements",
            )
        return changed

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
                somewhere[positions] |= mask_of(mask, part, self._selection, len(part))
        return np.flatnonzero(somewhere), nominal
