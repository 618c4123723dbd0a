"""Toy events, so that there is something to run on: replace them by files of yours.

python toy.py FOLDER
"""

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

# Events of each file, and the share of Z bosons among them.
_FILES = {"zmumu": (20_000, 1.0), "continuum": (20_000, 0.0), "data": (6_000, 0.6)}
_MUON_MASS = 0.10566


def write(folder: Path, scale: float = 1.0) -> dict[str, Path]:
    """Write a file for each dataset.

    Args:
        folder: of the files.
        scale: factor on their numbers of events.

    Returns:
        Dataset to the path of its file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for number, (name, (n_events, share)) in enumerate(_FILES.items()):
        paths[name] = folder / f"{name}.root"
        _write(paths[name], round(scale * n_events), share, np.random.default_rng(number))
    return paths


def _write(path: Path, n_events: int, share: float, rng: np.random.Generator) -> None:
    boson = rng.random(n_events) < share
    mass = np.where(
        boson,
        91.2 + 2.5 * rng.standard_normal(n_events),
        60.0 + rng.exponential(40.0, n_events),
    )
    # Two muons back to back in azimuth, boosted along the beam.
    boost, cos_theta = rng.normal(0, 1, n_events), rng.uniform(-0.95, 0.95, n_events)
    phi = rng.uniform(-np.pi, np.pi, n_events)
    pt = 0.5 * mass * np.sqrt(1 - cos_theta**2)
    eta = np.arctanh(cos_theta)
    charge = rng.choice([-1, 1], n_events)

    def pairs(one: np.ndarray, other: np.ndarray, kind: type) -> ak.Array:
        return ak.values_astype(ak.from_regular(np.stack([one, other], axis=1)), kind)

    muons = ak.zip(
        {
            "pt": pairs(pt, pt, np.float32),
            "eta": pairs(boost + eta, boost - eta, np.float32),
            "phi": pairs(phi, np.where(phi > 0, phi - np.pi, phi + np.pi), np.float32),
            "mass": pairs(np.full(n_events, _MUON_MASS), np.full(n_events, _MUON_MASS), np.float32),
            "charge": pairs(charge, -charge, np.int32),
        }
    )
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Events",
            {
                "run": "uint32",
                "luminosityBlock": "uint32",
                "event": "uint64",
                "Muon": muons.type.content,
            },
            counter_name=lambda collection: f"n{collection}",
            field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
        )
        tree.extend(
            {
                "run": np.ones(n_events, np.uint32),
                "luminosityBlock": np.ones(n_events, np.uint32),
                "event": np.arange(n_events, dtype=np.uint64),
                "Muon": muons,
            }
        )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
