"""Every reader gives the same bits as coffea's NanoEvents; costs are counted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings

import toy
from agc_pipeline.analyses.cms_ttbar import kernels
from agc_pipeline.analyses.cms_ttbar.smearing import standard_normals
from agc_pipeline.declaration import NANOAOD
from agc_pipeline.errors import InputError
from agc_pipeline.readers import chunks, metadata, parquet, root_format
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.local import stored_columns
from agc_pipeline.readers.opening import open_tree, unreadable
from agc_pipeline.readers.ranges import RangeColumns
from agc_pipeline.readers.stored import StoredColumns
from oracle import analysis as oracle
from oracle.events import Jet, events_from_arrays
from oracle.strategies import Arrays, nanoaod, to_arrays, write_nanoaod
from processed import COLUMNS, NAMES, run

N = 70
CODECS = {
    "none": None,
    "zlib": uproot.ZLIB(1),
    "lzma": uproot.LZMA(1),
    "zstd": uproot.ZSTD(3),
    "lz4": uproot.LZ4(1),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_codecs_and_formats(tmp_path: Path, kind: Any, codec: str) -> None:
    path = tmp_path / "a.root"
    # Some events are far apart, so that whole baskets are not wanted.
    arrays = toy.events(N, seed=3)
    for name in ("Electron_cutBased", "Muon_tightId"):
        counts = ak.num(arrays[name])
        late = ak.broadcast_arrays(np.arange(N) > 40, arrays[name])[0]
        arrays[name] = ak.values_astype(
            arrays[name] * late, arrays[name].type.content.content.primitive
        )
        assert ak.all(ak.num(arrays[name]) == counts)
    write_nanoaod(path, arrays, kind=kind, events_per_piece=9, compression=CODECS[codec])
    reference = run(path, N, "coffea", chunk_size=31)
    fast = run(path, N, "auto", chunk_size=31)
    assert fast.output == reference.output
    assert sum(fast.output["selected"].values()) >= 3
    assert fast.ledger == reference.ledger
    assert list(fast.performance) == ["baskets" if kind == "ttree" else "pages"]
    assert list(reference.performance) == ["coffea"]
    cost = fast.performance["baskets" if kind == "ttree" else "pages"]
    assert (cost.files, cost.events) == (1, N)
    # Jets of the first events are not needed.
    assert 0 < cost.bytes < reference.performance["coffea"].bytes


@pytest.mark.parametrize("dataset", [("wjets", "nominal"), ("ttbar", "PS_var")])
def test_datasets(tmp_path: Path, dataset: tuple[str, str]) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(N, seed=5), events_per_piece=20)
    reference = run(path, N, "coffea", dataset=dataset)
    for chunk_size in (1, 7, 20, 33):
        done = run(path, N, "auto", dataset=dataset, chunk_size=chunk_size)
        assert done.output == reference.output


@pytest.mark.parametrize(
    ("content", "problem", "of_parquet"),
    [
        (b"", "the file is empty", "the file is empty"),
        (b"hello", "not a ROOT file: it begins with b'hell', not", "not a Parquet file"),
        (b"hello" * 200, "not a ROOT file: it begins with b'hell', not", "not a Parquet file"),
        (b"<html>", "a web page (HTML), not a ROOT file", "not a Parquet file"),
        (b"root\0\0", "the file is empty or cut off", "not a Parquet file"),
    ],
)
def test_files_of_other_kinds(
    tmp_path: Path, content: bytes, problem: str, of_parquet: str
) -> None:
    path = tmp_path / "other.root"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        open_tree(str(path), COLUMNS, NANOAOD)
    assert error.value.problem.startswith(problem)
    with pytest.raises(InputError) as error:
        parquet.inspect(str(path), COLUMNS, NANOAOD)
    assert error.value.problem.startswith(of_parquet)


def test_baskets_in_the_key_of_the_tree_are_read_with_uproot(
    sample: Callable[[str], Path],
) -> None:
    path = sample("ttbar2017_NanoAODv5_1000ev.root")
    fast, reference = run(path, 1000, "auto", chunk_size=300), run(path, 1000, "coffea")
    assert fast.output == reference.output
    assert fast.output["selected"] == {"4j1b": 35, "4j2b": 73}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nanoaod(min_events=1, max_events=8))
def test_random_events(tmp_path_factory: pytest.TempPathFactory, arrays: Arrays) -> None:
    path = tmp_path_factory.mktemp("random") / "a.root"
    write_nanoaod(path, arrays, events_per_piece=3)
    n = len(arrays["event"])
    reference = run(path, n, "coffea")
    assert run(path, n, "auto", chunk_size=4).output == reference.output
    expected = oracle.cutflow(events_from_arrays(arrays))
    done = {**reference.output["preselection"], **reference.output["selected"]}
    assert done == expected


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
@pytest.mark.parametrize(
    "wanted", [None, [], [0], [69], [3, 4, 5, 30, 68], list(range(9, 18)), list(range(N))]
)
def test_columns_are_those_of_uproot(tmp_path: Path, wanted: list[int] | None, kind: Any) -> None:
    path = tmp_path / "a.root"
    arrays = toy.events(N)
    write_nanoaod(path, arrays, kind=kind, events_per_piece=9)
    content = metadata.read(str(path), COLUMNS, NANOAOD)
    start, stop = (0, N) if wanted else (5, 67)
    events = None if wanted is None else np.array(wanted, np.int64)
    edges = (start, *(edge for edge in content.edges if start < edge < stop), stop)
    chunk = chunks.Chunk(str(path), edges, content.branches, content.fields)
    stored = stored_columns(chunk, NANOAOD, Clock())
    assert stored is not None
    with stored as own, open_tree(str(path), COLUMNS, NANOAOD) as tree:
        for columns in (own, RangeColumns(tree, NANOAOD, edges, Clock())):
            for name in ("Jet", "Muon"):
                fields = COLUMNS[name]
                found = columns.collection(name, fields, events)
                for field in fields:
                    expected = arrays[f"{name}_{field}"][start:stop]
                    expected = expected if events is None else expected[events]
                    assert np.diff(found.offsets).tolist() == ak.num(expected).tolist()
                    assert found[field].tolist() == ak.flatten(expected).tolist()
                    assert found[field].dtype.isnative
            if events is not None:
                flat = columns.flat(("event",), events)
                assert flat["event"].tolist() == arrays["event"][start:stop][events].tolist()


def test_columns_of_the_selection_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.root"
    arrays = toy.events(200)
    # No event has a good muon, whose pt is a part of the observables all the same.
    arrays["Muon_tightId"] = ak.zeros_like(arrays["Muon_tightId"])
    write_nanoaod(path, arrays)
    read = []
    collection = StoredColumns.collection

    def recorded(
        columns: StoredColumns[Any, Any], name: str, fields: Any, events: Any = None
    ) -> Any:
        read.extend((name, field) for field in fields if events is None or len(events))
        return collection(columns, name, fields, events)

    monkeypatch.setattr(StoredColumns, "collection", recorded)
    result = run(path, 200, "auto")
    assert result.output["selected"]["4j2b"] > 0
    assert len(read) == len(set(read))
    assert ("Muon", "pt") not in read


def test_random_numbers_stay_what_they_are() -> None:
    # XXH64 of the five words, seed 0, is the seed of PCG-XSH-RR 64/32; polar method of Marsaglia.
    # The numbers were computed by a loop of these steps, without correctionlib.
    event = np.array([0, 2**64 - 1, 2**63, 1], np.uint64)
    run_number, block = np.array([1, 2**32 - 1, 0, 7], np.uint32), np.array([0, 1, 2, 3], np.uint32)
    offsets, jet = np.array([0, 1, 1, 3, 5]), np.array([0, 0, 5, 1, 2])
    numbers = standard_normals(2015, (run_number, block, event), offsets, jet)
    assert numbers.tolist() == [
        0.48268366718105743,
        -0.5261082781393854,
        0.5334197667572158,
        0.7805129029038005,
        2.1343873909185556,
    ]
    empty = np.empty(0, np.uint32)
    assert len(standard_normals(1, [empty] * 3, np.zeros(1, np.int64), empty)) == 0


def test_numbers_are_cut_off() -> None:
    arrays = [np.arange(1000, dtype=np.uint64)] * 3
    offsets = np.arange(1001)
    limited = standard_normals(1, arrays, offsets, np.zeros(1000, np.int64), 0.5)
    assert limited.max() == 0.5
    assert limited.min() == -0.5


def test_events_that_are_not_told_apart_are_refused() -> None:
    rng = np.random.default_rng(1)
    block, event = rng.integers(0, 5, 1000), rng.permutation(1000)
    offsets, jet = np.arange(1001), np.zeros(1000, np.int64)
    run_number = np.ones(1000, np.uint32)
    numbers = standard_normals(1, (run_number, block, event), offsets, jet)
    assert len(set(numbers.tolist())) == 1000
    # Single events are twice in real samples, and numbers start anew in each luminosity block.
    twice = np.where(np.arange(1000) < 9, 17, event)
    standard_normals(1, (run_number, block, twice), offsets, jet)
    standard_normals(1, (run_number, np.arange(1000) // 50, np.arange(1000) % 50), offsets, jet)
    with pytest.raises(InputError, match=r"999 of 1000 events .* such as 1, 3, 0"):
        standard_normals(1, (run_number, np.full(1000, 3), np.zeros(1000)), offsets, jet)


@settings(max_examples=30)
@given(nanoaod(min_events=1, max_events=4))
def test_trijet_is_that_of_three_nested_loops(arrays: Arrays) -> None:
    events = [
        event
        for event in events_from_arrays(arrays)
        if len(event.jets) >= 3 and any(oracle.b_tagged(jet) for jet in event.jets)
    ]
    jets: list[Jet] = [jet for event in events for jet in event.jets]
    columns = {
        "pt": np.array([jet.pt for jet in jets], np.float64),
        "tagged": np.array([oracle.b_tagged(jet) for jet in jets], bool),
        "cos_phi": np.cos(np.array([jet.phi for jet in jets], np.float64)),
        "sin_phi": np.sin(np.array([jet.phi for jet in jets], np.float64)),
        "sinh_eta": np.sinh(np.array([jet.eta for jet in jets], np.float64)),
        "cosh_eta": np.cosh(np.array([jet.eta for jet in jets], np.float64)),
        "mass": np.array([jet.mass for jet in jets], np.float64),
    }
    offsets = np.cumsum([0, *(len(event.jets) for event in events)])
    masses = kernels.trijet_masses(kernels.JetArrays(offsets=offsets, **columns))
    for event, mass in zip(events, masses, strict=True):
        best = oracle.leading_trijet(list(event.jets)).pt
        # Triplets of the same pt are as good as each other to rounding.
        equal = [t.mass for t in oracle.trijets(list(event.jets)) if t.pt >= best * (1 - 1e-9)]
        assert any(mass == pytest.approx(other, rel=1e-6, abs=1e-3) for other in equal)


def test_metadata_are_cached_until_the_file_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.root", tmp_path / "cache"

    def read() -> metadata.FileMetadata:
        content = metadata.read(str(path), COLUMNS, NANOAOD)
        metadata.keep(content, cache)
        assert metadata.cached(str(path), NANOAOD.tree, NAMES, cache) == content
        return content

    write_nanoaod(path, toy.events(30), events_per_piece=10)
    assert metadata.cached(str(path), NANOAOD.tree, NAMES, cache) is None
    read()
    assert metadata.cached(str(path), NANOAOD.tree, NAMES, None) is None
    assert metadata.cached(str(path), NANOAOD.tree, NAMES[1:], cache) is None
    assert metadata.cached(str(path), "Runs", NAMES, cache) is None
    write_nanoaod(path, toy.events(31), events_per_piece=10)
    assert metadata.cached(str(path), NANOAOD.tree, NAMES, cache) is None
    other = read()
    assert other.n_events == 31

    # The same size and time, but another file.
    uuid = bytes.fromhex(other.uuid)
    status = path.stat()
    data = path.read_bytes()
    assert data.count(uuid) >= 1
    path.write_bytes(data.replace(uuid, uuid[::-1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert metadata.cached(str(path), NANOAOD.tree, NAMES, cache) is None
    assert read().uuid == uuid[::-1].hex()
    assert run(path, 31, "auto", cache=cache).output == run(path, 31, "coffea").output


def test_a_second_run_opens_no_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / "a.root", tmp_path / "cache"
    write_nanoaod(path, toy.events(30), events_per_piece=10)
    first = run(path, 30, "auto", cache=cache).output
    monkeypatch.setattr(metadata, "open_tree", lambda *_: pytest.fail("the file was opened again"))
    assert run(path, 30, "auto", cache=cache).output == first


def test_chunks_are_cut_between_clusters_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(100), events_per_piece=30)
    content = metadata.read(str(path), COLUMNS, NANOAOD)

    def cut(chunk_size: int, chunk_bytes: int = 10**9) -> list[tuple[int, int]]:
        ranges = chunks.chunks(content, chunk_size=chunk_size, chunk_bytes=chunk_bytes)
        return [(chunk.start, chunk.stop) for chunk in ranges]

    assert cut(1000) == [(0, 100)]
    assert cut(70) == [(0, 60), (60, 100)]
    assert cut(20) == [(0, 20), (20, 30), (30, 50), (50, 60), (60, 80), (80, 100)]
    by_size = cut(1000, int(content.event_bytes * 35))
    assert by_size == [(0, 30), (30, 60), (60, 90), (90, 100)]
    assert len(cut(1000, 1)) == 100


def test_damaged_baskets_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(200), events_per_piece=50, compression=uproot.ZLIB(1))
    content = metadata.read(str(path), COLUMNS, NANOAOD)
    assert content.branches is not None
    branch = content.branches["Electron_cutBased"]
    data = bytearray(path.read_bytes())
    middle = branch.seeks[2] + branch.sizes[2] - 8
    data[middle : middle + 8] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged") as caught:
        run(path, 200, "auto")
    assert caught.value.place == str(path)

    # The key of a basket that is none of this branch.
    data[branch.seeks[1] : branch.seeks[1] + 4] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(InputError, match="a basket of"):
        run(path, 200, "auto")


@pytest.mark.parametrize("always", [False, True])
def test_classes_of_a_damaged_file_are_not_kept(always: bool) -> None:
    trees = uproot.classes["TTree"].known_versions

    def add(*, damaged: bool) -> None:
        trees[99] = trees[20]
        uproot.classes["TNobody"] = uproot.classes["TTree"]
        if damaged:
            raise ValueError("damaged")

    before = dict(uproot.classes), dict(trees)
    with pytest.raises(ValueError, match="damaged"), root_format.same_classes(always=always):
        add(damaged=True)
    assert (uproot.classes, trees) == before
    with root_format.same_classes(always=True):
        add(damaged=False)
    assert (uproot.classes, trees) == before


def test_baskets_with_another_number_of_lists_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(20), events_per_piece=20)
    content = metadata.read(str(path), COLUMNS, NANOAOD)
    assert content.branches is not None
    branch = content.branches["Jet_pt"]
    (seek,), (size,) = branch.seeks, branch.sizes
    data = path.read_bytes()[seek : seek + size]
    basket = root_format.decompressed(data, seek, size, 20)
    with pytest.raises(ValueError, match="20 lists for 19 events"):
        root_format.Lists(np.dtype(branch.dtype), 19).add(basket, 19, None)
    with pytest.raises(ValueError, match=f"a basket at byte {seek + 1} says to be at byte {seek}"):
        root_format.decompressed(data, seek + 1, size, 20)


def test_only_the_branches_that_are_needed_are_read_from_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.root"
    values = ak.Array([[1.0, 2.0], [], [3.0]])
    with uproot.recreate(path) as file:
        file.mktree("other", {"x": "int64"})
        # uproot counts each of these lists by a branch of its own, such as nlist3_x.
        branches = {f"list{i}_x": "var * float64" for i in range(9)} | {"run": "int64"}
        file.mktree("Events", branches)
        data = {name: values + i for i, name in enumerate(branches) if name != "run"}
        file["Events"].extend(data | {"run": np.arange(3)})
        file["other"].extend({"x": np.arange(4)})
    needed = ["run", "list3_x", "nothing"]
    with uproot.open(path, object_cache=None) as file:
        tree = root_format.tree_of(file, "Events", needed)
        assert set(tree.keys()) == {"run", "list3_x", "nlist3_x"}
        assert tree["list3_x"].array().tolist() == (values + 3).tolist()
        full = file["Events"]
        assert len(full.keys()) == 19
        for name in ("run", "list3_x"):
            assert root_format.baskets_of(tree[name]) == root_format.baskets_of(full[name])
        assert root_format.tree_of(file, "other", ["y"]).keys() == []
        # Where the header is not as expected, it is read in full.
        monkeypatch.setattr(root_format, "_BRANCH", b"TBranchOther\0")
        assert root_format.tree_of(file, "Events", needed).keys() == full.keys()


def test_headers_that_refer_to_what_is_skipped(sample: Callable[[str], Path]) -> None:
    # ROOT names each class once, in branches that are not read.
    with uproot.open(sample("ttbar2017_NanoAODv5_1000ev.root"), object_cache=None) as file:
        full, needed = file["Events"], ["Jet_pt", "nJet", "Muon_tightId", "nMuon"]
        tree = root_format.tree_of(file, "Events", needed)
        assert set(tree.keys()) == set(needed)
        for name in needed:
            assert tree[name].interpretation == full[name].interpretation
            assert (
                tree[name].array(entry_stop=9).tolist() == full[name].array(entry_stop=9).tolist()
            )


def test_other_releases_of_uproot_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: object) -> str:
        return "other"

    cursor = uproot.source.cursor.Cursor
    monkeypatch.setattr(uproot.model, "classname_regularize", other)
    monkeypatch.setattr(cursor, "classname", other)
    monkeypatch.delattr(uproot.compression, "_decompress_ZLIB")
    root_format.speed_up_uproot.__wrapped__()
    assert uproot.model.classname_regularize is other
    assert cursor.classname is other
    assert not hasattr(uproot.compression, "_decompress_ZLIB")


def test_costs_close(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(60), events_per_piece=20, compression=uproot.ZLIB(1))
    for reader, parts in (("auto", {"open", "read", "decompress", "physics", "fill", "merge"}),):
        (cost,) = run(path, 60, reader).performance.values()
        assert set(cost.seconds) == parts
        assert cost.total.wall == pytest.approx(sum(s.wall for s in cost.seconds.values()))
    # All baskets of the columns that the analysis reads, once each.
    content = metadata.read(str(path), COLUMNS, NANOAOD)
    assert content.branches is not None
    unused = {"Jet_qgl"} | {
        f"{lepton}_{field}" for lepton in ("Electron", "Muon") for field in ("phi", "mass")
    }
    used = [branch for name, branch in content.branches.items() if name not in unused]
    assert cost.bytes == sum(sum(branch.sizes) for branch in used)


def test_empty_collections(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    event = {"run": 1, "luminosityBlock": 1, "event": 1}
    write_nanoaod(path, to_arrays([event] * 5), events_per_piece=2, compression=uproot.ZLIB(1))
    assert run(path, 5, "auto").output == run(path, 5, "coffea").output


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.root"
    os.mkfifo(path)
    readers: tuple[Callable[[], object], ...] = (
        lambda: open_tree(str(path), COLUMNS, NANOAOD),
        lambda: open_tree(f"file://{path}", COLUMNS, NANOAOD),
        lambda: metadata.cached(str(path), NANOAOD.tree, NAMES, tmp_path),
        lambda: parquet.inspect(str(path), COLUMNS, NANOAOD),
    )
    for read in readers:
        with pytest.raises(InputError, match="is a named pipe"):
            read()


@pytest.mark.parametrize(
    ("url", "what"),
    [("/data/a.root", "a package is missing or broken"), ("root://host//a", "kind of address")],
)
def test_a_package_that_is_missing_is_no_fault_of_the_address(url: str, what: str) -> None:
    error = unreadable(url, ModuleNotFoundError("No module named 'cachetools'"))
    assert what in error.problem
    assert "No module named 'cachetools'" in error.problem
