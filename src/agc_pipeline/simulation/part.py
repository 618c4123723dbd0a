"""What the ``simulation.py`` of an analysis says about the files that it makes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from agc_pipeline import analyses
from agc_pipeline.declaration import Analysis, Count, Cut, Dataset, Objects
from agc_pipeline.errors import AnalysisError, ConfigurationError
from agc_pipeline.settings import Settings


@dataclass(frozen=True)
class Contents:
    """Objects of a collection that simulated files have all of, behind cuts of the simulation.

    Attributes:
        collection: its name.
        cuts: on stored values; an event or object that does not pass may be missing.
        at_least: number of such objects without which an event may be missing.
    """

    collection: str
    cuts: tuple[Cut, ...]
    at_least: int = 0


class SimulationPart(Settings):
    """Base of the ``simulation:`` part of the configuration, which is the analysis' own.

    Attributes:
        contents: what the files have all of; a selection that takes more is refused.
    """

    contents: ClassVar[tuple[Contents, ...]] = ()

    @abstractmethod
    def parts(self, dataset: str) -> int:
        """Number of files of a dataset, at least one.

        Raises:
            ConfigurationError: for a dataset that is not simulated.
        """

    def source(self, dataset: str) -> str | None:  # noqa: ARG002
        """The simulated dataset that all events of this one are taken from, file by file.

        None if it is generated on its own. Otherwise ``SimulationModule.write_subsets`` makes its
        files of those of the other, as many of them.
        """
        return None

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

    def write_subsets(
        self, jobs: Sequence[Any], source: Path, paths: Sequence[Path]
    ) -> list[dict[str, Any]]:
        """Likewise several, with events of another file.

        Only where ``SimulationPart.source`` has some.
        """


def module(analysis: Analysis) -> SimulationModule:
    """The module ``simulation.py`` of an analysis that has it."""
    return cast(SimulationModule, analyses.part(analysis, "simulation"))


def check_contents(
    contents: Sequence[Contents], analysis: Analysis, selection: Any, dataset: Dataset
) -> None:
    """Check that a selection takes nothing that simulated files have in part only.

    Args:
        contents: of the files.
        analysis: whose requirements are checked, with all variations.
        selection: ``physics.selection``, validated.
        dataset: that is simulated.

    Raises:
        ConfigurationError: naming a cut that is too loose.
    """
    for count in analysis.requirements(selection, dataset):
        if not isinstance(count, Count) or count.at_least == 0:
            continue
        for objects in count.objects:
            for content in contents:
                if content.collection != objects.collection:
                    continue
                if objects.base is None and len(count.objects) == 1:
                    _check_number(count, content)
                for limit in content.cuts:
                    factors = analysis.factors((objects.collection, limit.name), selection)
                    _check_cut(objects, limit, factors)


def _check_number(count: Count, content: Contents) -> None:
    if count.at_least < content.at_least:
        raise _too_loose(
            f"{count.at_least} of {count.objects[0].name}",
            f"with {content.at_least} or more of {content.collection}",
        )


def _check_cut(objects: Objects, limit: Cut, factors: tuple[float, float]) -> None:
    cuts = [cut for cut in objects.all_cuts if cut.field == limit.field]
    upper = limit.comparison in ("<", "<=")
    bounds = [
        cut.loosest(factors).bound
        for cut in cuts
        if cut.comparison == "==" or (cut.comparison in ("<", "<=")) is upper
    ]
    if any(bound <= limit.bound if upper else bound >= limit.bound for bound in bounds):
        return
    stated = " and ".join(f"{cut.field} {cut.comparison} {cut.bound:g}" for cut in cuts)
    varied = f" under variations by factors of {factors[0]:g} to {factors[1]:g}"
    raise _too_loose(
        f"{objects.name} with {stated or f'any {limit.field}'}"
        + varied * (bool(cuts) and factors != (1.0, 1.0)),
        f"where {limit.field} {limit.comparison} {limit.bound:g}",
    )


def _too_loose(taken: str, complete: str) -> ConfigurationError:
    return ConfigurationError(
        f"the selection takes {taken}, and simulated events are all there only {complete}",
        place="physics.selection",
        remedy="tighten the cut, or take files as input",
    )


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
