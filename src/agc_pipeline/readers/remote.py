"""Reading byte ranges of remote files: bounded in time and in the bytes that are transferred."""

import asyncio
import io
import logging
import math
import queue
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import fsspec
import uproot
from uproot.source.chunk import Chunk
from uproot.source.futures import TrivialFuture

from agc_pipeline.readers import addresses
from agc_pipeline.readers.failures import Disagreement, HttpError, ShortAnswer
from agc_pipeline.readers.file_header import check_magic
from agc_pipeline.readers.settings import NetworkSettings
from agc_pipeline.readers.xrootd import XRootDFile

log = logging.getLogger(__name__)

T = TypeVar("T")
Range = tuple[int, int]

# Ranges are joined across gaps as long as the gaps add less than this fraction to what is needed:
# far fewer requests for few useless bytes.
_GAPS = 0.1

# What is asked for at once must arrive within the time of a request, also from slow servers. It is
# as much as came in a part of this time before: each time costs the way there and back.
_LEAST_BYTES = 4 * 2**20
_MOST_BYTES = 64 * 2**20
_PART = 0.25
# Less says nothing of how fast a server is.
_TELLING_BYTES = 2**18

# Ranges that were read last and may be needed again: baskets and pages on both sides of the
# border between two chunks of events.
_KEPT_BYTES = 32 * 2**20

# A server that has the checksum at hand answers at once; others would read the whole file.
_CHECKSUM_SECONDS = 5.0

# Beyond the time of a request, until a library that does not keep to it is given up.
_MARGIN = 2.0


def joined(ranges: Sequence[Range]) -> list[Range]:
    """Spans that cover all ranges, joined across the smallest gaps.

    Args:
        ranges: begin and end in bytes, in any order; they may overlap.

    Returns:
        Spans in order, without overlap; the gaps inside them are together at most a tenth of
        the bytes that are needed.
    """
    spans: list[Range] = []
    for start, stop in sorted(ranges):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    allowed = _GAPS * sum(stop - start for start, stop in spans)
    bridged = set()
    for gap, before, after in sorted((b[0] - a[1], a, b) for a, b in pairwise(spans)):
        allowed -= gap
        if allowed < 0:
            break
        bridged.add((before, after))
    together = spans[:1]
    for before, after in pairwise(spans):
        if (before, after) in bridged:
            together[-1] = (together[-1][0], after[1])
        else:
            together.append(after)
    return together


def requests(
    spans: Sequence[Range], borders: Sequence[int], most: Callable[[], int]
) -> Iterator[list[Range]]:
    """Spans cut and grouped so that no group is more than what is asked for at once.

    They are cut where baskets or pages begin, if that leaves any: each answer then begins with what
    tells its place, so that bytes of another are seen.

    Args:
        spans: what is needed.
        borders: first bytes of baskets or pages, in order.
        most: bytes of the next group; asked when the group before is had.
    """
    group: list[Range] = []
    room = most()
    for start, stop in spans:
        while start < stop:
            cut = min(stop, start + room)
            border = borders[bisect_right(borders, cut) - 1]
            if cut < stop and (border > start or group):
                cut = max(border, start)
            if cut > start:
                group.append((start, cut))
                room -= cut - start
            start = cut  # noqa: PLW2901 - the rest of the span
            if start < stop or room == 0:
                yield group
                group, room = [], most()
    if group:
        yield group


