"""Predictions of the simulation from what was measured, and their check against the ladder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

import numpy as np
from scipy.stats import kendalltau, siegelslopes

from agc_pipeline.columnar.traces import JobTrace
from agc_pipeline.facility import measures, queueing
from agc_pipeline.facility.queueing import Size, Workload
from agc_pipeline.facility.records import PointRecord
from agc_pipeline.facility.scaling import Range, spread
from agc_pipeline.facility.settings import TaskSize
from agc_pipeline.settings import Settings

Agreement = Literal[
    "within the spread", "within a tenth of the spread", "within a tenth", "different"
]

# Chunks that a rate is fitted to, at least and at most; by how much the largest tenth has more
# bytes than the smallest; and with which probability they wait longer for more by chance.
_FITTED, _PAIRED, _UNLIKE, _CHANCE = 10, 1000, 1.5, 0.01
# Simulations of a rung, of which the range is told.
_REPEATS = 5


class Rung(Settings):
    """A rung of the ladder, measured and simulated.

    Attributes:
        workers: how many.
        measured: median, smallest and largest wall time, seconds.
        simulated: likewise.
        agreement: whether the two ranges overlap, as they are or widened by a tenth; of one
            repetition, whether the times are a tenth apart.
    """

    workers: int
    measured: Range
    simulated: Range
    agreement: Agreement


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
    attempts = sum(task.failed_attempts for task in chunks)
    # Tasks on skims have fewer events than the files that these were made of.
    n_events = sum(task.events for task in chunks)
    share = n_events / max(sum(point.input_events for point in points), 1)
    return Workload(
        starts=starts or [0.0],
        headers=headers or [0.0],
        costs=[
            (share * (task.seconds.wall - wait) / task.events, share * task.bytes / task.events)
            for task, wait in zip(chunks, waiting, strict=True)
        ]
        or [(0.0, 0.0)],
        reading=share
        * sum(
            measures.parts_of(task).get(part, 0.0)
            for task in chunks
            for part in ("read", "decompress")
        )
        / max(n_events, 1),
        waits=latencies or [0.0],
        dispatch=dispatch,
        job=files_of_job,
        merging=median(point.stopped - end for point, end in zip(points, last, strict=True)),
        stream=stream,
        failing=attempts / (len(chunks) + attempts) if chunks else 0.0,
    )


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
        measured, simulated = spread([p.wall for p in own], median), spread(took, median)
        rungs.append(
            Rung(
                workers=workers,
                measured=measured,
                simulated=simulated,
                agreement=agreement(measured, simulated),
            )
        )
    return tuple(rungs)


def agreement(measured: Range, simulated: Range) -> Agreement:
    """Whether two ranges of wall times overlap, as they are or widened by a tenth."""
    (low, high), (lowest, highest) = _ends(measured), _ends(simulated)
    apart = max(lowest / high, low / highest)
    if measured.low is None:
        return "within a tenth" if apart < 1.1 else "different"
    if apart <= 1:
        return "within the spread"
    return "within a tenth of the spread" if apart < 1.1 else "different"


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
    scale = n_bytes / task.events / per_event if per_event else 1.0
    # More bytes for each event take longer to read, and not to select.
    more = (scale - 1) * load.reading
    scaled = replace(load, costs=[(cost + more, scale * size) for cost, size in load.costs])
    rate = None if task.gigabits_per_second is None else 1e9 / 8 * task.gigabits_per_second
    size = Size(task.files, task.chunks, task.events / task.files / task.chunks, rate)
    one = queueing.seconds(scaled, size, 1, seed)
    curve = []
    for number in sorted(workers):
        took = queueing.seconds(scaled, size, number, seed)
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


def _ends(times: Range) -> tuple[float, float]:
    return (
        times.value if times.low is None else times.low,
        times.value if times.high is None else times.high,
    )
