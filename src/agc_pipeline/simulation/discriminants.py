"""Discriminants of jets, drawn from distributions measured in simulated CMS events.

Each table holds the quantiles of a discriminant at the probabilities beside it, for jets with
|eta| < 2.4 in the 1000 ttbar events of NanoAODv5_sample.root (JuliaHEP/UnROOT.jl).
"""

import numpy as np

from agc_pipeline.simulation.flat import Collection

_PROBABILITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

# Hadron flavour to quantiles of btagCSVV2; light jets below and above 50 GeV.
_SOFT_LIGHT = (
    0.040, 0.100, 0.115, 0.138, 0.155, 0.180, 0.212, 0.262, 0.352, 0.463, 0.590, 0.735, 0.886, 0.99,
)  # fmt: skip
_HARD_LIGHT = (
    0.035, 0.067, 0.076, 0.088, 0.100, 0.118, 0.141, 0.174, 0.218, 0.305, 0.460, 0.603, 0.830, 0.97,
)  # fmt: skip
_CHARM = (
    0.055, 0.078, 0.096, 0.137, 0.203, 0.299, 0.416, 0.546, 0.692, 0.797, 0.877, 0.935, 0.979, 0.99,
)  # fmt: skip
_BOTTOM = (
    0.058, 0.196, 0.346, 0.672, 0.835, 0.904, 0.949, 0.973, 0.988, 0.994, 0.998, 0.999, 0.999, 1.0,
)  # fmt: skip
_SOFT = 50.0

# Quantiles of qgl by parton flavour.
_QUARK = (
    0.001, 0.036, 0.077, 0.191, 0.343, 0.531, 0.694, 0.838, 0.915, 0.964, 0.990, 0.996, 0.999, 1.0,
)  # fmt: skip
_GLUON = (
    0.001, 0.012, 0.024, 0.058, 0.112, 0.199, 0.322, 0.473, 0.661, 0.878, 0.977, 0.998, 0.999, 1.0,
)  # fmt: skip
_HEAVY = (
    0.001, 0.011, 0.025, 0.076, 0.164, 0.293, 0.463, 0.648, 0.811, 0.912, 0.980, 0.992, 0.999, 1.0,
)  # fmt: skip

BTAG_MISSING = -10.0
QGL_MISSING = -1.0

# Jets without tracks have no b-tag: nearly all outside the tracker, few inside, more if they are
# pile-up. Jets below 20 GeV have no qgl, others sometimes. Both samples.
_TRACKER_ETA_MAX = 2.4
_NO_BTAG_OUTSIDE = 0.95
_NO_BTAG_INSIDE = 0.02
_NO_BTAG_PILE_UP = 0.3
_QGL_PT_MIN = 20.0
_NO_QGL = 0.04


def draw(
    jets: Collection, generator: np.random.Generator, *, bottom_exponent: float
) -> tuple[np.ndarray, np.ndarray]:
    """Discriminants of reconstructed jets.

    Args:
        jets: pt, eta, hadron_flavour and parton_flavour (0 for pile-up).
        generator: random numbers.
        bottom_exponent: power of the uniform number that a b jet's btagCSVV2 is drawn with: one
            gives the measured distribution, more a lower efficiency.

    Returns:
        btagCSVV2 in [0, 1] or -10 where it is missing, and qgl in [0, 1] or -1.
    """
    return _btag(jets, generator, bottom_exponent), _qgl(jets, generator)


def _btag(jets: Collection, generator: np.random.Generator, bottom_exponent: float) -> np.ndarray:
    uniform = generator.random(len(jets))
    flavour, soft = jets["hadron_flavour"], jets["pt"] < _SOFT
    value = np.select(
        [flavour == 5, flavour == 4, soft],
        [
            np.interp(uniform**bottom_exponent, _PROBABILITIES, _BOTTOM),
            np.interp(uniform, _PROBABILITIES, _CHARM),
            np.interp(uniform, _PROBABILITIES, _SOFT_LIGHT),
        ],
        np.interp(uniform, _PROBABILITIES, _HARD_LIGHT),
    )
    missing = np.select(
        [np.abs(jets["eta"]) > _TRACKER_ETA_MAX, jets["parton_flavour"] == 0],
        [_NO_BTAG_OUTSIDE, _NO_BTAG_PILE_UP],
        _NO_BTAG_INSIDE,
    )
    return np.where(generator.random(len(value)) < missing, BTAG_MISSING, value)


def _qgl(jets: Collection, generator: np.random.Generator) -> np.ndarray:
    uniform = generator.random(len(jets))
    flavour = np.abs(jets["parton_flavour"])
    value = np.select(
        [flavour >= 21, flavour >= 4, flavour > 0],
        [
            np.interp(uniform, _PROBABILITIES, _GLUON),
            np.interp(uniform, _PROBABILITIES, _HEAVY),
            np.interp(uniform, _PROBABILITIES, _QUARK),
        ],
        np.interp(uniform, _PROBABILITIES, _GLUON),
    )
    missing = (jets["pt"] < _QGL_PT_MIN) | (generator.random(len(value)) < _NO_QGL)
    return np.where(missing, QGL_MISSING, value)
