"""Records of a matrix: packages, environments, cells and verdicts."""

from typing import Literal

from pydantic import Field

from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.measuring.intervals import Ratio
from agc_pipeline.settings import Settings

StepName = Literal["resolve", "install", "import", "run", "time"]


class Step(Settings):
    """One step of a cell.

    Attributes:
        name: of the step.
        problem: why it failed; None if it did not.
        log: file with its output.
        tail: last lines of the output of a step that failed.
    """

    name: StepName
    problem: str | None = None
    log: str | None = None
    tail: str = ""


class EnvironmentRecord(Settings):
    """An environment.

    Attributes:
        name: in the configuration.
        requirements: that override the lock.
        python: version of Python, or the requested one if it is not available.
        steps: resolving and installing.
        unavailable: why the environment could not be built; None if it could.
        versions: package to version; empty if it does not resolve.
        changed_versions: package to locked and resolved version, where they differ.
        digest: SHA-256 of its content; None if it does not resolve.
        interpreter: path; None if it is not installed.
        install_seconds: duration of the installation.
    """

    name: str
    requirements: tuple[str, ...]
    python: str
    steps: tuple[Step, ...] = ()
    unavailable: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    changed_versions: dict[str, tuple[str | None, str | None]] = Field(default_factory=dict)
    digest: str | None = None
    interpreter: str | None = None
    install_seconds: float | None = None


class PackageRecord(Settings):
    """This package, as it is used in environments.

    Attributes:
        digest: SHA-256 of its wheel.
        path: folder with its content.
    """

    digest: str
    path: str


class StageRecord(Settings):
    """One stage that ran.

    Attributes:
        module: of the stage.
        arguments: its command line.
        cpu_seconds: of the stage, with processes that it started and waited for.
        start_cpu_seconds: until the stage began: interpreter and imports.
        memory_mb: largest resident memory of one of its processes.
    """

    module: str
    arguments: tuple[str, ...]
    cpu_seconds: float
    start_cpu_seconds: float
    memory_mb: float

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.module.rpartition(".")[2]


class Difference(Settings):
    """One histogram or parameter that differs from the baseline's.

    Attributes:
        name: of it.
        what: which bins or values, and by how much.
    """

    name: str
    what: str


class Equality(Settings):
    """Comparison of results with those of the baseline.

    Attributes:
        grade: equal to the bit, within the tolerance, or different.
        summary: of the comparison, for people.
        differences: those beyond the tolerance.
    """

    grade: Literal["bit", "tolerance", "different"]
    summary: str
    differences: tuple[Difference, ...] = ()


class Rates(Settings):
    """Times of the longest job of a stage, repeated.

    Attributes:
        events: of its input; None where that is not known.
        cpu: CPU time of each repetition, seconds.
        wall: wall-clock time of each repetition, seconds.
    """

    events: int | None
    cpu: tuple[float, ...]
    wall: tuple[float, ...]


class Timing(Settings):
    """Times of a stage.

    Attributes:
        stage: its name.
        load: average load of the machine in the minute before.
        rates: of this cell.
        baseline: of the baseline, measured alternately; None for the baseline itself.
        cpu: ratio of CPU times.
        wall: ratio of wall-clock times, which include waiting.
    """

    stage: str
    load: float
    rates: Rates
    baseline: Rates | None = None
    cpu: Ratio | None = None
    wall: Ratio | None = None


class CellRecord(Settings):
    """The result of a cell.

    Attributes:
        name: of the cell.
        axes: axis to the name of its value.
        reference: name of the cell that it is compared with; None for the baseline.
        same_axes: whether only the environment differs from the reference.
        finished: when, in ISO format, UTC.
        seconds: wall-clock time of the cell.
        cpu_seconds: CPU time of all its processes.
        environment: of the cell.
        package: digest of this package.
        configuration: digest of the configuration.
        untested: why there is no result; None if there is one.
        same_environment: whether it is that of the reference, so that nothing was run.
        steps: those of the environment, then importing and running.
        results: folder of its results, if it ran.
        import_seconds: CPU time of the imports of all stages.
        stages: those that ran.
        warnings: all of them; once each, without line numbers.
        new_warnings: those that the reference does not have.
        histograms: compared with the reference's.
        fit: compared with the reference's.
        timings: of the stages that are timed.
    """

    name: str
    axes: dict[str, str]
    reference: str | None
    same_axes: bool
    finished: str
    seconds: float
    cpu_seconds: float
    environment: EnvironmentRecord
    package: str
    configuration: str
    untested: str | None = None
    same_environment: bool = False
    steps: tuple[Step, ...]
    results: str | None = None
    import_seconds: float | None = None
    stages: tuple[StageRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    new_warnings: tuple[str, ...] = ()
    histograms: Equality | None = None
    fit: Equality | None = None
    timings: tuple[Timing, ...] = ()

    @property
    def failed(self) -> Step | None:
        """The step that failed."""
        return next((step for step in self.steps if step.problem is not None), None)

    @property
    def memory_mb(self) -> float | None:
        """Largest resident memory of a process."""
        return max((stage.memory_mb for stage in self.stages), default=None)


class CellVerdict(Settings):
    """A cell with its verdict.

    Attributes:
        cell: its record.
        verdict: the class.
        reason: of the verdict, in a sentence or two.
        expected: the expected verdict.
    """

    cell: CellRecord
    verdict: Verdict
    reason: str
    expected: Verdict
