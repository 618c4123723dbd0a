"""The file that describes a measurement of a facility: input, executors, and the ladder."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from agc_pipeline.columnar.settings import MOST_WORKERS
from agc_pipeline.settings import AtMost, EachOnce, Name, Seconds, Seed, Settings

# Of the histograms, where an executor of a facility names none.
DEFAULT_EXECUTOR = "iterative"
Mode = Literal["strong", "weak", "cold", "delivery"]
# In the order of tables.
MODES: tuple[Mode, ...] = get_args(Mode)
Elsewhere = Literal["jobs", "workers"]
# Of the generator.
Kind = Literal["ttbar", "wjets"]
_LARGEST = 100_000
_Workers = Annotated[PositiveInt, AtMost(_LARGEST, "no site has as many")]

# What the measurement says of all points itself, and where it is told.
_OWN = {
    "results": "points have a folder of their own in `results` of the workflow: leave it out",
    "n_files_max_per_sample": "set `sizes`",
    "files_per_job": "set `files_per_job` of the facility file",
    "histograms.executor": "set it in `executors`",
    "histograms.workers": "set `workers` of the facility file",
    "histograms.trace": "all points are traced: leave it out",
    "facility": "a point measures no facility: leave it out",
    "matrix": "a point has no matrix: leave it out",
}


def _or(reason: str) -> AfterValidator:
    """Refuse numbers below one for a reason."""

    def checked(number: int) -> int:
        if number < 1:
            raise ValueError(reason)
        return number

    return AfterValidator(checked)


_MANY_FILES = AtMost(1e7, "nobody has as many")
_Files = Annotated[int, _or("no files are no measurement; null leaves it out"), _MANY_FILES]
_Rungs = Annotated[tuple[_Workers, ...], Field(min_length=1), EachOnce]


class SampleSettings(Settings):
    """Files of our own generator, as large as wanted; see ``facility.sample``.

    Attributes:
        dataset: whose place they take.
        kind: of their events.
        events: in each file.
        files: how many different ones; further ones are links to these.
        seed: of the first file; the others have the next ones.
    """

    dataset: str
    kind: Kind
    events: Annotated[PositiveInt, AtMost(1e8, "a file of the task has a million")]
    files: Annotated[PositiveInt, AtMost(10_000, "links to fewer files measure the same")]
    seed: Seed


class ExecutorSettings(Settings):
    """What runs the workers.

    Attributes:
        histograms: differences of this part of the configuration; one job has all workers.
        snakemake: options with which Snakemake runs one job for each ``files_per_job``, so many at
            a time; ``{workers}`` is replaced by their number. None is one job.
        workers: rungs of the ladder, instead of those of all.
        dispatch_seconds: that whatever hands out the work needs for each task, one after another;
            for the simulation.
    """

    histograms: dict[str, Any] = Field(
        default_factory=dict, examples=[{"executor": "futures", "chunk_size": 200_000}]
    )
    snakemake: tuple[str, ...] | None = Field(
        default=None, examples=[["--profile", "profiles/slurm", "--jobs", "{workers}"]]
    )
    workers: _Rungs | None = Field(default=None, examples=[[1, 10, 100]])
    dispatch_seconds: Annotated[
        NonNegativeFloat, AtMost(3600, "nothing takes an hour to hand out a task")
    ] = 0.0

    @field_validator("snakemake")
    @classmethod
    def _number_of_workers(cls, options: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if options is not None and not any("{workers}" in part for part in options):
            raise ValueError("no option has `{workers}` in it")
        return options


class SizesSettings(Settings):
    """What is read.

    Attributes:
        strong: files that all rungs of the ladder read; None does not measure it.
        weak: files for each worker; None does not measure it.
        cold: whether the files of ``strong`` are also read with caches that are as empty as this
            user can have them, by the largest number of workers.
        delivery: files that all rungs deliver, where Snakemake runs the jobs; None does not measure
            it.
    """

    strong: _Files | None = Field(examples=[8])
    weak: _Files | None = Field(examples=[4])
    cold: bool
    delivery: _Files | None = Field(default=None, examples=[8])


class TaskSize(Settings):
    """A task to predict.

    Attributes:
        files: of it.
        events: in all of them.
        chunks: tasks of each file.
        bytes: that are read in all; None is as many for each event as were measured.
        gigabits_per_second: that storage and network give to all workers together; None is as much
            as they can take.
    """

    files: Annotated[PositiveInt, _MANY_FILES]
    events: Annotated[PositiveInt, AtMost(1e15, "no experiment has as many")]
    chunks: Annotated[PositiveInt, AtMost(10_000, "no file is cut into more")]
    bytes: Annotated[PositiveInt, AtMost(1e19, "no experiment has as many")] | None = None
    gigabits_per_second: (
        Annotated[float, Field(ge=1e-6), AtMost(1e6, "no network gives as many")] | None
    ) = None

    @model_validator(mode="after")
    def _events_in_each_chunk(self) -> Self:
        n_chunks = self.files * self.chunks
        if self.events < n_chunks:
            raise ValueError(
                f"{self.events} events are not enough for {self.files} files of {self.chunks} "
                f"chunks: set `events` to {n_chunks} or more"
            )
        return self


class SimulatedSettings(Settings):
    """What is predicted by the simulation of the stage.

    Attributes:
        workers: numbers of them.
        tasks: sizes by name.
        seed: of the random numbers.
    """

    workers: _Rungs = Field(examples=[[1, 10, 100, 1000]])
    tasks: dict[Name, TaskSize] = Field(
        examples=[{"task": {"files": 787, "events": 940_000_000, "chunks": 3}}]
    )
    seed: Seed


class FacilitySettings(Settings):
    """A measurement.

    Attributes:
        site: name of the place; None is the name of this machine.
        folder: for the history.
        timeout: seconds that a point of the ladder may take.
        sample: files that are written for it.
        inputs: by name, configuration of what is read; ``{sample}`` in a text is replaced by the
            fileset of the sample. Several mirrors or doors are several inputs.
        datasets: of the inputs; the others are not read.
        run: configuration of all points, on top of that of the workflow.
        executors: by name.
        workers: rungs of the ladder; "auto" is 1, 2, 4 and so on to the cores of this machine.
        sizes: what is read.
        files_per_job: where Snakemake runs several jobs.
        repeats: how often each point is measured; rounds follow each other.
        simulated: what is predicted.
        compare: records of other measurements (``facility.json``), shown beside this one.
    """

    site: Annotated[str, Field(min_length=1)] | None
    folder: str = Field(min_length=1, examples=[".facility"])
    timeout: Seconds
    sample: SampleSettings = Field(
        examples=[
            {"dataset": "ttbar__nominal", "kind": "ttbar", "events": 100_000, "files": 2, "seed": 1}
        ]
    )
    inputs: dict[Name, dict[str, Any]] = Field(
        min_length=1,
        examples=[{"local": {"input": {"kind": "fileset", "path": "{sample}"}}}],
    )
    datasets: Annotated[tuple[str, ...], Field(min_length=1), EachOnce] = Field(
        examples=[["ttbar__nominal"]]
    )
    run: dict[str, Any] = Field(examples=[{"delivery": {"backend": "none"}}])
    executors: dict[Name, ExecutorSettings] = Field(
        min_length=1,
        examples=[
            {
                "processes": {"histograms": {"executor": "futures"}},
                "jobs": {"snakemake": ["--cores", "{workers}"], "workers": [1, 2]},
            }
        ],
    )
    workers: Literal["auto"] | _Rungs = Field(examples=[[1, 2, 4]])
    sizes: SizesSettings = Field(
        examples=[{"strong": 8, "weak": 4, "cold": False, "delivery": None}]
    )
    files_per_job: Annotated[int, _or("a job reads one file at least"), _MANY_FILES] = Field(
        examples=[1]
    )
    repeats: Annotated[PositiveInt, AtMost(1000, "each runs the whole ladder")]
    simulated: SimulatedSettings
    compare: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _what_points_have_of_their_own(self) -> Self:
        parts = {"run": self.run} | {f"inputs.{name}": part for name, part in self.inputs.items()}
        for place, part in parts.items():
            for key, remedy in _OWN.items():
                if _has(part, key):
                    raise ValueError(f"`{place}.{key}` would have no effect: {remedy}")
        for name, executor in self.executors.items():
            for key in ("histograms.workers", "histograms.trace"):
                if _has(executor.model_dump(), key):
                    raise ValueError(f"`executors.{name}.{key}` would have no effect: {_OWN[key]}")
        return self

    @model_validator(mode="after")
    def _as_many_workers_as_counted(self) -> Self:
        for name, executor in self.executors.items():
            alone = executor.histograms.get("executor", DEFAULT_EXECUTOR) == "iterative"
            if executor.snakemake is None and alone and self.ladder(name)[-1] > 1:
                raise ValueError(
                    f"`executors.{name}` works in one process (`histograms: {{executor: "
                    f"iterative}}`), and its ladder goes to {self.ladder(name)[-1]} workers: set "
                    f"`executors.{name}.workers` to [1], or take `executor: futures`"
                )
            if executor.snakemake is None and self.ladder(name)[-1] > MOST_WORKERS:
                raise ValueError(
                    f"`executors.{name}` has all workers in one job, which has at most "
                    f"{MOST_WORKERS} of them, and its ladder goes to {self.ladder(name)[-1]}: set "
                    f"`executors.{name}.workers`, or let Snakemake run jobs of one (`snakemake`)"
                )
        return self

    @model_validator(mode="after")
    def _something_to_measure(self) -> Self:
        if self.sizes.strong is None and self.sizes.weak is None:
            raise ValueError("nothing to measure: set `sizes.strong` or `sizes.weak`")
        if self.sizes.cold and self.sizes.strong is None:
            raise ValueError("`sizes.cold` reads the files of `sizes.strong`, which is not set")
        jobs = any(item.snakemake is not None for item in self.executors.values())
        if self.sizes.delivery is not None and not jobs:
            raise ValueError(
                "`sizes.delivery` needs an executor with `snakemake`, whose jobs deliver"
            )
        for name in ("strong", "weak", "delivery") if jobs else ():
            size = getattr(self.sizes, name)
            if size is not None and size % self.files_per_job:
                raise ValueError(
                    f"`sizes.{name}` is {size}, which is no multiple of `files_per_job`, "
                    f"{self.files_per_job}: set it to "
                    f"{self.files_per_job * max(size // self.files_per_job, 1)}"
                )
        return self

    def ladder(self, executor: str) -> tuple[int, ...]:
        """The numbers of workers of an executor, rising."""
        rungs = self.executors[executor].workers or self.workers
        if rungs != "auto":
            return tuple(sorted(rungs))
        cores = len(os.sched_getaffinity(0))
        doubled = {2**power for power in range(cores.bit_length()) if 2**power <= cores}
        return tuple(sorted(doubled | {cores}))


def _has(values: Any, key: str) -> bool:
    """Whether nested values have a key, whose parts are separated by dots."""
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


class PointJob(Settings):
    """What a point of the ladder is told.

    Attributes:
        name: of the point.
        failures: how often it was taken without a result: with one more it is another job, which
            is not done yet.
        site: name of the place.
        executor: its name.
        input: its name.
        mode: strong: all rungs read the same files; weak: as many for each worker; cold: the files
            of strong, with empty caches; delivery: all rungs deliver the same files.
        workers: how many.
        repeat: number of the round, from 0.
        kind: of its work, see ``records.Work``.
        n_files: of each dataset.
        datasets: that are read.
        configuration: of the run.
        stage: settings of the histogram stage.
        execution: how it runs.
        network: how it reads from servers.
        models: folder of models of learned observables; None without.
        scoring: what computes scores; None without.
        options: of Snakemake; None runs one job.
        elsewhere: see ``records.PointRecord``.
        files_per_job: of each of Snakemake's jobs.
        snakefile: absolute path.
        timeout: seconds.
    """

    name: str
    failures: int
    site: str
    executor: str
    input: str
    mode: Mode
    workers: int
    repeat: int
    kind: str
    n_files: int
    datasets: tuple[str, ...]
    configuration: dict[str, Any]
    stage: dict[str, Any]
    execution: dict[str, Any]
    network: dict[str, Any]
    models: str | None
    scoring: dict[str, Any] | None
    options: tuple[str, ...] | None
    elsewhere: Elsewhere | None
    files_per_job: int
    snakefile: str
    timeout: float

    @property
    def stays(self) -> bool:
        """Whether its workers run before and after it: those of a scheduler that runs already."""
        execution = self.execution
        return (
            self.options is None
            and execution["executor"] == "dask"
            and execution["dask"]["cluster"] == "scheduler"
        )
