"""Functions of events that a discriminant may be made of.

Systematics know of momenta and number of jets. None knows of the values of the b-tagging, nor of
the trigger of leptons, as for the thresholds.
"""

from functools import partial
from typing import Any

import numpy as np

from agc_pipeline.declaration import Feature
from agc_pipeline.readers.columns import Array

from .regions import ht, lepton_pt, number_of_jets, trijet_mass
from .settings import Selection
from .thresholds import JETS, MODELLING

_KNOWN = (*JETS, *MODELLING)


def largest(field: str, number: int, events: Any, _: Selection) -> Array:
    """One of the largest values of a field of good jets, counted from 0: ``events * float64``."""
    jets = events.jets
    values, offsets = jets[field], jets.offsets
    event = np.repeat(np.arange(len(events)), np.diff(offsets))
    ordered: Array = values[np.lexsort((-values, event))]
    nth: Array = ordered[offsets[:-1] + number]
    return nth


def central_share(events: Any, selection: Selection) -> Array:
    """Pt of the three leading jets as a share of that of all: ``events * float64``."""
    leading = sum(largest("pt", number, events, selection) for number in range(3))
    return np.asarray(leading) / ht(events, selection)


def mass_of_jets(events: Any, _: Selection) -> Array:
    """Mass of all good jets: ``events * float64`` in GeV."""
    jets = events.jets
    pt, eta, phi, mass = (jets[name] for name in ("pt", "eta", "phi", "mass"))
    momenta = (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    energy = np.sqrt(mass**2 + (pt * np.cosh(eta)) ** 2)
    sums = [np.add.reduceat(part, jets.offsets[:-1]) for part in (energy, *momenta)]
    squared = sums[0] ** 2 - sum(part**2 for part in sums[1:])
    total: Array = np.sqrt(np.maximum(squared, 0.0))
    return total


FEATURES = (
    Feature("HT", ht, _KNOWN),
    Feature("m_bjj", trijet_mass, _KNOWN),
    Feature("number of jets", number_of_jets, _KNOWN),
    Feature("pt of the first jet", partial(largest, "pt", 0), _KNOWN),
    Feature("pt of the second jet", partial(largest, "pt", 1), _KNOWN),
    Feature("pt of the fourth jet", partial(largest, "pt", 3), _KNOWN),
    Feature("share of the leading jets", central_share, _KNOWN),
    Feature("mass of the jets", mass_of_jets, _KNOWN),
    Feature("lepton pt", lepton_pt),
    Feature("largest b-tag", partial(largest, "btagCSVV2", 0)),
    Feature("second b-tag", partial(largest, "btagCSVV2", 1)),
)
