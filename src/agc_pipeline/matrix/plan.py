"""The cells of a matrix, and what each of them depends on."""

from functools import cached_property
from pathlib import Path
from typing import Any

from agc_pipeline import config as configuration
from agc_pipeline.config import Configuration
from agc_pipeline.declaration import Analysis
from agc_pipeline.matrix import cells
from agc_pipeline.matrix.cells import Cell
from agc_pipeline.matrix.settings import MatrixSettings


class MatrixPlan:
    """The cells of a matrix.

    Args:
        settings: the matrix.
        config: configuration of the workflow, the base of all cells.
        project: folder with the Snakefile, ``pyproject.toml`` and the lock file.
        python: interpreter of environments that do not name one.

    Attributes:
        settings: as given.
        config: as given.
        project: as given.
        python: as given.
    """

    def __init__(
        self, settings: MatrixSettings, config: Configuration, project: Path, python: str
    ) -> None:
        self.settings = settings
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
        """The declaration of the analysis."""
        return self.config.declaration

    def reference(self, cell: str) -> Cell | None:
        """The cell that another one is compared with."""
        return cells.reference(self.settings, self.cells, self.cells[cell])

    def configuration(self, cell: str) -> dict[str, Any]:
        """The whole configuration of the run of a cell.

        Raises:
            ConfigurationError: if it is not valid.
        """
        inputs = str(Path(f"{self.folder}/inputs").absolute())
        values = self.config.model_dump(mode="json")
        whole = cells.configuration(self.settings, self.cells[cell], values, inputs)
        configuration.load(whole)
        return whole

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

    def events_record(self, cell: str) -> list[str]:
        """Record of the events that a cell reads; none if it reads others."""
        return [f"{self.folder}/inputs.json"] if self.uses_inputs(cell) else []
