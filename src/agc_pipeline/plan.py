"""The jobs of a run: datasets, batches, and the part of the configuration that each job is given.

Pure functions of the configuration, used by the Snakefile. Each job gets only what it depends on,
so that changing anything else leaves its result valid.
"""

import json
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from agc_pipeline import filesets
from agc_pipeline.config import Configuration
from agc_pipeline.datasets import (
    DatasetFiles,
    InputFile,
    batches,
    complete_data,
    files_per_job,
    normalised,
    take,
)
from agc_pipeline.declaration import Analysis, Learned
from agc_pipeline.delivery.choice import DeliveryJob, choose, needs_endpoint
from agc_pipeline.delivery.servicex.configuration import configured
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.inputs import (
    FilesetInput,
    FilesInput,
    PublishedInput,
    SimulatedInput,
    WorkspaceInput,
    listed,
)
from agc_pipeline.learning import repository
from agc_pipeline.learning.models import CARD, PARITIES
from agc_pipeline.learning.models import read as read_models
from agc_pipeline.learning.settings import LearningSettings, ServedModel
from agc_pipeline.simulation.part import SimulationPart

# Simulated files are small, and their events are not known before: the default run has a job for
# each dataset.
_SIMULATED_FILES_PER_JOB = 4
# Files that one job adds up, so that memory and command lines stay bounded.
_FAN_IN = 100


