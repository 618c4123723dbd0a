"""The processor against the specification written once more as plain loops."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import uproot
from agc_pipeline.analyses.cms_ttbar.smearing import LIMIT, standard_normal
from hypothesis import assume, given
from hypothesis import strategies as st

from agc_pipeline import analyses
from agc_pipeline.analyses.cms_ttbar.objects import COLUMNS
from agc_pipeline.analyses.cms_ttbar.settings import Selection
from agc_pipeline.delivery.skim import collections
from oracle import analysis as oracle
from oracle.events import Event, events_from_arrays, read_events
from oracle.strategies import Arrays, nanoaod

SEED = 2015
TTBAR2017 = "ttbar2017_NanoAODv5_1000ev.root"


def smearing(events: list[Event]) -> oracle.Smear:
    """The random number of each jet, by its identity."""
    identities = {
        "run": np.array([event.run for event in events], np.uint32),
        "luminosityBlock": np.array([event.lumi for event in events], np.uint32),
        "event": np.array([event.number for event in events], np.uint64),
    }
    counts = np.array([len(event.jets) for event in events], np.int64)
    jets = ak.zip({"pt": ak.unflatten(np.zeros(counts.sum()), counts)})
    numbers = standard_normal(ak.Array(identities), jets, seed=SEED).tolist()
    table = {
        (event.run, event.lumi, event.number, jet): number
        for event, row in zip(events, numbers, strict=True)
        for jet, number in enumerate(row)
    }
    return lambda run, lumi, event, jet: table[run, lumi, event, jet]


def as_events(arrays: Any) -> Any:
    """Columns in memory as the collections that the processor is given."""
    return collections(ak.zip(dict(arrays), depth_limit=1), COLUMNS)


def process(events: Any, selection: Selection, process: str, variation: str) -> Any:
    processor = analyses.load_processor("cms_ttbar").processor(selection, process, variation)
    return processor.process(events)


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
            # Each weight is rounded to a multiple of 2^-24, also one that is nearly 0.
            off = {"rtol": 1e-9, "atol": 2**-25 * max(1, *reference.entries), "err_msg": shift}
            np.testing.assert_allclose(view["value"], reference.sumw, **off)
            np.testing.assert_allclose(view["variance"], reference.sumw2, **off)
            # Which bins have entries does not depend on rounding.
            assert (view["variance"] > 0).tolist() == [n > 0 for n in reference.entries]
    assert {**output["preselection"], **output["selected"]} == oracle.cutflow(events)


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
    selection: Selection,
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
    check(process(as_events(arrays), selection, *dataset), events, dataset)


def test_real_ttbar_sample_selects_the_known_events(
    sample: Callable[[str], Path], selection: Selection
) -> None:
    # Counts of the sample's description; its muon identification works, so muons take part.
    with uproot.open({sample(TTBAR2017): "Events"}) as tree:
        columns = [f"{c}_{f}" if c else f for c, fields in COLUMNS.items() for f in fields]
        arrays = {column: tree[column].array() for column in columns}
    output = process(as_events(arrays), selection, "ttbar", "nominal")
    assert output["preselection"] == {"all": 1000, "one lepton": 190, "four jets": 113}
    assert output["selected"] == {"4j1b": 35, "4j2b": 73}

    none = arrays | {"Muon_tightId": ak.zeros_like(arrays["Muon_tightId"])}
    without_muons = process(as_events(none), selection, "ttbar", "nominal")
    assert 0 < sum(without_muons["selected"].values()) < 35 + 73


@given(nanoaod(max_events=5), st.sampled_from([("ttbar", "nominal"), ("wjets", "nominal")]))
def test_equals_the_oracle_on_random_events(arrays: Arrays, dataset: tuple[str, str]) -> None:
    events = events_from_arrays(arrays)
    assume(not oracle.undecided(events, smear=smearing(events)))
    output = process(as_events(arrays), _SELECTION, *dataset)
    check(output, events, dataset)


@given(nanoaod(max_events=5))
def test_preselection_contains_every_selected_event(arrays: Arrays) -> None:
    mask, cutflow = analyses.load_preselection("cms_ttbar").preselect(_SELECTION, as_events(arrays))
    events = events_from_arrays(arrays)
    for event, kept in zip(events, mask, strict=True):
        selected = oracle.filled([event], "ttbar", "nominal", smear=smearing([event]))
        if any(selected.values()):
            assert kept
    assert cutflow == {cut: oracle.cutflow(events)[cut] for cut in cutflow}


def test_preselection_holds_for_the_largest_smearing(
    selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor = 1 + LIMIT * selection.variations.pt_resolution
    just_over = np.nextafter(np.float32(30 / factor), np.float32(40))
    arrays = _one_event(jet_pt=float(just_over))
    mask, _ = analyses.load_preselection("cms_ttbar").preselect(selection, as_events(arrays))
    assert mask.tolist() == [True]

    far_below = _one_event(jet_pt=30 / factor - 0.01)
    mask, _ = analyses.load_preselection("cms_ttbar").preselect(selection, as_events(far_below))
    assert mask.tolist() == [False]


def test_without_events_everything_is_empty(selection: Selection) -> None:
    arrays = {name: column[:0] for name, column in _one_event(jet_pt=50.0).items()}
    output = process(as_events(arrays), selection, "wjets", "nominal")
    empty = analyses.load_processor("cms_ttbar").processor(selection, "wjets", "nominal").empty()
    assert output == empty
    assert len(output["histograms"]["4j1b"].axes["variation"]) == 13


def test_smearing_depends_on_identity_only() -> None:
    events = ak.Array({"run": [1, 1, 2], "luminosityBlock": [7, 7, 7], "event": [2**40, 3, 2**40]})
    jets = ak.Array({"pt": [[50.0, 40.0], [], [50.0, 40.0, 30.0]]})
    together = standard_normal(events, jets, seed=SEED)
    assert ak.num(together).tolist() == [2, 0, 3]
    for i in range(3):
        alone = standard_normal(events[i : i + 1], jets[i : i + 1], seed=SEED)
        assert alone.tolist() == [together[i].tolist()]
    assert together[0].tolist() != together[2][:2].tolist()
    other_seed = standard_normal(events, jets, seed=SEED + 1)
    assert ak.all(other_seed != together)


def test_smearing_is_standard_normal() -> None:
    n = 20_000
    events = ak.Array(
        {"run": np.ones(n, int), "luminosityBlock": np.ones(n, int), "event": np.arange(n)}
    )
    jets = ak.Array({"pt": np.ones((n, 4))})
    numbers = ak.to_numpy(ak.flatten(standard_normal(events, ak.from_regular(jets), seed=SEED)))
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
    for field in COLUMNS["Muon"]:
        arrays[f"Muon_{field}"] = arrays["Electron_pt"][:, :0]
    arrays["Muon_tightId"] = ak.values_astype(arrays["Muon_tightId"], bool)
    return arrays


def _selection() -> Selection:
    # Fixtures of function scope and hypothesis do not go together.
    from conftest import read_config  # noqa: PLC0415

    chosen = analyses.load("cms_ttbar").selection(read_config()["physics"]["selection"])
    assert isinstance(chosen, Selection)
    return chosen


_SELECTION = _selection()
