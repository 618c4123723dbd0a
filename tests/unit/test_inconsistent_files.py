"""Files that can be read in two ways are refused by every reader, and in delivery."""

import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from pyarrow import parquet

import toy
from agc_pipeline.columnar import runner
from agc_pipeline.columnar.processing import skim_content
from agc_pipeline.columnar.selection import passes
from agc_pipeline.declaration import NANOAOD, Cut
from agc_pipeline.delivery.preselected import compare_counters, open_input
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.errors import InputError
from agc_pipeline.readers import metadata
from agc_pipeline.readers.columns import ListLengths, check_finite
from agc_pipeline.readers.failures import Disagreement, ImpossibleValue
from agc_pipeline.readers.nano_events import of_root
from agc_pipeline.readers.ranges import arrays_of
from inconsistent import set_entries, write_lists
from oracle.strategies import Arrays, with_counts, write_nanoaod
from processed import ANALYSIS, COLUMNS, EXECUTOR, SELECTION, delivered, in_memory, processing, run

CONTENT = skim_content(ANALYSIS, SELECTION, ANALYSIS.datasets[0], learned=True)
READERS = ("auto", "coffea", "skim", "ranges")


def read(path: Path, reader: str, n_events: int) -> Any:
    """Read a file as a job does."""
    if reader == "skim":
        with open_input(str(path), CONTENT) as tree:
            skim = path.with_suffix(".skim.root")
            return write_skim(tree, CONTENT, skim, url=str(path), kind="ttree", chunk_size=30)
    if reader == "ranges":
        # Only files on this machine are read by single baskets.
        return run(f"file://{path}", n_events, "auto", chunk_size=30)
    return run(path, n_events, reader, chunk_size=30)


def run_parquet(path: Path) -> None:
    """Process a table of 60 events."""
    specification = runner.Specification(
        processing(),
        reader="auto",
        chunk_size=1000,
        chunk_bytes=10**9,
        cache=None,
        kind="parquet",
    )
    runner.run([delivered(path, 60, 60)], specification, EXECUTOR, allow_partial=False)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("n_events", [90, 40])
def test_tree_and_branches_have_the_same_events(tmp_path: Path, reader: str, n_events: int) -> None:
    path = tmp_path / "a.root"
    set_entries(path, toy.events(60), n_events)
    with pytest.raises(InputError, match=f"run has 60 events, and the tree {n_events}") as caught:
        read(path, reader, n_events)
    assert caught.value.place.endswith(str(path))


