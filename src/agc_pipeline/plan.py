"""The jobs of a run: datasets, batches, and what follows from them.

Pure functions of the configuration. The descriptions of the stages take from them what each job
depends on.
"""

import math
import os
import stat
from collections.abc import Collection, Container, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from agc_pipeline import extras, filesets
from agc_pipeline.code import near
from agc_pipeline.columnar.settings import BatchDask, GatewayDask, SchedulerDask
from agc_pipeline.config import Configuration, load
from agc_pipeline.datasets import (
    DatasetFiles,
    InputFile,
    batches,
    check_origins,
    complete_data,
    files_per_job,
    normalised,
    take,
    watched,
)
from agc_pipeline.declaration import Analysis, Learned
from agc_pipeline.declaration.features import of_regions
from agc_pipeline.declaration.thresholds import Trial, nesting_problems, trials
from agc_pipeline.delivery.choice import DeliveryJob, choose, needs_endpoint
from agc_pipeline.delivery.servicex.configuration import configured
from agc_pipeline.doctor import tools
from agc_pipeline.doctor.findings import Finding
from agc_pipeline.errors import AnalysisError, ConfigurationError, InputError
from agc_pipeline.formatting import name_list, plural, quoted
from agc_pipeline.inference import presence
from agc_pipeline.inference.edges import infinite_problems
from agc_pipeline.inference.settings import TRAINED
from agc_pipeline.inputs import (
    FilesetInput,
    FilesInput,
    PublishedInput,
    SimulatedInput,
    WorkspaceInput,
    listed,
)
from agc_pipeline.layers import Values
from agc_pipeline.learning.models import CARD, PARITIES
from agc_pipeline.learning.models import read as read_models
from agc_pipeline.learning.settings import LearningSettings
from agc_pipeline.places import check_outputs
from agc_pipeline.provenance import digest
from agc_pipeline.simulation.part import SimulationPart, check_contents, module

# Simulated files are small, and their events are not known before: the default run has a job for
# each dataset.
_SIMULATED_FILES_PER_JOB = 4
# Missing files that an error names.
_NAMED = 4
_MISSING = "not there"
# Seconds that a batch system may take to answer.
_ANSWER = 5.0
# Files that one job adds up, so that memory and command lines stay bounded.
_FAN_IN = 100


def planned(
    values: Values,
    folders: Iterable[Path] = (),
    *,
    projects: Iterable[Path] = (),
    starts: bool = True,
) -> "Plan":
    """The plan of a run, after everything that can be wrong with it before the first job.

    Args:
        values: of the configuration, see ``config.read``.
        folders: of configuration files.
        projects: folders with a Snakefile, whose sources no result may lie among.
        starts: whether it is for the process that starts the jobs, not for one of them, before
            which Snakemake has removed what it writes.

    Raises:
        PipelineError: that names the file that a wrong value came from.
    """
    try:
        loaded = load(values, folders)
        plan = Plan(loaded)
        if starts:
            # Jobs may have another home.
            analysis = plan.analysis.folder
            check_outputs(Path(plan.folder), place="results", projects=projects, analysis=analysis)
        plan.check()
        if starts:
            plan.check_optimisation()
    except ConfigurationError as error:
        raise values.located(error) from None
    except OSError as error:
        # Of a path that cannot be looked at: too long a name, a folder that may not be entered.
        raise ConfigurationError(
            f"a path cannot be used: {error.strerror}",
            place=quoted(str(error.filename)),
            remedy="correct the path in the configuration, or the permissions of its folders",
        ) from error
    return plan


def _reason(file: InputFile) -> str | None:
    """Why there are no events at any place of a file; None if there may be."""
    reasons = [_unusable(url) for url in file.urls]
    return None if None in reasons else reasons[0]


def _unusable(url: str) -> str | None:
    """Why there are no events in a file on this machine; None if there may be, or it is none."""
    if "://" in url:
        return None
    try:
        # Of thousands of files, a `Path` for each takes longer than the look.
        status = os.stat(url)  # noqa: PTH116
    except (OSError, ValueError):
        return _MISSING
    if stat.S_ISDIR(status.st_mode):
        return "a folder"
    if stat.S_ISFIFO(status.st_mode):
        return "a named pipe"
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    return None if status.st_size else "empty"


