"""The results of a run, for notebooks and other tools."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

import hist

from agc_pipeline.columnar import closure
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.config import Configuration, load_config
from agc_pipeline.declaration import NOMINAL, Analysis, Template
from agc_pipeline.errors import InputError
from agc_pipeline.files import read_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import fit_records
from agc_pipeline.inference.derived_records import (
    LimitRecord,
    PropagationRecord,
    RankingRecord,
    ScanRecord,
    ToyRecord,
)
from agc_pipeline.inference.fit_records import (
    CheckRecord,
    FitRecord,
    ModelRecord,
    Workspace,
    WorkspaceRecord,
)
from agc_pipeline.settings import unknown

DATA, PSEUDODATA = "data", "pseudodata"

# Region, process (or "data", "pseudodata"), and variation.
Key: TypeAlias = tuple[str, str, str]

Record = TypeVar("Record", bound=WorkspaceRecord)


class MissingHistogramError(InputError, KeyError):
    """There is no histogram of such a region, process and variation."""


class Histograms(Mapping[Key, hist.Hist]):
    """Histograms of a run by region, process and variation, by the names of the declaration.

    ``histograms["4j2b", "ttbar", "pt_scale_up"]`` is a template and ``histograms["4j2b", "ttbar"]``
    the nominal one; ``histograms["4j2b", "data"]`` has the collision data of a region, and
    ``histograms["4j2b", "pseudodata"]`` its pseudodata. Iteration goes over the keys of all
    histograms that the run has, each of three names.

    Args:
        analysis: the declaration.
        by_name: histograms of a run, by their names in ``histograms.root``.
        place: where they come from, for errors.

    Raises:
        InputError: if none of them is one that the analysis declares.
    """

    def __init__(
        self, analysis: Analysis, by_name: Mapping[str, hist.Hist], *, place: str = "histograms"
    ) -> None:
        self.by_name = by_name
        self._place = place
        self._analysis = analysis
        if analysis.learned is not None:
            self._analysis = analysis.with_learned()
        declared = {
            (template.region, template.process, template.variation): template.name
            for template in self._analysis.templates()
        }
        for region in self._analysis.regions:
            declared[region.name, DATA, NOMINAL] = analysis.data_name(region.name)
            declared[region.name, PSEUDODATA, NOMINAL] = analysis.pseudodata_name(region.name)
        self._names = {key: name for key, name in declared.items() if name in by_name}
        if not self._names:
            raise InputError(
                f"none of the {len(by_name)} histograms is one of the analysis {analysis.name}",
                place=place,
                remedy="give the configuration of the run that they are from",
            )

    def __getitem__(self, key: str | tuple[str, str] | Key) -> hist.Hist:
        """The histogram of a region, process and variation; without a variation the nominal one.

        Raises:
            MissingHistogramError: if the analysis does not declare it, or the run does not have it.
        """
        if isinstance(key, str) or len(key) not in (2, 3):
            raise MissingHistogramError(
                f"{key!r} is no key of a histogram",
                place=self._place,
                remedy="give region and process, or region, process and variation",
            )
        region, process, variation = (*key, NOMINAL)[:3]
        name = self._names.get((region, process, variation))
        if name is None:
            self._refuse(region, process, variation)
        return self.by_name[name]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{len(self)} histograms of {self._analysis.name} in {self._place}>"

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions that have histograms."""
        return tuple(dict.fromkeys(region for region, _, _ in self))

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes that have histograms."""
        names = dict.fromkeys(process for _, process, _ in self)
        return tuple(name for name in names if name not in (DATA, PSEUDODATA))

    def variations(self, region: str, process: str) -> tuple[str, ...]:
        """Names of the variations of a process in a region, the nominal one included."""
        return tuple(name for *place, name in self if place == [region, process])

    def _refuse(self, region: str, process: str, variation: str) -> NoReturn:
        problem, remedy = self._explanation(region, process, variation)
        raise MissingHistogramError(problem, place=self._place, remedy=remedy)

    def _explanation(self, region: str, process: str, variation: str) -> tuple[str, str]:
        """Why there is no such histogram, and what to do."""
        analysis = self._analysis
        regions = [entry.name for entry in analysis.regions]
        processes = [*(entry.name for entry in analysis.processes), DATA, PSEUDODATA]
        problem = unknown("region", {region}, regions) or unknown("process", {process}, processes)
        if problem is not None:
            return problem, "correct the name"
        if process in (DATA, PSEUDODATA):
            if variation != NOMINAL:
                return f"{process} have no variations", "give region and process only"
            return (
                f"the run has no {process} in {region}",
                "take a run with the datasets that they are made of",
            )
        template = Template(region, process, variation)
        if template in analysis.templates():
            return (
                f"the run has no histogram {template.name}",
                "take a run with all datasets that it is made of",
            )
        variations = [name for entry in analysis.systematics for name in entry.variations]
        problem = unknown("variation", {variation}, [NOMINAL, *variations])
        own = self.variations(region, process)
        return (
            problem or f"{variation} does not act on {process} in {region}",
            f"take one of {', '.join(own) or 'another process'}",
        )


@dataclass(frozen=True)
class Results:
    """The folder of results of a run; files are read when they are asked for.

    Attributes:
        folder: with the results.
        config: of the run.
    """

    folder: Path
    config: Configuration

    @property
    def analysis(self) -> Analysis:
        """The declaration of the run's analysis."""
        return self.config.declaration

    @cached_property
    def histograms(self) -> Histograms:
        """The histograms, by region, process and variation.

        Raises:
            InputError: if the file is missing or damaged, or is of another analysis.
        """
        path = self.folder / "histograms.root"
        return Histograms(self.analysis, read_root(path), place=str(path))

    @cached_property
    def closure(self) -> Closure:
        """The events of every dataset: expected, processed, and behind each cut.

        Raises:
            InputError: if the file is missing or damaged, as for all records below.
        """
        return closure.read(self.folder / "closure.json")

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace, as pyhf takes it."""
        workspace: Workspace = read_json(self.folder / "workspace.json")
        return workspace

    @cached_property
    def model(self) -> ModelRecord:
        """What the workspace has no room for: kind of the data, channels, groups of systematics."""
        return self._record(ModelRecord, "model")

    @cached_property
    def checks(self) -> CheckRecord:
        """What the checks of the model found."""
        return self._record(CheckRecord, "checks")

    @cached_property
    def fit(self) -> FitRecord:
        """The fit; ``agc_pipeline.fit`` repeats it."""
        return self._record(FitRecord, "fit")

    @cached_property
    def ranking(self) -> RankingRecord:
        """Impacts of the parameters on that of interest."""
        return self._record(RankingRecord, "ranking")

    @cached_property
    def scan(self) -> ScanRecord:
        """Profile of the likelihood."""
        return self._record(ScanRecord, "scan")

    @cached_property
    def toys(self) -> ToyRecord:
        """Pseudo-experiments."""
        return self._record(ToyRecord, "toys")

    @cached_property
    def limit(self) -> LimitRecord:
        """Upper limit and significance."""
        return self._record(LimitRecord, "limit")

    @cached_property
    def propagated(self) -> PropagationRecord:
        """The fit in other distributions."""
        return self._record(PropagationRecord, "propagated")

    def _record(self, kind: type[Record], name: str) -> Record:
        return fit_records.read(kind, self.folder / f"{name}.json", self.workspace)


def open_results(folder: Path | str, config: Configuration | None = None) -> Results:
    """The results of a run.

    Args:
        folder: ``results`` of the configuration.
        config: of the run; None is the default configuration, see ``load_config``.

    Raises:
        ConfigurationError: if there is no default configuration.
        InputError: if there is no such folder.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(
            "no folder of results",
            place=str(path),
            remedy="correct the path, or run the workflow to make it",
        )
    return Results(path, load_config() if config is None else config)
