"""Good leptons and jets, and what every event must have.

Source: task of the IRIS-HEP Analysis Grand Challenge, version 2; numbers in
``config/cms_ttbar/physics.yaml``.
"""

import numpy as np

from agc_pipeline.declaration import Count, Cut, Dataset, Objects

from .settings import Selection


def good_electrons(selection: Selection) -> Objects:
    """Electrons that are identified, isolated, central and from the collision."""
    cuts = selection.electron
    return Objects(
        "electrons",
        "Electron",
        (
            Cut("cutBased", "==", cuts.cut_based),
            Cut("pt", ">", cuts.pt_min),
            Cut("abs(eta)", "<", cuts.abs_eta_max),
            Cut("sip3d", "<", cuts.sip3d_max),
        ),
    )


def good_muons(selection: Selection) -> Objects:
    """Muons that are identified, isolated, central and from the collision."""
    cuts = selection.muon
    return Objects(
        "muons",
        "Muon",
        (
            Cut("tightId", "!=", 0),
            Cut("pt", ">", cuts.pt_min),
            Cut("abs(eta)", "<", cuts.abs_eta_max),
            Cut("sip3d", "<", cuts.sip3d_max),
            Cut("pfRelIso04_all", "<", cuts.relative_isolation_max),
        ),
    )


def good_jets(selection: Selection) -> Objects:
    """Jets that are identified and central."""
    cuts = selection.jet
    return Objects(
        "jets",
        "Jet",
        (
            Cut("pt", ">", cuts.pt_min),
            Cut("abs(eta)", "<", cuts.abs_eta_max),
            Cut("jetId", "==", cuts.jet_id),
        ),
        # What four-momenta need beside pt, for all variations of it.
        columns={
            "cos_phi": lambda jets: np.cos(jets.phi),
            "sin_phi": lambda jets: np.sin(jets.phi),
            "sinh_eta": lambda jets: np.sinh(jets.eta),
            "cosh_eta": lambda jets: np.cosh(jets.eta),
        },
    )


def requirements(selection: Selection, _: Dataset) -> tuple[Count, ...]:
    """One lepton, and four jets of which one is b-tagged."""
    jets = good_jets(selection)
    tagged = jets.among("tagged", Cut("btagCSVV2", ">", selection.jet.btag_min))
    return (
        Count((good_electrons(selection), good_muons(selection)), "==", 1, "one lepton"),
        Count((jets,), ">=", selection.jet.n_min, "four jets"),
        Count((tagged,), ">=", 1),
    )
