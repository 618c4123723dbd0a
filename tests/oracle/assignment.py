"""Assignments of jets to partons and their features, one after the other."""

import math
from collections.abc import Callable, Iterable
from itertools import permutations as ordered
from typing import Any

from oracle.analysis import (
    Entry,
    Smear,
    four_momentum,
    good_electron,
    good_jet,
    good_muon,
    one_lepton,
    region,
    variations,
    varied_jets,
    weight,
)
from oracle.events import Electron, Event, Jet, Muon


def assignments(n_jets: int) -> list[tuple[int, int, int, int]]:
    """Jets of the W, the later one first; b of the hadronic top, b of the leptonic one."""
    return sorted(chosen for chosen in ordered(range(n_jets), 4) if chosen[0] > chosen[1])


def azimuth(phi: float, other: float, *, wrapped: bool) -> float:
    """Difference of two azimuths, the short way round if it is wrapped."""
    if not wrapped:
        return phi - other
    difference = phi - other
    while difference > math.pi:
        difference -= 2 * math.pi
    while difference < -math.pi:
        difference += 2 * math.pi
    return difference


def delta_r(one: Any, other: Any, *, wrapped: bool) -> float:
    return math.hypot(one.eta - other.eta, azimuth(one.phi, other.phi, wrapped=wrapped))


def together(*objects: Any) -> tuple[float, float]:
    """Mass and pt of a system; GeV."""
    px, py, pz, energy = (sum(four_momentum(each)[c] for each in objects) for c in range(4))
    return math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0)), math.hypot(px, py)


def features(
    jets: list[Jet], lepton: Electron | Muon, chosen: tuple[int, int, int, int], *, wrapped: bool
) -> list[float]:
    """The twenty features of section 7 for one assignment, in their order."""
    w1, w2, b_hadronic, b_leptonic = (jets[position] for position in chosen)
    in_order = (w1, w2, b_hadronic, b_leptonic)
    return [
        delta_r(lepton, b_leptonic, wrapped=wrapped),
        delta_r(w1, w2, wrapped=wrapped),
        delta_r(w1, b_hadronic, wrapped=wrapped),
        delta_r(w2, b_hadronic, wrapped=wrapped),
        together(lepton, b_leptonic)[0],
        together(w1, w2)[0],
        *together(w1, w2, b_hadronic),
        *(jet.pt for jet in in_order),
        *(jet.btag for jet in in_order),
        *(jet.qgl for jet in in_order),
    ]


Score = Callable[[int, list[list[float]]], list[float]]
"""Scores of all assignments of an event with this number, from their features."""


def best_features(
    event: Event, jets: list[Jet], *, score: Score, wrapped: bool = True
) -> list[float]:
    """Features of the assignment of up to six leading jets that scores highest."""
    (lepton,) = [
        *(electron for electron in event.electrons if good_electron(electron)),
        *(muon for muon in event.muons if good_muon(muon)),
    ]
    leading = jets[:6]
    rows = [
        features(leading, lepton, chosen, wrapped=wrapped) for chosen in assignments(len(leading))
    ]
    scores = score(event.number, rows)
    return rows[scores.index(max(scores))]


def filled(
    events: Iterable[Event], process: str, variation: str, *, smear: Smear, score: Score
) -> dict[tuple[int, str], list[Entry]]:
    """What the histogram of each feature and variation is filled with."""
    shifts = variations(process, variation)
    found: dict[tuple[int, str], list[Entry]] = {
        (feature, shift): [] for feature in range(20) for shift in shifts
    }
    for event in events:
        for shift in shifts if one_lepton(event) else ():
            jets = [jet for jet in varied_jets(event, shift, smear) if good_jet(jet)]
            if region(jets) != "4j2b":
                continue
            for feature, value in enumerate(best_features(event, jets, score=score)):
                found[feature, shift].append(Entry(value, weight(jets, shift)))
    return found
