"""Random events around the cuts for hypothesis, and files of them in the layout of NanoAOD."""

import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import awkward as ak
import numpy as np
import uproot
import uproot.writing._cascadentuple as uproot_ntuple
import xxhash
from hypothesis import strategies as st

from oracle.events import TREE

Arrays = dict[str, Any]
"""Column name to numpy array (one value an event) or awkward array (a list an event)."""

EVENT_TYPES: dict[str, type[np.generic]] = {
    "run": np.uint32,
    "luminosityBlock": np.uint32,
    "event": np.uint64,
}
OBJECT_TYPES: dict[str, dict[str, type[np.generic]]] = {
    "Jet": {
        "pt": np.float32,
        "eta": np.float32,
        "phi": np.float32,
        "mass": np.float32,
        "btagCSVV2": np.float32,
        "qgl": np.float32,
        "jetId": np.int32,
    },
    "Electron": {
        "pt": np.float32,
        "eta": np.float32,
        "phi": np.float32,
        "mass": np.float32,
        "charge": np.int32,
        "cutBased": np.int32,
        "sip3d": np.float32,
    },
    "Muon": {
        "pt": np.float32,
        "eta": np.float32,
        "phi": np.float32,
        "mass": np.float32,
        "charge": np.int32,
        "tightId": np.bool_,
        "sip3d": np.float32,
        "pfRelIso04_all": np.float32,
    },
}


def around(value: float) -> list[float]:
    """The float32 nearest to a cut value with its two neighbours."""
    nearest = np.float32(value)
    below, above = (np.nextafter(nearest, np.float32(to)) for to in (-math.inf, math.inf))
    return [float(below), float(nearest), float(above)]


def _uniform(low: float, high: float) -> st.SearchStrategy[float]:
    # Rounded inwards: hypothesis wants bounds that float32 has.
    first, last = np.float32(low), np.float32(high)
    return st.floats(float(first), float(last), width=32, allow_subnormal=False)


# Alternatives that pass are repeated: an event must pass many cuts to be worth a test.
_PHI = _uniform(-3.1415, 3.1415)
_GOOD_JET_PT = _uniform(31.0, 160.0)
# Sums of these fall on edges of bins of HT.
_ROUND_JET_PT = st.sampled_from([40.0, 50.0, 60.0, 70.0])
# At the cut, at what the scale lifts to it, and within reach of the resolution.
_EDGE_JET_PT = st.one_of(
    st.sampled_from([*around(30.0), *around(30.0 / 1.03)]), _uniform(29.2, 30.0), _uniform(27, 34)
)
_SOME_JET_PT = st.one_of(
    _GOOD_JET_PT,
    _EDGE_JET_PT,
    _uniform(15.0, 30.0),
    # The weights of the b-tagging variations turn negative at high pt.
    _uniform(160.0, 900.0),
)
_GOOD_JET_ETA = _uniform(-2.3, 2.3)
_SOME_JET_ETA = st.one_of(
    _GOOD_JET_ETA,
    _GOOD_JET_ETA,
    st.sampled_from([0.0, *around(2.4), *around(-2.4)]),
    _uniform(-5.0, 5.0),
)
_BTAG = st.one_of(
    st.sampled_from([*around(0.5), 0.0, 1.0, -10.0]),
    _uniform(0.0, 0.5),
    _uniform(0.0, 0.5),
    _uniform(0.5, 1.0),
)


def _jet(
    pt: st.SearchStrategy[float], eta: st.SearchStrategy[float], jet_id: st.SearchStrategy[int]
) -> st.SearchStrategy[tuple[Any, ...]]:
    # The stored masses are rounded: some are slightly negative.
    mass = st.one_of(_uniform(0.0, 40.0), st.sampled_from([0.0, -0.02]))
    return st.tuples(pt, eta, _PHI, mass, _BTAG, _uniform(-1.0, 1.0), jet_id)


