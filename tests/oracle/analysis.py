"""Selection, observables and variations, event by event in double precision.

Every number is from sections 2 to 5 of the specification. Nothing is vectorised, looked up or
shared between variations: each of them starts again from the stored event.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from oracle.events import Electron, Event, Jet, Muon

Smear = Callable[[int, int, int, int], float]
"""Standard normal number of (run, lumi, event, index of the jet in the stored collection)."""

Key = tuple[str, str]
"""Region and variation."""

REGIONS = ("4j1b", "4j2b")
OBJECT_VARIATIONS = ("pt_scale_up", "pt_res_up")
BTAG_VARIATIONS = tuple(f"btag_var_{i}_{side}" for i in range(4) for side in ("up", "down"))
WJETS_VARIATIONS = ("scale_var_up", "scale_var_down")
ALTERNATIVE_TTBAR = ("ME_var", "PS_var", "scaleup", "scaledown")

EDGES = [50.0 + 20.0 * i for i in range(26)]
MASS_TOLERANCE = 1e-6
PT_TOLERANCE = 1e-9


class Entry(NamedTuple):
    """One entry of a histogram: value of the observable in GeV, and relative weight."""

    value: float
    weight: float


class Histogram(NamedTuple):
    """Underflow, 25 bins and overflow: entries, sums of weights, sums of squared weights."""

    entries: list[int]
    sumw: list[float]
    sumw2: list[float]


class Trijet(NamedTuple):
    """A three-jet system; GeV."""

    pt: float
    mass: float


def good_electron(electron: Electron) -> bool:
    return (
        electron.pt > 30.0
        and abs(electron.eta) < 2.1
        and electron.cut_based == 4
        and electron.sip3d < 4.0
    )


def good_muon(muon: Muon) -> bool:
    return (
        muon.pt > 30.0
        and abs(muon.eta) < 2.1
        and muon.tight_id
        and muon.sip3d < 4.0
        and muon.relative_isolation < 0.15
    )


def one_lepton(event: Event) -> bool:
    n_electrons = sum(good_electron(electron) for electron in event.electrons)
    n_muons = sum(good_muon(muon) for muon in event.muons)
    return n_electrons + n_muons == 1


def varied_jets(event: Event, variation: str, smear: Smear) -> list[Jet]:
    """All jets with the pt of an object variation; weight variations leave it as stored."""
    jets = []
    for jet in event.jets:
        pt = jet.pt
        if variation == "pt_scale_up":
            pt = jet.pt * 1.03
        elif variation == "pt_res_up":
            pt = jet.pt * (1.0 + 0.05 * smear(event.run, event.lumi, event.number, jet.index))
        jets.append(replace(jet, pt=pt))
    return jets


def good_jet(jet: Jet) -> bool:
    return jet.pt > 30.0 and abs(jet.eta) < 2.4 and jet.jet_id == 6


def b_tagged(jet: Jet) -> bool:
    return jet.btag > 0.5


def region(jets: list[Jet]) -> str | None:
    """Region of an event with these selected jets; None if it is in none."""
    if len(jets) < 4:
        return None
    n_tagged = sum(b_tagged(jet) for jet in jets)
    if n_tagged == 1:
        return "4j1b"
    if n_tagged >= 2:
        return "4j2b"
    return None


def scalar_sum_pt(jets: list[Jet]) -> float:
    total = 0.0
    for jet in jets:
        total += jet.pt
    return total


def four_momentum(jet: Jet) -> tuple[float, float, float, float]:
    """Components px, py, pz and E with E^2 = p^2 + m^2."""
    px = jet.pt * math.cos(jet.phi)
    py = jet.pt * math.sin(jet.phi)
    pz = jet.pt * math.sinh(jet.eta)
    return px, py, pz, math.sqrt(px * px + py * py + pz * pz + jet.mass * jet.mass)


def trijets(jets: list[Jet]) -> list[Trijet]:
    """All triplets with a b-tagged jet, in the order of three nested loops over the jets."""
    found = []
    for i in range(len(jets)):
        for j in range(i + 1, len(jets)):
            for k in range(j + 1, len(jets)):
                if not (b_tagged(jets[i]) or b_tagged(jets[j]) or b_tagged(jets[k])):
                    continue
                first = four_momentum(jets[i])
                second = four_momentum(jets[j])
                third = four_momentum(jets[k])
                px, py, pz, energy = (first[c] + second[c] + third[c] for c in range(4))
                # Rounding can leave collinear massless jets with a negative square.
                mass2 = energy * energy - px * px - py * py - pz * pz
                found.append(Trijet(math.sqrt(px * px + py * py), math.sqrt(max(mass2, 0.0))))
    return found


def leading_trijet(jets: list[Jet]) -> Trijet:
    """The triplet of the largest pt; the first of them if several share it."""
    candidates = trijets(jets)
    leading = candidates[0]
    for candidate in candidates[1:]:
        if candidate.pt > leading.pt:
            leading = candidate
    return leading


def weight(jets: list[Jet], variation: str) -> float:
    """Relative weight of an event; 1 for the nominal and the object variations."""
    if variation == "scale_var_up":
        return 1.025
    if variation == "scale_var_down":
        return 0.975
    for i in range(4):
        if variation == f"btag_var_{i}_up":
            return 1.0 + 0.075 * jets[i].pt / 50.0
        if variation == f"btag_var_{i}_down":
            return 1.0 - 0.075 * jets[i].pt / 50.0
    return 1.0


def variations(process: str, variation: str) -> tuple[str, ...]:
    """The variations that a dataset fills."""
    if variation != "nominal":
        if process != "ttbar" or variation not in ALTERNATIVE_TTBAR:
            raise ValueError(f"no dataset {process}__{variation}")
        return (variation,)
    wjets = WJETS_VARIATIONS if process == "wjets" else ()
    return ("nominal", *OBJECT_VARIATIONS, *BTAG_VARIATIONS, *wjets)


def filled(
    events: Iterable[Event], process: str, variation: str, *, smear: Smear
) -> dict[Key, list[Entry]]:
    """What each histogram of a dataset is filled with, in the order of the events."""
    shifts = variations(process, variation)
    found: dict[Key, list[Entry]] = {(name, shift): [] for name in REGIONS for shift in shifts}
    for event in events:
        if not one_lepton(event):
            continue
        for shift in shifts:
            jets = [jet for jet in varied_jets(event, shift, smear) if good_jet(jet)]
            name = region(jets)
            if name is None:
                continue
            value = scalar_sum_pt(jets) if name == "4j1b" else leading_trijet(jets).mass
            found[name, shift].append(Entry(value, weight(jets, shift)))
    return found


def histogram(entries: Iterable[Entry]) -> Histogram:
    """Fill 25 bins of 20 GeV from 50 to 550, lower edges inclusive; sums rounded once."""
    bins: list[list[float]] = [[] for _ in range(len(EDGES) + 1)]
    for entry in entries:
        bins[bisect_right(EDGES, entry.value)].append(entry.weight)
    return Histogram(
        entries=[len(weights) for weights in bins],
        sumw=[math.fsum(weights) for weights in bins],
        sumw2=[math.fsum(w * w for w in weights) for weights in bins],
    )


def analyse(
    events: Iterable[Event], process: str, variation: str, *, smear: Smear
) -> dict[Key, Histogram]:
    """All histograms of a dataset, unnormalised; those without entries too."""
    found = filled(events, process, variation, smear=smear)
    return {key: histogram(entries) for key, entries in found.items()}


def migrations(
    events: Iterable[Event], process: str, *, smear: Smear
) -> dict[Key, dict[tuple[int, int], int]]:
    """Number of events by the bins that they are in without and with an object variation.

    Both in the same region; bins as in ``Histogram``, 0 is the underflow.
    """
    counts: dict[Key, dict[tuple[int, int], int]] = {
        (name, shift): {} for name in REGIONS for shift in OBJECT_VARIATIONS
    }
    for event in events:
        entries = filled([event], process, "nominal", smear=smear)
        for (name, shift), cells in counts.items():
            pair = (*entries[name, "nominal"], *entries[name, shift])
            if len(pair) == 2:
                before, after = (bisect_right(EDGES, entry.value) for entry in pair)
                cells[before, after] = cells.get((before, after), 0) + 1
    return counts


def cutflow(events: Iterable[Event]) -> dict[str, int]:
    """Number of events after each cut of the nominal selection; the last two are exclusive."""
    counts = {"all": 0, "one lepton": 0, "four jets": 0, "4j1b": 0, "4j2b": 0}
    for event in events:
        counts["all"] += 1
        if not one_lepton(event):
            continue
        counts["one lepton"] += 1
        jets = [jet for jet in event.jets if good_jet(jet)]
        if len(jets) < 4:
            continue
        counts["four jets"] += 1
        name = region(jets)
        if name is not None:
            counts[name] += 1
    return counts


def undecided(events: Iterable[Event], *, smear: Smear) -> bool:
    """Whether rounding may decide a bin, so that two correct programs can differ.

    That is the case if two triplets of different mass share the largest pt, or if a mass is at
    an edge of a bin. Cuts and HT are not meant: their arithmetic is fixed to the last bit.
    """
    for event in events:
        for shift in ("nominal", *OBJECT_VARIATIONS):
            jets = [jet for jet in varied_jets(event, shift, smear) if good_jet(jet)]
            if not one_lepton(event) or region(jets) != "4j2b":
                continue
            leading = leading_trijet(jets)
            if any(abs(leading.mass - edge) < MASS_TOLERANCE for edge in EDGES):
                return True
            for other in trijets(jets):
                close = abs(other.pt - leading.pt) <= PT_TOLERANCE * leading.pt
                if close and abs(other.mass - leading.mass) > MASS_TOLERANCE:
                    return True
    return False
