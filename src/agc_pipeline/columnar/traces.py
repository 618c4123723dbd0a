"""What each task of a histogram job took: when, in which process, from which address.

Kept if ``histograms.trace`` says so. One record for each chunk of events and each file header, from
which a slow worker, node, disk or server can be told.
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from agc_pipeline.files import read_record, write_json
from agc_pipeline.measuring import process
from agc_pipeline.readers.clock import Seconds, Stopwatch
from agc_pipeline.settings import Settings

# The sum of outputs has the tasks of all of them under this key.
TASKS = "tasks"


class Task(Settings):
    """What a worker did without a break: a chunk of events, or the header of a file.

    Attributes:
        kind: of the two.
        path: of the file, as it is listed.
        url: the address that gave it.
        host: name of the machine.
        process: number of the process there.
        process_launched: UNIX time of the start of the process.
        started: UNIX time in seconds.
        seconds: of the task.
        parts: seconds of each of ``PARTS``; none for headers.
        events: that were processed.
        bytes: compressed bytes of the baskets or clusters that were read.
        failed_attempts: to read the file that failed before.
        failed: seconds of these, with the pauses after them; they are part of ``seconds``.
        process_cpu_before: CPU time of the process until the start of the task, seconds.
        process_cpu: CPU time of the process until the end of the task, seconds.
        peak_mb: most memory of the process so far, MB.
    """

    kind: Literal["header", "events"]
    path: str
    url: str
    host: str
    process: PositiveInt
    process_launched: float
    started: float
    seconds: Seconds
    parts: dict[str, Seconds] = Field(default_factory=dict)
    events: NonNegativeInt = 0
    bytes: NonNegativeInt = 0
    failed_attempts: NonNegativeInt = 0
    failed: Seconds = Field(default_factory=Seconds)
    process_cpu_before: NonNegativeFloat
    process_cpu: NonNegativeFloat
    peak_mb: NonNegativeFloat

    @property
    def stopped(self) -> float:
        """UNIX time in seconds."""
        return self.started + self.seconds.wall

    @property
    def worker(self) -> str:
        """Host and process."""
        return f"{self.host}:{self.process}"


class JobTrace(Settings):
    """A histogram job, with its tasks.

    Attributes:
        dataset: whose files it read.
        executor: that ran the tasks.
        workers: that it had.
        host: of the job itself.
        process: of the job itself, which hands out the tasks and adds up what they give.
        launched: UNIX time of the start of its process, before all imports.
        stopped: UNIX time at which the histograms were written.
        cpu: CPU time of the job itself, seconds, without other processes.
        peak_mb: most memory of the job itself.
        tasks: in the order of their starts.
    """

    dataset: str
    executor: str
    workers: PositiveInt
    host: str
    process: PositiveInt
    launched: float
    stopped: float
    cpu: NonNegativeFloat
    peak_mb: NonNegativeFloat
    tasks: tuple[Task, ...]


class Tracer:
    """The time of a task from here on."""

    def __init__(self) -> None:
        self._started = time.time()
        self._cpu = time.process_time()
        self._watch = Stopwatch()

    def task(
        self,
        kind: Literal["header", "events"],
        path: str,
        url: str,
        *,
        failed_attempts: int,
        failed: Seconds,
        output: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The record of the task, as a sum of outputs can hold it.

        Args:
            kind: of task.
            path: of the file.
            url: that gave it.
            failed_attempts: before.
            failed: seconds of these.
            output: of the processing, with what the clocks counted.
        """
        costs = [] if output is None else list(output["performance"].values())
        return Task(
            kind=kind,
            path=path,
            url=url,
            host=socket.gethostname(),
            process=os.getpid(),
            process_launched=process.launched(),
            started=self._started,
            seconds=self._watch.lap(),
            parts={} if not costs else costs[0]["seconds"],
            events=sum(cost["events"] for cost in costs),
            bytes=sum(cost["bytes"] for cost in costs),
            failed_attempts=failed_attempts,
            failed=failed,
            process_cpu_before=self._cpu,
            process_cpu=time.process_time(),
            peak_mb=process.peak_mb(),
        ).model_dump()


def of_job(dataset: str, executor: str, workers: int, tasks: list[dict[str, Any]]) -> JobTrace:
    """The trace of this process' job, which is about to end.

    Args:
        dataset: whose files it read.
        executor: that ran the tasks.
        workers: of it.
        tasks: their records.
    """
    records = [Task.model_validate(task) for task in tasks]
    return JobTrace(
        dataset=dataset,
        executor=executor,
        workers=workers,
        host=socket.gethostname(),
        process=os.getpid(),
        launched=process.launched(),
        stopped=time.time(),
        cpu=time.process_time(),
        peak_mb=process.peak_mb(),
        tasks=tuple(sorted(records, key=lambda task: task.started)),
    )


def write(path: Path, trace: JobTrace) -> None:
    """Write a trace as JSON, atomically."""
    write_json(path, trace.model_dump())


def read(path: Path) -> JobTrace:
    """Read a trace.

    Raises:
        InputError: if the file is missing or is something else.
    """
    return read_record(JobTrace, path, "a trace of a histogram job")
