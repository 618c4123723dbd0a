"""The cells of a matrix, and what each of them depends on."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from agc_pipeline import config as configuration
from agc_pipeline import layers
from agc_pipeline.config import Configuration
from agc_pipeline.declaration import Analysis
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.layers import Key, Layer, Values
from agc_pipeline.matrix import cells
from agc_pipeline.matrix.cells import Cell, formats
from agc_pipeline.matrix.settings import ENVIRONMENT, InputSettings, MatrixSettings, Verdict
from agc_pipeline.measuring import commands
from agc_pipeline.plan import Plan
from agc_pipeline.settings import unknown

# Parts of the configuration that belong to no analysis.
_COMMON = ("delivery", "histograms", "resources", "results", "matrix", "blinded", "files_per_job")


def read(path: Path) -> tuple[MatrixSettings, Values]:
    """Read a matrix, and where it stands.

    Raises:
        ConfigurationError: if the file is missing, is not YAML, or is no matrix.
    """
    settings, values = layers.validated(path, MatrixSettings, layers.MATRIX)
    wrong = next(_unknown_names(settings), None)
    if wrong is not None:
        raise ConfigurationError(
            wrong.problem, place=values.place(*wrong.key), remedy="correct the name, or define it"
        )
    return settings, values


class _Unknown(NamedTuple):
    """An unknown name, and the key that it stands below."""

    problem: str
    key: Key


def _unknown_names(settings: MatrixSettings) -> Iterator[_Unknown]:
    """Names of axes and values that are not defined, or missing."""
    values = settings.values_of
    if ENVIRONMENT in settings.axes:
        problem = f"`axes.{ENVIRONMENT}`: environments are defined in `environments`"
        yield _Unknown(problem, ("axes", ENVIRONMENT))
    missing = sorted(values.keys() - settings.baseline.keys())
    if missing:
        yield _Unknown(f"`baseline` does not define {', '.join(missing)}", ("baseline",))
    names_in_use: list[tuple[Key, str, str]] = [
        (("baseline", axis), axis, name) for axis, name in settings.baseline.items()
    ]
    names_in_use += [
        (("cells", "matrix", axis), axis, name)
        for axis, names in settings.cells.matrix.items()
        for name in names
    ]
    names_in_use += [
        (("cells", key), axis, name)
        for key in ("exclude", "include")
        for entry in getattr(settings.cells, key)
        for axis, name in entry.items()
    ]
    for key, axis, name in names_in_use:
        kind, among = (axis, values[axis]) if axis in values else ("axis", values)
        told = unknown(kind, [name if axis in values else axis], among)
        if told is not None:
            yield _Unknown(told, key)


class MatrixPlan:
    """The cells of a matrix.

    Args:
        settings: the matrix.
        values: the same as they stand in its file.
        config: configuration of the workflow, the base of all cells.
        project: folder with the Snakefile, ``pyproject.toml`` and the lock file.
        python: interpreter of environments that do not name one.

    Attributes:
        settings: as given.
        values: as given.
        config: as given.
        project: as given.
        python: as given.
    """

    def __init__(
        self,
        settings: MatrixSettings,
        values: Values,
        config: Configuration,
        project: Path,
        python: str,
    ) -> None:
        self.settings = settings
        self.values = values
        self.project = project
        self.config = config
        self.python = python

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells by name; the baseline is the first."""
        return cells.expand(self.settings)

    @property
    def folder(self) -> str:
        """Folder of the results of the matrix."""
        return f"{self.config.results.rstrip('/')}/matrix"

    @property
    def analysis(self) -> Analysis:
        """The declaration of the workflow's analysis."""
        return self.config.declaration

    def failures(self, kind: str, name: str, environment: str) -> int:
        """How often a cell or an environment was taken without a result.

        Args:
            kind: "cells" or "environments".
            name: of it.
            environment: its own or that of the cell; where it is known to be broken, nothing is
                taken again.
        """
        if self.settings.environments[environment].expect is Verdict.BROKEN:
            return 0
        return commands.failures(Path(f"{self.folder}/failures/{kind}/{name}"))

    def reference(self, cell: str) -> Cell | None:
        """The cell that another one is compared with."""
        return cells.reference(self.settings, self.cells, self.cells[cell])

    def configuration(self, cell: str) -> dict[str, Any]:
        """The whole configuration of the run of a cell.

        Raises:
            ConfigurationError: if it is not valid, or there are no events of its analysis.
        """
        name = self._analysis_of(cell)
        if self.uses_inputs(cell):
            self.inputs(name)
        inputs = str(Path(f"{self.folder}/inputs/{name}").absolute())
        whole = Values(
            # It is valid.
            Layer(self.base(name).model_dump(mode="json"), place=None),
            *(
                self.values.below(key, part)
                for key, part in cells.parts(self.settings, self.cells[cell], inputs)
            ),
        )
        # Cells run in a folder of their own.
        whole.update(configuration.anchored(whole))
        loaded = configuration.load(whole)
        source = Path(str(whole["input"].get("path", "")))
        if str(source.parent) == inputs and source.stem not in formats(loaded.declaration):
            raise ConfigurationError(
                f"files of the analysis {name} state its normalisation, and cannot be read as "
                f"{source.stem} in the cell {cell}",
                place=self.values.place("cells"),
                remedy="leave the cell out with `cells.exclude`",
            )
        return whole

    def run_of(self, cell: str) -> Plan:
        """The plan of the run of a cell, whose events may not be there yet.

        Raises:
            ConfigurationError: see ``configuration``.
        """
        return Plan(configuration.load(self.configuration(cell)))

    def base(self, analysis: str) -> Configuration:
        """The configuration of the cells of an analysis, without what these have of their own.

        Of another analysis than that of the workflow it is that of its own files, with what the
        workflow says of no analysis.

        Args:
            analysis: its name.
        """
        if analysis == self.config.analysis:
            return self.config
        if analysis not in self._bases:
            common = self.config.model_dump(mode="json", include=set(_COMMON))
            values = configuration.read(
                overrides=common | {cells.ANALYSIS: analysis}, root=self.project
            )
            self._bases[analysis] = configuration.load(values)
        return self._bases[analysis]

    def inputs(self, analysis: str) -> InputSettings:
        """The events of an analysis.

        Raises:
            ConfigurationError: if there are none.
        """
        if analysis not in self.settings.inputs:
            raise ConfigurationError(
                f"cells read events of the analysis {analysis}, which are not defined",
                place=self.values.place("inputs"),
                remedy=f"add `{analysis}` with its datasets to `inputs`",
            )
        return self.settings.inputs[analysis]

    @cached_property
    def _bases(self) -> dict[str, Configuration]:
        return {}

    def _analysis_of(self, cell: str) -> str:
        return cells.analysis(self.settings, self.cells[cell], self.config.analysis)

    def uses_inputs(self, cell: str) -> bool:
        """Whether a cell reads the events that the matrix simulates."""
        values = self.cells[cell]
        configurations = [
            cells.configuration(self.settings, values, {}, inputs) for inputs in ("first", "second")
        ]
        return configurations[0] != configurations[1]

    def environment_record(self, cell: str) -> str:
        """Record of the environment of a cell."""
        return f"{self.folder}/environments/{self.cells[cell].environment}.json"

    def reference_record(self, cell: str) -> list[str]:
        """Record of the cell to compare with; none for the baseline."""
        reference = self.reference(cell)
        return [] if reference is None else [f"{self.folder}/cells/{reference.name}.json"]

    def simulated_source(self, analysis: str, dataset: str) -> list[str]:
        """The file whose events are in that of a simulated dataset: none if they are generated."""
        simulation = self.base(analysis).simulation
        source = None if simulation is None else simulation.source(dataset)
        return [] if source is None else [f"{self.folder}/simulated/{analysis}/{source}.root"]

    def events_record(self, cell: str) -> list[str]:
        """Record of the events that a cell reads; none if it reads others."""
        record = f"{self.folder}/inputs/{self._analysis_of(cell)}.json"
        return [record] if self.uses_inputs(cell) else []