class Plan:
    """All jobs of a run.

    Args:
        config: the validated configuration.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self.analysis: Analysis = config.declaration
        self._physics: dict[str, Any] = config.physics.model_dump()

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
                datasets = self._simulated()
            case FilesInput():
                datasets = listed(source, self.analysis, physics)
            case FilesetInput():
                datasets = filesets.read(Path(source.path), self.analysis, physics)
            case PublishedInput():
                datasets = ()
            case WorkspaceInput():
                if not Path(source.path).is_file():
                    raise InputError(
                        "file not found", place=source.path, remedy="correct `input.path`"
                    )
                datasets = ()
        n_files_max = self.config.n_files_max_per_sample
        allow_partial = self.config.allow_partial
        complete_data(datasets, self.analysis, n_files_max=n_files_max, allow_partial=allow_partial)
        return {dataset.name: dataset for dataset in take(datasets, n_files_max)}

    @property
    def given(self) -> bool:
        """Whether the run starts from a workspace, without histograms."""
        return isinstance(self.config.input, WorkspaceInput)

    def _simulated(self) -> tuple[DatasetFiles, ...]:
        return tuple(
            normalised(
                dataset,
                self.config.physics,
                (
                    InputFile(urls=(f"{stem}.root",), record=f"{stem}.json")
                    for stem in self._stems(dataset.name)
                ),
            )
            for dataset in self.analysis.datasets
        )

    def _stems(self, dataset: str) -> list[str]:
        folder = f"{self.config.results.rstrip('/')}/simulated/{dataset}"
        return [f"{folder}/{part:04d}" for part in range(self._simulation.parts(dataset))]

    @property
    def _simulation(self) -> SimulationPart:
        simulation = self.config.simulation
        if simulation is None:
            raise TypeError(f"the analysis {self.analysis.name} has no simulation")
        return simulation

    @property
    def _learning(self) -> LearningSettings:
        learning = self.config.learning
        if learning is None:
            raise TypeError(f"the analysis {self.analysis.name} has no learned observables")
        return learning

    @property
    def _learned(self) -> Learned:
        learned = self.analysis.learned
        if learned is None:
            raise TypeError(f"the analysis {self.analysis.name} has no learned observables")
        return learned

    @cached_property
    def files_per_job(self) -> int:
        """Input files of one job."""
        if self.config.files_per_job != "auto":
            return self.config.files_per_job
        if isinstance(self.config.input, SimulatedInput):
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

    def local_inputs(self, dataset: str, batch: str) -> list[str]:
        """Files of a batch that Snakemake can watch: simulated ones, and those on this machine."""
        return _watched(self.batches(dataset)[batch])

    @property
    def records(self) -> list[str]:
        """Records of all simulated files."""
        files = (file for dataset in self.datasets.values() for file in dataset.files)
        records = (file.record for file in files if file.record is not None)
        return [record for record in records if "://" not in record]

    def simulate(self, dataset: str, part: str) -> str:
        """Settings of a simulation job."""
        job = self._simulation.job(dataset, int(part))
        return _text({"analysis": self.config.analysis, "job": job.model_dump()})

    def fileset(self) -> str:
        """Settings of the rule that writes the fileset."""
        return _text(
            {
                "analysis": self.config.analysis,
                "datasets": [dataset.model_dump() for dataset in self.datasets.values()],
            }
        )

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
            name: choose(dataset, settings, endpoint) for name, dataset in self.datasets.items()
        }

    def chosen(self) -> list[str]:
        """What the backend auto came to, in one line for each backend and reason."""
        datasets: dict[str, list[str]] = {}
        for name in self.datasets:
            if self.config.delivery.asked(name) == "auto":
                job, reason = self.deliveries[name]
                datasets.setdefault(f"{job.backend} ({reason})", []).append(name)
        return [
            f"delivery.backend auto is {backend} for "
            + ("all datasets" if len(names) == len(self.datasets) else ", ".join(names))
            for backend, names in datasets.items()
        ]

    def deliver(self, dataset: str, batch: str) -> str:
        """Settings of a delivery job."""
        return _text(
            {
                "analysis": self.config.analysis,
                "dataset": dataset,
                "files": [file.model_dump() for file in self.batches(dataset)[batch]],
                "selection": self._physics["selection"],
                "learned": self.assigns,
                "delivery": self.deliveries[dataset][0].model_dump(),
                "allow_partial": self.config.allow_partial,
            }
        )

    def reading(self) -> str:
        """How delivery jobs read, which changes no skim: it is no reason to run one again."""
        return _text(self.config.delivery.reading.model_dump())

    def delivery_plan(self) -> str:
        """Settings of the rule that tells what would be delivered."""
        return _text(
            {
                "analysis": self.config.analysis,
                "selection": self._physics["selection"],
                "reading": self.config.delivery.reading.model_dump(),
                "datasets": [
                    {
                        "dataset": name,
                        "files": [file.model_dump() for file in dataset.files],
                        "delivery": self.deliveries[name][0].model_dump(),
                        "reason": self.deliveries[name][1],
                    }
                    for name, dataset in self.datasets.items()
                ],
            }
        )

    @cached_property
    def assigns(self) -> bool:
        """Whether learned observables are computed in this run."""
        filled = not isinstance(self.config.input, PublishedInput | WorkspaceInput)
        return filled and self.config.learned != "off"

    def check_models(self) -> None:
        """Check models that were given, so that wrong ones are told before the first job.

        Raises:
            InputError: if one is missing, or not the right one.
        """
        if self.assigns and self._learning.models is not None:
            regions = self._learned.regions
            features = [region.observable for region in regions]
            read_models(Path(self._learning.models), features=features)

    @property
    def trains(self) -> bool:
        """Whether that model is trained in this run."""
        return self.assigns and self._learning.models is None

    @property
    def tracks(self) -> bool:
        """Whether the training of this run is kept by MLflow."""
        return self.trains and self._learning.training.tracking is not None

    @property
    def models(self) -> list[str]:
        """Files of the models of learned observables: none if these are not computed."""
        if not self.assigns:
            return []
        folder = self._learning.models or f"{self.config.results.rstrip('/')}/models"
        return [f"{folder}/{name}" for name in (*(f"{p}.json" for p in PARITIES), CARD)]

    @property
    def exported(self) -> list[str]:
        """Files of the repository of these models for a Triton server."""
        if not self.assigns:
            return []
        paths = repository.files(Path(self.repository), self._learning.triton)
        return [str(path) for path in paths]

    @property
    def repository(self) -> str:
        """Folder of that repository."""
        return f"{self.config.results.rstrip('/')}/models/triton"

    def export_models(self) -> str:
        """Settings of the rule that writes it."""
        served = set(ServedModel.model_fields)
        return _text(
            {
                "analysis": self.config.analysis,
                "served": self._learning.triton.model_dump(include=served),
            }
        )

    @cached_property
    def training_files(self) -> tuple[InputFile, ...]:
        """Files that models are trained on at most.

        Raises:
            ConfigurationError: if the run does not have it.
        """
        name = self._learned.trained_on
        if name not in self.datasets:
            raise ConfigurationError(
                f"the input has no {name}, which the models are trained on",
                place=self._learned.name,
                remedy="add it to the input, give the folder of an earlier training as "
                f"`learning.models`, or set `{self._learned.name}: off`",
            )
        (taken,) = take((self.datasets[name],), self._learning.training.n_files_max)
        return taken.files

    def train(self) -> str:
        """Settings of the rule that trains the models."""
        return _text(
            {
                "analysis": self.config.analysis,
                "selection": self._physics["selection"],
                "learned": self._physics[self._learned.name],
                "training": self._learning.training.model_dump(exclude={"tracking"}),
                "files": [file.model_dump() for file in self.training_files],
            }
        )

    def track(self) -> str:
        """Settings of the rule that keeps the training by MLflow."""
        return _text(
            {
                "analysis": self.config.analysis,
                "tracking": self._learning.training.tracking,
            }
        )

    def training_inputs(self) -> list[str]:
        """Files that the models are trained on and that Snakemake can watch."""
        return _watched(self.training_files)

    def histogram(self) -> str:
        """Settings of a histogram job."""
        return _text(
            {
                "analysis": self.config.analysis,
                "selection": self._physics["selection"],
                "learned": self._physics[self._learned.name] if self.assigns else None,
                "allow_partial": self.config.allow_partial,
                "blinded": self._blinded,
            }
        )

    def scoring(self) -> str:
        """What computes scores, which changes no bin: it is no reason to run a job again."""
        if not self.assigns:
            return _text(None)
        triton = self._learning.triton.model_dump()
        return _text({"scorer": self.config.learned, "triton": triton})

    @property
    def _blinded(self) -> bool:
        """Whether data are left out: analyses without blinded windows have the same histograms."""
        windows = [region.blinded for region in self.analysis.with_learned().regions]
        return self.config.blinded and any(window is not None for window in windows)

    def execution(self) -> str:
        """How histogram jobs run, which changes no bin: it is no reason to run one again."""
        return _text(self.config.histograms.model_dump())

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

    def merge(self) -> str:
        """Settings of the rule that normalises."""
        return _text(
            {
                "analysis": self.config.analysis,
                "learned": self.assigns,
                "blinded": self._blinded,
                "datasets": {
                    dataset.name: {
                        "xsec_pb": dataset.xsec_pb,
                        "luminosity_per_pb": dataset.luminosity_per_pb,
                        "n_files": len(dataset.files),
                    }
                    for dataset in self.datasets.values()
                },
                "allow_partial": self.config.allow_partial,
            }
        )

    def published(self) -> str:
        """Settings of the rule that takes published histograms in place of events."""
        return _text(
            {
                "analysis": self.config.analysis,
                "n_files": self.config.n_files_max_per_sample,
            }
        )

    def workspace(self) -> str:
        """Settings of the rule that builds the statistical model."""
        return _text(
            {"analysis": self.config.analysis, "model": self.config.fit.model.model_dump()}
        )

    def reproduce(self) -> str:
        """Settings of the rule that takes a workspace in place of histograms."""
        return _text({"input": self.config.input.model_dump()})

    def fit(self) -> str:
        """Settings of the rule that fits."""
        return self._inference("compare")

    def ranking(self) -> str:
        """Settings of the rule that ranks the parameters."""
        return self._inference()

    def scan(self) -> str:
        """Settings of the rule that scans the likelihood."""
        return self._inference("scan")

    def toys(self) -> str:
        """Settings of the rule that makes pseudo-experiments."""
        return self._inference("toys")

    def limit(self) -> str:
        """Settings of the rule that sets an upper limit."""
        return self._inference("limit")

    def propagate(self) -> str:
        """Settings of the rule that propagates the fit to other distributions."""
        return _text(
            {
                "analysis": self.config.analysis,
                "learned": self.assigns,
                "model": self.config.fit.model.model_dump(),
            }
        )

    def preserve(self) -> str:
        """Settings of the rule that writes formats for others."""
        return _text({"report": self.config.report.model_dump()})

    def _inference(self, *parts: str) -> str:
        """The minimiser and other parts of the fit's configuration."""
        return _text(self.config.fit.model_dump(include={"minimiser", *parts}))

    def validate(self) -> str:
        """Settings of the rule that compares with the published histograms.

        They are none for an analysis that has not published any.
        """
        validation = self.config.validation
        return _text(
            {
                "analysis": self.config.analysis,
                "validation": None if validation is None else validation.model_dump(),
            }
        )

    def report(self) -> str:
        """Settings of the rule that draws the report, which shows the whole configuration."""
        return _text(
            {
                "analysis": None if self.given else self.config.analysis,
                "learned": self.assigns,
                "luminosity_per_pb": self.config.physics.luminosity_per_pb,
                "rules": self._rules(),
                "configuration": self.config.model_dump(mode="json"),
                "report": self.config.report.model_dump(),
            }
        )

    def _rules(self) -> tuple[str, ...]:
        """Names of the rules that this input needs, as far as the report."""
        of_fit = ("fit", "ranking", "scan", "toys", "limit", "preserve", "report")
        if self.given:
            return ("reproduce", *of_fit)
        behind = ("validate", "workspace", "propagate", *of_fit)
        if isinstance(self.config.input, PublishedInput):
            return ("published", *behind)
        simulate = ("simulate",) if isinstance(self.config.input, SimulatedInput) else ()
        train = ("train",) if self.trains else ()
        filling = (
            "fileset",
            "deliver",
            *train,
            "histogram",
            "partial_sum",
            "merge_dataset",
            "merge",
        )
        return (*simulate, *filling, *behind)


def _watched(files: Iterable[InputFile]) -> list[str]:
    found = []
    for file in files:
        if file.record is not None:
            found += [file.source, file.record]
        elif "://" not in file.source and Path(file.source).exists():
            found.append(file.source)
    return found


def _text(content: Any) -> str:
    return json.dumps(content)
