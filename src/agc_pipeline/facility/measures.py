"""What points of the ladder say: rates, efficiency, where the time went, and how evenly.

Time that cores spend is counted in core seconds: those of all workers from the start of the command
to its end. ``SHARES`` divides all of them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Self
from urllib.parse import urlsplit

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from agc_pipeline.columnar.traces import JobTrace, Task
from agc_pipeline.facility.records import Delivered, PointRecord
from agc_pipeline.facility.scaling import Pieces
from agc_pipeline.readers.clock import Seconds
from agc_pipeline.settings import Settings

# start: until a worker has its first task: interpreter, imports, scheduler, queue.
# open: headers of files, CPU time. read: columns made of decompressed bytes, CPU time.
# decompress, physics, fill: CPU time. data: waiting for bytes while a file is opened or read.
# retry: attempts to read that failed, with the pauses after them. stalled: a task that computes,
# but gets no CPU. other: the rest of the tasks.
# merge: from the last task to the end of the job, and on to the end of the command. queue: workers
# without a task while there were more to start. tail: likewise, while the last ones ran; of many
# jobs, workers without a job once all were launched.
SHARES = (
    "start",
    "open",
    "read",
    "decompress",
    "physics",
    "fill",
    "data",
    "retry",
    "stalled",
    "other",
    "merge",
    "queue",
    "tail",
)
_READING = ("open", "read")
# Of numbers in a file.
_ROUNDING = 1e-6


class Quantiles(Settings):
    """Values at some shares of a distribution."""

    lowest: float
    median: float
    ninety: float
    highest: float


class Facts(Settings):
    """What one worker, host, file or door did.

    Attributes:
        name: of it.
        tasks: chunks of events.
        events: that were processed.
        bytes: compressed bytes that were read.
        seconds: wall time of the chunks.
        waiting_seconds: of these without CPU.
        nanoseconds_per_event: wall time of the median chunk, without those of ``first_chunks``
            where there are others.
        failed_attempts: to read.
        peak_mb: most memory of a process.
        first: UNIX time of the start of the first task.
        last: UNIX time of the end of the last one.
    """

    name: str
    tasks: int
    events: int
    bytes: int
    seconds: float
    waiting_seconds: float
    nanoseconds_per_event: float
    failed_attempts: int
    peak_mb: float
    first: float
    last: float

    @property
    def megabytes_per_second(self) -> float:
        """While a task of it ran."""
        return self.bytes / self.seconds / 1e6 if self.seconds else 0.0


class DeliveryMeasures(Settings):
    """What a point says that delivers. Each unit stands in the name.

    Attributes:
        wall_seconds: from the start of the command to its end.
        events: of the input files.
        bytes_read: of them.
        bytes_written: in skims.
        events_per_second: over the wall time.
        khz_per_core: thousands of events per second and worker.
        gigabits_per_second: that were read, over the wall time.
        megabytes_per_second_written: over the wall time.
    """

    wall_seconds: NonNegativeFloat
    events: NonNegativeInt
    bytes_read: NonNegativeInt
    bytes_written: NonNegativeInt
    events_per_second: NonNegativeFloat
    khz_per_core: NonNegativeFloat
    gigabits_per_second: NonNegativeFloat
    megabytes_per_second_written: NonNegativeFloat


class Measures(Settings):
    """What a point says. Each unit stands in the name.

    Attributes:
        wall_seconds: from the start of the command to its end.
        core_seconds: wall time of all workers.
        cpu_seconds: CPU time of the command, Snakemake and its jobs included, and of workers
            elsewhere.
        events: of the files, before any skim.
        bytes: compressed bytes of the baskets or clusters that were read.
        bytes_per_event: of these.
        share_of_files: bytes that were read over the sizes of the files; None if unknown.
        events_per_second: over the wall time.
        khz_per_core: thousands of events per second and worker.
        khz_per_cpu: thousands of events per second of CPU time.
        gigabits_per_second: that were read, over the wall time.
        gigabits_per_second_per_core: per worker.
        core_efficiency: CPU time over core seconds.
        shares: of the core seconds, each of ``SHARES``.
        chunk_seconds: of wall time.
        tail_seconds: from the end of the first worker's last task to the end of all tasks, added up
            over datasets, which follow each other; of many jobs, of its last job.
        peak_mb: most memory of a worker; of one that ran before the point, since its start.
        failed_attempts: to read a file.
        failed_jobs: that were tried again.
        workers: what each did.
    """

    wall_seconds: PositiveFloat
    core_seconds: PositiveFloat
    cpu_seconds: NonNegativeFloat
    events: NonNegativeInt
    bytes: NonNegativeInt
    bytes_per_event: NonNegativeFloat
    share_of_files: NonNegativeFloat | None
    events_per_second: NonNegativeFloat
    khz_per_core: NonNegativeFloat
    khz_per_cpu: NonNegativeFloat
    gigabits_per_second: NonNegativeFloat
    gigabits_per_second_per_core: NonNegativeFloat
    core_efficiency: NonNegativeFloat
    shares: dict[str, NonNegativeFloat]
    chunk_seconds: Quantiles
    tail_seconds: NonNegativeFloat
    peak_mb: NonNegativeFloat
    failed_attempts: NonNegativeInt
    failed_jobs: NonNegativeInt
    workers: tuple[Facts, ...]

    @model_validator(mode="after")
    def _what_follows_from_others(self) -> Self:
        """Refuse values that do not agree: a file of another site may say anything."""
        for name, value in _following(self).items():
            stated = getattr(self, name)
            if not math.isclose(stated, value, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
                raise ValueError(
                    f"`{name}` is {stated:g}, and follows from the others as {value:g}"
                )
        return self


def of(point: PointRecord) -> Measures:
    """The measures of a point that has a result."""
    tasks = tasks_of([point])
    chunks = [task for task in tasks if task.kind == "events"]
    wall, n_bytes = point.wall, sum(task.bytes for task in tasks)
    cpu, core_seconds = _cpu(point), wall * point.workers
    size = sum(point.file_bytes.values())
    walls = np.array([task.seconds.wall for task in chunks] or [0.0])
    workers = grouped(tasks, lambda task: task.worker)
    return Measures(
        wall_seconds=wall,
        core_seconds=core_seconds,
        cpu_seconds=cpu,
        events=point.input_events,
        bytes=n_bytes,
        bytes_per_event=n_bytes / max(point.input_events, 1),
        share_of_files=n_bytes / size if size else None,
        events_per_second=point.input_events / wall,
        khz_per_core=point.input_events / core_seconds / 1000,
        khz_per_cpu=point.input_events / cpu / 1000 if cpu else 0.0,
        gigabits_per_second=8e-9 * n_bytes / wall,
        gigabits_per_second_per_core=8e-9 * n_bytes / core_seconds,
        core_efficiency=cpu / core_seconds,
        shares=shares(point),
        chunk_seconds=Quantiles(
            lowest=walls.min(),
            median=float(np.median(walls)),
            ninety=float(np.quantile(walls, 0.9)),
            highest=walls.max(),
        ),
        tail_seconds=_tail_seconds(point),
        peak_mb=max([job.peak_mb for job in point.jobs] + [task.peak_mb for task in tasks]),
        failed_attempts=sum(task.failed_attempts for task in tasks),
        failed_jobs=max(0, point.attempts - len(point.jobs)),
        workers=workers,
    )


def _following(one: Measures) -> dict[str, float]:
    """What is made of times, events and bytes."""
    return {
        "bytes_per_event": one.bytes / max(one.events, 1),
        "events_per_second": one.events / one.wall_seconds,
        "khz_per_core": one.events / one.core_seconds / 1000,
        "khz_per_cpu": one.events / one.cpu_seconds / 1000 if one.cpu_seconds else 0.0,
        "gigabits_per_second": 8e-9 * one.bytes / one.wall_seconds,
        "gigabits_per_second_per_core": 8e-9 * one.bytes / one.core_seconds,
        "core_efficiency": one.cpu_seconds / one.core_seconds,
    }


def middle(repetitions: Iterable[Measures]) -> Measures:
    """Of repetitions of a rung the one with the median time; of two in the middle the longer."""
    ordered = sorted(repetitions, key=lambda one: one.wall_seconds)
    return ordered[len(ordered) // 2]


def pieces(point: PointRecord) -> Pieces | None:
    """Into how many pieces the work of a point was cut that are done at the same time.

    Datasets follow each other, but for jobs of Snakemake.

    Returns:
        None of a point without any.
    """
    if point.delivered is not None:
        return Pieces(number=point.n_files * len(point.datasets), kind="file")
    if point.split:
        return Pieces(number=len(point.jobs), kind="job") if point.jobs else None
    chunks = [sum(task.kind == "events" for task in job.tasks) for job in point.jobs]
    return Pieces(number=max(chunks), kind="chunk") if any(chunks) else None


def of_delivery(point: PointRecord, delivered: Delivered) -> DeliveryMeasures:
    """The measures of a point that delivered."""
    wall = point.wall
    return DeliveryMeasures(
        wall_seconds=wall,
        **delivered.model_dump(),
        events_per_second=delivered.events / wall,
        khz_per_core=delivered.events / wall / point.workers / 1000,
        gigabits_per_second=8e-9 * delivered.bytes_read / wall,
        megabytes_per_second_written=1e-6 * delivered.bytes_written / wall,
    )


def tasks_of(points: Iterable[PointRecord]) -> list[Task]:
    """All tasks of some points."""
    return [task for point in points for job in point.jobs for task in job.tasks]


def grouped(tasks: Iterable[Task], key: Callable[[Task], str]) -> tuple[Facts, ...]:
    """What each group of tasks did, in the order of their names.

    Args:
        tasks: of any points.
        key: name of the group of a task.
    """
    tasks = list(tasks)
    cold = first_chunks(tasks)
    groups: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[key(task)].append(task)
    return tuple(_facts(name, groups[name], cold) for name in sorted(groups))


def first_chunks(tasks: Iterable[Task]) -> set[int]:
    """Which chunks are the first of their process, by ``id``: it loads and opens what others have.

    Args:
        tasks: of any points.
    """
    first: dict[str, Task] = {}
    for task in tasks:
        if task.kind == "events":
            other = first.setdefault(task.worker, task)
            if task.started < other.started:
                first[task.worker] = task
    return {id(task) for task in first.values()}


def door(task: Task) -> str:
    """Server of the address that gave a file, or the folder of a local one."""
    address = urlsplit(task.url)
    if address.netloc:
        return f"{address.scheme}://{address.netloc}"
    return task.url.rpartition("/")[0] or "."


def _facts(name: str, tasks: Sequence[Task], cold: set[int]) -> Facts:
    chunks = [task for task in tasks if task.kind == "events"]
    warm = [task for task in chunks if id(task) not in cold] or chunks
    return Facts(
        name=name,
        tasks=len(chunks),
        events=sum(task.events for task in chunks),
        bytes=sum(task.bytes for task in chunks),
        seconds=sum(task.seconds.wall for task in chunks),
        waiting_seconds=sum(max(0.0, task.seconds.wall - task.seconds.cpu) for task in chunks),
        nanoseconds_per_event=median(map(per_event, warm)) if warm else 0.0,
        failed_attempts=sum(task.failed_attempts for task in tasks),
        peak_mb=max(task.peak_mb for task in tasks),
        first=min(task.started for task in tasks),
        last=max(task.stopped for task in tasks),
    )


def per_event(task: Task) -> float:
    """Wall time of a chunk for each of its events, nanoseconds."""
    return 1e9 * task.seconds.wall / max(task.events, 1)


def _cpu(point: PointRecord) -> float:
    """CPU time of the command, and of workers elsewhere as of the end of their last task.

    Of a worker that ran before the point from its first task on.
    """
    if point.elsewhere is None:
        return point.cpu_seconds
    before: dict[tuple[str, int, float], float] = {}
    after: dict[tuple[str, int, float], float] = {}
    for task in tasks_of([point]):
        # Processes of other machines, or other name spaces, may have the same number.
        key = task.host, task.process, task.process_launched
        cpu = task.process_cpu_before if task.process_launched < point.launched else 0.0
        before[key] = min(before.get(key, cpu), cpu)
        after[key] = max(after.get(key, 0.0), task.process_cpu)
    for job in point.jobs:
        # What hands out the work may be a worker itself.
        key = job.host, job.process, job.launched
        # That of the command has it, if the job itself is here.
        before[key], after[key] = 0.0, job.cpu if point.elsewhere == "jobs" else 0.0
    return point.cpu_seconds + sum(after.values()) - sum(before.values())


def shares(point: PointRecord) -> dict[str, float]:
    """Share of the core seconds of each of ``SHARES``."""
    seconds = dict.fromkeys(SHARES, 0.0)
    if not point.jobs:
        return seconds
    total = point.wall * point.workers
    unused = 0.0
    first = min(job.launched for job in point.jobs)
    # Until Snakemake has started the first job, nobody works.
    seconds["start"] = max(0.0, first - point.launched) * point.workers
    for job in point.jobs:
        starts: dict[str, float] = {}
        for task in job.tasks:
            starts[task.worker] = min(starts.get(task.worker, task.started), task.started)
        last = max((task.stopped for task in job.tasks), default=job.launched)
        superfluous = _superfluous(job)
        unused += superfluous * max(0.0, last - job.launched)
        missing = job.workers - len(starts) - superfluous
        begun = sum(start - job.launched for start in starts.values())
        # Workers that got no task at all started as late as the last that did, at most.
        latest = max(starts.values(), default=last) - job.launched
        seconds["start"] += begun + max(0, missing) * latest
        seconds["merge"] += job.workers * max(0.0, job.stopped - last)
        for task in job.tasks:
            for part, spent in parts_of(task).items():
                seconds[part] += spent
    ended = max(job.stopped for job in point.jobs)
    seconds["merge"] += point.workers * max(0.0, point.stopped - ended)
    idle = max(0.0, total - sum(seconds.values()))
    seconds["tail"] = min(idle, unused + _tail(point))
    seconds["queue"] = idle - seconds["tail"]
    return {part: spent / total for part, spent in seconds.items()}


def parts_of(task: Task) -> Mapping[str, float]:
    """Wall time of a task by share."""
    retry = min(task.failed.wall, task.seconds.wall)
    if task.kind == "header":
        last = task.seconds.without(task.failed)
        waiting = max(0.0, last.wall - last.cpu)
        return {"open": last.wall - waiting, "data": waiting, "retry": retry}
    found: dict[str, float] = defaultdict(float, retry=retry)
    for part in (*_READING, "decompress", "physics", "fill"):
        spent = task.parts.get(part, Seconds())
        # More CPU than wall time is that of threads.
        cpu = min(spent.cpu, spent.wall)
        found[part] += cpu
        found["data" if part in _READING else "stalled"] += spent.wall - cpu
    found["other"] = max(0.0, task.seconds.wall - sum(found.values()))
    return found


def _superfluous(job: JobTrace) -> int:
    """Workers that have nothing to do, since there are fewer chunks than workers.

    That is no matter of their start.
    """
    n_chunks = sum(task.kind == "events" for task in job.tasks)
    return max(0, job.workers - n_chunks) if n_chunks else 0


def _tail(point: PointRecord) -> float:
    """Core seconds of workers without work, while the last piece of it was under way.

    Datasets follow each other, each with a last piece of its own; of many jobs it is the last job.
    """
    works = [
        ([(task.started, task.stopped) for task in job.tasks], job.workers - _superfluous(job))
        for job in point.jobs
    ]
    if point.split:
        works = [([(job.launched, job.stopped) for job in point.jobs], point.workers)]
    total = 0.0
    for spans, workers in works:
        begin = max((start for start, _ in spans), default=0.0)
        end = max((stop for _, stop in spans), default=0.0)
        busy = sum(max(0.0, stop - max(start, begin)) for start, stop in spans)
        total += max(0.0, workers * (end - begin) - busy)
    return total


def _tail_seconds(point: PointRecord) -> float:
    """Time from the end of the first worker's last piece of work to the end of all."""
    if point.split:
        # As many as there are workers ended the last job of one.
        ends = sorted(job.stopped for job in point.jobs)[-point.workers :]
        return max(ends) - min(ends) if ends else 0.0
    total = 0.0
    for job in point.jobs:
        last = [facts.last for facts in grouped(job.tasks, lambda task: task.worker)]
        total += max(last) - min(last) if last else 0.0
    return total
