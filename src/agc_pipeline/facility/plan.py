"""The points of a measurement, in the order in which they are taken."""

import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agc_pipeline import config as configuration
from agc_pipeline import layers
from agc_pipeline.config import Configuration
from agc_pipeline.declaration import Analysis
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.facility.settings import FacilitySettings, Mode
from agc_pipeline.formatting import name_list
from agc_pipeline.layers import filled, merged
from agc_pipeline.plan import Plan
from agc_pipeline.settings import unknown


def read(path: Path) -> FacilitySettings:
    """Read what is to be measured.

    Raises:
        ConfigurationError: if the file is missing, is not YAML, or is something else.
    """
    return layers.validated(path, FacilitySettings, layers.FACILITY)


@dataclass(frozen=True)
class Point:
    """One point.

    Attributes:
        name: of its files.
        executor: name of the executor.
        input: name of the input.
        mode: of scaling.
        workers: how many.
        repeat: number of the round.
        n_files: of each dataset.
    """

    name: str
    executor: str
    input: str
    mode: Mode
    workers: int
    repeat: int
    n_files: int


class FacilityPlan:
    """The points of a measurement.

    Args:
        settings: the measurement.
        config: configuration of the workflow, the base of all points.
        project: folder with the Snakefile.

    Attributes:
        settings: as given.
        config: as given.
        project: as given.
    """

    def __init__(self, settings: FacilitySettings, config: Configuration, project: Path) -> None:
        self.settings = settings
        self.config = config
        self.project = project

    @property
    def folder(self) -> str:
        """Folder of the results of the measurement."""
        return f"{self.config.results.rstrip('/')}/facility"

    @property
    def analysis(self) -> Analysis:
        """The declaration of the analysis."""
        return self.config.declaration

    @property
    def site(self) -> str:
        """Name of the place."""
        return self.settings.site or platform.node()

    @cached_property
    def points(self) -> dict[str, Point]:
        """The points by name, in the order in which they are taken.

        A round has every rung of every series once, so that what else the machine does in some
        minutes meets all of them; every other round goes down the ladder.
        """
        points: dict[str, Point] = {}
        for repeat in range(self.settings.repeats):
            found = [
                point
                for input_ in self.settings.inputs
                for executor in self.settings.executors
                for point in self._of_round(executor, input_, repeat)
            ]
            for point in found if repeat % 2 == 0 else reversed(found):
                points[point.name] = point
        return points

    def _of_round(self, executor: str, input_: str, repeat: int) -> list[Point]:
        sizes, ladder = self.settings.sizes, self.settings.ladder(executor)
        found: list[tuple[Mode, int, int]] = []
        # First, as long as nobody has read the files.
        if sizes.cold and sizes.strong is not None:
            found.append(("cold", ladder[-1], sizes.strong))
        for workers in ladder:
            if sizes.strong is not None:
                found.append(("strong", workers, sizes.strong))
            if sizes.weak is not None:
                found.append(("weak", workers, sizes.weak * workers))
            if sizes.delivery is not None and self.settings.executors[executor].snakemake:
                found.append(("delivery", workers, sizes.delivery))
        return [
            Point(
                f"{executor}+{input_}+{mode}+{workers:05d}+{repeat}",
                *(executor, input_, mode, workers, repeat, n_files),
            )
            for mode, workers, n_files in found
        ]

    @property
    def n_files(self) -> int:
        """Files of each dataset that some point reads: all that is delivered."""
        return max(point.n_files for point in self.points.values())

    def priority(self, point: str) -> int:
        """The first point has the highest."""
        return len(self.points) - list(self.points).index(point)

    def inner(self, input_: str, executor: str | None = None) -> dict[str, Any]:
        """The whole configuration of the run that reads an input, for one executor.

        Args:
            input_: name of the input.
            executor: its name; None for the delivery.

        Raises:
            ConfigurationError: if it is not valid.
        """
        settings, place = self.settings, f"{self.folder}/inputs/{input_}"
        fileset = str(Path(f"{place}/sample.json").absolute())
        ways: dict[str, Any] = {"executor": "iterative"}
        if executor is not None:
            ways |= settings.executors[executor].histograms
        values = merged(
            self.config.model_dump(mode="json"),
            settings.run,
            filled(settings.inputs[input_], sample=fileset),
            {
                "histograms": {**ways, "trace": True},
                "results": str(Path(f"{place}/results").absolute()),
                "files_per_job": settings.files_per_job,
                "n_files_max_per_sample": self.n_files,
            },
        )
        configuration.load(values)
        return values

    def run_of(self, input_: str, executor: str | None = None) -> Plan:
        """The run that reads an input, for one executor; see ``inner``."""
        return Plan(configuration.load(self.inner(input_, executor)))

    def files(self, input_: str) -> dict[str, int]:
        """Number of files of each dataset that is read from an input.

        Raises:
            ConfigurationError: if the input does not have one of them, or the analysis not that of
                the sample.
        """
        settings, run = self.settings, self.run_of(input_)
        if self.uses_sample(input_):
            declared = [dataset.name for dataset in run.config.declaration.datasets]
            name = settings.sample.dataset
            if problem := unknown("dataset", [name], declared, "sample.dataset"):
                raise ConfigurationError(
                    problem, place=self.config.facility, remedy="name a dataset of the analysis"
                )
            # As many links to its files as are needed.
            listed = {name: self.n_files}
        else:
            listed = {name: len(dataset.files) for name, dataset in run.datasets.items()}
        for name in settings.datasets:
            if name not in listed:
                raise ConfigurationError(
                    f"the input {input_} has no dataset {name!r}: it has "
                    f"{name_list(sorted(listed))}",
                    place=f"`datasets` in {self.config.facility}",
                    remedy="name datasets that each of the `inputs` has; the sample has "
                    "`sample.dataset`",
                )
        return {name: listed[name] for name in settings.datasets}

    def uses_sample(self, input_: str) -> bool:
        """Whether an input has files of the sample."""
        source = self.settings.inputs[input_]
        return bool(filled(source, sample="first") != filled(source, sample="second"))

    @cached_property
    def sample_files(self) -> list[str]:
        """Files of the sample; none if no input has them."""
        if not any(map(self.uses_sample, self.settings.inputs)):
            return []
        n_files = min(self.settings.sample.files, self.n_files)
        return [f"{self.folder}/sample/{number:04d}.root" for number in range(n_files)]
