"""The file that describes a matrix: environments, axes, and which of their cells to run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
)

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.settings import Settings, explain

ENVIRONMENT = "environment"

# They become parts of file names.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Verdict(StrEnum):
    """What became of a cell, from best to worst; UNTESTED stands outside of this order."""

    WORKS = "works"
    SLOWER = "slower"
    DIFFERENT = "different"
    BROKEN = "broken"
    UNTESTED = "untested"


class EnvironmentSettings(Settings):
    """One environment, as what differs from the lock file.

    Attributes:
        requirements: what replaces the locked versions, as pip reads it: ``coffea==2026.7.0``,
            ``coffea`` (the newest), a path of a wheel or a checkout, ``coffea @ git+https://...``.
            What cannot stay as locked beside it moves, and nothing else.
        python: version of Python, or path of an interpreter; None is the one of the workflow.
        prerelease: take pre-releases where the requirements allow them.
        expect: verdict that is no surprise, e.g. of a release that is known to be broken.
    """

    requirements: tuple[str, ...] = ()
    python: str | None = None
    prerelease: bool = False
    expect: Verdict = Verdict.WORKS


class InputSettings(Settings):
    """The events of the matrix, simulated once.

    Attributes:
        datasets: ``process__variation``.
        showers: events that are showered for each dataset.
        seed: master seed.
    """

    datasets: tuple[str, ...] = Field(min_length=1)
    showers: PositiveInt
    seed: int = Field(ge=0, lt=2**31)


class CellsSettings(Settings):
    """Which cells to run, as in the matrices of continuous integration.

    Attributes:
        matrix: axis to its values: all combinations are cells. An axis that is not named stays
            at the baseline; without ``environment`` all environments are taken.
        exclude: cells that have all of the given values are left out.
        include: further cells; what is not given is that of the baseline.
    """

    matrix: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    exclude: tuple[dict[str, str], ...] = ()
    include: tuple[dict[str, str], ...] = ()


class ToleranceSettings(Settings):
    """How far results may be from the baseline's.

    Attributes:
        histograms: relative difference of a bin's content or variance.
        fit: difference of a parameter or its uncertainty, relative to the uncertainty.
    """

    histograms: NonNegativeFloat
    fit: NonNegativeFloat


class TimingSettings(Settings):
    """How stages are timed against the baseline.

    Attributes:
        stages: whose longest job is repeated.
        repeats: number of pairs of cell and baseline.
        slower: a stage is called slower only if the whole interval for the median ratio is above
            one plus this.
    """

    stages: tuple[str, ...]
    repeats: PositiveInt
    slower: PositiveFloat


class MatrixSettings(Settings):
    """A matrix.

    Attributes:
        folder: for environments, which are kept by the digest of what is in them, and the history.
        extras: of the package, installed into each environment.
        inputs: the events.
        target: file in the results that a cell makes.
        timeout: seconds that resolving, installing and running may each take.
        run: configuration of all cells, on top of the one that the workflow was given.
        environments: by name.
        axes: axis to the names of its values to the configuration that each stands for.
            ``{inputs}`` in a text is replaced by the folder of the events.
        baseline: the cell that the others are compared with.
        cells: which to run.
        tolerance: of results.
        timing: of stages.
        fail_on: verdicts that, where they are not expected, end ``snakemake matrix`` with an error.
    """

    folder: str = Field(min_length=1)
    extras: tuple[str, ...]
    inputs: InputSettings
    target: str
    timeout: PositiveFloat
    run: dict[str, Any]
    environments: dict[Name, EnvironmentSettings] = Field(min_length=1)
    axes: dict[Name, dict[Name, dict[str, Any]]]
    baseline: dict[str, str]
    cells: CellsSettings
    tolerance: ToleranceSettings
    timing: TimingSettings
    fail_on: tuple[Verdict, ...]

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
    axes: dict[str, str]
    reference: str | None
    same_axes: bool
    configuration: dict[str, Any]
    snakefile: str
    target: str
    timeout: float
    tolerance: ToleranceSettings
    timing: TimingSettings


def read(path: Path) -> MatrixSettings:
    """Read a matrix.

    Raises:
        ConfigurationError: if the file is missing, is not YAML, or is no matrix.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the matrix: {error.strerror}",
            place=str(path),
            remedy="correct `matrix`, the path of the file",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"not valid YAML: {' '.join(str(error).split())}",
            place=str(path),
            remedy="correct the file",
        ) from error
    try:
        found = MatrixSettings.model_validate(content)
    except ValidationError as error:
        raise explain(error, MatrixSettings, place=str(path)) from error
    problem = _unknown(found)
    if problem is not None:
        raise ConfigurationError(problem, place=str(path), remedy="correct the name, or add it")
    return found


def _unknown(settings: MatrixSettings) -> str | None:
    """What is wrong with the names of axes and values; None if nothing is."""
    values = settings.values_of
    if ENVIRONMENT in settings.axes:
        return f"`axes.{ENVIRONMENT}`: environments stand in `environments`"
    missing = sorted(values.keys() - settings.baseline.keys())
    if missing:
        return f"`baseline` does not say which {', '.join(missing)}"
    chosen = [("baseline", axis, name) for axis, name in settings.baseline.items()]
    chosen += [
        ("cells.matrix", axis, name)
        for axis, names in settings.cells.matrix.items()
        for name in names
    ]
    chosen += [
        (f"cells.{key}", axis, name)
        for key in ("exclude", "include")
        for entry in getattr(settings.cells, key)
        for axis, name in entry.items()
    ]
    for place, axis, name in chosen:
        if axis not in values:
            return f"`{place}`: no axis {axis!r}, there are {', '.join(values)}"
        if name not in values[axis]:
            return f"`{place}`: no {axis} {name!r}, there are {', '.join(values[axis])}"
    return None
