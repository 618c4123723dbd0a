"""The coffea processor: from events to the histograms of all variations."""

from collections.abc import Iterator
from typing import Any

import awkward as ak
from coffea.processor import ProcessorABC

from agc_pipeline.analyses.base import NOMINAL, Assignment, Region
from agc_pipeline.analyses.cms_ttbar import ANALYSIS
from agc_pipeline.analyses.cms_ttbar.jet_assignment import packing
from agc_pipeline.analyses.cms_ttbar.jet_assignment.observables import SIGNAL_REGION
from agc_pipeline.analyses.cms_ttbar.objects import good_jets, jet_momenta
from agc_pipeline.analyses.cms_ttbar.observables import OBSERVABLES
from agc_pipeline.analyses.cms_ttbar.preselection import CUTS, preselect
from agc_pipeline.analyses.cms_ttbar.regions import region_masks
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.analyses.cms_ttbar.smearing import standard_normal
from agc_pipeline.analyses.cms_ttbar.variations import (
    BTAG_PARAMETERS,
    PT_RESOLUTION,
    PT_SCALE,
    WJETS_SCALE,
    btag_variation,
)
from agc_pipeline.columnar import filling


class TtbarProcessor(ProcessorABC):
    """Histograms of one dataset, with relative weights (no cross section).

    Args:
        selection: cuts and sizes of the variations.
        process: physics process of the dataset.
        variation: "nominal" fills all object and weight variations; an alternative dataset
            fills only its own.
        assignment: of jets to partons, whose observables are filled, too; None is without.
    """

    def __init__(
        self,
        selection: Selection,
        process: str,
        variation: str,
        assignment: Assignment | None = None,
    ) -> None:
        self.selection = selection
        self.process_name = process
        self.variation = variation
        self.assignment = assignment

    def process(self, events: Any) -> dict[str, Any]:
        """Histograms and cutflow of one chunk.

        Args:
            events: NanoEvents with the columns in ``COLUMNS``.

        Returns:
            ``histograms``: region to histogram of variation and observable; ``preselection`` and
            ``selected``: cut to number of events, of the nominal selection; to be added up over
            chunks.
        """
        mask, cutflow = preselect(self.selection, events)
        # Everything below runs on the few events that some variation may select.
        kept = events[mask]
        output = self.empty()
        histograms = output["histograms"]
        for variation, jets in self._object_variations(kept, self._jets(kept.Jet)):
            for region, mask in region_masks(jets, self.selection.jet).items():
                chosen = jets[mask]
                values = {region: OBSERVABLES[_OBSERVABLE[region]](chosen, self.selection.jet)}
                if region == SIGNAL_REGION:
                    values |= self._assigned(kept[mask], chosen)
                for name, observed in values.items():
                    filling.fill(histograms[name], variation, observed)
                if variation == self.variation:
                    output["selected"][region] = len(chosen)
                if variation == NOMINAL:
                    for shift, weights in self._weight_variations(chosen):
                        for name, observed in values.items():
                            filling.fill(histograms[name], shift, observed, weights)
        return {**output, "preselection": cutflow}

    def empty(self) -> dict[str, Any]:
        """What ``process`` gives for no events."""
        variations = ANALYSIS.variations(self.process_name, self.variation)
        return {
            "histograms": {
                region.name: filling.empty(region.edges, variations)
                for region in (*ANALYSIS.regions, *self._assigned_regions)
            },
            "preselection": dict.fromkeys(CUTS, 0),
            "selected": {region.name: 0 for region in ANALYSIS.regions},
        }

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing to do after accumulation."""
        return accumulator

    @property
    def _assigned_regions(self) -> tuple[Region, ...]:
        return () if self.assignment is None else self.assignment.regions

    def _jets(self, jets: Any) -> ak.Array:
        return jet_momenta(jets) if self.assignment is None else packing.jet_columns(jets)

    def _assigned(self, events: Any, jets: ak.Array) -> dict[str, Any]:
        """Observables of the assigned jets, by region.

        Args:
            events: of the signal region.
            jets: the good jets of these, possibly with varied pt.
        """
        if self.assignment is None:
            return {}
        found = self.assignment.observables(
            packing.packed(jets),
            packing.the_leptons(events, self.selection),
            packing.event_numbers(events),
        )
        names = (region.name for region in self.assignment.regions)
        return dict(zip(names, found, strict=True))

    def _good(self, jets: ak.Array) -> ak.Array:
        cuts = self.selection.jet
        return jets[good_jets(jets, cuts, pt_min=cuts.pt_min)]

    def _object_variations(self, events: Any, jets: ak.Array) -> Iterator[tuple[str, ak.Array]]:
        """The dataset's own variation, then the good jets under each shift of their pt."""
        yield self.variation, self._good(jets)
        if self.variation != NOMINAL:
            return
        sizes = self.selection.variations
        yield PT_SCALE, self._good(ak.with_field(jets, jets.pt * sizes.pt_scale, "pt"))
        normal = standard_normal(events, jets, seed=sizes.pt_resolution_seed)
        smeared = jets.pt * (1.0 + sizes.pt_resolution * normal)
        yield PT_RESOLUTION, self._good(ak.with_field(jets, smeared, "pt"))

    def _weight_variations(self, jets: ak.Array) -> Iterator[tuple[str, Any]]:
        """Weights relative to the nominal, from the good jets of the selected events."""
        sizes = self.selection.variations
        for position in range(BTAG_PARAMETERS):
            shift = sizes.btag_slope * jets.pt[:, position] / sizes.btag_pt_reference
            yield btag_variation(position, "up"), 1.0 + shift
            yield btag_variation(position, "down"), 1.0 - shift
        if self.process_name == "wjets":
            for name, sign in zip(WJETS_SCALE, (1.0, -1.0), strict=True):
                yield name, 1.0 + sign * sizes.wjets_scale


_OBSERVABLE = {region.name: region.observable for region in ANALYSIS.regions}


def processor(
    selection: Selection, process: str, variation: str, assignment: Assignment | None = None
) -> TtbarProcessor:
    """The coffea processor for a dataset of this process and variation."""
    return TtbarProcessor(selection, process, variation, assignment)
