"""Byte ranges of files on XRootD servers, by its own client."""

import math
from collections.abc import Sequence
from typing import Any

import fsspec

from agc_pipeline.readers.settings import NetworkSettings

Range = tuple[int, int]


class XRootDFile:
    """A file on an XRootD server.

    Args:
        url: of the file.
        network: time-outs.

    Attributes:
        size: in bytes, once it is open.
        beginning: nothing: the client reads no content before it is asked to.

    Raises:
        ImportError: without the XRootD client.
    """

    beginning = b""

    def __init__(self, url: str, network: NetworkSettings) -> None:
        self.size = 0
        self._parallel = network.parallel
        bound_xrootd(network.request_timeout)
        kind: Any = fsspec.get_filesystem_class("root")
        # A shared file system would keep connections and open files that failed before.
        self._fs = kind(
            **kind._get_kwargs_from_urls(url),
            skip_instance_cache=True,
            timeout=math.ceil(network.request_timeout),
        )
        self._path = kind._strip_protocol(url)

    async def open(self) -> None:
        """Find out its size."""
        self.size = int((await self._fs._info(self._path))["size"])

    async def ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The content of ranges, in order."""
        starts, stops = zip(*ranges, strict=True)
        paths = [self._path] * len(ranges)
        data: list[bytes] = await self._fs._cat_ranges(
            paths, list(starts), list(stops), batch_size=self._parallel, on_error="raise"
        )
        return data

    async def checksum(self) -> str | None:
        """Checksum that the server has, with its algorithm in front; None if it has none."""
        try:
            algorithm, value = await self._fs._checksum(self._path)
        except OSError:
            return None
        return f"{algorithm}:{value}"

    async def close(self) -> None:
        """Close the file at the server."""
        fs = self._fs
        await fs._readonly_filehandle_cache._close(fs.unstrip_protocol(self._path), fs.timeout)


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
