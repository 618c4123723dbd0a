"""The histogram stage as a queue: workers, tasks, the door that data come through; by simpy.

A worker starts, and then takes one piece of work after another: whatever hands them out serves one
worker at a time; the data come through a door whose rate all transfers share evenly, each with a
largest rate of its own; then the worker computes. Headers of files come first, and no chunk starts
before the last header is read; or a piece is a job with files of its own, whose headers and chunks
its worker reads one after the other. Times are drawn from those that were measured.
"""

import heapq
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import simpy

# Pieces of work for each worker, and in all, from which the rate of further ones is taken.
_EACH, _LEAST = 10, 5000
# Steps of all jobs that are simulated one by one; and chunks of different jobs that are drawn.
_STEPS, _DRAWN = 50_000, 2_000_000
# Bytes that rounding may leave of a transfer.
_ROUNDING = 1e-6

# What a worker does without a break, in steps: bytes that it transfers, then seconds.
_Piece = Sequence[tuple[float, float]]
# Pieces of a phase, from the first number up to the second, which is excluded.
_Draw = Callable[[int, int], list[_Piece]]


@dataclass(frozen=True)
class Workload:
    """What a task takes, as samples to draw from. None of them is empty.

    Attributes:
        starts: seconds until a worker has its first task.
        headers: seconds for the header of a file.
        costs: of chunks: computing seconds for each event, and bytes for each event.
        reading: of each of ``costs``, what part of its seconds grows with its bytes.
        waits: seconds that a chunk takes beside these, however many events it has.
        dispatch: seconds for each task in which no other is handed out.
        job: files of each job; None hands out headers and chunks one by one.
        merging: seconds behind the last task.
        stream: largest rate of a transfer, bytes per second; None is without a limit.
    """

    starts: Sequence[float] = (0.0,)
    headers: Sequence[float] = (0.0,)
    costs: Sequence[tuple[float, float]] = ((0.0, 0.0),)
    reading: Sequence[float] = (0.0,)
    waits: Sequence[float] = (0.0,)
    dispatch: float = 0.0
    job: int | None = None
    merging: float = 0.0
    stream: float | None = None


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

    Of very many pieces of work, only some are simulated, so many less that each worker is spared
    as many as all others: what they take follows from the rate of those before, see ``_EACH``.

    Args:
        workload: what a task takes.
        size: of the stage.
        workers: how many.
        seed: of the random numbers.
    """
    stage = _Stage(workload, size, np.random.default_rng(seed))
    if workload.job is None:
        # Workers beyond the tasks would wait for nothing.
        starts = stage.starts(min(workers, size.tasks))
        opened = stage.end(starts, size.files, stage.headers)
        end = stage.end([max(start, opened) for start in starts], size.tasks, stage.chunks)
    else:
        n_jobs = -(-size.files // workload.job)
        starts = stage.starts(min(workers, n_jobs))
        end = stage.end(starts, n_jobs, stage.jobs(workload.job, len(starts)))
    return end + workload.merging


class _Stage:
    def __init__(self, workload: Workload, size: Size, rng: np.random.Generator) -> None:
        self._workload = workload
        self._size = size
        self._rng = rng

    def starts(self, workers: int) -> list[float]:
        """When workers ask for their first piece."""
        return [float(start) for start in _drawn(self._rng, self._workload.starts, workers)]

    def end(self, ready: Sequence[float], n_pieces: int, draw: _Draw) -> float:
        """When a phase ends.

        Args:
            ready: when each worker asks for its first piece.
            n_pieces: of the phase.
            draw: them.
        """
        workers = min(len(ready), n_pieces)
        each = max(_EACH, -(-_LEAST // workers))
        before = each
        while True:
            # Each worker is spared as many, so that the last round is as full as it is.
            spared = max(0, n_pieces // workers - before - each)
            if not spared:
                return _Phase(self._workload, self._size, draw(0, n_pieces)).run(ready)
            # Drawn apart: the rate is that of pieces of the mean of all.
            last = n_pieces - each * workers
            phase = _Phase(
                self._workload,
                self._size,
                [*draw(spared * workers, last), *draw(last, n_pieces)],
            )
            end = phase.run(ready)
            begin = phase.taken[-1 - each * workers]
            # All workers take part in the rate.
            if begin >= max(ready):
                return end + spared / each * (phase.taken[-1] - begin)
            before *= 2

    def headers(self, first: int, last: int) -> list[_Piece]:
        """Headers of files."""
        return [((0.0, each),) for each in self._headers(last - first).tolist()]

    def chunks(self, first: int, last: int) -> list[_Piece]:
        """Chunks of events."""
        n_bytes, taken = self._chunks(last - first)
        return [(step,) for step in zip(n_bytes.tolist(), taken.tolist(), strict=True)]

    def jobs(self, files: int, workers: int) -> _Draw:
        """Jobs of so many files; the last one has what is left.

        Args:
            files: of each of them.
            workers: that do them.
        """
        n_jobs, steps = -(-self._size.files // files), 1 + self._size.chunks
        rest = self._size.files - (n_jobs - 1) * files

        def draw(first: int, last: int) -> list[_Piece]:
            full = last - first - (last == n_jobs)
            different = min(full, max(1, _DRAWN // (files * steps)))
            n_files = different * files + (rest if last == n_jobs else 0)
            n_bytes, taken = (np.zeros((n_files, steps)) for _ in range(2))
            taken[:, 0] = self._headers(n_files)
            n_bytes[:, 1:], taken[:, 1:] = (
                values.reshape(n_files, -1) for values in self._chunks(n_files * steps - n_files)
            )
            # Nobody is in the way of others: no more than the end of a job is of interest.
            most = 1
            if self._size.rate is not None:
                most = max(1, max(_STEPS, 2 * _EACH * workers) // (last - first))
            kinds = [
                _grouped(n_bytes[i : i + files].ravel(), taken[i : i + files].ravel(), most)
                for i in range(0, n_files, files)
            ]
            pieces = [kinds[i] for i in _drawn(self._rng, range(different), full)] if full else []
            return [*pieces, kinds[-1]] if last == n_jobs else pieces

        return draw

    def _headers(self, number: int) -> np.ndarray:
        return _drawn(self._rng, self._workload.headers, number)

    def _chunks(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of chunks, and seconds beside their transfer."""
        costs = np.array(self._workload.costs, float)
        costs = costs[_drawn(self._rng, range(len(costs)), number)] * self._size.events
        taken = costs[:, 0] + _drawn(self._rng, self._workload.waits, number)
        if self._size.rate is None and self._workload.stream:
            taken += costs[:, 1] / self._workload.stream
        return costs[:, 1], taken