_SOME_JET = _jet(_SOME_JET_PT, _SOME_JET_ETA, st.sampled_from([6] * 6 + [2, 0]))
_GOOD_JET = _jet(_GOOD_JET_PT, _GOOD_JET_ETA, st.just(6))
_JETS = {
    "good": _GOOD_JET,
    "round": _jet(_ROUND_JET_PT, _GOOD_JET_ETA, st.just(6)),
    "mixed": st.one_of(_GOOD_JET, _GOOD_JET, _SOME_JET),
    "edge": st.one_of(_GOOD_JET, _jet(_EDGE_JET_PT, _GOOD_JET_ETA, st.just(6))),
    "some": _SOME_JET,
}

_LEPTON_PT = st.one_of(
    _uniform(31.0, 200.0), _uniform(31.0, 200.0), st.sampled_from(around(30.0)), _uniform(5.0, 30.0)
)
_LEPTON_ETA = st.one_of(
    _uniform(-2.0, 2.0), _uniform(-2.0, 2.0), st.sampled_from([*around(2.1), *around(-2.1)])
)
_SIP3D = st.one_of(
    _uniform(0.0, 3.5), _uniform(0.0, 3.5), st.sampled_from(around(4.0)), _uniform(3.5, 20.0)
)
_CHARGE = st.sampled_from([-1, 1])


def _electron(
    pt: st.SearchStrategy[float],
    eta: st.SearchStrategy[float],
    cut_based: st.SearchStrategy[int],
    sip3d: st.SearchStrategy[float],
) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(pt, eta, _PHI, st.just(0.000511), _CHARGE, cut_based, sip3d)


def _muon(
    pt: st.SearchStrategy[float],
    eta: st.SearchStrategy[float],
    tight: st.SearchStrategy[bool],
    sip3d: st.SearchStrategy[float],
    isolation: st.SearchStrategy[float],
) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(pt, eta, _PHI, st.just(0.10566), _CHARGE, tight, sip3d, isolation)


_ISOLATION = st.one_of(_uniform(0.0, 0.14), st.sampled_from(around(0.15)), _uniform(0.15, 1.0))
_SOME_ELECTRON = _electron(_LEPTON_PT, _LEPTON_ETA, st.sampled_from([4, 4, 4, 4, 3, 0]), _SIP3D)
_SOME_MUON = _muon(
    _LEPTON_PT, _LEPTON_ETA, st.sampled_from([True, True, True, False]), _SIP3D, _ISOLATION
)
_GOOD_ELECTRON = _electron(
    _uniform(31.0, 200.0), _uniform(-2.0, 2.0), st.just(4), _uniform(0.0, 3.5)
)
_GOOD_MUON = _muon(
    _uniform(31.0, 200.0),
    _uniform(-2.0, 2.0),
    st.just(True),
    _uniform(0.0, 3.5),
    _uniform(0.0, 0.14),
)


@st.composite
def _event(draw: st.DrawFn, max_jets: int) -> dict[str, Any]:
    leptons = draw(st.sampled_from(["electron", "muon", "electron", "muon", "some"]))
    if leptons == "some":
        electrons = draw(st.lists(_SOME_ELECTRON, max_size=2))
        muons = draw(st.lists(_SOME_MUON, max_size=2))
    else:
        electrons = [draw(_GOOD_ELECTRON)] if leptons == "electron" else []
        muons = [draw(_GOOD_MUON)] if leptons == "muon" else []
    sizes = [n for n in (0, 3, 4, 4, 5, 5, 6, max_jets) if n <= max_jets]
    n_jets = draw(st.sampled_from(sizes))
    jet = _JETS[draw(st.sampled_from(["mixed", "edge", "mixed", "edge", "good", "round", "some"]))]
    return {
        "run": draw(st.sampled_from([1, 1, 2**32 - 1])),
        "luminosityBlock": draw(st.integers(0, 2**32 - 1)),
        "event": draw(st.integers(0, 2**64 - 1)),
        "Jet": [draw(jet) for _ in range(n_jets)],
        "Electron": electrons,
        "Muon": muons,
    }


def nanoaod(
    *, min_events: int = 0, max_events: int = 6, max_jets: int = 7
) -> st.SearchStrategy[Arrays]:
    """Small collections of events with all columns that the analysis reads.

    Values crowd around the cuts. Two events may be the same, as nothing here forbids it.
    """
    events = st.lists(_event(max_jets), min_size=min_events, max_size=max_events)
    return events.map(to_arrays)


