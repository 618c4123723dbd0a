"""The physics, as functions of coffea's NanoEvents and of ``physics.selection``."""

from typing import Any

import awkward as ak

from .settings import Selection


def good_muons(events: Any, selection: Selection) -> Any:
    """Muons that pass the cuts: ``events * var``."""
    muons = events.Muon
    # Arrays of single precision compare in it, `requirements` in double precision: with a cut in
    # both, or values on the bound, widen them by `ak.values_astype(muons.pt, np.float64)`.
    return muons[(muons.pt > selection.pt_min) & (abs(muons.eta) < selection.abs_eta_max)]


def opposite_charges(events: Any, selection: Selection) -> Any:
    """Events with exactly two good muons, of opposite charges: ``events * bool``."""
    muons = good_muons(events, selection)
    return (ak.num(muons) == 2) & (ak.sum(muons.charge, axis=1) == 0)


def pair_mass(events: Any, selection: Selection) -> Any:
    """Mass of the two good muons: ``events``, GeV."""
    muons = good_muons(events, selection)
    return (muons[:, 0] + muons[:, 1]).mass


def scaled_muons(sign: float, events: Any, selection: Selection) -> Any:
    """The events with another scale of the muons' momenta."""
    muons = ak.with_field(events.Muon, events.Muon.pt * (1.0 + sign * selection.muon_scale), "pt")
    return ak.with_field(events, muons, "Muon")
