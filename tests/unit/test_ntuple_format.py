"""Pages of RNTuples: all ways of storing numbers, lists across pages, and what is damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import cramjam
import numpy as np
import pytest
import uproot
import xxhash

import toy
from agc_pipeline.columnar.tasks import columns_reader
from agc_pipeline.declaration import NANOAOD
from agc_pipeline.errors import InputError
from agc_pipeline.readers import metadata
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.ntuple_format import FieldMetadata, PageMetadata, Structure
from agc_pipeline.readers.pages import PageColumns
from oracle.strategies import write_nanoaod
from processed import COLUMNS, run

N = 1000


def encoded(values: Any, encoding: str) -> bytes:
    """Numbers as ROOT's specification says that a page stores them."""
    match encoding:
        case "bits":
            return np.packbits(values, bitorder="little").tobytes()
        case "zigzag":
            unsigned = [2 * int(v) if v >= 0 else -2 * int(v) - 1 for v in values]
            values = np.array(unsigned, f"u{values.itemsize}")
        case "delta":
            values = np.diff(values, prepend=values.dtype.type(0))
        case "plain":
            return values.tobytes()
    columns = np.frombuffer(values.tobytes(), np.uint8).reshape(-1, values.itemsize)
    return columns.T.tobytes()


def stored(data: bytearray, clusters: Any, encoding: str, dtype: str) -> PageMetadata:
    """Append the pages of a column to a file, compressed where that is shorter."""
    elements, seeks, sizes, firsts = [0], [], [], [0]
    for pages in clusters:
        for page in pages:
            content = encoded(np.array(page, dtype), encoding)
            packed = bytes(cramjam.zlib.compress(content))
            lengths = (len(packed).to_bytes(3, "little"), len(content).to_bytes(3, "little"))
            block = b"ZL\x08" + b"".join(lengths) + packed
            block = min(block, content, key=len)
            seeks.append(len(data))
            sizes.append(len(block))
            elements.append(elements[-1] + len(page))
            data += block + xxhash.xxh3_64_intdigest(block).to_bytes(8, "little")
        firsts.append(len(seeks))
    return PageMetadata(
        dtype=dtype,
        encoding=encoding,
        checksums=True,
        clusters=tuple(firsts),
        elements=tuple(elements),
        seeks=tuple(seeks),
        sizes=tuple(sizes),
    )


@pytest.mark.parametrize(
    ("dtype", "encoding"),
    [
        *((dtype, "plain") for dtype in ("|i1", "|u1", "<i2", "<u4", "<f4", "<i8", "<f8")),
        *((dtype, "split") for dtype in ("<u2", "<u4", "<u8", "<f4", "<f8")),
        *((dtype, "zigzag") for dtype in ("<i2", "<i4", "<i8")),
        ("|b1", "bits"),
    ],
)
def test_numbers_as_pages_store_them(tmp_path: Path, dtype: str, encoding: str) -> None:
    rng = np.random.default_rng(1)
    words = rng.integers(0, 256, N * np.dtype(dtype).itemsize, np.uint8)
    values = words % 2 == 0 if dtype == "|b1" else words.view(dtype)
    # A page of random numbers is not compressed, one of zeros is.
    values[700:] = 0
    data = bytearray(b"start")
    column = stored(data, [[values[:3], values[3:600]], [values[600:]]], encoding, dtype)
    path = tmp_path / "pages"
    path.write_bytes(data)
    fields = {"x": FieldMetadata(offsets=None, values=column)}
    assert fields["x"].edges == (0, 600, N)
    for events in (np.arange(N), np.array([0, 2, 3, 599, 600, 999]), np.arange(600, N)):
        with PageColumns(str(path), fields, 0, N, Clock(), layout=NANOAOD).opened() as columns:
            read = columns.flat(("x",), events)["x"]
        assert read.tobytes() == values[events].tobytes()
    # One bit of a page that differs.
    data[column.seeks[1]] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    with (
        PageColumns(
            str(tmp_path / "damaged"), fields, 0, N, Clock(), layout=NANOAOD
        ).opened() as columns,
        pytest.raises(ValueError, match="page differs from its checksum"),
    ):
        columns.flat(("x",), np.arange(N))
    # A range that begins and ends within pages.
    with PageColumns(str(path), fields, 2, 650, Clock(), layout=NANOAOD).opened() as columns:
        read = columns.flat(("x",), np.array([0, 597, 598, 647]))["x"]
    assert read.tobytes() == values[[2, 599, 600, 649]].tobytes()


