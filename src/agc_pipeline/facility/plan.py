"""The points of a measurement, in the order in which they are taken."""

import argparse
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn, cast

from agc_pipeline import config as configuration
from agc_pipeline import layers
from agc_pipeline.config import Configuration
from agc_pipeline.datasets import watched
from agc_pipeline.declaration import Analysis
from agc_pipeline.doctor import tools
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.facility.settings import DEFAULT_EXECUTOR, FacilitySettings, Mode
from agc_pipeline.files import read_json
from agc_pipeline.formatting import name_list
from agc_pipeline.layers import Layer, Values, filled
from agc_pipeline.measuring import commands
from agc_pipeline.plan import Plan
from agc_pipeline.settings import unknown

# Seconds that a scheduler or a batch system may take to answer.
_ANSWER = 5.0


def read(path: Path) -> tuple[FacilitySettings, Values]:
    """Read what is to be measured, and where it stands.

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
        values: the same as they stand in its file.
        config: configuration of the workflow, the base of all points.
        project: folder with the Snakefile.

    Attributes:
        settings: as given.
        values: as given.
        config: as given.
        project: as given.
    """

    def __init__(
        self, settings: FacilitySettings, values: Values, config: Configuration, project: Path
    ) -> None:
        self.settings = settings
        self.values = values
        self.config = config
        self.project = project
        self._inner: dict[tuple[str, str | None], Values] = {}
        self._runs: dict[tuple[str, str | None], Plan] = {}
        self._checked: set[str] = set()
        self._elsewhere: dict[str, bool] = {}

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

    def failures(self, name: str) -> int:
        """How often a point or an input was taken without a result."""
        return commands.failures(Path(f"{self.folder}/failures/{name}"))

    def pending(self, point: str) -> bool:
        """Whether a point has no result yet."""
        path = Path(f"{self.folder}/points/{point}.json")
        if not path.exists():
            return True
        # Records may be large.
        return self.failures(point) > 0 and read_json(path)["problem"] is not None

    def inner(self, input_: str, executor: str | None = None) -> Values:
        """The whole configuration of the run that reads an input, for one executor.

        Args:
            input_: name of the input.
            executor: its name; None for the delivery.

        Raises:
            ConfigurationError: if it is not valid.
        """
        if (input_, executor) not in self._inner:
            values = self._merged(input_, executor)
            self._runs[input_, executor] = Plan(configuration.load(values))
            self._inner[input_, executor] = values
        return self._inner[input_, executor]

    def _merged(self, input_: str, executor: str | None) -> Values:
        settings, place = self.settings, f"{self.folder}/inputs/{input_}"
        fileset = str(Path(f"{place}/sample.json").absolute())
        source = filled(settings.inputs[input_], sample=fileset)
        parts = [
            # It is valid.
            Layer(self.config.model_dump(mode="json"), place=None),
            self.values.below(("run",), settings.run),
            self.values.below(("inputs", input_), source),
            Layer({"histograms": {"executor": DEFAULT_EXECUTOR}}, place=None),
        ]
        if executor is not None:
            ways = {"histograms": settings.executors[executor].histograms}
            parts.append(self.values.below(("executors", executor), ways))
        own = {
            "histograms": {"trace": True},
            "results": f"{place}/results",
            "files_per_job": settings.files_per_job,
            "n_files_max_per_sample": self.n_files,
        }
        values = Values(*parts, Layer(own, place=None))
        # Snakemake runs in a folder of the input.
        values.update(configuration.anchored(values))
        return values

    def run_of(self, input_: str, executor: str | None = None) -> Plan:
        """The run that reads an input, for one executor; see ``inner``."""
        self.inner(input_, executor)
        return self._runs[input_, executor]

    @contextmanager
    def located(self, input_: str, executor: str | None = None) -> Iterator[None]:
        """Have errors about a run name the keys of the facility file.

        Raises:
            PipelineError: with its place.
        """
        values = self.inner(input_, executor)
        try:
            yield
        except (ConfigurationError, InputError) as error:
            told = values.located(error) if isinstance(error, ConfigurationError) else error
            place = told.place
            if not place.startswith("`"):
                # A file that the input names.
                place = f"{place}, of {self.values.place('inputs', input_)}"
            raise type(told)(told.problem, place=place, remedy=told.remedy) from None

    def check_files(self, input_: str) -> None:
        """Check that an input has the files that points read.

        Raises:
            PipelineError: if the input does not have one of them, or too few, if files are not
                there, or if the analysis does not have the dataset of the sample.
        """
        settings = self.settings
        if self.uses_sample(input_):
            declared = [dataset.name for dataset in self.run_of(input_).analysis.datasets]
            name = settings.sample.dataset
            if problem := unknown("dataset", [name], declared, "sample.dataset"):
                raise ConfigurationError(
                    problem,
                    place=self.values.place("sample", "dataset"),
                    remedy="name a dataset of the analysis",
                )
            # As many links to its files as are needed.
            listed = {name: self.n_files}
        else:
            datasets = self.run_of(input_).datasets
            listed = {name: len(dataset.files) for name, dataset in datasets.items()}
        for name in settings.datasets:
            if name not in listed:
                raise ConfigurationError(
                    f"the input {input_} has no dataset {name!r}: it has "
                    f"{name_list(sorted(listed))}",
                    place=self.values.place("datasets"),
                    remedy="name datasets that each of the `inputs` has; the sample has "
                    "`sample.dataset`",
                )
            if listed[name] < self.n_files:
                raise ConfigurationError(
                    f"{name} has {listed[name]} files, the largest point reads {self.n_files}",
                    place=self.values.place("inputs", input_),
                    remedy="list more files, or make `sizes` or the ladder smaller",
                )
        if not self.uses_sample(input_):
            run = self.run_of(input_)
            run.check_files(settings.datasets)
            run.check()

    def check_executor(self, point: str) -> None:
        """Check that there is what runs the workers of a point, where it is still to be taken.

        Raises:
            PipelineError: if a package, a batch system or a scheduler is missing.
        """
        taken = self.points[point]
        run = self.run_of(taken.input, taken.executor)
        run.check_executor()
        if taken.executor in self._checked or not self.pending(point):
            return
        self._checked.add(taken.executor)
        options = self.settings.executors[taken.executor].snakemake
        if options is not None:
            self._check_batch(taken.executor, self._runs_jobs(taken, options))
            return
        run.check_pool()

    def jobs_elsewhere(self, point: str) -> bool:
        """Whether the jobs of a point run elsewhere than its Snakemake.

        Raises:
            ConfigurationError: if Snakemake does not take its options.
        """
        taken = self.points[point]
        options = self.settings.executors[taken.executor].snakemake
        if options is None:
            return False
        if taken.executor not in self._elsewhere:
            system = self._runs_jobs(taken, options)
            self._elsewhere[taken.executor] = system not in (None, "local")
        return self._elsewhere[taken.executor]

    def _check_batch(self, executor: str, system: str | None) -> None:
        if system not in tools.BATCH_SYSTEMS:
            return
        found = tools.batch(*tools.BATCH_SYSTEMS[system], timeout=_ANSWER)
        if found.state != "ok":
            raise ConfigurationError(
                f"{found.name} cannot be used here: {found.detail}",
                place=self.values.place("executors", executor, "snakemake"),
                remedy=f"{found.remedy}; or leave the executor {executor} out",
            )

    def _runs_jobs(self, point: Point, options: Sequence[str]) -> str | None:
        """What runs the jobs of Snakemake with some options; None for what it takes by itself.

        Raises:
            ConfigurationError: if Snakemake does not know one of them, or cannot read its value.
        """
        told = list(filled(tuple(options), workers=str(point.workers)))
        try:
            parsed = _parsed(told, self.project)
        except ValueError as error:
            raise ConfigurationError(
                f"options for Snakemake: {error}",
                place=self.values.place("executors", point.executor, "snakemake"),
                remedy="write options of `snakemake --help`, each and its value as a text of its "
                'own, as in `snakemake: [--profile, profiles/slurm, --jobs, "{workers}"]`',
            ) from None
        return None if parsed.executor is None else str(parsed.executor)

    def uses_sample(self, input_: str) -> bool:
        """Whether an input has files of the sample."""
        source = self.settings.inputs[input_]
        return bool(filled(source, sample="first") != filled(source, sample="second"))

    def files_of(self, input_: str) -> list[str]:
        """Files on this machine that an input has, without those of the sample."""
        if self.uses_sample(input_):
            return []
        datasets = self.run_of(input_).datasets
        names = [name for name in self.settings.datasets if name in datasets]
        return watched(file for name in names for file in datasets[name].files[: self.n_files])

    @cached_property
    def sample_files(self) -> list[str]:
        """Files of the sample; none if no input has them."""
        if not any(map(self.uses_sample, self.settings.inputs)):
            return []
        n_files = min(self.settings.sample.files, self.n_files)
        return [f"{self.folder}/sample/{number:04d}.root" for number in range(n_files)]


