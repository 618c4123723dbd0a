"""The format of the simulated files: rounding, types, content hash, what coffea reads."""

import warnings
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.simulation import nanoaod
from agc_pipeline.simulation.flat import Collection
from agc_pipeline.simulation.nanoaod import NanoEvents, reduce_mantissa

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
BITS = st.integers(1, 22)


@given(FLOATS, BITS)
def test_rounding_to_a_short_mantissa(value: float, bits: int) -> None:
    rounded = reduce_mantissa(np.array([value]), bits)
    assert rounded.dtype == np.float32
    # The low bits are gone, the change is small, sign and exponent stay, twice is once.
    assert rounded.view(np.uint32)[0] & ((1 << (23 - bits)) - 1) == 0
    assert abs(float(rounded[0]) - value) <= abs(value) * 2.0**-bits
    assert np.signbit(rounded[0]) == np.signbit(np.float32(value))
    assert np.frexp(rounded[0])[1] == np.frexp(np.float32(value))[1]
    assert reduce_mantissa(rounded, bits)[0] == rounded[0]


@given(FLOATS, FLOATS, BITS)
def test_rounding_keeps_the_order(one: float, other: float, bits: int) -> None:
    low, high = reduce_mantissa(np.array(sorted([one, other])), bits)
    assert low <= high


def test_rounding_of_known_numbers() -> None:
    # Worked out from the source in CMSSW, DataFormats/Math/interface/libminifloat.h: 30.01 has
    # the mantissa 0x7014_7b, of which 10 bits are kept and rounded; the sentinels are exact.
    values = np.array([30.01, -10.0, -1.0, 0.0, np.inf])
    assert reduce_mantissa(values, 10).tolist() == [30.015625, -10.0, -1.0, 0.0, np.inf]
    # A mantissa of all ones is cut, though the next number is closer.
    assert reduce_mantissa(np.array([1.9999]), 10).tolist() == [1.9990234375]


def test_rounding_matches_real_files(sample: object) -> None:
    """Every number in a real file of 2015 is already what the rounding gives."""
    path = sample("cms2015_wjets_200ev.root")  # type: ignore[operator]
    with uproot.open(path) as file:
        for collection, fields in nanoaod.PRECISION.items():
            for field, bits in fields.items():
                # Lepton pt and isolation are stored in full there.
                if bits < 16 and (collection, field) != ("GenPart", "mass"):
                    values = ak.to_numpy(
                        ak.flatten(file["Events"][f"{collection}_{field}"].array())
                    )
                    same = reduce_mantissa(values, bits) == values
                    assert same.mean() > 0.99, (collection, field)


def events() -> NanoEvents:
    """Two events: W -> e nu with two jets, and nothing."""
    collections = {
        "Jet": Collection(
            np.array([2, 0]),
            {
                "pt": np.array([50.3, 20.1]),
                "eta": np.array([0.5, 3.0]),
                "phi": np.array([0.1, -3.1]),
                "mass": np.array([8.0, 4.0]),
                "btagCSVV2": np.array([0.7, -10.0]),
                "jetId": np.array([6, 2]),
            },
        ),
        "Muon": Collection(np.array([0, 1]), {"pt": np.array([33.3]), "tightId": np.array([1])}),
        "GenPart": Collection(
            np.array([3, 0]),
            {
                "pt": np.array([30.0, 40.0, 35.0]),
                "eta": np.zeros(3),
                "phi": np.zeros(3),
                "mass": np.zeros(3),
                "pdgId": np.array([24, -11, 12]),
                "genPartIdxMother": np.array([-1, 0, 0]),
                "status": np.array([22, 1, 1]),
                "statusFlags": np.full(3, 1 << 13),
            },
        ),
    }
    return NanoEvents(
        {
            "run": np.full(2, 1, dtype=np.uint32),
            "luminosityBlock": np.full(2, 7, dtype=np.uint32),
            "event": np.array([1, 2], dtype=np.uint64),
            "genWeight": np.ones(2, dtype=np.float32),
        },
        {name: nanoaod.typed(name, collection) for name, collection in collections.items()},
    )


def test_types_and_trees(tmp_path: Path) -> None:
    path = tmp_path / "nano.root"
    nanoaod.write(path, events(), n_generated=123)
    with uproot.open(path) as file:
        types = {name: branch.typename for name, branch in file["Events"].items()}
        runs = file["Runs"].arrays(library="np")
        assert file["Events"].num_entries == 2
    assert types["run"] == types["luminosityBlock"] == "uint32_t"
    assert types["event"] == "uint64_t"
    assert types["Jet_pt"] == "float[]"
    assert types["Jet_jetId"] == types["GenPart_genPartIdxMother"] == "int32_t[]"
    assert types["Muon_tightId"] == "bool[]"
    assert runs["run"].tolist() == [1]
    assert runs["genEventCount"].tolist() == runs["genEventSumw"].tolist() == [123]


def test_coffea_follows_the_generator_particles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nano.root"
    nanoaod.write(path, events(), n_generated=1)
    # The files hold no photons or taus to refer to, like every skim.
    monkeypatch.setattr(NanoAODSchema, "warn_missing_crossrefs", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nano = NanoEventsFactory.from_root(
            {str(path): "Events"}, schemaclass=NanoAODSchema
        ).events()
        boson = nano.GenPart[nano.GenPart.hasFlags("isLastCopy") & (nano.GenPart.pdgId == 24)]
        assert boson.children.pdgId.tolist() == [[[-11, 12]], []]
        assert nano.GenPart.parent.pdgId.tolist() == [[None, 24, 24], []]
        assert nano.Jet.btagCSVV2.tolist()[0][1] == -10.0


def test_content_hash_sees_every_value() -> None:
    original = nanoaod.content_hash(events())
    assert nanoaod.content_hash(events()) == original
    seen = {original}
    for name, collection in events().collections.items():
        for field, values in collection.columns.items():
            changed = events()
            flipped = values.copy()
            flipped[-1] = not flipped[-1] if values.dtype == bool else flipped[-1] + 1
            changed.collections[name] = collection.with_columns(**{field: flipped})
            seen.add(nanoaod.content_hash(changed))
    regrouped = events()
    jets = regrouped.collections["Jet"]
    regrouped.collections["Jet"] = Collection(np.array([1, 1]), jets.columns)
    seen.add(nanoaod.content_hash(regrouped))
    n_branches = sum(len(c.columns) for c in events().collections.values())
    assert len(seen) == n_branches + 2


def test_no_events_are_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.root"
    nanoaod.write(path, events().select(np.zeros(2, dtype=bool)), n_generated=5)
    with uproot.open(path) as file:
        assert file["Events"].num_entries == 0
        assert file["Events"]["Jet_pt"].typename == "float[]"
