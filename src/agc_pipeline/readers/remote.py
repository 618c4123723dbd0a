"""Reading byte ranges of remote files: bounded in time and in the bytes that are transferred."""

import asyncio
import math
import queue
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import aiohttp
import fsspec
import uproot
from uproot.source.chunk import Chunk
from uproot.source.futures import TrivialFuture

from agc_pipeline.readers.settings import NetworkSettings

T = TypeVar("T")
Range = tuple[int, int]

# Ranges are joined across gaps as long as the gaps add less than this fraction to what is needed:
# far fewer requests for few useless bytes.
_GAPS = 0.1

# What is asked for at once, at most, and must arrive within the time of a request.
_REQUEST_BYTES = 4 * 2**20
_PARALLEL = 16

# Ranges that were read last and may be needed again: baskets and pages on both sides of the
# border between two chunks of events.
_KEPT_BYTES = 32 * 2**20

# A server that has the checksum at hand answers at once; others would read the whole file.
_CHECKSUM_SECONDS = 5.0

# Beyond the time of a request, until a library that does not keep to it is given up.
_MARGIN = 2.0


def is_remote(url: str) -> bool:
    """Whether an address is read over the network."""
    return url.startswith(("http://", "https://", "root://", "roots://"))


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


def requests(spans: Sequence[Range]) -> list[list[Range]]:
    """Spans cut and grouped so that no group is more than what is asked for at once."""
    groups: list[list[Range]] = []
    room = 0
    for start, stop in spans:
        while start < stop:
            if room == 0:
                groups.append([])
                room = _REQUEST_BYTES
            cut = min(stop, start + room)
            groups[-1].append((start, cut))
            room -= cut - start
            start = cut  # noqa: PLW2901 - the rest of the span
    return groups


