"""Large files in the layout of CMS NanoAOD, for benchmarks: 891 branches, ZLIB level 1.

    python -m agc_pipeline.facility.sample ttbar 400000 FILE [--seed 1] [--container rntuple]
        [--compression zstd]

The columns that the analysis reads are drawn from simple distributions, stored with the types and
the bits of mantissa of the 2015 files, and tuned so that about as many events are selected as in
these (ttbar: 0.95 % in 4j1b and 2.1 % in 4j2b; W+jets: 0.012 % and 0.004 %, from the published
histograms). All other branches only fill the file: they make its header and its baskets lie as in
real files. There is no physics in here.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import awkward as ak
import numpy as np
import uproot

from agc_pipeline.files import atomic_path
from agc_pipeline.readers.file_header import make_reproducible

Container = Literal["ttree", "rntuple"]
Compression = Literal["zlib", "zstd", "lz4"]
EVENTS_PER_BASKET = 10_000
# With the levels that ROOT takes by itself, but for ZLIB, where it is that of the 2015 files.
COMPRESSIONS: dict[Compression, Any] = {
    "zlib": uproot.ZLIB(1),
    "zstd": uproot.ZSTD(5),
    "lz4": uproot.LZ4(4),
}

# Collections of the 2015 files that only fill space: number of float columns, mean multiplicity.
FILLERS = {
    "CorrT1METJet": (5, 1.0),
    "FatJet": (52, 0.1),
    "GenDressedLepton": (6, 0.5),
    "GenJet": (6, 3.0),
    "GenPart": (8, 12.0),
    "GenVisTau": (7, 0.2),
    "LHEPart": (8, 4.0),
    "Photon": (29, 0.5),
    "SV": (16, 0.5),
    "SoftActivityJet": (3, 5.0),
    "Tau": (33, 0.5),
}
# More columns of the collections that are read, and event columns, beside those that are read.
MORE_COLUMNS = {"Electron": 46, "Muon": 49, "Jet": 33}
EVENT_COLUMNS = 110
TRIGGER_COLUMNS = 441


@dataclass(frozen=True)
class Kind:
    """What events of a kind look like on average.

    Attributes:
        jets: mean number of jets; at least ``jets_min``.
        jet_pt: slope of the jets' spectrum above 15 GeV, in GeV.
        jet_eta: width of their pseudorapidity.
        b_quarks: number of jets among the five leading ones that come from b quarks.
        mistag: share of the other jets that are b-tagged.
        electrons: mean number, and share of these that are good but for pt, eta and sip3d.
        muons: the same.
    """

    jets: float
    jets_min: int
    jet_pt: float
    jet_eta: float
    b_quarks: int
    mistag: float
    electrons: tuple[float, float]
    muons: tuple[float, float]


KINDS = {
    "ttbar": Kind(6.8, 2, 27.0, 1.45, 2, 0.09, (1.05, 0.285), (0.45, 0.0)),
    "wjets": Kind(2.7, 0, 13.0, 1.9, 0, 0.105, (0.35, 0.45), (0.2, 0.0)),
}


def truncated(values: Any, bits: int) -> Any:
    """Numbers in single precision with so many bits of mantissa, as NanoAOD stores them."""
    numbers = np.ascontiguousarray(values, np.float32)
    return (numbers.view(np.uint32) & np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)).view(
        np.float32
    )


def write(
    path: Path,
    kind: str,
    n_events: int,
    *,
    seed: int = 1,
    container: Container = "ttree",
    compression: Compression = "zlib",
) -> None:
    """Write a file, atomically.

    Args:
        path: the ROOT file.
        kind: one of ``KINDS``.
        n_events: how many.
        seed: of the random numbers; also told by the event numbers.
        container: of the events.
        compression: of all of it.
    """
    n_baskets = -(-n_events // EVENTS_PER_BASKET)
    with atomic_path(path) as temporary:
        with uproot.recreate(temporary, compression=COMPRESSIONS[compression]) as out:
            tree = None
            for columns in _baskets(KINDS[kind], n_events, seed):
                if container == "rntuple":
                    fields = ak.zip(_fields(columns), depth_limit=1)
                    tree = tree or out.mkrntuple("Events", fields.layout.form)
                    tree.extend(fields)
                    continue
                if tree is None:
                    types = {name: array.type.content for name, array in columns.items()}
                    tree = out.mktree("Events", types, initial_basket_capacity=n_baskets + 1)
                tree.extend(columns)
        # Links to a file stand for further ones: it must not tell that they are the same.
        make_reproducible(temporary)


def _fields(columns: dict[str, ak.Array]) -> dict[str, ak.Array]:
    """A column for each field of a collection, named as the branches of a TTree."""
    return {
        f"{name}_{field}" if field else name: array[field] if field else array
        for name, array in columns.items()
        for field in array.fields or ("",)
    }


def _baskets(kind: Kind, n_events: int, seed: int) -> Iterator[dict[str, ak.Array]]:
    rng = np.random.default_rng([seed, n_events])
    for start in range(0, n_events, EVENTS_PER_BASKET):
        n = min(EVENTS_PER_BASKET, n_events - start)
        number = 1_000_000_000 * seed + start + np.arange(n)
        yield {
            "run": ak.Array(np.ones(n, np.uint32)),
            "luminosityBlock": ak.Array((number // 100).astype(np.uint32)),
            # Some events of a block are missing in real files.
            "event": ak.Array((number * 3 // 2 + rng.integers(0, 2, n)).astype(np.uint64)),
            **_event_columns(rng, n),
            "Electron": _electrons(rng, kind, n),
            "Muon": _muons(rng, kind, n),
            "Jet": _jets(rng, kind, n),
            **{
                name: _collection(rng, rng.poisson(mean, n), {}, more)
                for name, (more, mean) in FILLERS.items()
            },
        }


def _event_columns(rng: np.random.Generator, n: int) -> dict[str, ak.Array]:
    filler = truncated(rng.exponential(30, n), 2)
    floats = {f"Event_filler{i}": ak.Array(np.roll(filler, i)) for i in range(EVENT_COLUMNS)}
    trigger = rng.random(n) < 0.01
    triggers = {f"HLT_filler{i}": ak.Array(np.roll(trigger, i)) for i in range(TRIGGER_COLUMNS)}
    return floats | triggers


def _collection(
    rng: np.random.Generator, counts: Any, columns: dict[str, Any], more: int
) -> ak.Array:
    """The columns and as many more that only fill space."""
    total = int(counts.sum())
    filler = truncated(np.where(rng.random(total) < 0.1, rng.normal(0, 1, total), 0), 2)
    fillers = {f"filler{i}": np.roll(filler, i) for i in range(more)}
    return ak.zip(
        {name: ak.unflatten(values, counts) for name, values in (columns | fillers).items()}
    )


def _falling(counts: Any, pt: Any) -> Any:
    """Momenta in falling order within each event."""
    event = np.repeat(np.arange(len(counts)), counts)
    return pt[np.lexsort((-pt, event))]


def _leptons(
    rng: np.random.Generator, n: int, mean: float, mass: float
) -> tuple[Any, dict[str, Any]]:
    counts = rng.poisson(mean, n)
    total = int(counts.sum())
    soft = 5 + rng.exponential(9, total)
    hard = 25 + rng.exponential(25, total)
    return counts, {
        # Stored with full precision, as the isolation.
        "pt": truncated(_falling(counts, np.where(rng.random(total) < 0.35, hard, soft)), 23),
        "eta": truncated(np.clip(rng.normal(0, 1.3, total), -2.4, 2.4), 12),
        "phi": truncated(rng.uniform(-np.pi, np.pi, total), 12),
        "mass": truncated(rng.normal(mass, 0.01 * mass, total), 10),
        "charge": rng.choice(np.array([-1, 1], np.int32), total),
        "sip3d": truncated(rng.exponential(1.5, total), 10),
    }


def _electrons(rng: np.random.Generator, kind: Kind, n: int) -> ak.Array:
    mean, good = kind.electrons
    counts, columns = _leptons(rng, n, mean, 0.000511)
    total = int(counts.sum())
    passes = rng.random(total) < good
    columns["cutBased"] = np.where(passes, 4, rng.integers(0, 4, total)).astype(np.int32)
    return _collection(rng, counts, columns, MORE_COLUMNS["Electron"])


def _muons(rng: np.random.Generator, kind: Kind, n: int) -> ak.Array:
    mean, good = kind.muons
    counts, columns = _leptons(rng, n, mean, 0.1057)
    total = int(counts.sum())
    passes = rng.random(total) < good
    # In the 2015 files no muon passes.
    columns["tightId"] = passes
    isolation = np.where(rng.random(total) < 0.4, 0.04, 0.8)
    columns["pfRelIso04_all"] = truncated(rng.exponential(1, total) * isolation, 23)
    return _collection(rng, counts, columns, MORE_COLUMNS["Muon"])


def _jets(rng: np.random.Generator, kind: Kind, n: int) -> ak.Array:
    spread = rng.gamma(5, kind.jets / 5, n) if kind.jets_min == 0 else kind.jets - kind.jets_min
    counts = kind.jets_min + rng.poisson(spread, n)
    total = int(counts.sum())
    tail = np.where(rng.random(total) < 0.12, 2.2, 1.0)
    pt = _falling(counts, 15 + rng.exponential(kind.jet_pt, total) * tail)
    eta = np.clip(rng.normal(0, kind.jet_eta, total), -4.7, 4.7)
    rank = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    leading = np.minimum(counts, 5)
    shift = rng.integers(0, np.maximum(leading, 1))
    is_b = (rank < 5) & (
        (rank + np.repeat(shift, counts)) % np.repeat(leading, counts) < kind.b_quarks
    )
    tagged = rng.random(total) < np.where(is_b, 0.9, kind.mistag)
    btag = np.where(tagged, 0.5 + 0.5 * rng.beta(1.6, 0.6, total), 0.5 * rng.beta(1.1, 3, total))
    unknown = ~tagged & (rng.random(total) < 0.25)
    columns = {
        "pt": truncated(pt, 10),
        "eta": truncated(eta, 12),
        "phi": truncated(rng.uniform(-np.pi, np.pi, total), 12),
        "mass": truncated(pt * np.abs(rng.normal(0.13, 0.035, total)) + 0.5, 10),
        "btagCSVV2": truncated(np.where(unknown, -10, btag), 10),
        "qgl": truncated(np.where(np.abs(eta) > 2.5, -1, rng.beta(0.8, 0.6, total)), 10),
        "jetId": rng.choice(np.array([6, 2, 0], np.int32), total, p=[0.93, 0.05, 0.02]),
    }
    return _collection(rng, counts, columns, MORE_COLUMNS["Jet"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("events", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--container", choices=get_args(Container), default="ttree")
    parser.add_argument("--compression", choices=get_args(Compression), default="zlib")
    options = parser.parse_args()
    write(
        options.file,
        options.kind,
        options.events,
        seed=options.seed,
        container=options.container,
        compression=options.compression,
    )


if __name__ == "__main__":
    main()
