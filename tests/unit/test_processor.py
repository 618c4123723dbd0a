"""The processor against the specification written once more as plain loops."""

import gc
import itertools
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import uproot
from hypothesis import assume, given
from hypothesis import strategies as st

from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.analyses.cms_ttbar.smearing import LIMIT, standard_normals
from agc_pipeline.columnar.selection import Preselector
from agc_pipeline.declaration import Count, Cut, Objects
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.columns import offsets_of
from oracle import analysis as oracle
from oracle.events import Event, events_from_arrays, read_events
from oracle.strategies import OBJECT_TYPES, Arrays, nanoaod
from processed import ANALYSIS, COLUMNS, SELECTION, by_region, in_memory, processing
from toy import events as toy_events

SEED = 2015
TTBAR2017 = "ttbar2017_NanoAODv5_1000ev.root"


def smearing(events: list[Event]) -> oracle.Smear:
    """The random number of each jet, by its identity."""
    identities = (
        np.array([event.run for event in events], np.uint32),
        np.array([event.lumi for event in events], np.uint32),
        np.array([event.number for event in events], np.uint64),
    )
    numbers = by_event(identities, [len(event.jets) for event in events], seed=SEED)
    table = {
        (event.run, event.lumi, event.number, jet): number
        for event, row in zip(events, numbers, strict=True)
        for jet, number in enumerate(row)
    }
    return lambda run, lumi, event, jet: table[run, lumi, event, jet]


def by_event(identities: Any, counts: Any, *, seed: int) -> list[list[float]]:
    """The random numbers of the jets of each event."""
    offsets = offsets_of(np.array(counts, np.int64))
    position = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    numbers = standard_normals(seed, identities, offsets, position)
    return [numbers[i:j].tolist() for i, j in itertools.pairwise(offsets)]


def process(arrays: Any, process: str, variation: str) -> Any:
    output = processing((process, variation)).process(in_memory(arrays))
    return {**output, "histograms": by_region(output, process)}


def check(output: Any, events: list[Event], dataset: tuple[str, str]) -> None:
    expected = oracle.analyse(events, *dataset, smear=smearing(events))
    regions = {region for region, _ in expected}
    assert set(output["histograms"]) == regions
    for region in regions:
        histogram: hist.Hist = output["histograms"][region]
        shifts = list(histogram.axes["variation"])
        assert shifts == [shift for name, shift in expected if name == region]
        for row, shift in enumerate(shifts):
            view = histogram.view(flow=True)[row]
            reference = expected[region, shift]
            # To 26 bits, and to a multiple of 2^-48.
            off = {"rtol": 2**-26, "atol": 2**-48 * max(1, *reference.entries), "err_msg": shift}
            np.testing.assert_allclose(view["value"], reference.sumw, **off)
            np.testing.assert_allclose(view["variance"], reference.sumw2, **off)
            # Which bins have entries does not depend on rounding.
            assert (view["variance"] > 0).tolist() == [n > 0 for n in reference.entries]
    assert {**output["preselection"], **output["selected"]} == oracle.cutflow(events)
    check_migrations(output["migrations"], events, *dataset)


def check_migrations(migrations: Any, events: list[Event], process: str, variation: str) -> None:
    if variation != "nominal":
        assert migrations == {}
        return
    for (region, shift), cells in oracle.migrations(
        events, process, smear=smearing(events)
    ).items():
        histogram: hist.Hist = migrations[process][region].histogram()
        row = list(histogram.axes["variation"]).index(shift)
        counts = np.zeros(histogram.view(flow=True).shape[1:])
        for cell, n in cells.items():
            counts[cell] = n
        assert np.array_equal(histogram.view(flow=True)[row], counts)