def to_arrays(events: Sequence[dict[str, Any]]) -> Arrays:
    """Columns of the NanoAOD types from events of rows.

    Args:
        events: event columns by their names, and a list of rows for each of ``OBJECT_TYPES``,
            with the fields in the order there. A collection that is not given is empty.
    """
    arrays: Arrays = {
        name: np.array([event[name] for event in events], dtype)
        for name, dtype in EVENT_TYPES.items()
    }
    for collection, fields in OBJECT_TYPES.items():
        counts = np.array([len(event.get(collection, ())) for event in events], np.int64)
        rows = [row for event in events for row in event.get(collection, ())]
        for position, (field, dtype) in enumerate(fields.items()):
            values = np.array([row[position] for row in rows], dtype)
            arrays[f"{collection}_{field}"] = ak.unflatten(values, counts)
    return arrays


def write_nanoaod(
    path: Path,
    arrays: Arrays,
    *,
    kind: Literal["ttree", "rntuple"] = "ttree",
    events_per_piece: int | None = None,
    compression: uproot.compression.Compression | None = None,
    checksums: bool = False,
) -> None:
    """Write columns as the tree ``Events``, with the counter of each collection.

    Args:
        path: the ROOT file, replaced if it exists.
        arrays: columns named as in NanoAOD; those of a collection start with its name and "_".
        kind: format of the tree.
        events_per_piece: size of the baskets of a TTree, or of the clusters of an RNTuple, in
            events; None writes one. A file without events has none.
        compression: for example ``uproot.LZMA(1)``; None is without.
        checksums: behind each page of an RNTuple, as ROOT has them.
    """
    n_events = len(next(iter(arrays.values())))
    columns = as_collections(arrays) if kind == "ttree" else with_counts(arrays)
    size = events_per_piece or max(n_events, 1)
    with (
        page_checksums() if checksums else nullcontext(),
        uproot.recreate(path, compression=compression) as file,
    ):
        make = file.mktree if kind == "ttree" else file.mkrntuple
        tree = make(TREE, {name: column[:size] for name, column in columns.items()})
        for start in range(size, n_events, size):
            tree.extend({name: column[start : start + size] for name, column in columns.items()})


@contextmanager
def page_checksums() -> Iterator[None]:
    """Let uproot write XXH3 behind each page of an RNTuple, and the mark of it: a negative size."""
    add = uproot_ntuple.NTuple.add_rblob
    serialize = uproot_ntuple.NTuple_PageDescription.serialize

    def with_checksum(ntuple: Any, sink: Any, raw_data: Any, uncompressed_bytes: int) -> Any:
        content = bytes(raw_data)
        content += xxhash.xxh3_64_intdigest(content).to_bytes(8, "little")
        return add(ntuple, sink, content, uncompressed_bytes)

    def marked(page: Any) -> bytes:
        count: bytes = struct.pack("<i", -page.num_entries)
        return count + serialize(page)[len(count) :]

    with (
        mock.patch.object(uproot_ntuple.NTuple, "add_rblob", with_checksum),
        mock.patch.object(uproot_ntuple.NTuple_PageDescription, "serialize", marked),
    ):
        yield


def as_collections(arrays: Arrays) -> Arrays:
    """The columns with those of a collection as one record, of which a tree is made."""
    # Fields of one record share a counter.
    columns: Arrays = {name: array for name, array in arrays.items() if array.ndim == 1}
    fields: dict[str, Arrays] = {}
    for name, array in arrays.items():
        if array.ndim > 1:
            collection, field = name.split("_", 1)
            fields.setdefault(collection, {})[field] = array
    return columns | {name: ak.zip(members) for name, members in fields.items()}


def with_counts(arrays: Arrays) -> Arrays:
    """The columns with the counter of each collection before its fields."""
    columns: Arrays = {}
    for name, array in arrays.items():
        if array.ndim > 1:
            counts = ak.to_numpy(ak.num(array)).astype(np.uint32)
            columns.setdefault(f"n{name.split('_', 1)[0]}", counts)
        columns[name] = array
    return columns
