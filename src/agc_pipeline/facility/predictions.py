"""Predictions of the simulation from what was measured, and their check against the ladder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal

import numpy as np
from pydantic import computed_field, model_validator
from scipy.stats import kendalltau, siegelslopes

from agc_pipeline.columnar.traces import JobTrace, Task
from agc_pipeline.facility import measures, queueing
from agc_pipeline.facility.queueing import Size, Workload
from agc_pipeline.facility.records import PointRecord
from agc_pipeline.facility.scaling import Range, spread
from agc_pipeline.facility.settings import TaskSize
from agc_pipeline.settings import Settings

Agreement = Literal["within the spread", "within a tenth", "different"]

# Chunks that a rate is fitted to, at least and at most; by how much the largest tenth has more
# bytes than the smallest; and with which probability they wait longer for more by chance.
_FITTED, _PAIRED, _UNLIKE, _CHANCE = 10, 1000, 1.5, 0.01
# How far apart medians may be that agree.
_NEAR = 0.1
# Simulations of a rung, of which the range is told.
_REPEATS = 5


class Rung(Settings):
    """A rung of the ladder, measured and simulated.

    Attributes:
        workers: how many.
        measured: median, smallest and largest wall time, seconds.
        simulated: likewise.
    """

    workers: int
    measured: Range
    simulated: Range

    @model_validator(mode="before")
    @classmethod
    def _without_what_follows(cls, values: Any) -> Any:
        """Leave out what a file says of both ranges: it follows from them."""
        if not isinstance(values, Mapping):
            return values
        return {k: value for k, value in values.items() if k not in cls.model_computed_fields}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float:
        """Of the medians, simulated over measured."""
        return self.simulated.value / self.measured.value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def agreement(self) -> Agreement:
        """Whether the ranges overlap, or else whether the medians are a tenth apart at most.

        Of one repetition the latter only.
        """
        if _overlap(self.measured, self.simulated):
            return "within the spread"
        near = 1 / (1 + _NEAR) <= self.ratio <= 1 + _NEAR
        return "within a tenth" if near else "different"


class Prediction(Settings):
    """The time of a task on so many workers.

    Attributes:
        workers: how many.
        seconds: wall time.
        events_per_second: over it.
        gigabits_per_second: that are read, over it.
        efficiency: time of one worker over that of all.
    """

    workers: int
    seconds: float
    events_per_second: float
    gigabits_per_second: float
    efficiency: float


def workload(points: Sequence[PointRecord], dispatch: float) -> Workload:
    """What tasks take, as it was measured.

    Args:
        points: with results, with the same executor and input.
        dispatch: seconds for each task in which no other is handed out.
    """
    tasks = measures.tasks_of(points)
    chunks = [task for task in tasks if task.kind == "events" and task.events]
    headers = [task.seconds.wall for task in tasks if task.kind == "header"]
    waiting = [measures.parts_of(task).get("data", 0.0) for task in chunks]
    starts = [start for point in points for start in _starts(point)]
    last = [max(task.stopped for task in measures.tasks_of([point])) for point in points]
    files_of_job = None
    if any(point.split for point in points):
        # Each job opens its own files, and starts a process for it.
        jobs = [job for point in points for job in point.jobs]
        files = [max(len({task.path for task in job.tasks}), 1) for job in jobs]
        own = [_own(job) / number for job, number in zip(jobs, files, strict=True)]
        headers = [median(headers or [0.0]) + seconds for seconds in own]
        # The last job has what is left.
        files_of_job = max(files)
        # The first job is handed out as all others are, and the end of the last is its own.
        starts = [max(0.0, start - dispatch) for start in starts]
        last = [max(job.stopped for job in point.jobs) for point in points]
    stream = _stream([task.bytes for task in chunks], waiting)
    latencies = waiting
    if stream is not None:
        latencies = [
            max(0.0, wait - t.bytes / stream) for t, wait in zip(chunks, waiting, strict=True)
        ]
    # A chunk is as likely to be read again however many events it has.
    failed = [task.failed.wall for task in chunks]
    computing = [
        max(0.0, task.seconds.wall - wait - lost)
        for task, wait, lost in zip(chunks, waiting, failed, strict=True)
    ]
    # Tasks on skims have fewer events than the files that these were made of.
    n_events = sum(task.events for task in chunks)
    share = n_events / max(sum(point.input_events for point in points), 1)
    return Workload(
        starts=starts or [0.0],
        headers=headers or [0.0],
        costs=[
            (share * seconds / task.events, share * task.bytes / task.events)
            for task, seconds in zip(chunks, computing, strict=True)
        ]
        or [(0.0, 0.0)],
        reading=[
            # Several threads may have read at the same time.
            share * min(_reading(task), seconds) / task.events
            for task, seconds in zip(chunks, computing, strict=True)
        ]
        or [0.0],
        waits=[sum(each) for each in zip(latencies, failed, strict=True)] or [0.0],
        dispatch=dispatch,
        job=files_of_job,
        merging=median(point.stopped - end for point, end in zip(points, last, strict=True)),
        stream=stream,
    )


def _reading(task: Task) -> float:
    """Seconds of computing that grow with the bytes of a chunk."""
    parts = measures.parts_of(task)
    return sum(parts.get(part, 0.0) for part in ("read", "decompress"))


def _stream(sizes: Sequence[int], waits: Sequence[float]) -> float | None:
    """Rate of a stream by which the waiting of a chunk grows with its bytes, bytes per second.

    Args:
        sizes: bytes of chunks.
        waits: seconds that each waited for them.

    Returns:
        None where chunks are too much alike, or do not wait longer for more bytes beyond chance.
    """
    # Of more, the slopes of all pairs take long.
    step = -(-len(sizes) // _PAIRED) or 1
    some, seconds = np.array(sizes[::step], float), np.array(waits[::step])
    if len(some) < _FITTED:
        return None
    small, large = np.quantile(some, [0.1, 0.9])
    if large < _UNLIKE * small:
        return None
    # By ranks and medians: some chunks wait long for reasons of their own. NaN if all wait as long.
    found = kendalltau(some, seconds)
    if not (found.statistic > 0 and found.pvalue < _CHANCE):
        return None
    slope = float(siegelslopes(seconds, some).slope)
    return 1 / slope if slope > 0 else None


def _starts(point: PointRecord) -> list[float]:
    """Seconds until each worker has its first task; of many jobs, until the first is launched."""
    if point.split:
        return [min(job.launched for job in point.jobs) - point.launched]
    begin, starts = point.launched, []
    # Datasets follow each other, with workers of their own.
    for job in point.jobs:
        first: dict[str, float] = {}
        for task in job.tasks:
            first[task.worker] = min(first.get(task.worker, task.started), task.started)
        starts += [start - begin for start in first.values()]
        begin = job.stopped
    return starts


def _own(job: JobTrace) -> float:
    """Seconds of a job without a task: its start and its end."""
    if not job.tasks:
        return job.stopped - job.launched
    first, last = job.tasks[0].started, max(task.stopped for task in job.tasks)
    return first - job.launched + job.stopped - last


def check(points: Sequence[PointRecord], dispatch: float, seed: int) -> tuple[Rung, ...]:
    """Rungs of the same files, simulated with the tasks that were measured on them.

    Args:
        points: of one series, of the mode "strong", with results.
        dispatch: see ``workload``.
        seed: of the random numbers.
    """
    rungs = []
    for workers in sorted({point.workers for point in points}):
        own = [point for point in points if point.workers == workers]
        size = _size(own[0])
        took = [
            queueing.seconds(workload(own, dispatch), size, workers, seed + n)
            for n in range(_REPEATS)
        ]
        rungs.append(
            Rung(
                workers=workers,
                measured=spread([point.wall for point in own], median),
                simulated=spread(took, median),
            )
        )
    return tuple(rungs)


def predictions(
    load: Workload, tasks: Mapping[str, TaskSize], workers: Sequence[int], seed: int
) -> dict[str, tuple[Prediction, ...]]:
    """The curve of each task.

    Args:
        load: what a chunk takes.
        tasks: sizes by name.
        workers: numbers of them.
        seed: of the random numbers.
    """
    return {name: _curve(load, task, workers, seed) for name, task in tasks.items()}


def _curve(
    load: Workload, task: TaskSize, workers: Sequence[int], seed: int
) -> tuple[Prediction, ...]:
    per_event = sum(n_bytes for _, n_bytes in load.costs) / len(load.costs)
    n_bytes = task.bytes or per_event * task.events
    each = n_bytes / task.events
    scale = each / per_event if per_event else 1.0
    # More bytes for each event take longer to read, and not to select.
    scaled = replace(
        load,
        costs=[
            (cost - reading + scale * reading, scale * size if per_event else each)
            for (cost, size), reading in zip(load.costs, load.reading, strict=True)
        ],
    )
    rate = None if task.gigabits_per_second is None else 1e9 / 8 * task.gigabits_per_second
    size = Size(task.files, task.chunks, task.events / task.files / task.chunks, rate)
    one = queueing.seconds(scaled, size, 1, seed)
    curve = []
    for number in sorted(workers):
        # No worker does more than one alone would, but for what was drawn.
        took = max(one / number, queueing.seconds(scaled, size, number, seed))
        curve.append(
            Prediction(
                workers=number,
                seconds=took,
                events_per_second=task.events / took,
                gigabits_per_second=8e-9 * n_bytes / took,
                efficiency=one / number / took,
            )
        )
    return tuple(curve)


def needed(curve: Sequence[Prediction], *, events_per_second: float) -> float | None:
    """Workers that reach a rate, between those of the curve; None if none of them does."""
    previous: Prediction | None = None
    for point in curve:
        if point.events_per_second >= events_per_second:
            if previous is None:
                return float(point.workers)
            gain = point.events_per_second - previous.events_per_second
            share = (events_per_second - previous.events_per_second) / gain
            return previous.workers + share * (point.workers - previous.workers)
        previous = point
    return None


def _size(point: PointRecord) -> Size:
    """Files and chunks of a point; all chunks of as many input events."""
    chunks = [task for task in measures.tasks_of([point]) if task.kind == "events" and task.events]
    files = len({task.path for task in chunks})
    each = max(1, round(len(chunks) / max(files, 1)))
    return Size(max(files, 1), each, point.input_events / max(files, 1) / each)


def _overlap(one: Range, other: Range) -> bool:
    """Whether two ranges have a time in common; False where one is not known."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return max(one.low, other.low) <= min(one.high, other.high)