@pytest.mark.parametrize(
    ("name", "n_events"),
    [
        (TTBAR2017, 1000),
        ("cms2015_wjets_200ev.root", 200),
        ("cms2015_ttbar_10ev_rntuple.root", 10),
    ],
)
@pytest.mark.parametrize(
    "dataset", [("ttbar", "nominal"), ("wjets", "nominal"), ("ttbar", "ME_var")]
)
def test_equals_the_oracle_on_real_events(
    sample: Callable[[str], Path],
    name: str,
    n_events: int,
    dataset: tuple[str, str],
) -> None:
    path = sample(name)
    with uproot.open({path: "Events"}) as tree:
        columns = [f"{c}_{f}" if c else f for c, fields in COLUMNS.items() for f in fields]
        arrays = {column: tree[column].array() for column in columns}
    events = read_events(path)
    assert len(events) == n_events
    check(process(arrays, *dataset), events, dataset)


def test_real_ttbar_sample_selects_the_known_events(
    sample: Callable[[str], Path],
) -> None:
    # Counts of the sample's description; its muon identification works, so muons take part.
    with uproot.open({sample(TTBAR2017): "Events"}) as tree:
        columns = [f"{c}_{f}" if c else f for c, fields in COLUMNS.items() for f in fields]
        arrays = {column: tree[column].array() for column in columns}
    output = process(arrays, "ttbar", "nominal")
    assert output["preselection"] == {"all": 1000, "one lepton": 190, "four jets": 113}
    assert output["selected"] == {"4j1b": 35, "4j2b": 73}

    none = arrays | {"Muon_tightId": ak.zeros_like(arrays["Muon_tightId"])}
    without_muons = process(none, "ttbar", "nominal")
    assert 0 < sum(without_muons["selected"].values()) < 35 + 73


@given(nanoaod(max_events=5), st.sampled_from([("ttbar", "nominal"), ("wjets", "nominal")]))
def test_equals_the_oracle_on_random_events(arrays: Arrays, dataset: tuple[str, str]) -> None:
    events = events_from_arrays(arrays)
    assume(not oracle.undecided(events, smear=smearing(events)))
    output = process(arrays, *dataset)
    check(output, events, dataset)


@given(nanoaod(max_events=5))
def test_preselection_contains_every_selected_event(arrays: Arrays) -> None:
    positions, cutflow = processing().preselect(in_memory(arrays))
    events = events_from_arrays(arrays)
    for position, event in enumerate(events):
        selected = oracle.filled([event], "ttbar", "nominal", smear=smearing([event]))
        if any(selected.values()):
            assert position in positions
    assert cutflow == {cut: oracle.cutflow(events)[cut] for cut in cutflow}


