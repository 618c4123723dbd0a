"""The compiled way from columns to histograms: the bins of the coffea processor, to the bit.

Cheap cuts come first, and a column is read only for the events that need it: lepton momenta where
an identification passes, jets where there is one lepton, b-tags where there are enough jets,
directions where two jets are b-tagged.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from agc_pipeline.analyses.base import NOMINAL
from agc_pipeline.analyses.cms_ttbar import ANALYSIS, kernels
from agc_pipeline.analyses.cms_ttbar.hashing import standard_normals
from agc_pipeline.analyses.cms_ttbar.preselection import CUTS, loosest_jet_pt
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.analyses.cms_ttbar.smearing import LIMIT
from agc_pipeline.analyses.cms_ttbar.variations import (
    BTAG_PARAMETERS,
    PT_RESOLUTION,
    PT_SCALE,
    WJETS_SCALE,
    btag_variation,
)
from agc_pipeline.columnar.columns import Array, Collection, Columns
from agc_pipeline.columnar.filling import Sums

IDENTITY = ("run", "luminosityBlock", "event")


class CompiledTtbar:
    """Histograms of one dataset, with relative weights (no cross section).

    Args:
        selection: cuts and sizes of the variations.
        process: physics process of the dataset.
        variation: "nominal" fills all object and weight variations; an alternative dataset
            fills only its own.
    """

    def __init__(self, selection: Selection, process: str, variation: str) -> None:
        self.selection = selection
        self.process_name = process
        self.variation = variation

    def process(self, columns: Columns) -> dict[str, Any]:
        """Histograms and cutflow of a range of events, as the coffea processor gives them."""
        with columns.clock.part("physics"):
            leptonic = self._one_lepton(columns)
            events, jets, n_four = self._loose_jets(columns, leptonic)
            shifts = ANALYSIS.variations(self.process_name, self.variation)
            sums = {region.name: Sums(region.edges, shifts) for region in ANALYSIS.regions}
            selected = dict.fromkeys(sums, 0)
            two_tags = jets.events(jets["tagged"], n_min=2)
            directions = _directions(columns, events, jets, two_tags)
            for variation, pt in self._object_variations(columns, events, jets):
                varied = jets.extended(pt=pt)
                for region, chosen, values in self._regions(varied, two_tags, directions):
                    with columns.clock.part("fill"):
                        weights: dict[str, Array | None] = {variation: None}
                        if variation == NOMINAL:
                            weights |= self._weight_variations(chosen)
                        sums[region].fill(values, weights)
                    if variation == self.variation:
                        selected[region] = len(values)
            with columns.clock.part("fill"):
                histograms = {region: filled.histogram() for region, filled in sums.items()}
        passed = (columns.n_events, len(leptonic), n_four)
        return {
            "histograms": histograms,
            "preselection": dict(zip(CUTS, passed, strict=True)),
            "selected": selected,
        }

    def _one_lepton(self, columns: Columns) -> Array:
        """Positions of the events with exactly one good electron or muon in total."""
        electron, muon = self.selection.electron, self.selection.muon
        n_leptons = np.zeros(columns.n_events, np.int64)
        identified = columns.collection("Electron", ("cutBased",))
        events = identified.events(identified["cutBased"] == electron.cut_based)
        electrons = columns.collection("Electron", ("pt", "eta", "sip3d"), events)
        n_leptons[events] += kernels.count_electrons(
            electrons.offsets,
            electrons["pt"],
            electrons["eta"],
            identified.take(events)["cutBased"],
            electrons["sip3d"],
            electron.pt_min,
            electron.abs_eta_max,
            electron.cut_based,
            electron.sip3d_max,
        )
        identified = columns.collection("Muon", ("tightId",))
        events = identified.events(identified["tightId"])
        muons = columns.collection("Muon", ("pt", "eta", "sip3d", "pfRelIso04_all"), events)
        n_leptons[events] += kernels.count_muons(
            muons.offsets,
            muons["pt"],
            muons["eta"],
            identified.take(events)["tightId"],
            muons["sip3d"],
            muons["pfRelIso04_all"],
            muon.pt_min,
            muon.abs_eta_max,
            muon.sip3d_max,
            muon.relative_isolation_max,
        )
        return np.flatnonzero(n_leptons == 1)

    def _loose_jets(self, columns: Columns, leptonic: Array) -> tuple[Array, Collection, int]:
        """The events that some variation may select, and the jets that it may select in them.

        Args:
            columns: of the range.
            leptonic: positions of the events with one lepton.

        Returns:
            Positions of the events; their jets with pt and eta in double precision, whether they
            are tagged, and their position among the stored jets of the event; and the number of
            leptonic events with enough nominal jets.
        """
        cuts = self.selection.jet
        loosest = loosest_jet_pt(self.selection)
        jets = columns.collection("Jet", ("pt",), leptonic)
        jets = jets.extended(pt=jets["pt"].astype(np.float64))
        enough = jets.events(jets["pt"] > loosest, n_min=cuts.n_min)
        events = leptonic[enough]
        stored = columns.collection("Jet", ("eta", "jetId"), events)
        jets = jets.take(enough).extended(eta=stored["eta"].astype(np.float64))

        def good(pt_min: float) -> Array:
            return kernels.good_jets(
                jets["pt"], jets["eta"], stored["jetId"], pt_min, cuts.abs_eta_max, cuts.jet_id
            )

        n_four = np.count_nonzero(jets.count(good(cuts.pt_min)) >= cuts.n_min)
        loose = good(loosest)
        enough = jets.events(loose, n_min=cuts.n_min)
        events = events[enough]
        jets = jets.extended(loose=loose, position=jets.positions()).take(enough)
        btag = columns.collection("Jet", ("btagCSVV2",), events)["btagCSVV2"].astype(np.float64)
        jets = jets.extended(tagged=btag > cuts.btag_min)
        tagged = jets.events(jets["loose"] & jets["tagged"])
        kept = jets.only("pt", "eta", "tagged", "position").take(tagged, jets["loose"])
        return events[tagged], kept, int(n_four)

    def _object_variations(
        self, columns: Columns, events: Array, jets: Collection
    ) -> Iterator[tuple[str, Array]]:
        """The dataset's own variation, then the shifts of the jets' pt: GeV."""
        yield self.variation, jets["pt"]
        if self.variation != NOMINAL:
            return
        sizes = self.selection.variations
        yield PT_SCALE, jets["pt"] * sizes.pt_scale
        identity = columns.flat(IDENTITY, events)
        normal = standard_normals(
            sizes.pt_resolution_seed,
            identity["run"],
            identity["luminosityBlock"],
            identity["event"],
            jets.offsets,
            jets["position"],
            LIMIT,
        )
        yield PT_RESOLUTION, jets["pt"] * (1.0 + sizes.pt_resolution * normal)

    def _regions(
        self, jets: Collection, two_tags: Array, directions: Collection
    ) -> Iterator[tuple[str, Collection, Array]]:
        """For each region the good jets of its events, and the observable in GeV.

        Args:
            jets: the loose jets with varied pt.
            two_tags: positions of the events with two loose tagged jets.
            directions: of the loose jets of these.
        """
        cuts = self.selection.jet
        good = jets["pt"] > cuts.pt_min
        enough = jets.count(good) >= cuts.n_min
        n_tagged = jets.count(good & jets["tagged"])
        chosen = jets.only("pt").take(np.flatnonzero(enough & (n_tagged == 1)), good)
        yield "4j1b", chosen, kernels.scalar_sums(chosen.offsets, chosen["pt"])
        varied = jets.only("pt").extended(good=good).take(two_tags)
        chosen = directions.extended(pt=varied["pt"]).take(
            np.flatnonzero((enough & (n_tagged >= 2))[two_tags]), varied["good"]
        )
        yield (
            "4j2b",
            chosen,
            kernels.trijet_masses(kernels.JetArrays(offsets=chosen.offsets, **chosen.fields)),
        )

    def _weight_variations(self, jets: Collection) -> Iterator[tuple[str, Array]]:
        """Weights relative to the nominal, from the good jets of the selected events."""
        sizes = self.selection.variations
        first = jets.offsets[:-1]
        for position in range(BTAG_PARAMETERS):
            pt = jets["pt"][first + position]
            shift = sizes.btag_slope * pt / sizes.btag_pt_reference
            yield btag_variation(position, "up"), 1.0 + shift
            yield btag_variation(position, "down"), 1.0 - shift
        if self.process_name == "wjets":
            for name, sign in zip(WJETS_SCALE, (1.0, -1.0), strict=True):
                yield name, np.full(len(first), 1.0 + sign * sizes.wjets_scale)


def _directions(columns: Columns, events: Array, jets: Collection, two_tags: Array) -> Collection:
    """What the four-momenta of the loose jets need beside pt, of the events with two tags."""
    stored = columns.collection("Jet", ("phi", "mass"), events[two_tags])
    jets = jets.only("eta", "tagged", "position").take(two_tags)
    objects = np.repeat(stored.offsets[:-1], np.diff(jets.offsets)) + jets["position"]
    phi = stored["phi"][objects].astype(np.float64)
    return Collection(
        jets.offsets,
        {
            "tagged": jets["tagged"],
            "cos_phi": np.cos(phi),
            "sin_phi": np.sin(phi),
            "sinh_eta": np.sinh(jets["eta"]),
            "cosh_eta": np.cosh(jets["eta"]),
            "mass": stored["mass"][objects].astype(np.float64),
        },
    )


def processor(selection: Selection, process: str, variation: str) -> CompiledTtbar:
    """The compiled processor for a dataset of this process and variation."""
    return CompiledTtbar(selection, process, variation)