class _Phase:
    """A simulation of pieces that workers take in their order.

    Attributes:
        taken: when each was handed out.
    """

    def __init__(self, workload: Workload, size: Size, pieces: Sequence[_Piece]) -> None:
        self.taken: list[float] = []
        self._env = simpy.Environment()
        self._dispatch = workload.dispatch
        self._limited = size.rate is not None
        self._door = Door(self._env, size.rate or math.inf, workload.stream)
        self._pieces: Iterator[_Piece] = iter(pieces)
        # When the next piece can be handed out, and the last one ended so far.
        self._free = 0.0
        self._ended = 0.0

    def run(self, ready: Sequence[float]) -> float:
        """The end of the last piece.

        Args:
            ready: when each worker asks for its first piece.
        """
        processes = [self._env.process(self._worker(start)) for start in ready]
        self._env.run(until=simpy.AllOf(self._env, processes))
        # Workers may start later than that.
        return self._ended

    def _worker(self, ready: float) -> Generator[Any, Any, None]:
        yield self._env.timeout(ready)
        for piece in self._pieces:
            # Events are few: each takes longer than all that is computed for it.
            wait = self._turn()
            for n_bytes, taken in piece:
                if n_bytes and self._limited:
                    if wait:
                        yield self._env.timeout(wait)
                    yield self._door.transfer(n_bytes)
                    wait = taken
                else:
                    wait += taken
            yield self._env.timeout(wait)
            self._ended = self._env.now

    def _turn(self) -> float:
        """Seconds until the piece is handed out that is asked for now: one after the other."""
        self._free = max(self._free, self._env.now) + self._dispatch
        self.taken.append(self._free)
        return self._free - self._env.now


def _grouped(n_bytes: np.ndarray, taken: np.ndarray, most: int) -> _Piece:
    """The steps of a job, or that many with the sums of those that follow each other."""
    number = min(most, len(taken))
    first = np.arange(number) * len(taken) // number
    sums = (np.add.reduceat(values, first).tolist() for values in (n_bytes, taken))
    return list(zip(*sums, strict=True))


def _drawn(rng: np.random.Generator, values: Sequence[float], n: int) -> np.ndarray:
    """So many of the values in any order, each as often as the others: their mean does not vary."""
    return rng.permutation(np.resize(rng.permutation(np.asarray(values)), n))


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
