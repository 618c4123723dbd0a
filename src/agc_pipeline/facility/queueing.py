"""The histogram stage as a queue: workers, tasks, the door that data come through; by simpy.

A worker starts, and then takes one task after another: whatever hands them out serves one worker at
a time; the data come through a door whose rate all transfers share evenly, each with a largest rate
of its own; then the worker computes. A task that fails is done again. Headers of files come first,
and no chunk starts before the last header is read; or a task is a job with files of its own, whose
headers and chunks its worker reads one after the other. Times are drawn from those that were
measured.
"""

import heapq
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import simpy

# Tasks for each worker, and in all, beyond which the rest goes on at the rate of the last half.
_EACH, _LEAST = 20, 2000
# Bytes that rounding may leave of a transfer.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Workload:
    """What a task takes, as samples to draw from. None of them is empty.

    Attributes:
        starts: seconds until a worker has its first task.
        headers: seconds for the header of a file.
        costs: of chunks: computing seconds for each event, and bytes for each event.
        reading: part of the computing seconds for each event that grows with its bytes.
        waits: seconds that a chunk waits for data beside their rate.
        dispatch: seconds for each task in which no other is handed out.
        job: files of each job; None hands out headers and chunks one by one.
        merging: seconds behind the last task.
        stream: largest rate of a transfer, bytes per second; None is without a limit.
        failing: probability that a task fails.
    """

    starts: Sequence[float] = (0.0,)
    headers: Sequence[float] = (0.0,)
    costs: Sequence[tuple[float, float]] = ((0.0, 0.0),)
    reading: float = 0.0
    waits: Sequence[float] = (0.0,)
    dispatch: float = 0.0
    job: int | None = None
    merging: float = 0.0
    stream: float | None = None
    failing: float = 0.0


@dataclass(frozen=True)
class Size:
    """How much there is to do.

    Attributes:
        files: with a header each.
        chunks: of each file.
        events: in each chunk.
        rate: bytes per second of the door; None is without a limit.
    """

    files: int
    chunks: int
    events: float
    rate: float | None = None

    @property
    def tasks(self) -> int:
        """Chunks in all."""
        return self.files * self.chunks


