"""The jobs of a matrix and their settings; used by the workflow."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from agc_pipeline import config as configuration
from agc_pipeline.config import Configuration
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.matrix import cells, requirements
from agc_pipeline.matrix.cells import Cell
from agc_pipeline.matrix.settings import MatrixSettings
from agc_pipeline.simulation.settings import SimulationJob, SimulationSettings


class MatrixPlan:
    """All jobs of a matrix.

    Args:
        settings: the matrix.
        config: configuration of the workflow, the base of all cells.
        project: folder with the Snakefile, ``pyproject.toml`` and the lock file.
        python: interpreter of environments that do not name one.
    """

    def __init__(
        self, settings: MatrixSettings, config: Configuration, project: Path, python: str
    ) -> None:
        self.settings = settings
        self.project = project
        self._config = config
        self._python = python

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells by name; the baseline is the first."""
        return cells.expand(self.settings)

    @property
    def folder(self) -> str:
        """Folder of the results of the matrix."""
        return f"{self._config.results.rstrip('/')}/matrix"

    def reference(self, cell: str) -> Cell | None:
        """The cell that another one is compared with."""
        return cells.reference(self.settings, self.cells, self.cells[cell])

    def uses_inputs(self, cell: str) -> bool:
        """Whether a cell reads the events that the matrix simulates."""
        values = self.cells[cell]
        configurations = [
            cells.configuration(self.settings, values, {}, inputs) for inputs in ("first", "second")
        ]
        return configurations[0] != configurations[1]

    def needs(self, cell: str) -> dict[str, str]:
        """Records that a cell needs: its environment, the cell to compare with, the events."""
        records = {"environment": f"{self.folder}/environments/{self.cells[cell].environment}.json"}
        reference = self.reference(cell)
        if reference is not None:
            records["reference"] = f"{self.folder}/cells/{reference.name}.json"
        if self.uses_inputs(cell):
            records["events"] = f"{self.folder}/inputs.json"
        return records

    def simulate(self, dataset: str) -> str:
        """Settings of a simulation job."""
        inputs = self.settings.inputs
        simulation = self._config.simulation
        if not isinstance(simulation, SimulationSettings):
            raise ConfigurationError(
                f"the analysis {self._config.analysis} has no events to simulate for the matrix",
                place="analysis",
                remedy="choose an analysis with a simulation",
            )
        return SimulationJob(
            dataset=dataset,
            seed=inputs.seed,
            muon_identification=simulation.muon_identification,
            first_chunk=0,
            n_chunks=1,
            showers=inputs.showers,
        ).model_dump_json()

    def inputs(self) -> str:
        """Settings of the rule that writes the events in all formats."""
        return json.dumps(
            {
                "analysis": self._config.analysis,
                "selection": self._config.physics.model_dump()["selection"],
            }
        )

    def package(self) -> str:
        """Settings of the rule that builds this package."""
        return json.dumps(
            {
                "project": str(self.project),
                "folder": self.settings.folder,
                "timeout": self.settings.timeout,
            }
        )

    def environment(self, name: str) -> str:
        """Settings of the rule that builds an environment."""
        environment = self.settings.environments[name]
        return json.dumps(
            {
                "name": name,
                "needs": requirements.direct(self.project / "pyproject.toml", self.settings.extras),
                "requirements": environment.requirements,
                # A wheel or checkout that changed makes another environment.
                "contents": requirements.contents(environment.requirements),
                "lock": str(self.project / "requirements" / "lock.txt"),
                "python": environment.python or self._python,
                "prerelease": environment.prerelease,
                "folder": self.settings.folder,
                "timeout": self.settings.timeout,
            }
        )

    def cell(self, name: str) -> str:
        """Settings of a cell.

        Raises:
            ConfigurationError: if its configuration is not valid.
        """
        cell = self.cells[name]
        reference = self.reference(name)
        inputs = str(Path(f"{self.folder}/inputs").absolute())
        whole: dict[str, Any] = cells.configuration(
            self.settings, cell, self._config.model_dump(mode="json"), inputs
        )
        configuration.load(whole)
        return json.dumps(
            {
                "name": name,
                "axes": cell.axes,
                "reference": None if reference is None else reference.name,
                "same_axes": reference is not None and reference.axes == cell.axes,
                "configuration": whole,
                "snakefile": str(self.project / "Snakefile"),
                "target": self.settings.target,
                "timeout": self.settings.timeout,
                "tolerance": self.settings.tolerance.model_dump(),
                "timing": self.settings.timing.model_dump(),
            }
        )

    def page(self) -> str:
        """Settings of the rule that writes the verdicts and the page."""
        return json.dumps(
            {
                "expected": {
                    cell.name: self.settings.environments[cell.environment].expect
                    for cell in self.cells.values()
                },
                "slower": self.settings.timing.slower,
                "fail_on": self.settings.fail_on,
                "history": f"{self.settings.folder}/history.json",
            }
        )
