"""The file that describes a matrix: environments, axes, and the cells to run."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from agc_pipeline.settings import AtMost, EachOnce, Name, Seconds, Settings

ENVIRONMENT = "environment"
_TOLERANCE = "everything would be called equal"

# Of packages that an environment does not require otherwise: those of the lock file, the lowest
# that the bounds of the package allow to its dependencies, or the newest, whatever the bounds.
Versions = Literal["locked", "lowest", "newest"]


class Verdict(StrEnum):
    """Verdicts on cells, from best to worst; UNTESTED is outside of this order."""

    WORKS = "works"
    SLOWER = "slower"
    DIFFERENT = "different"
    BROKEN = "broken"
    UNTESTED = "untested"


class EnvironmentSettings(Settings):
    """One environment: its differences from the lock file.

    Attributes:
        requirements: replacements of locked versions, as pip reads them: ``coffea==2026.7.0``,
            ``coffea`` (the newest), a path of a wheel or a checkout, ``coffea @ git+https://...``.
            Only versions that conflict with them change as well.
        versions: of everything else: "locked", "lowest" for the lower bounds of
            ``pyproject.toml``, or "newest" for the newest releases of all packages.
        python: version of Python, or path of an interpreter; None is the one of the workflow.
        prerelease: take pre-releases where the requirements allow them.
        expect: expected verdict, e.g. of a release that is known to be broken.
    """

    requirements: Annotated[tuple[str, ...], EachOnce] = Field(
        default=(), examples=[["coffea==2026.7.0"]]
    )
    versions: Versions = "locked"
    python: str | None = None
    prerelease: bool = False
    expect: Verdict = Verdict.WORKS


class InputSettings(Settings):
    """The events of an analysis in the matrix, simulated once: the first file of each dataset.

    Attributes:
        datasets: their names.
        simulation: what differs from the part ``simulation`` of the analysis' own configuration.
    """

    datasets: Annotated[tuple[str, ...], Field(min_length=1), EachOnce] = Field(
        examples=[["ttbar__nominal"]]
    )
    simulation: dict[str, Any] = Field(default_factory=dict)


class CellsSettings(Settings):
    """Which cells to run, as in the matrices of continuous integration.

    Attributes:
        matrix: axis to its values: all combinations are cells. An axis that is not named has its
            baseline value; without ``environment`` all environments are used.
        exclude: cells that have all values of an entry are left out.
        include: further cells; missing values are those of the baseline.
    """

    matrix: dict[str, Annotated[tuple[str, ...], Field(min_length=1), EachOnce]] = Field(
        default_factory=dict, examples=[{"environment": ["lock", "newest"]}]
    )
    exclude: tuple[dict[str, str], ...] = Field(
        default=(), examples=[[{"environment": "newest", "input": "rntuple"}]]
    )
    include: tuple[dict[str, str], ...] = Field(default=(), examples=[[{"executor": "futures"}]])


class ToleranceSettings(Settings):
    """How far results may be from the baseline's.

    Attributes:
        histograms: relative difference of a bin's content or variance.
        fit: difference of a parameter or its uncertainty, relative to the uncertainty.
    """

    histograms: Annotated[NonNegativeFloat, AtMost(1, _TOLERANCE)]
    fit: Annotated[NonNegativeFloat, AtMost(1, _TOLERANCE)]


class TimingSettings(Settings):
    """How stages are timed against the baseline.

    Attributes:
        stages: whose longest job is repeated.
        repeats: number of pairs of cell and baseline.
        slower: a stage counts as slower only if the whole interval for the median ratio is above
            one plus this.
    """

    stages: Annotated[tuple[str, ...], EachOnce]
    repeats: Annotated[PositiveInt, AtMost(1000, "each runs the job in both environments")]
    slower: Annotated[PositiveFloat, AtMost(100, "a job that is as slow is not compared")]


class MatrixSettings(Settings):
    """A matrix.

    Attributes:
        folder: for environments, named by the digest of their content, and the history.
        extras: of the package, installed into each environment.
        inputs: the events, by name of the analysis.
        target: file in the results that a cell writes.
        timeout: seconds that resolving, installing and running may each take.
        run: configuration of all cells, on top of that of the workflow.
        environments: by name.
        axes: axis to the names of its values to the configuration of each.
            ``{inputs}`` in a text is replaced by the folder of the events of the cell's analysis.
        baseline: the cell that the others are compared with.
        cells: which to run.
        tolerance: of results.
        timing: of stages.
        fail_on: verdicts that end ``snakemake matrix`` with an error unless they are expected.
    """

    folder: str = Field(min_length=1, examples=[".matrix"])
    extras: Annotated[tuple[str, ...], EachOnce] = Field(examples=[["learning"]])
    inputs: dict[Name, InputSettings] = Field(
        min_length=1, examples=[{"dimuon": {"datasets": ["signal__nominal"]}}]
    )
    target: str
    timeout: Seconds
    run: dict[str, Any]
    environments: dict[Name, EnvironmentSettings] = Field(
        min_length=1, examples=[{"lock": {}, "newest": {"versions": "newest"}}]
    )
    axes: dict[Name, dict[Name, dict[str, Any]]] = Field(
        examples=[{"executor": {"futures": {"histograms": {"executor": "futures"}}}}]
    )
    baseline: dict[str, str] = Field(examples=[{"environment": "lock", "executor": "futures"}])
    cells: CellsSettings
    tolerance: ToleranceSettings
    timing: TimingSettings
    fail_on: Annotated[tuple[Verdict, ...], EachOnce]

    @model_validator(mode="after")
    def _what_cells_have_of_their_own(self) -> Self:
        parts = {"run": self.run} | {
            f"axes.{axis}.{name}": part
            for axis, values in self.axes.items()
            for name, part in values.items()
        }
        for place, part in parts.items():
            if "results" in part:
                raise ValueError(
                    f"`{place}.results` would have no effect: each cell has results of its own, "
                    "in the folder of those of the workflow"
                )
        return self

    @property
    def values_of(self) -> dict[str, tuple[str, ...]]:
        """The names of the values of each axis; environments are the first axis."""
        return {ENVIRONMENT: tuple(self.environments)} | {
            axis: tuple(values) for axis, values in self.axes.items()
        }


class CellJob(Settings):
    """What a cell is told.

    Attributes:
        name: of the cell.
        failures: how often it was run without a result: with one more it is another job, which is
            not done yet.
        axes: axis to the name of its value.
        reference: cell to compare with; None for the baseline.
        same_axes: whether only the environment differs from the reference.
        configuration: of its run.
        snakefile: absolute path.
        target: file in the results.
        timeout: seconds for the run.
        tolerance: of results.
        timing: of stages.
    """

    name: str
    failures: int
    axes: dict[str, str]
    reference: str | None
    same_axes: bool
    configuration: dict[str, Any]
    snakefile: str
    target: str
    timeout: float
    tolerance: ToleranceSettings
    timing: TimingSettings
