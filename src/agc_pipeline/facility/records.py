"""Records of a measurement: inputs, points of the ladder, and the whole."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from agc_pipeline.columnar.traces import JobTrace
from agc_pipeline.facility.settings import Elsewhere, Mode
from agc_pipeline.settings import Settings


class Delivered(Settings):
    """What a delivery did.

    Attributes:
        events: of the input files.
        bytes_read: of them.
        bytes_written: in skims.
    """

    events: NonNegativeInt
    bytes_read: NonNegativeInt
    bytes_written: NonNegativeInt


class InputRecord(Settings):
    """An input that was delivered for the points to read.

    Attributes:
        name: of it.
        folder: of the workflow that delivered it.
        manifests: dataset to its manifests, one for each ``files_per_job``.
        seconds: wall time of the delivery.
        delivered: what it read and wrote; None without a result.
        problem: why there is none; None if there is.
        log: of the delivery.
    """

    name: str
    folder: str
    manifests: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    seconds: NonNegativeFloat = 0.0
    delivered: Delivered | None = None
    problem: str | None = None
    log: str


class Machine(Settings):
    """Where a point was started.

    Attributes:
        host: name of the machine.
        processor: its model.
        cores: that may be used there.
        load: average load of the minute before.
        software: package to version.
    """

    host: str
    processor: str
    cores: PositiveInt
    load: NonNegativeFloat
    software: dict[str, str]


class Work(Settings):
    """What a point does: times and rates of two are comparable where it is the same.

    Attributes:
        kind: digest of analysis, selection, delivery, and how many events are read at a time.
        datasets: that are read.
        n_files: of each of them.
        events: of these files, before any skim.
        file_bytes: sizes of all of them; None if some are unknown.
    """

    kind: str
    datasets: tuple[str, ...]
    n_files: PositiveInt
    events: NonNegativeInt
    file_bytes: NonNegativeInt | None


class PointRecord(Settings):
    """A point of the ladder.

    Attributes:
        name: of it.
        site: name of the place.
        executor: its name.
        input: its name.
        mode: of scaling.
        workers: how many.
        repeat: number of the round.
        split: whether Snakemake runs many jobs of one worker, not one of all for each dataset.
        kind: of its work, see ``Work``.
        datasets: that were read.
        n_files: of each of them.
        input_events: of these files, before any skim.
        file_bytes: size of each file, where it is known.
        launched: UNIX time at which the command was started.
        stopped: UNIX time at which it ended.
        cpu_seconds: CPU time of the command and all processes below it.
        elsewhere: what is no such process: the jobs of a batch system, or the workers of a cluster
            that a job only connects to; None if all are.
        machine: where it was started.
        jobs: of the histogram stage, with their tasks.
        delivered: by a point that delivers; None for others.
        attempts: jobs that were started, with those that failed.
        problem: why there is no result; None if there is.
        log: of the command.
    """

    name: str
    site: str
    executor: str
    input: str
    mode: Mode
    workers: PositiveInt
    repeat: NonNegativeInt
    split: bool
    kind: str
    datasets: tuple[str, ...]
    n_files: PositiveInt
    input_events: NonNegativeInt = 0
    file_bytes: dict[str, NonNegativeInt] = Field(default_factory=dict)
    launched: float
    stopped: float
    cpu_seconds: NonNegativeFloat = 0.0
    elsewhere: Elsewhere | None
    machine: Machine
    jobs: tuple[JobTrace, ...] = ()
    delivered: Delivered | None = None
    attempts: NonNegativeInt = 0
    problem: str | None = None
    log: str

    @property
    def series(self) -> tuple[str, str]:
        """Executor and input: points that belong to one curve."""
        return self.executor, self.input

    @property
    def work(self) -> Work:
        """What it did."""
        known = len(self.file_bytes) == self.n_files * len(self.datasets)
        return Work(
            kind=self.kind,
            datasets=self.datasets,
            n_files=self.n_files,
            events=self.input_events,
            file_bytes=sum(self.file_bytes.values()) if known else None,
        )

    @property
    def wall(self) -> float:
        """Seconds from the start of the command to its end."""
        return self.stopped - self.launched
