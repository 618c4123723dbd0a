"""The content of a file on a server, had while what stands before it is processed."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.remote import Range, RemoteSource

# Chunks that come at a time, at most; few are so small, see ``RemoteSource.at_once``.
_CHUNKS = 8


class Ahead:
    """Gets the baskets or pages of chunks, as many chunks at a time as come in time.

    All of a chunk come in one go: each further request would take as long as the way there and
    back. What is on both sides of the border between two chunks comes once.

    Args:
        source: of the file.
        chunks: of which the baskets or pages are known, in the order in which they are processed.
    """

    def __init__(self, source: RemoteSource, chunks: Sequence[Chunk]) -> None:
        self._source = source
        ranges: list[set[Range]] = [set(), *(set(chunk.ranges) for chunk in chunks)]
        self._shared = deque(one & other for one, other in pairwise(ranges))
        self._missing = deque(sorted(other - one) for one, other in pairwise(ranges))
        self._threads = ThreadPoolExecutor(_CHUNKS)
        # With their sizes in bytes.
        self._coming: deque[tuple[int, Future[dict[Range, bytes]]]] = deque()
        self._content: dict[int, bytes] = {}

    def next(self) -> Mapping[int, bytes]:
        """The ranges of the next chunk, by their first byte.

        Raises:
            OSError: if they do not come in time.
            ValueError: if they are not what the server should send.
        """
        self._ask()
        _, future = self._coming.popleft()
        blocks = future.result()
        shared = {start: self._content[start] for start, _ in self._shared.popleft()}
        self._content = shared | {start: data for (start, _), data in blocks.items()}
        self._ask()
        return self._content

    def _ask(self) -> None:
        """Ask for the next chunks, for at least one."""
        while self._missing and len(self._coming) < _CHUNKS:
            n_bytes = sum(stop - start for start, stop in self._missing[0])
            n_coming = sum(size for size, _ in self._coming)
            if self._coming and n_coming + n_bytes > self._source.at_once:
                return
            ranges = self._missing.popleft()
            self._coming.append((n_bytes, self._threads.submit(self._source.fetch, ranges)))

    def close(self) -> None:
        """Get no more; what is coming ends in the time of a request."""
        self._threads.shutdown(cancel_futures=True)
