"""Good leptons and jets, and jets under the variations of their momentum.

Cuts compare the stored single-precision values, widened to double precision, with the double
precision bounds of the configuration; nothing is rounded to single precision on the way.
"""

from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.analyses.cms_ttbar.settings import ElectronCuts, JetCuts, MuonCuts

# Everything that selection, observables and jet assignment read, and what coffea's NanoAODSchema
# needs to build the collections.
COLUMNS = {
    "": ("run", "luminosityBlock", "event"),
    "Electron": ("pt", "eta", "phi", "mass", "charge", "cutBased", "sip3d"),
    "Muon": ("pt", "eta", "phi", "mass", "charge", "tightId", "sip3d", "pfRelIso04_all"),
    "Jet": ("pt", "eta", "phi", "mass", "btagCSVV2", "jetId", "qgl"),
}


def exact(array: ak.Array) -> ak.Array:
    """The same numbers in double precision."""
    return ak.values_astype(array, np.float64)


def good_electrons(electrons: Any, cuts: ElectronCuts) -> ak.Array:
    """Mask of the good electrons: ``events * var * bool``. Reads pt, eta, cutBased, sip3d."""
    return (
        (exact(electrons.pt) > cuts.pt_min)
        & (abs(exact(electrons.eta)) < cuts.abs_eta_max)
        & (electrons.cutBased == cuts.cut_based)
        & (exact(electrons.sip3d) < cuts.sip3d_max)
    )


def good_muons(muons: Any, cuts: MuonCuts) -> ak.Array:
    """Mask of the good muons: ``events * var * bool``.

    Reads pt, eta, tightId, sip3d, pfRelIso04_all.
    """
    return (
        (exact(muons.pt) > cuts.pt_min)
        & (abs(exact(muons.eta)) < cuts.abs_eta_max)
        & muons.tightId
        & (exact(muons.sip3d) < cuts.sip3d_max)
        & (exact(muons.pfRelIso04_all) < cuts.relative_isolation_max)
    )


def jet_momenta(jets: Any) -> ak.Array:
    """The jets' columns that selection and observables use, in double precision.

    Args:
        jets: NanoAOD ``Jet``; GeV.

    Returns:
        ``events * var * {pt, eta, phi, mass, btag, jet_id}``; GeV.
    """
    return ak.zip(
        {
            "pt": exact(jets.pt),
            "eta": exact(jets.eta),
            "phi": exact(jets.phi),
            "mass": exact(jets.mass),
            "btag": exact(jets.btagCSVV2),
            "jet_id": jets.jetId,
        }
    )


def good_jets(jets: ak.Array, cuts: JetCuts, *, pt_min: float) -> ak.Array:
    """Mask of the good jets: ``events * var * bool``.

    Args:
        jets: what ``jet_momenta`` returns, possibly with varied pt.
        cuts: the cuts other than pt.
        pt_min: exclusive lower bound on pt in GeV.
    """
    return (jets.pt > pt_min) & (abs(jets.eta) < cuts.abs_eta_max) & (jets.jet_id == cuts.jet_id)


def b_tagged(jets: ak.Array, cuts: JetCuts) -> ak.Array:
    """Mask of the b-tagged jets: ``events * var * bool``."""
    return jets.btag > cuts.btag_min
