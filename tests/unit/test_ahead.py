"""What is had of a file on a server before it is needed."""

import threading
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from agc_pipeline.readers.ahead import Ahead
from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.remote import Range, RemoteSource
from agc_pipeline.readers.root_format import BranchMetadata


class Server:
    """Sends what is asked for once it is let go; byte ``i`` of its file is ``i % 256``."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.asked: list[list[Range]] = []
        self.open = threading.Event()
        self._lock = threading.Lock()

    def fetch(self, ranges: Sequence[Range]) -> dict[Range, memoryview]:
        with self._lock:
            self.asked.append(list(ranges))
        assert self.open.wait(60)
        if any(stop > 10_000 for _, stop in ranges):
            raise OSError("the server went away")
        return {span: memoryview(bytes(i % 256 for i in range(*span))) for span in ranges}


def chunk(*baskets: Range) -> Chunk:
    """A chunk with a branch of these baskets."""
    branch = BranchMetadata(
        dtype=">f4",
        jagged=False,
        entries=tuple(range(len(baskets) + 1)),
        seeks=tuple(start for start, _ in baskets),
        sizes=tuple(stop - start for start, stop in baskets),
    )
    return Chunk("http://server/a.root", (0, len(baskets)), {"x": branch}, None)


def ahead(server: Server, *chunks: Chunk) -> Ahead:
    return Ahead(cast(RemoteSource, cast(Any, server)), chunks)


def content(*ranges: Range) -> dict[int, bytes]:
    return {start: bytes(i % 256 for i in range(start, stop)) for start, stop in ranges}


def test_baskets_on_both_sides_of_a_border_come_once() -> None:
    server = Server(at_once=1000)
    server.open.set()
    first, border, last = (0, 100), (100, 150), (300, 340)
    coming = ahead(server, chunk(first, border), chunk(border, last), chunk(last))
    assert coming.next() == content(first, border)
    assert coming.next() == content(border, last)
    assert coming.next() == content(last)
    coming.close()
    assert sorted(map(tuple, server.asked)) == [(), (first, border), (last,)]


@pytest.mark.parametrize(("at_once", "expected"), [(250, 2), (299, 2), (300, 3), (50, 1)])
def test_as_much_as_comes_in_time_is_asked_for_at_once(at_once: int, expected: int) -> None:
    server = Server(at_once)
    ranges = [(100 * i, 100 * i + 100) for i in range(4)]
    coming = ahead(server, *map(chunk, ranges))
    waiting = threading.Thread(target=coming.next)
    waiting.start()
    while len(server.asked) < expected:
        assert waiting.is_alive()
        time.sleep(0.001)
    assert len(server.asked) == expected
    server.open.set()
    waiting.join()
    # One chunk was taken, and there is room for the next.
    for span in ranges[1:]:
        assert coming.next() == content(span)
    coming.close()
    assert sorted(map(tuple, server.asked)) == [(span,) for span in ranges]


def test_an_error_is_told_for_the_chunk_that_it_is_of() -> None:
    server = Server(at_once=100_000)
    server.open.set()
    coming = ahead(server, chunk((0, 10)), chunk((20_000, 20_010)))
    assert coming.next() == content((0, 10))
    with pytest.raises(OSError, match="went away"):
        coming.next()
    coming.close()
