"""Toy events in the format of ATLAS Open Data's 4lep collection."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

# Of the datasets, as in the collection.
WEIGHTS = {
    "Zee": 1901.2,
    "Zmumu": 1901.2,
    "ttbar_lep": 1.0,
    "llll": 0.42,
    "ggH125_ZZ4lep": 28.3,
    "VBFH125_ZZ4lep": 3.76,
    "WH125_ZZ4lep": 1.0,
    "ZH125_ZZ4lep": 1.0,
}


def columns(dataset: str, n_events: int, seed: int) -> dict[str, Any]:
    """Columns of events, of which most have four isolated leptons; some weights are negative."""
    rng = np.random.default_rng(seed)
    counts = rng.choice([3, *[4] * 8, 5], n_events)
    total = int(counts.sum())
    pt = np.sort(rng.exponential(25e3, total) + 6e3)[::-1]
    eta = rng.uniform(-2.5, 2.5, total)
    # By turns, so that a few events have all channels.
    types = np.repeat(np.resize([11, 13], n_events), counts)
    mixed = np.repeat(np.resize([True, False, False], n_events), counts)
    position = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    types = np.where(mixed & (position >= 2), 24 - types, types)
    flat = {
        "pt": pt[rng.permutation(total)],
        "eta": eta,
        "phi": rng.uniform(-np.pi, np.pi, total),
        "ptcone30": rng.exponential(800.0, total),
        "etcone20": rng.normal(500.0, 800.0, total),
        "z0": rng.normal(0, 0.1, total),
        "trackd0pvunbiased": rng.normal(0, 0.02, total),
        "tracksigd0pvunbiased": rng.uniform(0.01, 0.05, total),
        "pt_syst": rng.uniform(50, 400, total),
    }
    flat["E"] = flat["pt"] * np.cosh(eta)
    lists = {name: ak.unflatten(v.astype(np.float32), counts) for name, v in flat.items()}
    lists["charge"] = ak.unflatten(np.where(position % 2 == 0, 1, -1).astype(np.int32), counts)
    lists["type"] = ak.unflatten(types.astype(np.uint32), counts)
    size = WEIGHTS.get(dataset, 0.0)
    weight = np.where(rng.random(n_events) < 0.2, -size, size) * rng.uniform(0.9, 1.1, n_events)
    event: dict[str, Any] = {
        "runNumber": np.full(n_events, 300_000 + seed, np.int32),
        "eventNumber": np.arange(n_events, dtype=np.int32),
        "lep_n": counts.astype(np.uint32),
        "trigE": rng.random(n_events) < 0.9,
        "trigM": rng.random(n_events) < 0.9,
    }
    if dataset in WEIGHTS:
        event["mcWeight"] = weight.astype(np.float32)
        for name in ("ELE", "MUON", "LepTRIGGER", "PILEUP"):
            event[f"scaleFactor_{name}"] = rng.uniform(0.9, 1.1, n_events).astype(np.float32)
        event["SumWeights"] = np.full(n_events, 1000.0 * size, np.float32)
    return event | {"lep": ak.zip(lists)}


def write(path: Path, dataset: str, n_events: int, seed: int) -> None:
    """Write a file."""
    with uproot.recreate(path) as file:
        file.mktree("mini", columns(dataset, n_events, seed))
