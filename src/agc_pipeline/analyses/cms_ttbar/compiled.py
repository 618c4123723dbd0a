"""The compiled way from columns to histograms: the bins of the coffea processor, to the bit.

Cheap cuts come first, and a column is read only for the events that need it: lepton momenta where
an identification passes, jets where there is one lepton, b-tags where there are enough jets,
directions where two jets are b-tagged.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agc_pipeline.analyses.base import NOMINAL, Assignment
from agc_pipeline.analyses.cms_ttbar import ANALYSIS, kernels
from agc_pipeline.analyses.cms_ttbar.hashing import standard_normals
from agc_pipeline.analyses.cms_ttbar.jet_assignment.compiled import (
    JET_FIELDS,
    AssignedJets,
    Candidates,
    read_leptons,
)
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

    def process(self, columns: Columns) -> dict[str, Any]:
        """Histograms and cutflow of a range of events, as the coffea processor gives them."""
        with columns.clock.part("physics"):
            leptonic, candidates = self._one_lepton(columns)
            events, jets, n_four = self._loose_jets(columns, leptonic)
            shifts = ANALYSIS.variations(self.process_name, self.variation)
            more = () if self.assignment is None else self.assignment.regions
            sums = {
                region.name: Sums(region.edges, shifts) for region in (*ANALYSIS.regions, *more)
            }
            selected = {region.name: 0 for region in ANALYSIS.regions}
            two_tags = jets.events(jets["tagged"], n_min=2)
            loose = self._loose_objects(columns, events, jets, two_tags)
            directions = _directions(loose)
            identity = self._identity(columns, events)
            assigned = None
            if self.assignment is not None:
                assigned = AssignedJets(
                    assignment=self.assignment,
                    jets=loose.only("eta", "phi", "mass", "btag", "qgl"),
                    leptons=read_leptons(columns, candidates, events[two_tags]),
                    numbers=identity["event"][two_tags],
                )
            for variation, pt in self._object_variations(identity, jets):
                varied = jets.extended(pt=pt)
                for chosen, values in self._regions(varied, two_tags, directions, assigned):
                    with columns.clock.part("fill"):
                        weights: dict[str, Array | None] = {variation: None}
                        if variation == NOMINAL:
                            weights |= self._weight_variations(chosen)
                        for region, observed in values.items():
                            sums[region].fill(observed, weights)
                    if variation == self.variation:
                        selected |= {
                            region: len(observed)
                            for region, observed in values.items()
                            if region in selected
                        }
            with columns.clock.part("fill"):
                histograms = {region: filled.histogram() for region, filled in sums.items()}
        passed = (columns.n_events, len(leptonic), n_four)
        return {
            "histograms": histograms,
            "preselection": dict(zip(CUTS, passed, strict=True)),
            "selected": selected,
        }

    def _one_lepton(self, columns: Columns) -> tuple[Array, tuple[Candidates, Candidates]]:
        """Positions of the events with exactly one good electron or muon, and all candidates."""
        electron = self.selection.electron
        n_leptons = np.zeros(columns.n_events, np.int64)
        identified = columns.collection("Electron", ("cutBased",))
        events = identified.events(identified["cutBased"] == electron.cut_based)
        electrons = columns.collection("Electron", ("pt", "eta", "sip3d"), events).extended(
            cutBased=identified.take(events)["cutBased"]
        )
        n_leptons[events] += self._count_electrons(electrons, electrons.offsets)
        of_electrons = Candidates("Electron", events, electrons, _each(self._count_electrons))
        identified = columns.collection("Muon", ("tightId",))
        events = identified.events(identified["tightId"])
        read = ("pt", "eta", "sip3d", "pfRelIso04_all")
        muons = columns.collection("Muon", read, events).extended(
            tightId=identified.take(events)["tightId"]
        )
        n_leptons[events] += self._count_muons(muons, muons.offsets)
        of_muons = Candidates("Muon", events, muons, _each(self._count_muons))
        return np.flatnonzero(n_leptons == 1), (of_electrons, of_muons)

    def _count_electrons(self, electrons: Collection, offsets: Array) -> Array:
        cuts = self.selection.electron
        counts: Array = kernels.count_electrons(
            offsets,
            electrons["pt"],
            electrons["eta"],
            electrons["cutBased"],
            electrons["sip3d"],
            cuts.pt_min,
            cuts.abs_eta_max,
            cuts.cut_based,
            cuts.sip3d_max,
        )
        return counts

    def _count_muons(self, muons: Collection, offsets: Array) -> Array:
        cuts = self.selection.muon
        counts: Array = kernels.count_muons(
            offsets,
            muons["pt"],
            muons["eta"],
            muons["tightId"],
            muons["sip3d"],
            muons["pfRelIso04_all"],
            cuts.pt_min,
            cuts.abs_eta_max,
            cuts.sip3d_max,
            cuts.relative_isolation_max,
        )
        return counts

    def _loose_jets(self, columns: Columns, leptonic: Array) -> tuple[Array, Collection, int]:
        """The events that some variation may select, and the jets that it may select in them.

        Args:
            columns: of the range.
            leptonic: positions of the events with one lepton.

        Returns:
            Positions of the events; their jets with pt, eta and btag in double precision, whether
            they are tagged, and their position among the stored jets of the event; and the number
            of leptonic events with enough nominal jets.
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
        jets = jets.extended(tagged=btag > cuts.btag_min, btag=btag)
        tagged = jets.events(jets["loose"] & jets["tagged"])
        read = ("pt", "eta", "tagged", "position", *self._more("btag"))
        kept = jets.only(*read).take(tagged, jets["loose"])
        return events[tagged], kept, int(n_four)

    def _more(self, *fields: str) -> tuple[str, ...]:
        """Fields that only the assignment of jets needs."""
        return () if self.assignment is None else fields

    def _loose_objects(
        self, columns: Columns, events: Array, jets: Collection, two_tags: Array
    ) -> Collection:
        """The loose jets of the events with two tags, with what is needed beside pt."""
        read = ("phi", "mass", *self._more(*JET_FIELDS))
        stored = columns.collection("Jet", read, events[two_tags])
        jets = jets.only("eta", "tagged", "position", *self._more("btag")).take(two_tags)
        objects = np.repeat(stored.offsets[:-1], np.diff(jets.offsets)) + jets["position"]
        return jets.extended(**{name: stored[name][objects].astype(np.float64) for name in read})

    def _identity(self, columns: Columns, events: Array) -> dict[str, Array]:
        """What is needed of the events' identity."""
        names = IDENTITY if self.variation == NOMINAL else self._more("event")
        return columns.flat(names, events) if names else {}

    def _object_variations(
        self, identity: dict[str, Array], jets: Collection
    ) -> Iterator[tuple[str, Array]]:
        """The dataset's own variation, then the shifts of the jets' pt: GeV."""
        yield self.variation, jets["pt"]
        if self.variation != NOMINAL:
            return
        sizes = self.selection.variations
        yield PT_SCALE, jets["pt"] * sizes.pt_scale
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
        self,
        jets: Collection,
        two_tags: Array,
        directions: Collection,
        assigned: AssignedJets | None,
    ) -> Iterator[tuple[Collection, dict[str, Array]]]:
        """For each selection the good jets of its events, and by region the observable, in GeV.

        Args:
            jets: the loose jets with varied pt.
            two_tags: positions of the events with two loose tagged jets.
            directions: of the loose jets of these.
            assigned: what the assignment needs of these, if there is one.
        """
        cuts = self.selection.jet
        good = jets["pt"] > cuts.pt_min
        enough = jets.count(good) >= cuts.n_min
        n_tagged = jets.count(good & jets["tagged"])
        chosen = jets.only("pt").take(np.flatnonzero(enough & (n_tagged == 1)), good)
        yield chosen, {"4j1b": kernels.scalar_sums(chosen.offsets, chosen["pt"])}
        varied = jets.only("pt").extended(good=good).take(two_tags)
        events = np.flatnonzero((enough & (n_tagged >= 2))[two_tags])
        chosen = directions.extended(pt=varied["pt"]).take(events, varied["good"])
        arrays = kernels.JetArrays(offsets=chosen.offsets, **chosen.fields)
        observed = {"4j2b": kernels.trijet_masses(arrays)}
        if assigned is not None:
            observed |= assigned.observables(events, varied["pt"], varied["good"])
        yield chosen, observed

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


def _directions(jets: Collection) -> Collection:
    """What the four-momenta of jets need beside pt."""
    return Collection(
        jets.offsets,
        {
            "tagged": jets["tagged"],
            "cos_phi": np.cos(jets["phi"]),
            "sin_phi": np.sin(jets["phi"]),
            "sinh_eta": np.sinh(jets["eta"]),
            "cosh_eta": np.cosh(jets["eta"]),
            "mass": jets["mass"],
        },
    )


def _each(counted: Callable[[Collection, Array], Array]) -> Callable[[Collection], Array]:
    """Mask of the objects that are counted, one by one."""

    def mask(objects: Collection) -> Array:
        counts = counted(objects, np.arange(objects.offsets[-1] + 1))
        return np.asarray(counts == 1)

    return mask


def processor(
    selection: Selection, process: str, variation: str, assignment: Assignment | None = None
) -> CompiledTtbar:
    """The compiled processor for a dataset of this process and variation."""
    return CompiledTtbar(selection, process, variation, assignment)