def _parsed(options: Sequence[str], project: Path) -> argparse.Namespace:
    """Options as Snakemake reads them, with those of their profile.

    Raises:
        ValueError: saying which one it does not take.
    """
    # Whoever plans has it imported.
    from snakemake.cli import get_argument_parser, get_profile_dir  # noqa: PLC0415
    from snakemake.exceptions import CliException, WorkflowError  # noqa: PLC0415

    def refuse(message: str) -> NoReturn:
        raise ValueError(message)

    def read(*profiles: str) -> argparse.Namespace:
        parser = get_argument_parser(profiles)
        parser.error = refuse
        try:
            told, others = parser.parse_known_args(list(options))
        except (CliException, WorkflowError) as error:
            raise ValueError(str(error)) from error
        known = [text for action in parser._actions for text in action.option_strings]
        if problem := unknown("option", [text.partition("=")[0] for text in others], known):
            raise ValueError(problem)
        return cast(argparse.Namespace, told)

    told = read()
    if told.targets:
        raise ValueError(f"`{' '.join(told.targets)}` belongs to no option")
    profiles = [
        str(project / name) if name.startswith("profiles/") else name for name in told.profile or ()
    ]
    if profiles and "--profile" not in options:
        raise ValueError("`--profile` and its folder are not two texts")
    for name, place in zip(told.profile or (), profiles, strict=True):
        if get_profile_dir(place) is None:
            raise ValueError(f"there is no profile `{name}`")
    return read(*profiles)