class Plan:
    """All jobs of a run.

    Args:
        config: the validated configuration.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self.analysis: Analysis = config.declaration
        self.physics: dict[str, Any] = config.physics.model_dump()

    @cached_property
    def datasets(self) -> dict[str, DatasetFiles]:
        """The datasets of the run by name, with the files that it takes.

        There are none if it starts behind them.

        Raises:
            PipelineError: if the input is not described correctly.
        """
        source = self.config.input
        physics = self.config.physics
        match source:
            case SimulatedInput():
                files = listed(source, self.analysis, physics) if source.datasets else ()
                datasets = self._simulated(files)
            case FilesInput():
                datasets = listed(source, self.analysis, physics)
            case FilesetInput():
                datasets = filesets.read(Path(source.path), self.analysis, physics)
            case PublishedInput():
                datasets = ()
            case WorkspaceInput():
                for key, path in source.files.items():
                    if not Path(path).is_file():
                        raise InputError("file not found", place=path, remedy=f"correct `{key}`")
                datasets = ()
        n_files_max = self.config.n_files_max_per_sample
        complete_data(datasets, self.analysis, n_files_max=n_files_max)
        return {dataset.name: dataset for dataset in take(datasets, n_files_max)}

    @property
    def folder(self) -> str:
        """Folder of the results."""
        # Snakemake takes `a//b` and `a/b` for two files. What `..` means depends on links.
        path = self.config.results
        parts = [part for part in path.split("/") if part not in ("", ".")]
        return "/" * path.startswith("/") + "/".join(parts) or "."

    @property
    def external(self) -> bool:
        """Whether the run starts from a workspace, without histograms."""
        return isinstance(self.config.input, WorkspaceInput)

    @property
    def published(self) -> bool:
        """Whether the run starts from the published histograms."""
        return isinstance(self.config.input, PublishedInput)

    @property
    def fills(self) -> bool:
        """Whether the run fills histograms."""
        return not (self.external or self.published)

    @property
    def simulates(self) -> bool:
        """Whether the run simulates its events."""
        return isinstance(self.config.input, SimulatedInput)

    @property
    def validated(self) -> bool:
        """Whether histograms of the run are compared with published ones."""
        scored = self.config.discriminant is not None
        return "validation" in self.config.parts and not self.external and not scored

    def _simulated(self, listed: Iterable[DatasetFiles]) -> tuple[DatasetFiles, ...]:
        """All datasets: those that are listed, and simulated ones in the place of the others."""
        files = {dataset.name: dataset for dataset in listed}
        return tuple(
            files.get(dataset.name)
            or normalised(
                dataset,
                self.config.physics,
                (
                    InputFile(urls=(f"{stem}.root",), record=f"{stem}.json")
                    for stem in self._stems(dataset.name)
                ),
                subset_of=self._subset_of(dataset.name, files),
            )
            for dataset in self.analysis.datasets
        )

    def _subset_of(self, dataset: str, listed: Container[str]) -> str | None:
        """The simulated dataset that the events of a simulated one are part of."""
        source = self.simulation.source(dataset)
        return None if source in listed else source

    @property
    def generated_datasets(self) -> tuple[str, ...]:
        """Simulated datasets with events of their own."""
        return tuple(name for name, source in self._simulated_sources.items() if source is None)

    @property
    def simulated_parts(self) -> tuple[str, ...]:
        """Simulated datasets whose events are all in another one, the same for all of them."""
        return tuple(name for name, source in self._simulated_sources.items() if source is not None)

    def simulated_source(self, part: str) -> str:
        """The file of that other dataset with the events of this part."""
        (source,) = {source for source in self._simulated_sources.values() if source is not None}
        return f"{self.folder}/simulated/{source}/{part}.root"

    @cached_property
    def _simulated_sources(self) -> dict[str, str | None]:
        """For each dataset the one whose simulated events it takes, if there is one.

        Raises:
            AnalysisError: if there are several of these.
        """
        names = (dataset.name for dataset in self.analysis.datasets)
        sources = {name: self.simulation.source(name) for name in names}
        others = sorted({source for source in sources.values() if source is not None})
        if len(others) > 1:
            raise AnalysisError(
                f"simulated datasets are parts of several others: {', '.join(others)}",
                place=f"simulation of the analysis {self.analysis.name}",
                remedy="take the events of all of them from one dataset",
            )
        return sources

    def _stems(self, dataset: str) -> list[str]:
        folder = f"{self.folder}/simulated/{dataset}"
        return [f"{folder}/{part:04d}" for part in range(self.simulation.parts(dataset))]

    @property
    def simulation(self) -> SimulationPart:
        """Size of the simulated input."""
        simulation = self.config.simulation
        if simulation is None:
            raise TypeError(f"the analysis {self.analysis.name} has no simulation")
        return simulation

    @property
    def learning(self) -> LearningSettings:
        """Models of learned observables."""
        learning = self.config.learning
        if learning is None:
            raise TypeError(f"the analysis {self.analysis.name} has no learned observables")
        return learning

    @property
    def learned(self) -> Learned:
        """The learned observables of the analysis."""
        learned = self.analysis.learned
        if learned is None:
            raise TypeError(f"the analysis {self.analysis.name} has no learned observables")
        return learned

    @cached_property
    def files_per_job(self) -> int:
        """Input files of one job."""
        if self.config.files_per_job != "auto":
            return self.config.files_per_job
        if self.simulates:
            return _SIMULATED_FILES_PER_JOB
        return files_per_job(self.datasets.values())

    @cached_property
    def _batches(self) -> dict[str, dict[str, tuple[InputFile, ...]]]:
        return {
            name: batches(dataset, self.files_per_job) for name, dataset in self.datasets.items()
        }

    def batches(self, dataset: str) -> dict[str, tuple[InputFile, ...]]:
        """Files of each job of a dataset, by the job's number."""
        return self._batches[dataset]

    def first_manifest(self, dataset: str) -> list[str]:
        """Path of the manifest that the unit of a dataset's weights follows from, if one is needed.

        It is the same for all jobs of the dataset.
        """
        if not self._weighted(dataset) or self.analysis.dataset(dataset).unit is not None:
            return []
        return [f"{self.folder}/manifests/{dataset}/{next(iter(self.batches(dataset)))}.json"]

    @property
    def _files(self) -> Iterator[InputFile]:
        """The input files of all datasets."""
        return (file for dataset in self.datasets.values() for file in dataset.files)

    @property
    def generated(self) -> bool:
        """Whether the pipeline has generated all simulated events, in this run or in another."""
        files = [
            file
            for name, dataset in self.datasets.items()
            if self.analysis.dataset(name).kind == "simulation"
            for file in dataset.files
        ]
        return bool(files) and all(file.record is not None for file in files)

    @property
    def records(self) -> list[str]:
        """Records of all simulated files."""
        records = (file.record for file in self._files if file.record is not None)
        return [record for record in records if "://" not in record]

    @cached_property
    def deliveries(self) -> dict[str, tuple[DeliveryJob, str]]:
        """How each dataset is delivered, and why.

        Raises:
            ConfigurationError: if a dataset cannot be delivered as it is configured.
        """
        settings = self.config.delivery
        endpoint = None
        if needs_endpoint(settings):
            endpoint = configured(settings.servicex.endpoint)
        return {
            name: choose(
                dataset,
                settings,
                endpoint,
                weighted=self._weighted(name),
                sum_known=name in self.sums_of_weights,
            )
            for name, dataset in self.datasets.items()
        }

    @property
    def sums_of_weights(self) -> dict[str, float]:
        """Sums of generator weights of datasets whose files are all in the run, as configured."""
        if self.config.n_files_max_per_sample != -1:
            return {}
        return dict(self.config.physics.sums_of_weights)

    def states_sum(self, dataset: str) -> bool:
        """Whether what is delivered of a dataset states the sum of generator weights, if any."""
        return not self._weighted(dataset) or self.deliveries[dataset][0].backend != "servicex"

    def _weighted(self, dataset: str) -> bool:
        """Whether a dataset is normalised to a sum of generator weights."""
        simulated = self.analysis.dataset(dataset).kind == "simulation"
        return simulated and self.analysis.generated is not None

    def allows_partial(self, dataset: str) -> bool:
        """Whether files of a dataset that fail are left out, and the others scaled to the whole."""
        return self.config.allow_partial and self.analysis.dataset(dataset).may_be_partial

    def automatic_backends(self) -> list[str]:
        """What the backend auto came to, in one line for each backend and reason."""
        datasets: dict[str, list[str]] = {}
        for name in self.datasets:
            if self.config.delivery.backend_of(name) == "auto":
                job, reason = self.deliveries[name]
                datasets.setdefault(f"{job.backend} ({reason})", []).append(name)
        return [
            f"delivery.backend auto is {backend} for "
            + ("all datasets" if len(names) == len(self.datasets) else ", ".join(names))
            for backend, names in datasets.items()
        ]

    @cached_property
    def assigns(self) -> bool:
        """Whether learned observables are computed in this run."""
        return self.fills and self.config.learned != "off"

    def check_packages(self) -> None:
        """Check that optional packages which the configuration needs are installed.

        Raises:
            ConfigurationError: if some are not.
        """
        config = self.config
        if self.simulates and {"pythia8mc", "fastjet"} & set(module(self.analysis).PACKAGES):
            extras.require(
                "simulation",
                setting="input: {kind: simulated}",
                alternative="take files or a fileset as input",
            )
        if self.fills:
            self.check_executor()
        if any(url.startswith("root://") for file in self._files for url in file.urls):
            extras.require("xrootd", setting="input", alternative="take other mirrors")
        if self.trains or (self.assigns and config.learned == "triton"):
            extras.require(
                "learning",
                setting=self.learned.name,
                alternative="set it to `off`, or `learning.models` to the folder of a training",
            )
        if self.optimises_discriminants:
            extras.require(
                "learning",
                setting="optimise.methods",
                alternative="leave out `cross entropy` and `discriminant`",
            )
        if self.tracks:
            extras.require(
                "tracking", setting="learning.training.tracking", alternative="set it to null"
            )

    def check_executor(self) -> None:
        """Check that optional packages are installed which the executor of the histograms needs.

        Raises:
            ConfigurationError: if some are not.
        """
        if self.config.histograms.executor == "dask":
            extras.require(
                "cluster",
                setting="histograms.executor: dask",
                alternative="set it to `futures` or `iterative`",
            )

    def check_pool(self) -> None:
        """Check that there is what has the Dask workers of the histograms, or starts them.

        It is not part of ``check``: histograms that are filled need none.

        Raises:
            ConfigurationError: if the batch system cannot be used here, or the scheduler or gateway
                of the configuration does not answer.
        """
        if self.config.histograms.executor != "dask":
            return
        pool = self._pool
        if pool is not None and pool.state not in ("ok", "unused"):
            key = "cluster" if isinstance(self.config.histograms.dask, BatchDask) else "address"
            raise ConfigurationError(
                f"{pool.name} cannot be used here: {pool.detail}",
                place=f"histograms.dask.{key}",
                remedy=f"{pool.remedy}; or take another cluster",
            )

    @cached_property
    def _pool(self) -> Finding | None:
        """What has the Dask workers; None if it is started by the job, or nobody knows where."""
        # It imports clients of servers, which most plans need not have.
        from agc_pipeline.doctor import services  # noqa: PLC0415

        match self.config.histograms.dask:
            case BatchDask(cluster=cluster):
                name, command, _ = tools.BATCH_SYSTEMS[cluster]
                return tools.batch(name, command, None, timeout=_ANSWER)
            case SchedulerDask(address=str(address)) | GatewayDask(address=str(address)):
                return services.dask(address, timeout=_ANSWER)
            case _:
                return None

    @property
    def _list(self) -> str:
        """Where the input is listed, for errors."""
        source = self.config.input
        return source.path if isinstance(source, FilesetInput) else "input.datasets"

    def _check_simulation(self) -> None:
        """Check that simulated files have all that the selection takes.

        Raises:
            ConfigurationError: if a cut is looser than the files are.
        """
        if not self.simulates:
            return
        selection = self.analysis.selection(self.physics["selection"])
        for name in self.datasets:
            dataset = self.analysis.dataset(name)
            check_contents(self.simulation.contents, self.analysis, selection, dataset)

    def check(self) -> None:
        """Check the input and models that were given, so that wrong ones are told before any job.

        Raises:
            PipelineError: if something is missing, or not the right one.
        """
        check_origins(self.datasets.values(), place=self._list)
        self._check_simulation()
        self.check_packages()
        self._check_paths()
        if self.fills:
            # It refuses what cannot be delivered as it is configured.
            _ = self.deliveries
        if self.published:
            # It imports hist, and most runs do not start from them.
            from agc_pipeline.validation import published  # noqa: PLC0415

            content = published.read(self.analysis, self.config.n_files_max_per_sample)
            if isinstance(content, published.PublishedYields):
                self._check_infinite_edges()
        if self.config.discriminant is not None:
            # It imports what fills histograms, and most runs have none.
            from agc_pipeline.learning import discriminant  # noqa: PLC0415

            discriminant.read(Path(self.config.discriminant), self.analysis, self.regions_of_fit)
        if self.assigns and self.learning.models is not None:
            read_models(
                Path(self.learning.models),
                features=self.learned.features,
                convention=self.learned.convention,
            )

    def _check_infinite_edges(self) -> None:
        """Check that no bin takes in events beyond histograms that have none.

        Raises:
            ConfigurationError: if one does.
        """
        fitted = self.analysis.with_selection(self.config.selection)
        if problems := list(infinite_problems(fitted, self.config.fit.model.edges)):
            raise ConfigurationError(
                "; ".join(problems),
                place="fit.model.edges",
                remedy="take finite edges, or start from events",
            )

    def histograms_of_model(self, *, data: bool = True) -> str:
        """Path of the histograms, for what makes a statistical model of them.

        It is not part of ``check``: not every target has a model.

        Args:
            data: whether the data are fitted that the configuration says, and not the expectation.

        Raises:
            ConfigurationError: if the run lacks datasets that the model needs.
        """
        settings = self.config.fit.model
        presence.check(
            self.analysis.with_selection(self.config.selection),
            settings if data else settings.model_copy(update={"data": "asimov"}),
            self.datasets.keys() if self.fills else None,
            place=self._list,
        )
        return f"{self.folder}/histograms.root"

    def check_optimisation(self) -> None:
        """Check the optimisation that the report shows, a result of another run.

        Raises:
            PipelineError: if there is none, or it is one of another analysis.
        """
        if self.config.report.optimisation is None:
            return
        # Only such runs have models of it.
        from agc_pipeline.inference import optimisation_record  # noqa: PLC0415

        path = Path(self.config.report.optimisation)
        record = optimisation_record.read(path)
        name = "a workspace" if self.external else self.analysis.name
        if record.analysis != name:
            raise ConfigurationError(
                f"{path} is an optimisation of the analysis {record.analysis}, and this is {name}",
                place="report.optimisation",
                remedy="give that of this analysis, or leave it out",
            )

    @cached_property
    def judge(self) -> Path | None:
        """Results of another run that judge an optimisation, if that is asked for.

        Raises:
            PipelineError: if they cannot judge this run, or nothing of it can be optimised.
        """
        if self.external:
            raise ConfigurationError(
                "a workspace has no histograms whose bins could be optimised",
                place="input.kind",
                remedy="start from events or published histograms",
            )
        others = [free.name for free in self.analysis.free if free.nominal != 1]
        if others:
            raise ConfigurationError(
                f"the normalisation {', '.join(others)} is not 1 before the fit, for which the "
                "expected uncertainty is known in closed form",
                place=f"declaration of the analysis {self.analysis.name}",
                remedy="scale the process with its cross section, and leave `nominal` out",
            )
        judge = self.config.optimise.judge
        if judge is not None:
            self._check_judge(Path(judge))
        return None if judge is None else Path(judge)

    def _check_judge(self, folder: Path) -> None:
        from agc_pipeline.inference import judge  # noqa: PLC0415

        simulated = [
            name for name in self.datasets if self.analysis.dataset(name).kind == "simulation"
        ]
        parts = {
            (name, Path(file.record).stem): digest(
                self.simulation.job(name, int(Path(file.record).stem)).model_dump()
            )
            for name in (simulated if self.simulates else ())
            for file in self.datasets[name].files
            if file.record is not None and f"/simulated/{name}/" in file.record
        }
        judge.check(
            folder,
            judge.Judged(
                folder=Path(self.folder),
                analysis=self.analysis.with_selection(self.config.selection),
                simulated=simulated,
                selection=digest(self.analysis.selection(self.physics["selection"]).model_dump()),
                simulations=parts,
                addresses={url for file in self._files for url in file.urls},
                cuts=bool(self.trials),
            ),
        )

    def check_files(self, names: Collection[str] | None = None) -> None:
        """Check that the input files of all jobs can be read, where they are on this machine.

        It is not part of ``check``: not every target needs them, and jobs may run elsewhere.

        Args:
            names: of the datasets that are read; None is all.

        Raises:
            ConfigurationError: naming the first of those that are missing, empty or no files, and
                their number.
        """
        read = {
            name
            for name in (self.datasets if names is None else names)
            if name not in self._made and not self.allows_partial(name)
        }
        unusable = {
            path: reason
            for name, reasons in self._unusable_files.items()
            if name in read
            for path, reason in reasons.items()
        }
        if unusable:
            n = sum(len(self.datasets[name].files) for name in read)
            what, told = "cannot be found", list(unusable)
            if set(unusable.values()) != {_MISSING}:
                what = "cannot be read"
                told = [f"{path} ({reason})" for path, reason in unusable.items()]
            raise ConfigurationError(
                f"{len(unusable)} of {n} input {plural('file', n)} {what}: "
                f"{name_list(told, _NAMED)}",
                place=self._list,
                remedy="correct the list, or bring the files to where it has them"
                + "; `allow_partial` leaves out no collision data" * self.config.allow_partial,
            )

    @cached_property
    def _unusable_files(self) -> dict[str, dict[str, str]]:
        """By dataset, input files that are on this machine only and cannot be read, and why."""
        return {
            name: {
                file.source: reason
                for file in dataset.files
                if (reason := _reason(file)) is not None
            }
            for name, dataset in self.datasets.items()
            if name not in self._made and self.deliveries[name][0].backend != "servicex"
        }

    @property
    def _made(self) -> frozenset[str]:
        """Datasets whose files are made in this run."""
        source = self.config.input
        if not isinstance(source, SimulatedInput):
            return frozenset()
        return frozenset(self.datasets.keys() - source.datasets.keys())

    def _check_paths(self) -> None:
        """Check that Snakemake can have the files of the user as inputs of jobs."""
        paths = [*watched(self._files), *self.models, *self.discriminant_files]
        if isinstance(self.config.input, WorkspaceInput):
            paths += self.config.input.files.values()
        if self.analysis.folder is not None:
            paths.append(near(self.analysis.folder))
        for path in paths:
            if "{" in path or "}" in path:
                raise InputError(
                    "Snakemake takes braces in a path for one of its wildcards",
                    place=path,
                    remedy="rename the file or folder, or give a link to it without braces",
                )

    @property
    def trains(self) -> bool:
        """Whether that model is trained in this run."""
        return self.assigns and self.learning.models is None

    @property
    def tracks(self) -> bool:
        """Whether the training of this run is kept by MLflow."""
        return self.trains and self.learning.training.tracking is not None

    @property
    def models_folder(self) -> str | None:
        """Folder of the models of learned observables: None if these are not computed."""
        return self.learning.models or f"{self.folder}/models" if self.assigns else None

    @property
    def models(self) -> list[str]:
        """Files of the models of learned observables: none if these are not computed."""
        names = (*(f"{parity}.json" for parity in PARITIES), CARD)
        return [f"{self.models_folder}/{name}" for name in names] if self.assigns else []

    @property
    def external_models(self) -> list[str]:
        """The same of an earlier training: none if the models are trained in this run."""
        return [] if self.trains else self.models

    @property
    def regions_of_fit(self) -> list[str]:
        """Names of the regions that are fitted."""
        analysis = self.analysis.with_selection(self.config.selection)
        return [region.name for region in analysis.regions if region.fitted]

    @property
    def discriminant_files(self) -> list[str]:
        """Files of the models whose score is the observable; none without."""
        folder = self.config.discriminant
        names = (*(f"{parity}.json" for parity in PARITIES), CARD)
        return [] if folder is None else [f"{folder.rstrip('/')}/{name}" for name in names]

    @property
    def optimises_discriminants(self) -> bool:
        """Whether `snakemake optimise` trains discriminants."""
        return self.fills and any(method in TRAINED for method in self.config.optimise.methods)

    @property
    def features(self) -> list[str]:
        """Names of the features that discriminants are made of."""
        names = self.config.optimise.discriminant.features
        return [f.name for f in of_regions(self.analysis.features, self.regions_of_fit, names)]

    @property
    def reference_files(self) -> list[str]:
        """Files with the published histograms."""
        folder = self.analysis.folder
        return [] if folder is None else sorted(map(near, folder.glob("published/*.json")))

    @cached_property
    def training_files(self) -> tuple[InputFile, ...]:
        """Files that models are trained on at most.

        Raises:
            ConfigurationError: if the run does not have it.
        """
        name = self.learned.trained_on
        if name not in self.datasets:
            raise ConfigurationError(
                f"the input has no {name}, which the models are trained on",
                place=self.learned.name,
                remedy="add it to the input, give the folder of an earlier training as "
                f"`learning.models`, or set `{self.learned.name}: off`",
            )
        (taken,) = take((self.datasets[name],), self.learning.training.n_files_max)
        return taken.files

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Thresholds that are optimised where that is asked for: none without events.

        Nor with the models of a discriminant, which were trained for the cuts of the run.
        """
        if not self.fills or self.config.discriminant is not None:
            return ()
        settings, selection = self.config.optimise, self.physics["selection"]
        fitted = self.analysis.with_selection(self.config.selection).fitted_thresholds
        tried = trials(fitted, selection, settings.thresholds, settings.reference)
        # Of those that nobody named, a selection of one's own may not allow all.
        named = {*(settings.thresholds or {}), *settings.reference}
        return tuple(
            trial
            for trial in tried
            if trial.threshold.name in named or not any(self._not_nested(trial))
        )

    def _not_nested(self, trial: Trial) -> Iterator[str]:
        (dataset, *_) = (d for d in self.analysis.datasets if d.kind == "simulation")
        return nesting_problems(
            (trial,),
            self.physics["selection"],
            lambda values: self.analysis.requirements(self.analysis.selection(values), dataset),
        )

    @property
    def blinded(self) -> bool:
        """Whether data are left out: analyses without blinded windows have the same histograms."""
        return self.config.blinded and self.analysis.blinded

    @cached_property
    def _sums(self) -> dict[str, list[list[str]]]:
        """By dataset, names of the histogram files at each level of the tree of sums."""
        trees = {}
        for dataset in self.datasets:
            levels = [list(self.batches(dataset))]
            while len(levels[-1]) > _FAN_IN:
                n_sums = math.ceil(len(levels[-1]) / _FAN_IN)
                levels.append([f"sum{len(levels)}/{number:04d}" for number in range(n_sums)])
            trees[dataset] = levels
        return trees

    def summands(self, dataset: str) -> list[str]:
        """Names of the files whose sum is the dataset: its batches, or sums of them."""
        return self._sums[dataset][-1]

    def partial_summands(self, dataset: str, level: str, number: str) -> list[str]:
        """Names of the files that are added up in ``sum{level}/{number}``."""
        start = int(number) * _FAN_IN
        return self._sums[dataset][int(level) - 1][start : start + _FAN_IN]

    def histogram_files(self, dataset: str, names: Iterable[str]) -> list[str]:
        """Paths of histograms of a dataset.

        Args:
            dataset: its name.
            names: of batches and sums of them.
        """
        return [f"{self.folder}/histograms/{dataset}/{name}.json" for name in names]
