"""Datasets that are part of others: which events they have, by quantities of the generator."""

from typing import NamedTuple

import numpy as np

from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.settings import Subset
from agc_pipeline.simulation.truth import IS_FIRST_COPY, IS_LAST_COPY

_BOTTOM, _TOP, _W = 5, 6, 24
# Scales that make the quantities dimensionless, GeV.
_RECOIL, _HARDNESS = 50.0, 200.0
_HARDNESS_MIN = 10.0
# Where b-tagging reaches, as in the selection of jets; GeV.
_PT_MIN, _ETA_MAX = 30.0, 2.4
_RADIATION_MAX = 0.5


class Quantities(NamedTuple):
    """Generator quantities of events, ``events * float64`` each; see ``Subset`` for what they are.

    They are of order one.
    """

    recoil: np.ndarray
    radiation: np.ndarray
    hardness: np.ndarray
    bottom: np.ndarray
    hadronic: np.ndarray


def quantities(particles: Collection) -> Quantities:
    """Quantities of events with two top quarks.

    Args:
        particles: ``GenPart`` of NanoAOD, with first and last copies.
    """
    n_events = len(particles.counts)
    pt, phi = (particles[name].astype(np.float64) for name in ("pt", "phi"))
    kind, flags = np.abs(particles["pdgId"]), particles["statusFlags"]
    first, last = flags & IS_FIRST_COPY > 0, flags & IS_LAST_COPY > 0
    event = particles.event
    start = np.cumsum(particles.counts) - particles.counts
    mother = particles["genPartIdxMother"]
    parent = np.where(mother >= 0, mother + start[event], 0)

    def total(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.bincount(event[mask], weights=values[mask], minlength=n_events)

    tops = (kind == _TOP) & last
    recoil = np.hypot(total(pt * np.cos(phi), tops), total(pt * np.sin(phi), tops))
    quarks = (kind <= _BOTTOM) & first & (mother >= 0) & np.isin(kind[parent], (_TOP, _W))
    hardness = total(pt, quarks)
    # What is left of these quarks stands behind them, with them as mothers.
    showered = (kind <= _BOTTOM) & last & ~first & quarks[parent]
    radiated = total(pt[parent] - pt, showered)
    share = np.divide(radiated, hardness, out=np.zeros(n_events), where=hardness > 0)
    ones = np.ones(len(pt))
    reached = quarks & (kind == _BOTTOM) & (pt > _PT_MIN) & (np.abs(particles["eta"]) < _ETA_MAX)
    return Quantities(
        np.log1p(recoil / _RECOIL),
        np.clip(share, -_RADIATION_MAX, _RADIATION_MAX),
        np.log(np.maximum(hardness, _HARDNESS_MIN) / _HARDNESS),
        (total(ones, reached) >= 2).astype(np.float64),
        (total(ones, quarks) == 4).astype(np.float64),
    )


def acceptance(events: Quantities, subset: Subset) -> np.ndarray:
    """Probability of each event to be in a subset: ``events * float64``."""
    exponent = subset.constant + sum(
        getattr(subset, name) * getattr(events, name) for name in Quantities._fields
    )
    probability: np.ndarray = 1.0 / (1.0 + np.exp(-exponent))
    return probability