def test_preselection_holds_for_the_largest_smearing(
    selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor = 1 + LIMIT * selection.variations.pt_resolution
    just_over = np.nextafter(np.float32(30 / factor), np.float32(40))
    arrays = _one_event(jet_pt=float(just_over))
    positions, _ = processing().preselect(in_memory(arrays))
    assert positions.tolist() == [0]

    far_below = _one_event(jet_pt=30 / factor - 0.01)
    positions, _ = processing().preselect(in_memory(far_below))
    assert positions.tolist() == []


def test_columns_are_freed_with_their_chunk() -> None:
    # Chunks are large: what waits for the collector of garbage is the memory of several of them.
    columns = in_memory(toy_events(200))
    kept = weakref.ref(columns)
    gc.collect()
    gc.disable()
    try:
        output = processing().process(columns)
        del columns
        assert kept() is None
    finally:
        gc.enable()
    assert all(n > 0 for n in output["selected"].values())


def test_without_events_everything_is_empty() -> None:
    arrays = {name: column[:0] for name, column in _one_event(jet_pt=50.0).items()}
    output = process(arrays, "wjets", "nominal")
    empty = processing(("wjets", "nominal")).empty()
    assert not any(sums.any() for sums in empty["histograms"]["wjets"]["4j1b"].scale.values())
    assert output == {**empty, "histograms": by_region(empty, "wjets")}
    assert len(output["histograms"]["4j1b"].axes["variation"]) == 13


def test_smearing_depends_on_identity_only() -> None:
    identities = [np.array([1, 1, 2]), np.array([7, 7, 7]), np.array([2**40, 3, 2**40])]
    counts = [2, 0, 3]
    together = by_event(identities, counts, seed=SEED)
    assert [len(numbers) for numbers in together] == counts
    for i in range(3):
        one = [values[i : i + 1] for values in identities]
        assert by_event(one, counts[i : i + 1], seed=SEED) == [together[i]]
    assert together[0] != together[2][:2]
    other_seed = by_event(identities, counts, seed=SEED + 1)
    for numbers, others in zip(together, other_seed, strict=True):
        assert not set(numbers) & set(others)


def test_smearing_is_standard_normal() -> None:
    n = 20_000
    identities = (np.ones(n, int), np.ones(n, int), np.arange(n))
    numbers = np.array(by_event(identities, [4] * n, seed=SEED))
    # Five standard errors of mean and variance; the numbers are always the same.
    assert abs(numbers.mean()) < 5 / np.sqrt(numbers.size)
    assert abs(numbers.var() - 1) < 5 * np.sqrt(2 / numbers.size)
    assert np.abs(numbers).max() <= LIMIT


def _one_event(*, jet_pt: float) -> Arrays:
    """One event with a good electron and four jets, the first b-tagged."""
    jets = {"pt": jet_pt, "eta": 1.0, "phi": 0.5, "mass": 5.0, "btagCSVV2": 0.9, "qgl": 0.1}
    electron = {"pt": 40.0, "eta": 0.1, "phi": 0.0, "mass": 0.0, "sip3d": 1.0}
    arrays: Arrays = {
        "run": np.array([1], np.uint32),
        "luminosityBlock": np.array([1], np.uint32),
        "event": np.array([1], np.uint64),
    }
    arrays |= {f"Jet_{k}": ak.Array([np.full(4, v, np.float32)]) for k, v in jets.items()}
    arrays["Jet_jetId"] = ak.Array([np.full(4, 6, np.int32)])
    arrays |= {f"Electron_{k}": ak.Array([np.full(1, v, np.float32)]) for k, v in electron.items()}
    arrays["Electron_charge"] = ak.Array([np.full(1, 1, np.int32)])
    arrays["Electron_cutBased"] = ak.Array([np.full(1, 4, np.int32)])
    for field in OBJECT_TYPES["Muon"]:
        arrays[f"Muon_{field}"] = arrays["Electron_pt"][:, :0]
    arrays["Muon_tightId"] = ak.values_astype(arrays["Muon_tightId"], bool)
    return arrays


def test_objects_that_were_counted_with_others_are_counted_again() -> None:
    electrons = Objects("electrons", "Electron", (Cut("pt", ">", 10.0),))
    muons = Objects("muons", "Muon", (Cut("pt", ">", 10.0),))
    tight = electrons.among("tight", Cut("tight", "!=", 0))
    cuts = (Count((electrons, muons), "==", 1), Count((tight,), "==", 1))
    analysis = replace(ANALYSIS, requirements=lambda *_: cuts, systematics=())
    # As many events have an electron as have one lepton, and these are others.
    events = {
        "Electron_pt": [[20.0], [], [20.0], [20.0]],
        "Electron_tight": [[True], [], [True], [False]],
        "Muon_pt": [[], [20.0], [20.0], []],
    }
    preselector = Preselector(analysis, SELECTION, ANALYSIS.datasets[0])
    assert preselector(in_memory(events)).events.tolist() == [0]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_computed_columns_have_one_number_for_each_object(n: int) -> None:
    electrons = Objects(
        "electrons", "Electron", (Cut("pt", ">", 10.0),), columns={"ratio": lambda _: np.ones(n)}
    )
    analysis = replace(
        ANALYSIS, requirements=lambda *_: (Count((electrons,), ">=", 1),), systematics=()
    )
    preselector = Preselector(analysis, SELECTION, ANALYSIS.datasets[0])
    stored = preselector(in_memory({"Electron_pt": [[20.0], [20.0, 30.0], [5.0]]})).stored
    with pytest.raises(AnalysisError, match=rf"of 3 objects returned .* shape \({n},\)"):
        stored["electrons"]["ratio"]