class _File(Protocol):
    """A file on a server; its coroutines run on one event loop."""

    size: int
    beginning: bytes

    async def open(self) -> None:
        """Find out its size."""

    async def ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The content of ranges, in order."""

    async def checksum(self) -> str | None:
        """What the server has at hand."""

    async def close(self) -> None:
        """Give up the connections."""


class RemoteSource(uproot.source.chunk.Source):
    """What uproot reads a remote file through.

    uproot's own waits without end for a server that hangs, and joins ranges across gaps of any
    number. This one ends every request in time, and keeps what may be needed again.

    Args:
        file_path: address of the file.
        network: its time-outs.
        many: whether many ranges are read behind the first ones: connections are made meanwhile.
        opened: gets this source, for who has it through uproot only.
        options: what uproot gives to every source; nothing here depends on it.

    Raises:
        OSError: for a file that is not there or does not come in time.
    """

    def __init__(
        self,
        file_path: str,
        *,
        network: NetworkSettings,
        many: bool = False,
        opened: "list[RemoteSource] | None" = None,
        **options: Any,  # noqa: ARG002
    ) -> None:
        super().__init__()
        self._file_path = file_path
        self._closed = False
        self._request_timeout = network.request_timeout
        self._deadline = time.monotonic() + network.file_timeout
        self._at_once = _LEAST_BYTES
        self._patience, self._pause = network.patience, network.backoff
        # Several threads may add to what was received.
        self._counting = threading.Lock()
        # By their first byte, those that were read last behind the others; bytes of all, and how
        # many there may be.
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes, self._most_kept = 0, _KEPT_BYTES
        self._file = _remote_file(file_path, network, many=many)
        self._loop = fsspec.asyn.get_loop()
        try:
            self._wait(self._file.open())
        except BaseException:
            self.close()
            raise
        self._num_bytes = self._file.size
        self._beginning = self._file.beginning
        self.received = len(self._beginning)
        if opened is not None:
            opened.append(self)

    def checksum(self) -> str | None:
        """Checksum or ETag that the server has at hand; None if it gives none."""
        return self._wait(self._file.checksum(), _CHECKSUM_SECONDS)

    def chunk(self, start: int, stop: int) -> Chunk:
        """One range of bytes; shorter where the file ends before.

        Raises:
            Disagreement: if the file has ended before its beginning.
            ValueError: if it ends before its end, and does not begin as ROOT files do.
        """
        if start >= self._num_bytes > 0:
            raise self._cut_off(start)
        there = (min(start, self._num_bytes), min(stop, self._num_bytes))
        data = self._read([there])[there]
        if start == 0 and stop > self._num_bytes:
            # Too short for a header: uproot gives up then.
            check_magic(data)
        return Chunk(self, start, stop, TrivialFuture(data))

    def chunks(self, ranges: list[Range], notifications: "queue.Queue[Chunk]") -> list[Chunk]:
        """Many ranges of bytes, which are also put on the queue."""
        blocks = self._read(ranges)
        chunks = [
            Chunk(self, start, stop, TrivialFuture(blocks[start, stop])) for start, stop in ranges
        ]
        for chunk in chunks:
            notifications.put(chunk)
        return chunks

    def prefetch(self, ranges: Sequence[Range]) -> None:
        """Get ranges with few requests, for who then reads them one at a time.

        They are kept until the next ones are had, which may have some of them.
        """
        self._most_kept = _KEPT_BYTES + sum(stop - start for start, stop in ranges)
        self._read(ranges)

    @property
    def at_once(self) -> int:
        """Bytes that this server sends in time if they are asked for at once."""
        return self._at_once

    def _read(self, ranges: Sequence[Range]) -> dict[Range, bytes]:
        blocks = {}
        for start, stop in ranges:
            data = self._kept.get(start, b"")
            if len(data) >= stop - start:
                blocks[start, stop] = data[: stop - start]
        missing = self.fetch([wanted for wanted in ranges if wanted not in blocks])
        # What is kept must not hold what came with it.
        blocks |= {wanted: bytes(data) for wanted, data in missing.items()}
        self._keep(blocks)
        return blocks

    def fetch(self, ranges: Sequence[Range]) -> dict[Range, memoryview]:
        """The content of ranges from the server; several threads may ask at a time.

        What came with one request stays in memory as long as a range of it.

        Raises:
            Disagreement: if the file ends before one of them does.
            OSError: if they do not come in time.
        """
        behind = max((stop for _, stop in ranges), default=0)
        if behind > self._num_bytes > 0:
            raise self._cut_off(behind - 1)
        spans = joined(ranges)
        pieces: dict[Range, list[bytes]] = {span: [] for span in spans}
        owners = iter(spans)
        owner: Range = (0, 0)
        borders = sorted(start for start, _ in ranges)
        for group in requests(spans, borders, lambda: self._at_once):
            for (start, stop), data in zip(group, self._fetch(group), strict=True):
                if len(data) > stop - start:
                    raise ValueError("the server does not serve ranges of bytes")
                if len(data) < stop - start:
                    raise ShortAnswer(
                        f"{len(data)} instead of {stop - start} bytes from byte {start} on"
                    )
                if start >= owner[1]:
                    owner = next(owners)
                pieces[owner].append(data)
        content = {
            span: memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
            for span, parts in pieces.items()
        }
        starts = [start for start, _ in spans]
        blocks = {}
        for start, stop in ranges:
            span = spans[bisect_right(starts, start) - 1]
            blocks[start, stop] = content[span][start - span[0] : stop - span[0]]
        return blocks

    def _cut_off(self, byte: int) -> Disagreement:
        return Disagreement(
            f"the file is cut off, or the server sends other bytes of it: it has {self._num_bytes} "
            f"bytes, and refers to byte {byte}"
        )

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        if all(stop <= len(self._beginning) for _, stop in ranges):
            return [self._beginning[start:stop] for start, stop in ranges]
        while True:
            start = time.monotonic()
            try:
                data = self._wait(self._file.ranges(ranges))
            except HttpError as error:
                if not self._waited(error):
                    self.close()
                    raise
            except OSError:
                self.close()
                raise
            else:
                n_bytes = sum(map(len, data))
                with self._counting:
                    self.received += n_bytes
                self._adapt(n_bytes, time.monotonic() - start)
                return data

    def _adapt(self, n_bytes: int, seconds: float) -> None:
        """Ask for as much the next time as this server sends in time."""
        if n_bytes >= _TELLING_BYTES:
            in_time = n_bytes / max(seconds, 1e-3) * self._request_timeout * _PART
            self._at_once = int(min(max(in_time, _LEAST_BYTES), _MOST_BYTES))

    def _waited(self, error: HttpError) -> bool:
        """Wait as long as a busy server wants; False if it does not say, or wants too much."""
        if error.wait is None:
            return False
        seconds = max(error.wait, self._pause)
        self._patience -= seconds
        if self._patience < 0 or time.monotonic() + seconds > self._deadline:
            return False
        log.warning("%s: %s, asking again in %.1f s", self._file_path, error, seconds)
        time.sleep(seconds)
        return True

    def _keep(self, blocks: dict[Range, bytes]) -> None:
        for (start, _), data in blocks.items():
            longer = len(data) - len(self._kept.get(start, b""))
            if longer >= 0:
                self._kept[start] = data
                self._kept_bytes += longer
            self._kept.move_to_end(start)
        while self._kept_bytes > self._most_kept:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def _wait(self, call: Coroutine[Any, Any, T], limit: float = math.inf) -> T:
        """What a coroutine of the file system returns, or an error in time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            call.close()
            raise TimeoutError("the time for the file is over (`delivery.network.file_timeout`)")
        limit = min(limit, self._request_timeout + _MARGIN, left)
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(call, limit), self._loop)
        try:
            # The loop itself may be caught in the library: don't wait for it without end.
            return future.result(limit + _MARGIN)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {limit:.3g} s") from None

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self._num_bytes

    @property
    def closed(self) -> bool:
        """Whether the source was closed."""
        return self._closed

    def __enter__(self) -> "RemoteSource":
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._closed:
            self._closed = True
            self._kept.clear()
            self._kept_bytes = 0
            # Nobody waits for a server that may be gone.
            asyncio.run_coroutine_threadsafe(self._file.close(), self._loop)


class RemoteFile(io.RawIOBase):
    """A remote file as libraries read that know nothing of servers.

    Args:
        source: closed with the file.

    Attributes:
        failed: whether the server did not give what was asked for.
    """

    def __init__(self, source: RemoteSource) -> None:
        self._source = source
        self._position = 0
        self.failed = False

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.num_bytes}
        self._position = origin[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read on, until the buffer is full or the file ends."""
        stop = min(self._position + len(buffer), self._source.num_bytes)
        if stop <= self._position:
            return 0
        try:
            data = bytes(self._source.chunk(self._position, stop).raw_data)
        except OSError:
            self.failed = True
            raise
        buffer[: len(data)] = data
        self._position = stop
        return len(data)

    def close(self) -> None:
        """Close the source, too."""
        self._source.close()
        super().close()


def _remote_file(url: str, network: NetworkSettings, *, many: bool) -> _File:
    if addresses.scheme(url) in addresses.HTTP:
        # Its library takes longer to import than a small file to read.
        from agc_pipeline.readers.http import HttpFile  # noqa: PLC0415

        return HttpFile(url, network, many=many)
    return XRootDFile(url, network)
