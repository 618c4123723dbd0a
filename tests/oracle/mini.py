"""The selections of H to ZZ* to four leptons, as plain loops over the events of a file."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uproot


def events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file, one after the other."""
    with uproot.open(path) as file:
        arrays = file["mini"].arrays(library="np")
    for i in range(len(arrays["lep_n"])):
        yield {name: values[i] for name, values in arrays.items()}


def mass(event: Mapping[str, Any], leptons: list[int]) -> float:
    """Mass of some leptons of an event, GeV."""
    px = py = pz = energy = 0.0
    for i in leptons:
        pt, eta, phi = (float(event[f"lep_{name}"][i]) for name in ("pt", "eta", "phi"))
        px += pt * math.cos(phi)
        py += pt * math.sin(phi)
        pz += pt * math.sinh(eta)
        energy += float(event["lep_E"][i])
    return math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0)) / 1000.0


def pairs(event: Mapping[str, Any], leptons: list[int]) -> bool:
    charge = sum(int(event["lep_charge"][i]) for i in leptons)
    return charge == 0 and sum(int(event["lep_type"][i]) for i in leptons) in (44, 48, 52)


def task(event: Mapping[str, Any]) -> float | None:
    """The observable of the task's selection; None if the event is not selected."""
    leptons = list(range(len(event["lep_pt"])))
    if event["lep_n"] != 4 or not pairs(event, leptons):
        return None
    return mass(event, leptons)


def tight(event: Mapping[str, Any]) -> tuple[str, float] | None:
    """Channel and observable of the tight selection; None if the event is not selected."""
    leptons = [
        i
        for i in range(len(event["lep_pt"]))
        if abs(event["lep_eta"][i]) < 2.5
        and event["lep_pt"][i] > 5000
        and event["lep_ptcone30"][i] / event["lep_pt"][i] < 0.3
        and event["lep_etcone20"][i] / event["lep_pt"][i] < 0.3
    ]
    triggered = event["trigE"] or event["trigM"]
    if not triggered or len(leptons) != 4 or not pairs(event, leptons):
        return None
    leading = sorted((float(event["lep_pt"][i]) for i in leptons), reverse=True)
    if not (leading[0] > 25000 and leading[1] > 15000 and leading[2] > 10000):
        return None
    if not all(prompt(event, i) for i in leptons):
        return None
    electrons = sum(event["lep_type"][i] == 11 for i in leptons)
    return {4: "4e", 2: "2e2mu", 0: "4mu"}[electrons], mass(event, leptons)


def prompt(event: Mapping[str, Any], i: int) -> bool:
    theta = 2 * math.atan(math.exp(-event["lep_eta"][i]))
    return (
        abs(event["lep_trackd0pvunbiased"][i] / event["lep_tracksigd0pvunbiased"][i]) <= 5
        and abs(event["lep_z0"][i] * math.sin(theta)) <= 0.5
        and (
            event["lep_type"][i] != 11
            or (event["lep_pt"][i] >= 7000 and abs(event["lep_eta"][i]) <= 2.47)
        )
    )
