"""Progress through files as lines of a log: files, events, bytes, rate, time left."""

import logging
import time
from collections.abc import Callable

from agc_pipeline.formatting import byte_size, duration

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts what has been gone through, and tells it now and then.

    Args:
        n_files: all of them.
        n_events: their events; None if they are not known, then there is no time left to tell.
        clock: seconds.
    """

    def __init__(
        self, n_files: int, n_events: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._n_files = n_files
        self._n_events = n_events
        self._clock = clock
        self._started = self._told = clock()
        self._files = self._events = self._bytes = 0
        # Events of files that are not complete: counted again when such a file is tried again.
        self._pending = 0

    def begin(self) -> None:
        """A file is begun, or begun again."""
        self._pending = 0

    def advance(self, events: int, n_bytes: int) -> None:
        """Events of the current file were gone through, for bytes that were read or received."""
        self._pending += events
        self._bytes += n_bytes
        if self._clock() - self._told >= _SECONDS_BETWEEN_LINES:
            self._tell()

    def finish(self, events: int = 0, n_bytes: int = 0) -> None:
        """The current file is complete, with its last events and bytes."""
        self._files += 1
        self._events += self._pending + events
        self._bytes += n_bytes
        self._pending = 0
        self._tell()

    def _tell(self) -> None:
        self._told = self._clock()
        log.info("%s", self)

    def __str__(self) -> str:
        seconds = max(self._clock() - self._started, 1e-9)
        events = self._events + self._pending
        of = "" if self._n_events is None else f" of {self._n_events:,}"
        parts = [
            f"{self._files} of {self._n_files} files",
            f"{events:,}{of} events",
        ]
        # Where skims are read from this machine, nobody asks for bytes.
        if self._bytes:
            parts += [byte_size(self._bytes), f"{byte_size(self._bytes / seconds)}/s"]
        parts.append(f"{events / seconds:,.0f} events/s")
        if self._n_events is not None and 0 < events < self._n_events:
            parts.append(f"{duration(seconds * (self._n_events - events) / events)} left")
        return ", ".join(parts)
