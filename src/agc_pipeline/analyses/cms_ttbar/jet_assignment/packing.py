"""From NanoAOD collections to what the features are computed from."""

from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import Array, Jets, Leptons
from agc_pipeline.analyses.cms_ttbar.objects import (
    exact,
    good_electrons,
    good_muons,
    jet_momenta,
)
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.columnar.columns import offsets_of


def jet_columns(jets: Any) -> ak.Array:
    """The columns of ``jet_momenta``, and qgl: ``events * var``.

    Args:
        jets: NanoAOD ``Jet``; GeV.
    """
    return ak.with_field(jet_momenta(jets), exact(jets.qgl), "qgl")


def packed(jets: ak.Array) -> Jets:
    """The jets of some events, one after the other.

    Args:
        jets: what ``jet_columns`` returns, possibly with varied pt.
    """
    return Jets(
        offsets_of(ak.to_numpy(ak.num(jets.pt))),
        *(flat(jets[name]) for name in ("pt", "eta", "phi", "mass", "btag", "qgl")),
    )


def the_leptons(events: Any, selection: Selection) -> Leptons:
    """The one good lepton of each event.

    Args:
        events: NanoAOD collections of events that have exactly one.
        selection: the cuts.
    """
    good = (
        events.Electron[good_electrons(events.Electron, selection.electron)],
        events.Muon[good_muons(events.Muon, selection.muon)],
    )
    return Leptons(
        *(
            flat(ak.concatenate([exact(leptons[name]) for leptons in good], axis=1))
            for name in Leptons._fields
        )
    )


def event_numbers(events: Any) -> Array:
    """Numbers of the events: ``events * uint64``."""
    numbers: Array = ak.to_numpy(events.event).astype(np.uint64)
    return numbers


def flat(values: ak.Array) -> Array:
    """The values of all events, one after the other."""
    found: Array = ak.to_numpy(ak.flatten(values))
    return found
