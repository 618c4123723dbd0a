"""Events as plain Python objects: what the analysis reads of a NanoAOD file, nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import uproot

TREE = "Events"


@dataclass(frozen=True)
class Electron:
    """An electron; GeV."""

    pt: float
    eta: float
    cut_based: int
    sip3d: float
    phi: float = 0.0
    mass: float = 0.0


@dataclass(frozen=True)
class Muon:
    """A muon; GeV."""

    pt: float
    eta: float
    tight_id: bool
    sip3d: float
    relative_isolation: float
    phi: float = 0.0
    mass: float = 0.0


@dataclass(frozen=True)
class Jet:
    """A jet; GeV. ``index`` is its place in the stored collection, also after a selection."""

    index: int
    pt: float
    eta: float
    phi: float
    mass: float
    btag: float
    jet_id: int
    qgl: float = 0.0


@dataclass(frozen=True)
class Event:
    """An event: its identity, and its objects in the order stored."""

    run: int
    lumi: int
    number: int
    electrons: tuple[Electron, ...] = ()
    muons: tuple[Muon, ...] = ()
    jets: tuple[Jet, ...] = ()


ELECTRON_COLUMNS = tuple(
    f"Electron_{name}" for name in ("pt", "eta", "cutBased", "sip3d", "phi", "mass")
)
MUON_COLUMNS = tuple(
    f"Muon_{name}" for name in ("pt", "eta", "tightId", "sip3d", "pfRelIso04_all", "phi", "mass")
)
JET_COLUMNS = tuple(
    f"Jet_{name}" for name in ("pt", "eta", "phi", "mass", "btagCSVV2", "jetId", "qgl")
)
COLUMNS = ("run", "luminosityBlock", "event", *ELECTRON_COLUMNS, *MUON_COLUMNS, *JET_COLUMNS)


def read_events(path: Path) -> list[Event]:
    """All events of a NanoAOD file, TTree or RNTuple.

    Every float32 becomes the Python float (float64) of exactly the same value.
    """
    with uproot.open(path) as file:
        return events_from_arrays({name: file[TREE][name].array() for name in COLUMNS})


def events_from_arrays(arrays: Mapping[str, Any]) -> list[Event]:
    """The same from columns in memory: name to numpy array or awkward array."""
    columns = {name: ak.to_list(arrays[name]) for name in COLUMNS}
    return [
        Event(
            run=columns["run"][i],
            lumi=columns["luminosityBlock"][i],
            number=columns["event"][i],
            electrons=tuple(Electron(*row) for row in _rows(columns, ELECTRON_COLUMNS, i)),
            muons=tuple(Muon(*row) for row in _rows(columns, MUON_COLUMNS, i)),
            jets=tuple(
                Jet(index, *row) for index, row in enumerate(_rows(columns, JET_COLUMNS, i))
            ),
        )
        for i in range(len(columns["event"]))
    ]


def _rows(
    columns: Mapping[str, list[Any]], names: tuple[str, ...], event: int
) -> Iterator[tuple[Any, ...]]:
    return zip(*(columns[name][event] for name in names), strict=True)
