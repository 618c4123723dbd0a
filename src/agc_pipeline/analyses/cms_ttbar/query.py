"""The preselection as a query to a transformation service, and no tighter than it."""

from agc_pipeline.analyses.base import Query
from agc_pipeline.analyses.cms_ttbar.objects import COLUMNS
from agc_pipeline.analyses.cms_ttbar.preselection import loosest_jet_pt
from agc_pipeline.analyses.cms_ttbar.settings import ElectronCuts, MuonCuts, Selection

__all__ = ["query"]

# How far a bound is moved, relative to it. A service may round bounds to single precision (6e-8)
# before it compares: stay well clear of that.
_LOOSE = 1e-5
_TIGHT = -_LOOSE


def query(selection: Selection) -> Query:
    """The query for every event that the preselection may keep.

    "Exactly one good lepton" is not monotonic in the cuts: a bound that is only loosened gives
    events a second lepton. So at least one lepton must pass the loosened cuts, and at most one
    the tightened ones. Reducers have an explicit ``axis``, as their default differs among services.
    """
    electron, muon, jet = selection.electron, selection.muon, selection.jet
    leptons = {
        slack: f"{_count(_electrons(electron, slack))} + {_count(_muons(muon, slack))}"
        for slack in (_LOOSE, _TIGHT)
    }
    jets = _all(
        f"(Jet_pt > {_lower(loosest_jet_pt(selection), _LOOSE)})",
        f"(abs(Jet_eta) < {_upper(jet.abs_eta_max, _LOOSE)})",
        f"(Jet_jetId == {jet.jet_id})",
    )
    tagged = _all(jets, f"(Jet_btagCSVV2 > {_lower(jet.btag_min, _LOOSE)})")
    return Query(
        cut=_all(
            f"({leptons[_LOOSE]} >= 1)",
            f"({leptons[_TIGHT]} <= 1)",
            f"({_count(jets)} >= {jet.n_min})",
            f"any({tagged}, axis=1)",
        ),
        columns=COLUMNS,
    )


def _electrons(cuts: ElectronCuts, slack: float) -> str:
    return _all(
        f"(Electron_pt > {_lower(cuts.pt_min, slack)})",
        f"(abs(Electron_eta) < {_upper(cuts.abs_eta_max, slack)})",
        f"(Electron_cutBased == {cuts.cut_based})",
        f"(Electron_sip3d < {_upper(cuts.sip3d_max, slack)})",
    )


def _muons(cuts: MuonCuts, slack: float) -> str:
    return _all(
        f"(Muon_pt > {_lower(cuts.pt_min, slack)})",
        f"(abs(Muon_eta) < {_upper(cuts.abs_eta_max, slack)})",
        "(Muon_tightId != 0)",
        f"(Muon_sip3d < {_upper(cuts.sip3d_max, slack)})",
        f"(Muon_pfRelIso04_all < {_upper(cuts.relative_isolation_max, slack)})",
    )


def _lower(bound: float, slack: float) -> str:
    """A lower bound: positive slack moves it down."""
    return repr(bound - slack * max(1.0, abs(bound)))


def _upper(bound: float, slack: float) -> str:
    """An upper bound: positive slack moves it up."""
    return _lower(bound, -slack)


def _count(mask: str) -> str:
    return f"count_nonzero({mask}, axis=1)"


def _all(*masks: str) -> str:
    return " & ".join(masks)
