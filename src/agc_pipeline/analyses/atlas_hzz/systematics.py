"""Variations, as functions of the sign of the shift, of events and of ``physics.selection``."""

from typing import Any

import awkward as ak
import numpy as np

from .leptons import ELECTRON, GEV
from .settings import Selection


def scale_factors(sign: float, events: Any, selection: Selection) -> float:  # noqa: ARG001
    """The task's factor on all weights."""
    return 1.0 + sign * selection.scale_factors


def scaled_masses(sign: float, events: Any, selection: Selection) -> Any:
    """The events with all momenta scaled, and with them the mass."""
    return _scaled(events, 1.0 + sign * selection.mass_scale)


def electron_efficiency(sign: float, events: Any, selection: Selection) -> Any:
    """Factor for the efficiencies of the tight electrons of an event, ``events * float64``."""
    table = selection.electron_efficiency
    leptons = events.tight
    pt = ak.values_astype(leptons.pt, np.float64) / GEV
    shift = ak.zeros_like(pt)
    for pt_min, uncertainty in zip(table.pt_min, table.uncertainty, strict=True):
        shift = ak.where(pt >= pt_min, uncertainty, shift)
    return ak.prod(ak.where(leptons["type"] == ELECTRON, 1.0 + sign * shift, 1.0), axis=1)


def shifted_momenta(sign: float, events: Any, selection: Selection) -> Any:  # noqa: ARG001
    """The events with the momentum of each lepton shifted by its own uncertainty."""
    pt = ak.values_astype(events.lep.pt, np.float64)
    return _scaled(events, 1.0 + sign * ak.values_astype(events.lep.pt_syst, np.float64) / pt)


def _scaled(events: Any, factor: Any) -> Any:
    leptons = events.lep
    for field in ("pt", "E"):
        values = ak.values_astype(leptons[field], np.float64) * factor
        leptons = ak.with_field(leptons, values, field)
    return ak.with_field(events, leptons, "lep")
