"""The analysis as a plain coffea processor, the way a textbook would write it.

Each variation of the jets selects anew, combinations and four-vectors are awkward's and coffea's.
The benchmark takes it as the measure: it gives the entries of the histograms of the package.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import awkward as ak
import correctionlib.schemav2 as schema
import hist
import numpy as np
from coffea.processor import ProcessorABC
from correctionlib.highlevel import Correction

# What the random numbers of the resolution depend on.
_IDENTITY = ("seed", "run", "luminosityBlock", "event", "jet")
_SEED = 1


class Selected(NamedTuple):
    """Objects of the events of a region, and their numbers."""

    jets: Any
    electrons: Any
    muons: Any
    numbers: Any


class TextbookProcessor(ProcessorABC):
    """Histograms of the nominal dataset of a process, in both regions."""

    def __init__(self, process: str) -> None:
        self.process_name = process

    def process(self, events: Any) -> dict[str, hist.Hist]:
        """Histograms of one chunk, by region."""
        histograms = self.empty()
        for variation in ("nominal", "pt_scale_up", "pt_res_up"):
            electrons = events.Electron
            electrons = electrons[
                (electrons.pt > 30)
                & (abs(electrons.eta) < 2.1)
                & (electrons.cutBased == 4)
                & (electrons.sip3d < 4)
            ]
            muons = events.Muon
            muons = muons[
                (muons.pt > 30)
                & (abs(muons.eta) < 2.1)
                & muons.tightId
                & (muons.sip3d < 4)
                & (muons.pfRelIso04_all < 0.15)
            ]
            jets = events.Jet
            if variation == "pt_scale_up":
                jets = ak.with_field(jets, jets.pt * 1.03, "pt")
            elif variation == "pt_res_up":
                jets = ak.with_field(jets, jets.pt * (1 + 0.05 * _normals(events)), "pt")
            jets = jets[(jets.pt > 30) & (abs(jets.eta) < 2.4) & (jets.jetId == 6)]
            lepton = ak.num(electrons) + ak.num(muons) == 1
            tagged = ak.sum(jets.btagCSVV2 > 0.5, axis=1)
            enough = lepton & (ak.num(jets) >= 4)
            for region, mask in (("4j1b", tagged == 1), ("4j2b", tagged >= 2)):
                in_region = enough & mask
                event = Selected(
                    jets[in_region],
                    electrons[in_region],
                    muons[in_region],
                    events.event[in_region],
                )
                values = self.observables(region, event)
                _fill(histograms, variation, values)
                if variation == "nominal":
                    for shift, weight in self._weights(event.jets):
                        _fill(histograms, shift, self.weighted(region, event, values), weight)
        return histograms

    def empty(self) -> dict[str, hist.Hist]:
        """Histograms of both regions."""
        return {
            region: hist.Hist.new.StrCat([], name="variation", growth=True)
            .Reg(25, 50, 550, name="observable")
            .Weight()
            for region in ("4j1b", "4j2b")
        }

    def observables(self, region: str, event: Selected) -> dict[str, Any]:
        """Values by the histogram that they fill."""
        jets = event.jets
        values = ak.sum(jets.pt, axis=1) if region == "4j1b" else _trijet_mass(jets)
        return {region: np.asarray(values)}

    def weighted(self, region: str, event: Selected, values: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The same for a variation of the weights, which leaves them as they are."""
        return values

    def _weights(self, jets: Any) -> Iterator[tuple[str, Any]]:
        for i in range(4):
            shift = np.asarray(0.075 * jets.pt[:, i] / 50)
            yield f"btag_var_{i}_up", 1 + shift
            yield f"btag_var_{i}_down", 1 - shift
        if self.process_name == "wjets":
            yield "scale_var_up", 1.025
            yield "scale_var_down", 0.975

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing to do after accumulation."""
        return accumulator


def _fill(histograms: Any, name: str, values: dict[str, Any], weight: Any = 1.0) -> None:
    for region, observable in values.items():
        histograms[region].fill(variation=name, observable=observable, weight=weight)


@cache
def _generator() -> Correction:
    return schema.Correction(
        name="pt_resolution",
        version=1,
        inputs=[schema.Variable(name=name, type="int") for name in _IDENTITY],
        output=schema.Variable(name="normal", type="real"),
        data=schema.HashPRNG(nodetype="hashprng", inputs=list(_IDENTITY), distribution="normal"),
    ).to_evaluator()


def _normals(events: Any) -> Any:
    """A standard normal number for each stored jet, by correctionlib."""
    counts = ak.num(events.Jet)

    def per_jet(values: Any) -> Any:
        return np.repeat(ak.to_numpy(values).astype(np.int64), ak.to_numpy(counts))

    numbers = _generator().evaluate(
        _SEED,
        per_jet(events.run),
        per_jet(events.luminosityBlock),
        per_jet(events.event),
        ak.to_numpy(ak.flatten(ak.local_index(events.Jet.pt))).astype(np.int64),
    )
    return ak.unflatten(numbers, counts)


def _trijet_mass(jets: Any) -> Any:
    triplets = ak.combinations(jets, 3, fields=["a", "b", "c"])
    largest_tag = np.maximum(
        triplets.a.btagCSVV2, np.maximum(triplets.b.btagCSVV2, triplets.c.btagCSVV2)
    )
    sums = triplets.a + triplets.b + triplets.c
    sums = sums[largest_tag > 0.5]
    return ak.flatten(sums.mass[ak.argmax(sums.pt, axis=1, keepdims=True)])