@pytest.mark.parametrize("reader", READERS)
def test_a_branch_may_not_end_early(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "a.root"
    set_entries(path, toy.events(60), 30, branch="event")
    with pytest.raises(InputError, match="event has 30 events, and the tree 60"):
        read(path, reader, 60)


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
@pytest.mark.parametrize("column", ["Jet_btagCSVV2", "Jet_qgl", "nJet"])
def test_columns_of_a_collection_have_the_same_lists(
    tmp_path: Path, column: str, kind: str
) -> None:
    path = tmp_path / "a.root"
    write_lists(path, toy.events(60), column, kind)
    pattern = r"lists of \w+ and \w+ differ in length, first in event \d+: \d and \d"
    # Nothing of this selection reads the one column.
    unread = {"auto": ("Jet_qgl", "nJet")}
    for reader in ("auto", "coffea", "skim"):
        if column in unread.get(reader, ()) or (reader, column) == ("coffea", "Jet_qgl"):
            continue
        with pytest.raises(InputError, match=pattern) as caught:
            read(path, reader, 60)
        assert caught.value.place == str(path)
        assert column in caught.value.problem
    if column == "nJet":
        # Delivery of the file as it is compares what the readers of baskets and pages do not read.
        with (
            open_input(str(path), CONTENT) as tree,
            pytest.raises(InputError, match="nJet differ in length, first in event 0"),
        ):
            compare_counters(tree, CONTENT, str(path), 30)


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_counters_of_good_files_agree(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(60), kind=kind, events_per_piece=25)
    with open_input(str(path), CONTENT) as tree:
        compare_counters(tree, CONTENT, str(path), 30)


@pytest.mark.parametrize("column", ["Jet_btagCSVV2", "nJet"])
def test_lists_in_parquet(tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.parquet"
    write_lists(path, toy.events(60), column, "parquet")
    with pytest.raises(InputError, match="differ in length, first in event 0") as caught:
        run_parquet(path)
    assert caught.value.place == str(path)


@pytest.mark.parametrize("column", ["Jet_btagCSVV2", "nJet"])
def test_records_of_coffea(tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.root"
    write_lists(path, toy.events(60), column, "ttree")
    columns = {**NANOAOD.identity_columns, "Jet": ("pt", "eta", "phi", "mass", "btagCSVV2")}
    with uproot.open(path) as file:
        events = of_root(file["Events"], columns, NANOAOD, (0, 60))
        with pytest.raises(Disagreement, match="first in event 0"):
            events.Jet.btagCSVV2.to_list()
    with uproot.open(path) as file:
        # From an event behind, counted from the start of the file.
        events = of_root(file["Events"], columns, NANOAOD, (1, 60))
        if column == "Jet_btagCSVV2":
            with pytest.raises(Disagreement, match="first in event 1"):
                events.Jet.btagCSVV2.to_list()
        else:
            with pytest.raises(Disagreement, match="nJet differ in length, first in event 1"):
                events.Jet.btagCSVV2.to_list()


def test_lengths_of_parts_are_compared_with_all_before() -> None:
    lengths = ListLengths(6, first=100)
    lengths.compare("Jet", "Jet_pt", np.array([1, 2]), np.array([1, 4]))
    lengths.compare("Jet", "Jet_eta", np.array([3, 1]), np.array([0, 1]))
    lengths.compare("Jet", "Jet_phi", np.array([3, 1, 0, 0, 2, 0]))
    with pytest.raises(Disagreement, match=r"Jet_mass and Jet_pt .* first in event 104: 7 and 2"):
        lengths.compare("Jet", "Jet_mass", np.array([7]), np.array([4]))
    with pytest.raises(Disagreement, match="Jet_mass has 5 of 6 events"):
        lengths.compare("Jet", "Jet_mass", np.zeros(5, np.int64))


def test_what_is_no_tree_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file["Events"] = np.histogram([1.0, 2.0])
    with pytest.raises(InputError, match="`Events` is no tree but a TH1D"):
        run(path, 1, "auto")
    with uproot.recreate(path) as file:
        file.mkdir("Events")
    with pytest.raises(InputError, match="`Events` is no tree but a TDirectory") as caught:
        run(path, 1, "coffea")
    assert caught.value.place == str(path)


def with_counters(arrays: Arrays) -> Arrays:
    """Columns that are written as they are, with the counter of each collection beside them."""
    counters = {f"n{name}": ak.num(arrays[f"{name}_pt"]) for name in ("Jet", "Electron", "Muon")}
    return arrays | {name: ak.to_numpy(n).astype(np.uint32) for name, n in counters.items()}


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_columns_of_another_type(tmp_path: Path, kind: str) -> None:
    path, good = tmp_path / "a.root", with_counters(toy.events(60))
    for column, values, problem in (
        ("run", ak.Array(["one"] * 60), "the branch run has texts, not numbers"),
        ("Jet_pt", np.ones(60), "the branch Jet_pt has one number for each event, not a list"),
    ):
        with uproot.recreate(path) as file:
            (file.mktree if kind == "ttree" else file.mkrntuple)("Events", good | {column: values})
        for reader in READERS:
            with pytest.raises(InputError, match=problem) as caught:
                read(path, reader, 60)
            assert caught.value.place.endswith(str(path))


def test_arrays_of_a_fixed_size_are_lists(tmp_path: Path) -> None:
    """Whatever reads them, and also through a skim."""
    good = with_counters(toy.events(60))
    jets = {name for name in good if name.startswith("Jet_")}
    fixed = good | {name: ak.to_numpy(good[name][:, :4]) for name in jets}
    lists = {name: good[name][:, :4] for name in good if good[name].ndim > 1 and name in jets}
    fixed["nJet"] = np.full(60, 4, np.uint32)
    path, other = tmp_path / "fixed.root", tmp_path / "lists.root"
    for file_path, columns in ((path, fixed), (other, fixed | lists)):
        with uproot.recreate(file_path) as file:
            tree = file.mktree("Events", {name: array[:25] for name, array in columns.items()})
            tree.extend({name: array[25:] for name, array in columns.items()})
    expected = read(other, "auto", 60).output
    stored = metadata.read(str(path), COLUMNS, NANOAOD).branches
    assert stored is not None
    assert stored["Jet_pt"].length == 4
    for reader in ("auto", "coffea"):
        assert read(path, reader, 60).output == expected
    after = read(path, "skim", 60).after
    assert 0 < after < 60
    assert (
        run(path.with_suffix(".skim.root"), after, "auto").output["histograms"]
        == (expected["histograms"])
    )


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_arrays_of_a_fixed_size_are_lists_of_records(tmp_path: Path, kind: str) -> None:
    pt = np.arange(1.0, 121.0, dtype=np.float32).reshape(60, 2)
    columns = {**NANOAOD.identity_columns, "Thing": ("pt", "id")}
    for n, name in ((2, "good"), (3, "bad")):
        arrays = {
            **{name: np.arange(60, dtype=np.uint64) for name in NANOAOD.identity},
            "nThing": np.full(60, n, np.int32),
            "Thing_pt": pt,
            "Thing_id": np.ones((60, 2), np.int32),
        }
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            if kind == "ttree":
                file.mktree("Events", arrays)
            else:
                file.mkrntuple("Events", arrays)
    with uproot.open(tmp_path / "good.root") as file:
        read_arrays = arrays_of(file["Events"], ["Thing_pt"], (10, 30))
        assert str(read_arrays.type) == "20 * {Thing_pt: var * float32}"
        things = of_root(file["Events"], columns, NANOAOD, (10, 30)).Thing
        assert things.pt.to_list() == pt[10:30].tolist()
        assert things[things.pt > 30.0].id.to_list() == [[]] * 4 + [[]] + [[1, 1]] * 15
    with uproot.open(tmp_path / "bad.root") as file:
        things = of_root(file["Events"], columns, NANOAOD, (0, 60)).Thing
        with pytest.raises(Disagreement, match="Thing_pt and nThing differ in length, first in"):
            things.pt.to_list()


def with_value(arrays: Arrays, column: str, event: int, value: float) -> Arrays:
    """The same events, of which the first object of one has another value."""
    changed = ak.to_numpy(ak.flatten(arrays[column])).copy()
    before = int(ak.sum(ak.num(arrays[column])[:event]))
    changed[before] = value
    return arrays | {column: ak.unflatten(changed, ak.num(arrays[column]))}


# Whether variations change them or not, they are read for all events or for some.
@pytest.mark.parametrize(("column", "value"), [("Jet_pt", np.inf), ("Jet_eta", np.nan)])
def test_momenta_that_are_not_finite(tmp_path: Path, column: str, value: float) -> None:
    arrays = toy.events(60)
    # An event that is kept has its jets read by everyone.
    events, _ = processing().preselect(in_memory(arrays))
    event = int(events[events > 30][0])
    arrays = with_value(arrays, column, event, value)
    path, ntuple = tmp_path / "a.root", tmp_path / "ntuple.root"
    write_nanoaod(path, arrays, events_per_piece=25)
    with uproot.recreate(ntuple) as file:
        file.mkrntuple("Events", with_counts(arrays))
    pattern = rf"a value of {column} is {value}, first in event {event}$"
    for file, readers in ((path, READERS), (ntuple, ("auto", "coffea", "skim"))):
        for reader in readers:
            with pytest.raises(InputError) as caught:
                read(file, reader, 60)
            assert re.match(pattern, caught.value.problem), (reader, caught.value.problem)
            assert caught.value.place.endswith(str(file))
    table = tmp_path / "a.parquet"
    parquet.write_table(
        ak.to_arrow_table(ak.zip(with_counts(arrays), depth_limit=1), list_to32=True), table
    )
    with pytest.raises(InputError, match=pattern[:-1]):
        run_parquet(table)


def test_momenta_of_records_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, with_value(toy.events(60), "Jet_pt", 7, -np.inf))
    columns = {**NANOAOD.identity_columns, "Jet": ("pt", "eta", "phi", "mass")}
    with uproot.open(path) as file:
        events = of_root(file["Events"], columns, NANOAOD, (5, 60))
        with pytest.raises(ImpossibleValue, match="a value of Jet_pt is -inf, first in event 7"):
            events.Jet.pt.to_list()


def test_events_of_momenta_that_are_not_finite() -> None:
    check_finite("Jet_jetId", np.array([1, 2]))
    values = np.array([1.0, 2.0, np.nan, np.inf])
    # Of single records in some events, and of lists, of which some are empty.
    with pytest.raises(ImpossibleValue, match="MET_pt is nan, first in event 107"):
        check_finite("MET_pt", values, None, np.array([1, 3, 7, 8]), first=100)
    with pytest.raises(ImpossibleValue, match="Jet_pt is nan, first in event 103"):
        check_finite("Jet_pt", values, np.array([0, 0, 2, 2, 4]), first=100)
    momenta = ("MET_pt", "MET_sumEt", "Jet_mass", "lep_E", "pt", "GenPart_eta")
    assert all(map(NANOAOD.is_momentum, momenta))
    assert not any(map(NANOAOD.is_momentum, ("Jet_qgl", "Muon_sip3d", "event", "weight")))


def test_what_is_no_momentum_passes_no_cut_that_it_does_not_meet() -> None:
    # NaN is in no relation with a bound, and infinite values are beyond each.
    values = {"x": np.array([np.nan, np.inf, -np.inf, 1.0])}
    passed = {
        comparison: passes(values.__getitem__, (Cut("x", comparison, 0.5),), 4).tolist()
        for comparison in (">", "<", "==", "!=")
    }
    assert passed[">"] == [False, True, False, True]
    assert passed["<"] == [False, False, True, False]
    assert passed["=="] == [False] * 4
    assert passed["!="] == [True] * 4
