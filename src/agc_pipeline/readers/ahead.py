"""The content of a file on a server, had while what stands before it is processed."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.remote import Range, RemoteSource

# Chunks that are had before they are processed, and their bytes, at most.
_CHUNKS = 8
_BYTES = 128 * 2**20


class Ahead:
    """Gets the baskets or pages of chunks, as many chunks at a time as the server sends in time.

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
        self._coming: deque[tuple[int, Future[dict[Range, memoryview]]]] = deque()
        self._content: dict[int, memoryview] = {}

    def next(self) -> Mapping[int, memoryview]:
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
            n_had = sum(size for size, _ in self._coming)
            n_asked = sum(size for size, future in self._coming if not future.done())
            late = n_asked + n_bytes > self._source.at_once
            if self._coming and (late or n_had + n_bytes > _BYTES):
                return
            ranges = self._missing.popleft()
            self._coming.append((n_bytes, self._threads.submit(self._source.fetch, ranges)))

    def close(self) -> None:
        """Get no more; what is coming ends in the time of a request."""
        self._threads.shutdown(cancel_futures=True)
