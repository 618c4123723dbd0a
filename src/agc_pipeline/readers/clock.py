"""CPU and wall time of the parts of a process."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pydantic import NonNegativeFloat

from agc_pipeline.settings import Settings

# open: file headers and what is kept of them; read: bytes from the file, and columns made of what
# decompress gives; physics: selection and observables; merge: adding up the chunks.
PARTS = ("open", "read", "decompress", "physics", "fill", "merge")


class Seconds(Settings):
    """CPU and wall time of a part, in seconds, summed over processes."""

    cpu: NonNegativeFloat = 0.0
    wall: NonNegativeFloat = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(cpu=self.cpu + other.cpu, wall=self.wall + other.wall)

    def without(self, part: "Seconds") -> "Seconds":
        """What is left when a part is taken away, not less than nothing."""
        return Seconds(cpu=max(0.0, self.cpu - part.cpu), wall=max(0.0, self.wall - part.wall))

    def scaled(self, share: float) -> "Seconds":
        """A share of the time."""
        return Seconds(cpu=share * self.cpu, wall=share * self.wall)


class Stopwatch:
    """CPU and wall time of this process since it was last asked."""

    def __init__(self) -> None:
        self._since = _now()

    def lap(self) -> Seconds:
        """The time since the last lap."""
        now, since = _now(), self._since
        self._since = now
        return Seconds(cpu=now[0] - since[0], wall=now[1] - since[1])

    def total(self) -> Seconds:
        """The time since the last lap, which goes on."""
        now = _now()
        return Seconds(cpu=now[0] - self._since[0], wall=now[1] - self._since[1])


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


class Clock:
    """CPU and wall seconds of named parts of a process; a part inside another is not its."""

    def __init__(self) -> None:
        self.seconds = {part: [0.0, 0.0] for part in PARTS}
        self.bytes = 0
        self._parts = {part: _Part(self, seconds) for part, seconds in self.seconds.items()}
        self._outer: list[list[float]] = []
        self._since = (0.0, 0.0)

    def part(self, name: str) -> AbstractContextManager[None]:
        """Count the time until the block ends to a part."""
        return self._parts[name]

    def enter(self, seconds: list[float]) -> None:
        """From now on, count the time to these seconds of a part."""
        self._switch()
        self._outer.append(seconds)

    def leave(self) -> None:
        """From now on, count the time to the part outside."""
        self._switch()
        self._outer.pop()

    def _switch(self) -> None:
        cpu, wall = now = time.process_time(), time.perf_counter()
        if self._outer:
            seconds = self._outer[-1]
            seconds[0] += cpu - self._since[0]
            seconds[1] += wall - self._since[1]
        self._since = now

    def report(self, way: str, events: int) -> dict[str, Any]:
        """What was counted, as numbers that coffea can add up; ``performance`` reads the sum."""
        return {way: {"events": events, "bytes": self.bytes, "seconds": _nested(self.seconds)}}


class _Part(AbstractContextManager[None]):
    """The block of a part. Each basket enters one: ``contextmanager`` would take longer."""

    def __init__(self, clock: Clock, seconds: list[float]) -> None:
        self._clock = clock
        self._seconds = seconds

    def __enter__(self) -> None:
        self._clock.enter(self._seconds)

    def __exit__(self, *_: object) -> None:
        self._clock.leave()


def _nested(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {part: {"cpu": cpu, "wall": wall} for part, (cpu, wall) in seconds.items()}