@pytest.mark.parametrize("index", [("<u8", "delta"), ("<u4", "delta"), ("<u8", "plain")])
def test_lists_across_pages(tmp_path: Path, index: tuple[str, Any]) -> None:
    lists = [[[1, 2], [], [3, 4, 5], [6]], [], [[], [7, 8], [9]]]
    data = bytearray()
    ends = [np.cumsum([len(x) for x in cluster]).astype(int).tolist() for cluster in lists]
    offsets = stored(
        data, [[ends[0][:1], ends[0][1:]], [], [ends[2][:2], ends[2][2:]]], index[1], index[0]
    )
    values = stored(data, [[[1], [2, 3, 4], [5, 6]], [], [[7], [8], [9]]], "split", "<f4")
    path = tmp_path / "pages"
    path.write_bytes(data)
    fields = {
        "Jet_pt": FieldMetadata(offsets=offsets, values=values),
        "Jet_eta": FieldMetadata(offsets=offsets, values=values),
        "nJet": FieldMetadata(offsets=offsets, values=None),
    }
    full = [event for cluster in lists for event in cluster]
    for wanted in (None, [0], [1], [2], [3, 4], [5], [2, 6], [0, 6], list(range(7)), []):
        clock = Clock()
        with PageColumns(str(path), fields, 0, 7, clock, layout=NANOAOD).opened() as columns:
            events = None if wanted is None else np.array(wanted, np.int64)
            read = columns.collection("Jet", ("pt", "eta"), events)
            expected = [full[i] for i in (range(7) if wanted is None else wanted)]
            for field in ("pt", "eta"):
                assert ak.unflatten(read[field], np.diff(read.offsets)).tolist() == expected
            if events is not None:
                counts = columns.flat(("nJet",), events)["nJet"].tolist()
                assert counts == [len(event) for event in expected]
    # Of the event with the last jet alone, no page of the first cluster is read.
    clock = Clock()
    with PageColumns(str(path), fields, 6, 7, clock, layout=NANOAOD).opened() as columns:
        assert columns.flat(("nJet",), np.array([0]))["nJet"].tolist() == [1]
        # Checksums are read, too.
        assert clock.bytes == sum(size + 8 for size in offsets.sizes[2:])


def test_lists_that_overlap_or_go_beyond_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    for ends, problem in (([2, 1, 3], "overlap"), ([1, 2, 4], "beyond"), ([2**63, 1, 3], "over")):
        data = bytearray()
        fields = {
            "Jet_pt": FieldMetadata(
                offsets=stored(data, [[ends]], "plain", "<u8"),
                values=stored(data, [[[1, 2, 3]]], "plain", "<f4"),
            )
        }
        path.write_bytes(data)
        with (
            PageColumns(str(path), fields, 0, 3, Clock(), layout=NANOAOD).opened() as columns,
            pytest.raises(ValueError, match=problem),
        ):
            columns.collection("Jet", ("pt",))


def test_files_of_root(sample: Callable[[str], Path]) -> None:
    # Projected fields that share offsets, in all of ROOT's ways to store numbers.
    path = sample("cms2015_ttbar_10ev_rntuple.root")
    content = metadata.read(str(path), COLUMNS, NANOAOD)
    assert columns_reader(content) == "pages"
    assert content.edges == (0, 10)
    with uproot.open({path: "Events"}) as tree:
        assert set(Structure(tree).names) == set(tree.keys(recursive=False))
        for name in ("nJet", "Jet_pt", "Jet_jetId", "Muon_tightId", "run", "event"):
            expected = tree[name].array()
            stored = Structure(tree).fields([name])
            assert stored is not None
            columns = PageColumns(str(path), stored[1], 0, 10, Clock(), layout=NANOAOD)
            with columns.opened() as opened:
                if expected.ndim == 1:
                    assert opened.flat((name,), np.arange(10))[name].tolist() == expected.tolist()
                else:
                    collection, _, field = name.partition("_")
                    read = opened.collection(collection, (field,))
                    assert read[field].tolist() == ak.flatten(expected).tolist()


def test_what_is_not_numbers_or_lists_of_them_is_left_to_uproot(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        ntuple = {"run": np.arange(3), "names": ak.Array(["a", "b", "c"])}
        ntuple["nested"] = ak.Array([[[1]], [], [[2, 3], []]])
        ntuple["records"] = ak.Array([[{"x": 1}], [], [{"x": 2}]])
        file.mkrntuple("Events", ntuple)
    with uproot.open({path: "Events"}) as tree:
        structure = Structure(tree)
        assert sorted(structure.names) == ["names", "nested", "records", "run"]
        assert structure.n_events == 3
        for name in structure.names:
            assert (structure.fields([name]) is None) == (name != "run")
            assert (structure.fields(["run", name]) is None) == (name != "run")


def test_damaged_descriptions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(40), kind="rntuple", events_per_piece=20)
    good = path.read_bytes()
    with uproot.open({path: "Events"}) as tree:
        header, footer = tree.member("fSeekHeader"), tree.member("fSeekFooter")
        group = tree.footer.cluster_group_records[0].page_list_link.locator.offset
    for place in (header + 60, footer + 20, group + 30):
        data = bytearray(good)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged") as caught:
            run(path, 40, "auto")
        assert caught.value.place == str(path)
        assert "checksum" in str(caught.value)