def seconds(workload: Workload, size: Size, workers: int, seed: int) -> float:
    """Wall time of the stage.

    A stage with very many tasks is simulated in part: from ``_EACH`` tasks for each worker on, the
    rest takes as long as the second half of that part, in proportion.

    Args:
        workload: what a task takes.
        size: of the stage.
        workers: how many.
        seed: of the random numbers.
    """
    most = max(_EACH * workers, _LEAST)
    if size.tasks <= most:
        return _simulated(workload, size, workers, seed)
    # Whole jobs, an even number.
    step = 2 * (workload.job or 1)
    files = max(step, most // size.chunks // step * step)
    whole = _simulated(workload, replace(size, files=files), workers, seed)
    half = _simulated(workload, replace(size, files=files // 2), workers, seed)
    return whole + (size.files - files) / (files // 2) * (whole - half)


def _simulated(workload: Workload, size: Size, workers: int, seed: int) -> float:
    # Workers beyond the tasks would wait for nothing.
    n_tasks = size.tasks if workload.job is None else -(-size.files // workload.job)
    stage = _Stage(workload, size, min(workers, n_tasks), np.random.default_rng(seed))
    return stage.run()


class _Stage:
    def __init__(
        self, workload: Workload, size: Size, workers: int, rng: np.random.Generator
    ) -> None:
        self._env = simpy.Environment()
        self._workload = workload
        self._door = Door(self._env, size.rate or math.inf, workload.stream)
        # When the next task can be handed out.
        self._free = 0.0
        self._size = size
        self._starts = _drawn(rng, workload.starts, workers)
        # Drawn at once: one by one takes longer than all the rest.
        self._headers = _drawn(rng, workload.headers, size.files)
        self._chunks = [
            workload.costs[i] for i in _drawn(rng, range(len(workload.costs)), size.tasks)
        ]
        self._waits = _drawn(rng, workload.waits, size.tasks)
        self._rng = rng
        self._left = size.files
        self._opened = self._env.event()

    def run(self) -> float:
        worker = self._worker if self._workload.job is None else self._worker_of_jobs
        processes = [self._env.process(worker(start)) for start in self._starts]
        self._env.run(until=simpy.AllOf(self._env, processes))
        return float(self._env.now) + self._workload.merging

    def _worker(self, start: float) -> Generator[Any, Any, None]:
        yield self._env.timeout(start)
        while self._headers:
            yield self._env.timeout(self._headers.pop() + self._turn())
            self._left -= 1
            if self._left == 0:
                self._opened.succeed()
        yield self._opened
        while self._chunks:
            yield from self._chunk()

    def _worker_of_jobs(self, start: float) -> Generator[Any, Any, None]:
        yield self._env.timeout(start)
        while self._headers:
            own = [self._headers.pop() for _ in self._headers[: self._workload.job]]
            turn = self._turn()
            for header in own:
                yield self._env.timeout(turn + header)
                turn = 0.0
                for _ in range(self._size.chunks):
                    yield from self._chunk()

    def _chunk(self) -> Generator[Any, Any, None]:
        cost, n_bytes = self._chunks.pop()
        wait = self._waits.pop()
        n_bytes *= self._size.events
        computing = wait + cost * self._size.events
        while True:
            # Events are few: each takes longer than all that is computed for it.
            turn = self._turn() if self._workload.job is None else 0.0
            if n_bytes and self._size.rate is not None:
                if turn:
                    yield self._env.timeout(turn)
                yield self._door.transfer(n_bytes)
                yield self._env.timeout(computing)
            else:
                # Nobody is in the way of others.
                transfer = n_bytes / self._workload.stream if self._workload.stream else 0.0
                yield self._env.timeout(turn + transfer + computing)
            if not self._workload.failing or self._rng.random() >= self._workload.failing:
                return

    def _turn(self) -> float:
        """Seconds until a task is handed out that is asked for now: one after the other."""
        self._free = max(self._free, self._env.now) + self._workload.dispatch
        return self._free - self._env.now


def _drawn(rng: np.random.Generator, values: Sequence[float], n: int) -> list[Any]:
    """So many of the values in any order, each as often as the others: their mean does not vary."""
    drawn: list[Any] = rng.permutation(np.resize(rng.permutation(np.asarray(values)), n)).tolist()
    return drawn


@dataclass
class Door:
    """A rate that all transfers share evenly.

    In virtual time, which goes as fast as each transfer does, every transfer ends at a time that is
    known when it begins, so that only the next end has to be waited for.

    Args:
        env: of the simulation.
        rate: bytes per second of all transfers.
        stream: of each; None is without a limit.
    """

    env: simpy.Environment
    rate: float
    stream: float | None
    _virtual: float = 0.0
    _since: float = 0.0
    _ends: list[tuple[float, int, simpy.Event]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)
    _turn: int = 0

    def transfer(self, n_bytes: float) -> simpy.Event:
        """The event that so many bytes came through from now on."""
        done = self.env.event()
        self._advance()
        heapq.heappush(self._ends, (self._virtual + n_bytes, next(self._numbers), done))
        self._wait()
        return done

    def _speed(self) -> float:
        shared = self.rate / len(self._ends)
        return shared if self.stream is None else min(shared, self.stream)

    def _advance(self) -> None:
        if self._ends:
            self._virtual += self._speed() * (self.env.now - self._since)
        self._since = self.env.now

    def _wait(self) -> None:
        """Wait for the end of the transfer that ends next, as things stand."""
        self._turn += 1
        turn = self._turn
        if self._ends:
            left = max(0.0, self._ends[0][0] - self._virtual)
            timer = self.env.timeout(left / self._speed())
            timer.callbacks.append(lambda _: self._end(turn))

    def _end(self, turn: int) -> None:
        # Others came or went since.
        if turn != self._turn:
            return
        self._advance()
        first = self._ends[0][0]
        # That is what was waited for, whatever rounding made of it.
        self._virtual = max(self._virtual, first)
        while self._ends and self._ends[0][0] <= self._virtual + _ROUNDING:
            heapq.heappop(self._ends)[2].succeed()
        self._wait()
