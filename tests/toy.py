"""Toy events that are often selected, for tests of everything around the physics."""

from typing import Any

import awkward as ak
import numpy as np

from oracle.strategies import EVENT_TYPES, OBJECT_TYPES, Arrays


def events(n: int, *, seed: int = 1, selected: bool = True) -> Arrays:
    """Columns of ``n`` events of the NanoAOD types.

    Args:
        n: number of events.
        seed: of the random numbers.
        selected: about half of the events are selected; with False, none is.
    """
    rng = np.random.default_rng(seed)
    arrays: Arrays = {
        "run": np.ones(n),
        "luminosityBlock": 1 + np.arange(n) // 100,
        "event": 1_000_000 * seed + np.arange(n),
    }
    arrays = {name: values.astype(EVENT_TYPES[name]) for name, values in arrays.items()}
    jets = rng.integers(4, 9, n)
    electrons = rng.choice([0, 1, 1, 1, 2], n)
    muons = rng.choice([0, 0, 0, 1], n)
    for name, counts in (("Jet", jets), ("Electron", electrons), ("Muon", muons)):
        total = int(counts.sum())
        values: dict[str, Any] = {
            "pt": 28 + rng.exponential(60, total),
            "eta": rng.normal(0, 1.2, total),
            "phi": rng.uniform(-np.pi, np.pi, total),
            "mass": rng.uniform(1, 20, total),
            "btagCSVV2": rng.uniform(-1.2, 1.0, total),
            "qgl": rng.uniform(-1, 1, total),
            "jetId": rng.choice([6, 6, 6, 6, 6, 2], total),
            "charge": rng.choice([-1, 1], total),
            "cutBased": rng.choice([4, 4, 4, 3], total) if selected else np.zeros(total),
            "sip3d": rng.exponential(1.5, total),
            "tightId": rng.random(total) < 0.6 if selected else np.zeros(total),
            "pfRelIso04_all": rng.exponential(0.05, total),
        }
        for field, dtype in OBJECT_TYPES[name].items():
            arrays[f"{name}_{field}"] = ak.unflatten(values[field].astype(dtype), counts)
    return arrays