class RemoteSource(uproot.source.chunk.Source):
    """What uproot reads a remote file through.

    uproot's own waits without end for a server that hangs, and joins ranges across gaps of any
    number. This one ends every request in time, and keeps what may be needed again.

    Args:
        file_path: address of the file.
        network: its time-outs.
        options: what uproot gives to every source; nothing here depends on it.

    Raises:
        OSError, aiohttp.ClientError: for a file that is not there or does not come in time.
    """

    def __init__(self, file_path: str, *, network: NetworkSettings, **options: Any) -> None:  # noqa: ARG002
        super().__init__()
        self._file_path = file_path
        self._closed = False
        self._request_timeout = network.request_timeout
        self._deadline = time.monotonic() + network.file_timeout
        self._kept: OrderedDict[Range, bytes] = OrderedDict()
        self.received = 0
        self._fs, self._path = _file_system(file_path, network.request_timeout)
        self.info: dict[str, Any] = self._wait(self._fs._info(self._path))
        if self.info["size"] is None:
            raise ValueError("the server does not tell the size of the file")
        self._num_bytes = int(self.info["size"])

    def checksum(self) -> str | None:
        """Checksum that the server gives, with its algorithm in front; None if it gives none.

        HTTP servers are asked for their ETag with the size already; this is for XRootD.
        """
        if not hasattr(self._fs, "_checksum"):
            return None
        try:
            algorithm, value = self._wait(self._fs._checksum(self._path), _CHECKSUM_SECONDS)
        except OSError:
            return None
        return f"{algorithm}:{value}"

    def chunk(self, start: int, stop: int) -> Chunk:
        """One range of bytes; shorter where the file ends before."""
        there = (min(start, self._num_bytes), min(stop, self._num_bytes))
        return Chunk(self, start, stop, TrivialFuture(self._read([there])[there]))

    def chunks(self, ranges: list[Range], notifications: "queue.Queue[Chunk]") -> list[Chunk]:
        """Many ranges of bytes, which are also put on the queue."""
        found = self._read(ranges)
        chunks = [
            Chunk(self, start, stop, TrivialFuture(found[start, stop])) for start, stop in ranges
        ]
        for chunk in chunks:
            notifications.put(chunk)
        return chunks

    def _read(self, ranges: Sequence[Range]) -> dict[Range, bytes]:
        found = {wanted: self._kept[wanted] for wanted in ranges if wanted in self._kept}
        missing = [wanted for wanted in ranges if wanted not in found]
        spans = joined(missing)
        content = {span: bytearray() for span in spans}
        owners = iter(spans)
        owner: Range = (0, 0)
        for group in requests(spans):
            for (start, stop), data in zip(group, self._fetch(group), strict=True):
                if len(data) > stop - start:
                    raise ValueError("the server does not serve ranges of bytes")
                if len(data) < stop - start:
                    raise ConnectionError(
                        f"{len(data)} instead of {stop - start} bytes from byte {start} on"
                    )
                if start >= owner[1]:
                    owner = next(owners)
                content[owner] += data
        starts = [start for start, _ in spans]
        for start, stop in missing:
            span = spans[bisect_right(starts, start) - 1]
            found[start, stop] = bytes(content[span][start - span[0] : stop - span[0]])
        self._keep(found)
        return found

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        starts, stops = zip(*ranges, strict=True)
        paths = [self._path] * len(ranges)
        read = self._fs._cat_ranges(
            paths, list(starts), list(stops), batch_size=_PARALLEL, on_error="raise"
        )
        try:
            data: list[bytes] = self._wait(read)
        except (OSError, aiohttp.ClientError):
            self.close()
            raise
        self.received += sum(map(len, data))
        return data

    def _keep(self, found: dict[Range, bytes]) -> None:
        for wanted, data in found.items():
            self._kept[wanted] = data
            self._kept.move_to_end(wanted)
        size = sum(map(len, self._kept.values()))
        while size > _KEPT_BYTES:
            size -= len(self._kept.popitem(last=False)[1])

    def _wait(self, call: Coroutine[Any, Any, T], limit: float = math.inf) -> T:
        """What a coroutine of the file system returns, or an error in time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            call.close()
            raise TimeoutError("the time for the file is over (`delivery.network.file_timeout`)")
        limit = min(limit, self._request_timeout + _MARGIN, left)
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(call, limit), self._fs.loop)
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
            # Nobody waits for a server that may be gone.
            asyncio.run_coroutine_threadsafe(_disconnect(self._fs, self._path), self._fs.loop)


def _file_system(url: str, request_timeout: float) -> tuple[Any, str]:
    """A file system of this file alone, and the path in it.

    A shared one would keep connections and open files that failed before.
    """
    options: dict[str, Any] = {"skip_instance_cache": True}
    if url.startswith("root"):
        bound_xrootd(request_timeout)
        options["timeout"] = math.ceil(request_timeout)
    else:
        options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(total=request_timeout)}
    fs, path = fsspec.core.url_to_fs(url, **options)
    return fs, path


async def _disconnect(fs: Any, path: str) -> None:
    """Close what a file system keeps open for later use."""
    if fs.protocol == "root":
        await fs._readonly_filehandle_cache._close(fs.unstrip_protocol(path), fs.timeout)
    else:
        await (await fs.set_session()).close()


def bound_xrootd(request_timeout: float) -> None:
    """Limit the time for which the XRootD library of this process tries a request.

    Its defaults are minutes to half an hour. ``XRD_*`` variables of the environment win.
    """
    from XRootD.client import EnvPutInt  # noqa: PLC0415 - an optional dependency

    seconds = max(1, math.ceil(request_timeout))
    for name, value in {
        "ConnectionWindow": seconds,
        "ConnectionRetry": 1,
        "RequestTimeout": seconds,
        "StreamTimeout": seconds,
        # For how long a server that did not answer is not asked again.
        "StreamErrorWindow": 0,
        "TimeoutResolution": 1,
    }.items():
        EnvPutInt(name, value)
