"""Functions of events for a discriminant, in the channels of the tight selection."""

from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.declaration import Feature

from .leptons import GEV, channel_mass, d0_significance, leading_pt
from .thresholds import CHANNELS

_MOMENTA = ("Lepton momentum scale",)
# GeV.
_Z_MASS = 91.19


def pair_mass(number: int, events: Any, selection: Any) -> Any:  # noqa: ARG001
    """Mass of a pair of one flavour and both charges, ``events * float64``, GeV.

    Args:
        number: 0 is the pair with the mass nearest to that of the Z boson, 1 the other one.
        events: of a channel.
        selection: not used.
    """

    def columns(name: str) -> Any:
        values = ak.values_astype(ak.flatten(events.tight[name]), np.float64)
        return ak.to_numpy(values).reshape(-1, 4)

    pt, eta, phi, energy, charge, kind = map(columns, ("pt", "eta", "phi", "E", "charge", "type"))
    momenta = np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    best = np.full(len(pt), np.inf)
    masses = np.zeros((2, len(pt)))
    # All ways to make two pairs of four leptons.
    for one, other in (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))):
        fits = np.ones(len(pt), np.bool_)
        pair = []
        for first, second in (one, other):
            fits &= (kind[:, first] == kind[:, second]) & (charge[:, first] != charge[:, second])
            total = momenta[:, :, first] + momenta[:, :, second]
            pair.append(
                np.sqrt(np.maximum(total[0] ** 2 - (total[1:] ** 2).sum(axis=0), 0.0)) / GEV
            )
        for first, second in (pair, pair[::-1]):
            distance = np.where(fits, np.abs(first - _Z_MASS), np.inf)
            nearer = distance < best
            best = np.where(nearer, distance, best)
            masses = np.where(nearer, np.stack([first, second]), masses)
    return masses[number]


FEATURES = (
    Feature("mass of the leptons", channel_mass, _MOMENTA, CHANNELS),
    Feature("mass of the first pair", partial(pair_mass, 0), _MOMENTA, CHANNELS),
    Feature("mass of the second pair", partial(pair_mass, 1), _MOMENTA, CHANNELS),
    Feature("pt of the first lepton", partial(leading_pt, 0), _MOMENTA, CHANNELS),
    Feature("pt of the fourth lepton", partial(leading_pt, 3), _MOMENTA, CHANNELS),
    # No systematic of the public inputs is one of impact parameters.
    Feature("significance of d0", d0_significance, (), CHANNELS),
)
