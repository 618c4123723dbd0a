"""Selections and observable, as functions of events in awkward and of ``physics.selection``.

Momenta in files are in MeV.
"""

from typing import Any

import awkward as ak
import numpy as np
import vector

from .settings import Selection, TightCuts

vector.register_awkward()

ELECTRON, MUON = 11, 13
GEV = 1000.0
# Sum of the types of four leptons: 4e, 2e2mu, 4mu.
_PAIRS = (44, 48, 52)


def four_leptons(events: Any, selection: Selection) -> Any:  # noqa: ARG001 - it has no cuts
    """The task's selection, ``events * bool``: four leptons, of no charge, in pairs of flavours."""
    return (events.lep_n == 4) & _neutral_pairs(events.lep)


def with_tight_leptons(events: Any, selection: Selection) -> Any:
    """The events with what the three channels share.

    Returns:
        The events with ``tight``, their leptons within the cuts, and ``n_electrons``, the number of
        electrons among these where the event passes the tight selection, and -1 elsewhere.
    """
    cuts = selection.tight
    leptons = events.lep[_tight_mask(events.lep, cuts)]
    electrons = leptons["type"] == ELECTRON
    prompt = (_d0_significance(leptons) <= cuts.d0_significance_max) & (
        _z0_sin_theta(leptons) <= cuts.z0_sin_theta_max
    )
    in_reach = ~electrons | (
        (leptons.pt >= cuts.electron_pt_min * GEV) & (abs(leptons.eta) <= cuts.electron_abs_eta_max)
    )
    mask = (events.trigE | events.trigM) & (ak.num(leptons) == 4)
    mask = mask & _neutral_pairs(leptons) & ak.all(prompt & in_reach, axis=1)
    by_pt = _by_pt(leptons)
    for number, pt_min in enumerate(cuts.leading_pt_min):
        mask = mask & (by_pt[:, number] > pt_min * GEV)
    events = ak.with_field(events, leptons, "tight")
    return ak.with_field(events, ak.where(mask, ak.sum(electrons, axis=1), -1), "n_electrons")


def channel(n_electrons: int, events: Any, selection: Selection) -> Any:  # noqa: ARG001
    """Events of the tight selection with that many electrons, ``events * bool``."""
    return events.n_electrons == n_electrons


def four_lepton_mass(events: Any, selection: Selection) -> Any:  # noqa: ARG001
    """Mass of all leptons, ``events * float64``, GeV."""
    return _mass(events.lep)


def channel_mass(events: Any, selection: Selection) -> Any:  # noqa: ARG001
    """Mass of the four tight leptons, ``events * float64``, GeV."""
    return _mass(events.tight)


def leading_pt(number: int, events: Any, selection: Selection) -> Any:  # noqa: ARG001
    """Pt of one of the four tight leptons by pt, counted from 0: ``events * float64``, GeV."""
    return ak.values_astype(_by_pt(events.tight)[:, number], np.float64) / GEV


def d0_significance(events: Any, selection: Selection) -> Any:  # noqa: ARG001
    """Largest significance of the transverse impact parameter of tight leptons, ``events``."""
    return ak.max(_d0_significance(events.tight), axis=1, mask_identity=False)


def _by_pt(leptons: Any) -> Any:
    return ak.fill_none(ak.pad_none(ak.sort(leptons.pt, ascending=False), 4, clip=True), 0.0)


def _d0_significance(leptons: Any) -> Any:
    # As in df106. Where the format has the uncertainty of the impact parameter, this is its
    # significance.
    return abs(leptons.trackd0pvunbiased / leptons.tracksigd0pvunbiased)


def _z0_sin_theta(leptons: Any) -> Any:
    theta = 2.0 * np.arctan(np.exp(-leptons.eta))
    return abs(leptons.z0 * np.sin(theta))


def _tight_mask(leptons: Any, cuts: TightCuts) -> Any:
    return (
        (abs(leptons.eta) < cuts.lepton_abs_eta_max)
        & (leptons.pt > cuts.lepton_pt_min * GEV)
        & (leptons.ptcone30 / leptons.pt < cuts.relative_isolation_max)
        & (leptons.etcone20 / leptons.pt < cuts.relative_isolation_max)
    )


def _neutral_pairs(leptons: Any) -> Any:
    types = ak.sum(leptons["type"], axis=1)
    in_pairs = (types == _PAIRS[0]) | (types == _PAIRS[1]) | (types == _PAIRS[2])
    return (ak.sum(leptons.charge, axis=1) == 0) & in_pairs


def _mass(leptons: Any) -> Any:
    # In double precision: sums of single ones depend on the order of the leptons.
    momenta = ak.zip(
        {
            "pt": ak.values_astype(leptons.pt, np.float64),
            "eta": ak.values_astype(leptons.eta, np.float64),
            "phi": ak.values_astype(leptons.phi, np.float64),
            "energy": ak.values_astype(leptons.E, np.float64),
        },
        with_name="Momentum4D",
    )
    return ak.sum(momenta, axis=1).mass / GEV
