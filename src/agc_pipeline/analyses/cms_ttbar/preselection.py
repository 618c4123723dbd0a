"""The preselection: events that some variation may select, a superset of every region."""

from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.analyses.base import ALL_EVENTS
from agc_pipeline.analyses.cms_ttbar.objects import (
    COLUMNS,
    b_tagged,
    good_electrons,
    good_jets,
    good_muons,
    jet_momenta,
)
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.analyses.cms_ttbar.smearing import LIMIT

__all__ = ["COLUMNS", "CUTS", "preselect"]

# The nominal cuts of the preselection, in order.
CUTS = (ALL_EVENTS, "one lepton", "four jets")


def one_lepton(events: Any, selection: Selection) -> ak.Array:
    """Mask of the events with exactly one good electron or muon in total."""
    electrons = ak.sum(good_electrons(events.Electron, selection.electron), axis=1)
    muons = ak.sum(good_muons(events.Muon, selection.muon), axis=1)
    return electrons + muons == 1


def loosest_jet_pt(selection: Selection) -> float:
    """The pt in GeV above which a jet passes the cut under some variation of its momentum."""
    variations = selection.variations
    largest_factor = max(1.0, variations.pt_scale, 1.0 + LIMIT * variations.pt_resolution)
    # The last bits of a product may round up over the cut: leave them room.
    return selection.jet.pt_min / largest_factor * (1.0 - 1e-9)


def enough_jets(jets: ak.Array, selection: Selection) -> ak.Array:
    """Mask of the events that have enough jets, one b-tagged, under some variation.

    Args:
        jets: what ``jet_momenta`` returns, unvaried.
        selection: the cuts.
    """
    good = good_jets(jets, selection.jet, pt_min=loosest_jet_pt(selection))
    tagged = good & b_tagged(jets, selection.jet)
    return (ak.sum(good, axis=1) >= selection.jet.n_min) & ak.any(tagged, axis=1)


def preselect(selection: Selection, events: Any) -> tuple[np.ndarray, dict[str, int]]:
    """The events that some variation may select, a superset of every region, and their cutflow.

    Args:
        selection: the cuts.
        events: NanoAOD collections with the columns in ``objects.COLUMNS``.

    Returns:
        A mask, ``events * bool``, and the number of events behind each nominal cut, in order.
    """
    leptonic = ak.to_numpy(one_lepton(events, selection))
    jets = jet_momenta(events.Jet[leptonic])
    mask = leptonic.copy()
    mask[leptonic] = ak.to_numpy(enough_jets(jets, selection))
    n_jets = ak.sum(good_jets(jets, selection.jet, pt_min=selection.jet.pt_min), axis=1)
    passed = (len(mask), np.count_nonzero(leptonic), ak.sum(n_jets >= selection.jet.n_min))
    return mask, dict(zip(CUTS, map(int, passed), strict=True))
