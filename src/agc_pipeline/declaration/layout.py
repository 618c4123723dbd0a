"""How the columns of events lie in input files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Fields of momenta, as CMS and ATLAS name them, in lower case.
_MOMENTA = frozenset(
    ("pt", "eta", "phi", "mass", "m", "e", "energy", "px", "py", "pz", "et", "sumet", "ht")
)


@dataclass(frozen=True)
class Layout:
    """Names of the tree and its branches.

    The branch of a field is ``{collection}_{field}``, that of a column of the event its name.

    Attributes:
        tree: name of the TTree or RNTuple.
        counters: whether the sizes of a collection's lists have a branch ``n{collection}``.
        records: names of what looks like a collection and has one entry an event, such as MET.
        identity: columns that tell an event from all others.
        complete: collection or record to the fields that it must have where any is read.
        momenta: last parts of names of branches, in lower case, whose values must be finite numbers
            wherever they are read.
    """

    tree: str = "Events"
    counters: bool = True
    records: frozenset[str] = field(default_factory=frozenset)
    identity: tuple[str, ...] = ("run", "luminosityBlock", "event")
    complete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    momenta: frozenset[str] = _MOMENTA

    def description(self, columns: Mapping[str, Iterable[str]]) -> dict[str, Any]:
        """How columns are found in files, and what is asked of them, as JSON."""
        return {
            "tree": self.tree,
            "branches": self.all_branches(columns),
            "lists": [name for name in columns if self.is_collection(name)],
            "finite": [name for name in self.branches(columns) if self.is_momentum(name)],
        }

    @property
    def identity_columns(self) -> dict[str, tuple[str, ...]]:
        """The identity as columns of the event."""
        return {"": self.identity}

    def is_collection(self, name: str) -> bool:
        """Whether a name is that of lists of objects."""
        return bool(name) and name not in self.records

    def branch(self, collection: str, field: str) -> str:
        """Name of the branch of a field."""
        return f"{collection}_{field}" if collection else field

    def is_momentum(self, branch: str) -> bool:
        """Whether a branch has components of momenta, which are finite."""
        return branch.rpartition("_")[2].lower() in self.momenta

    def branches(self, columns: Mapping[str, Iterable[str]]) -> list[str]:
        """Names of the branches of columns, without counters."""
        return [self.branch(name, field) for name, fields in columns.items() for field in fields]

    def all_branches(self, columns: Mapping[str, Iterable[str]]) -> list[str]:
        """Names of the branches of columns, each collection's counter before it if it has one."""
        names = []
        for name, fields in columns.items():
            if self.counters and self.is_collection(name):
                names.append(self.counter(name))
            names += [self.branch(name, field) for field in fields]
        return names

    def counter(self, collection: str) -> str:
        """Name of the branch with the sizes of a collection's lists."""
        return f"n{collection}"


_DIRECTION = ("pt", "eta", "phi")
_MOMENTUM = (*_DIRECTION, "mass")
_CANDIDATE = (*_MOMENTUM, "charge")
# What coffea's NanoAODSchema needs to make vectors of them, beside what it adds itself.
_COMPLETE = {
    **dict.fromkeys(("Electron", "LowPtElectron", "Muon", "Tau", "GenVisTau"), _CANDIDATE),
    **dict.fromkeys(("Photon", "FsrPhoton", "IsoTrack", "SoftActivityJet", "TrigObj"), _DIRECTION),
    **dict.fromkeys(("Jet", "FatJet", "SubJet", "GenJet", "GenJetAK8", "SubGenJetAK8"), _MOMENTUM),
    **dict.fromkeys(("GenPart", "GenDressedLepton", "GenIsolatedPhoton", "LHEPart"), _MOMENTUM),
    **dict.fromkeys(("MET", "PuppiMET", "RawMET", "RawPuppiMET", "GenMET"), ("pt", "phi")),
    **dict.fromkeys(("CaloMET", "ChsMET", "TkMET", "METFixEE2017"), ("pt", "phi")),
    "PV": ("x", "y", "z"),
    "SV": ("x", "y", "z", *_MOMENTUM),
}
_RECORDS = (
    *("MET", "PuppiMET", "RawMET", "RawPuppiMET", "GenMET", "CaloMET", "ChsMET", "TkMET"),
    *("METFixEE2017", "HLT", "L1", "Flag", "Generator", "Pileup", "PV", "GenVtx", "LHE"),
)


def NanoAOD(*, tree: str = "Events", records: Iterable[str] = ()) -> Layout:  # noqa: N802 - a format
    """CMS NanoAOD.

    Args:
        tree: its name.
        records: single records beside those of CMS, such as MET, HLT, Flag, Pileup and PV.
    """
    return Layout(tree=tree, records=frozenset((*_RECORDS, *records)), complete=_COMPLETE)


def Flat(  # noqa: N802 - a format
    tree: str, *, identity: tuple[str, ...], records: Iterable[str] = ()
) -> Layout:
    """Flat ntuples: lists without counters, such as ATLAS Open Data's ``mini``."""
    return Layout(tree=tree, counters=False, identity=identity, records=frozenset(records))


NANOAOD = NanoAOD()
