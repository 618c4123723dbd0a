"""What the ``simulation.py`` of an analysis says about the files that it makes."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol, cast

from agc_pipeline import analyses
from agc_pipeline.declaration import Analysis
from agc_pipeline.errors import AnalysisError
from agc_pipeline.settings import Settings


class SimulationPart(Settings):
    """Base of the ``simulation:`` part of the configuration, which is the analysis' own."""

    @abstractmethod
    def parts(self, dataset: str) -> int:
        """Number of files of a dataset, at least one.

        Raises:
            ConfigurationError: for a dataset that is not simulated.
        """

    @abstractmethod
    def job(self, dataset: str, part: int) -> Settings:
        """Everything that the file number ``part``, counted from 0, follows from."""


class SimulationModule(Protocol):
    """The module ``simulation.py`` in the folder of an analysis.

    Attributes:
        SETTINGS: model of ``simulation:``.
        JOB: model of what ``SETTINGS.job`` gives.
        PACKAGES: names of the packages whose versions decide what is made.
    """

    SETTINGS: type[SimulationPart]
    JOB: type[Settings]
    PACKAGES: tuple[str, ...]

    def write(self, job: Any, path: Path) -> dict[str, Any]:
        """Make the file of a job; gives its record with ``n_events`` and ``n_generated``."""


def module(analysis: Analysis) -> SimulationModule:
    """The module ``simulation.py`` of an analysis that has it."""
    return cast(SimulationModule, analyses.part(analysis, "simulation"))


def settings(analysis: Analysis) -> type[SimulationPart]:
    """Model of the ``simulation:`` part of the configuration of an analysis that has it.

    Raises:
        AnalysisError: if ``simulation.py`` does not say.
    """
    model = getattr(module(analysis), "SETTINGS", None)
    if not (isinstance(model, type) and issubclass(model, SimulationPart)):
        raise AnalysisError(
            "`SETTINGS` is missing, or no `SimulationPart`",
            place=f"simulation of the analysis {analysis.name}",
            remedy="derive a class from `agc_pipeline.simulation.part.SimulationPart`",
        )
    return model
