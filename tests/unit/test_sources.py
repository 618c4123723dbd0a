"""Which bytes of a remote file are asked for, and which entries are read together."""

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toy
from agc_pipeline.declaration import NANOAOD
from agc_pipeline.readers import addresses, remote
from agc_pipeline.readers.opening import entry_ranges, open_tree, present_branches, unreadable
from agc_pipeline.readers.remote import joined, requests
from agc_pipeline.readers.settings import NetworkSettings
from oracle.strategies import write_nanoaod

RANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 5000)).map(lambda r: (r[0], r[0] + r[1])),
    min_size=1,
    max_size=40,
)


def covered(spans: list[tuple[int, int]]) -> set[int]:
    return {byte for start, stop in spans for byte in range(start, stop)}


@given(RANGES)
def test_joined_ranges_cover_all_and_little_more(ranges: list[tuple[int, int]]) -> None:
    spans = joined(ranges)
    needed, read = covered(ranges), covered(spans)
    assert needed <= read
    assert len(read) == sum(stop - start for start, stop in spans) <= 1.1 * len(needed)
    assert all(before[1] < after[0] for before, after in pairwise(spans))


def test_small_gaps_are_bridged_first() -> None:
    assert joined([(0, 100), (150, 250), (260, 360)]) == [(0, 100), (150, 360)]
    assert joined([(10, 20), (0, 10), (5, 12)]) == [(0, 20)]
    assert joined([]) == []


@given(RANGES, st.integers(1, 9999))
def test_requests_are_bounded_and_complete(ranges: list[tuple[int, int]], most: int) -> None:
    spans = joined(ranges)
    borders = sorted(start for start, _ in ranges)
    groups = list(requests(spans, borders, lambda: most))
    assert all(0 < sum(stop - start for start, stop in group) <= most for group in groups)
    pieces = [piece for group in groups for piece in group]
    assert covered(pieces) == covered(spans)
    # Cut within a range only where it, or what is joined with it, is too much for one request.
    for (_, cut), (start, _) in pairwise(pieces):
        if cut == start and start not in borders:
            before = max(border for border in borders if border < start)
            assert start - before >= most


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
@pytest.mark.parametrize(
    ("chunk_size", "expected"),
    [
        (1000, [(0, 100)]),
        (70, [(0, 60), (60, 100)]),
        (40, [(0, 30), (30, 60), (60, 100)]),
        # Less than a cluster: it is cut, and its borders are kept to.
        (20, [(0, 20), (20, 30), (30, 50), (50, 60), (60, 80), (80, 100)]),
    ],
)
def test_ranges_end_with_clusters(
    tmp_path: Path, kind: str, chunk_size: int, expected: list[tuple[int, int]]
) -> None:
    path = tmp_path / "a.root"
    write_nanoaod(path, toy.events(100), events_per_piece=30, kind=kind)
    columns = {"": ("run",), "Jet": ("pt",)}
    with open_tree(str(path), columns, NANOAOD) as tree:
        names = present_branches(tree, columns, NANOAOD)
        assert list(entry_ranges(tree, names, chunk_size)) == expected


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError("gone"), True),
        (TimeoutError("no answer"), True),
        (OSError("Failed to open file: [FATAL] Connection error"), True),
        (OSError("Failed: [ERROR] Server responded with an error: [3024] Overloaded"), True),
        (OSError("Failed: [ERROR] Server responded with an error: [3010] Denied"), False),
        (OSError("Failed: [ERROR] Server responded with an error: [3011] No such file"), False),
        (FileNotFoundError("a"), False),
        (ValueError("not a ROOT file"), False),
    ],
)
def test_what_may_go_away(error: Exception, transient: bool) -> None:
    assert unreadable("root://a//b", error).transient is transient
    # A file on disk does not become better.
    assert unreadable("a.root", error).transient is False
    assert ("file not found" in unreadable("root://a//b", error).problem) == (
        "No such file" in str(error) or isinstance(error, FileNotFoundError)
    )


class StuckLibrary:
    """A library that is caught in a native call when it reads, and with it its event loop."""

    size = 100
    beginning = b""

    def __init__(self) -> None:
        self.free = threading.Event()

    async def open(self) -> None:
        """It is there."""

    async def ranges(self, _ranges: Any) -> list[bytes]:
        self.free.wait()
        return []

    async def close(self) -> None:
        """Nothing was opened."""


def test_a_stuck_library_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    library = StuckLibrary()
    monkeypatch.setattr(remote, "_remote_file", lambda *_, **__: library)
    monkeypatch.setattr(remote, "_MARGIN", 0.05)
    network = NetworkSettings(
        attempts=1, backoff=1, backoff_max=1, request_timeout=0.05, file_timeout=9
    )
    source = remote.RemoteSource("http://a/b", network=network)
    try:
        with pytest.raises(TimeoutError, match="no answer within"):
            source.chunk(0, 10)
        assert source.closed
    finally:
        library.free.set()


@pytest.mark.parametrize(
    ("url", "remote"),
    [("root://a//b", True), ("https://a/b", True), ("/a/b.root", False), ("a.root", False)],
)
def test_is_remote(url: str, remote: bool) -> None:
    assert addresses.is_remote(url) is remote


class FastLibrary:
    """A library that answers at once, and notes what it was asked for."""

    size = 200 * 2**20
    beginning = b""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def open(self) -> None:
        """It is there."""

    async def ranges(self, ranges: Any) -> list[bytes]:
        self.asked.append(sum(stop - start for start, stop in ranges))
        return [bytes(stop - start) for start, stop in ranges]

    async def close(self) -> None:
        """Nothing was opened."""


def test_more_is_asked_for_at_once_from_servers_that_are_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = FastLibrary()
    monkeypatch.setattr(remote, "_remote_file", lambda *_, **__: library)
    # An hour for a request: what arrives within minutes is fast.
    network = NetworkSettings(
        attempts=1, backoff=1, backoff_max=1, request_timeout=3600, file_timeout=3600
    )
    with remote.RemoteSource("http://a/b", network=network) as source:
        source.chunk(0, 1000)
        source.chunk(0, 150 * 2**20)
    least, most = remote._LEAST_BYTES, remote._MOST_BYTES
    # The first answer was too short to tell.
    assert library.asked == [1000, least, most, most, 150 * 2**20 - least - 2 * most]


def test_no_more_than_comes_in_time_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FastLibrary()
    monkeypatch.setattr(remote, "_remote_file", lambda *_, **__: library)
    clock = iter(range(10**6))
    # Each look at the clock is a second later than the one before.
    monkeypatch.setattr(remote.time, "monotonic", lambda: float(next(clock)))
    network = NetworkSettings(
        attempts=1, backoff=1, backoff_max=1, request_timeout=8, file_timeout=600_000
    )
    with remote.RemoteSource("http://a/b", network=network) as source:
        source.chunk(0, 10 * 2**20)
    assert library.asked == [4 * 2**20, 4 * 2**20, 2 * 2**20]
