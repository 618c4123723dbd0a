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
from agc_pipeline.analyses.base import JET_ASSIGNMENT, Analysis
from agc_pipeline.config import Configuration
from agc_pipeline.datasets import Dataset, InputFile, batches, files_per_job, take
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
from agc_pipeline.learning.settings import ServedModel
from agc_pipeline.simulation.recipes import RECIPES

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
    def datasets(self) -> dict[str, Dataset]:
        """The datasets of the run by name, with the files that it takes.

        There are none if it starts behind them.

        Raises:
            PipelineError: if the input is not described correctly.
        """
        source = self.config.input
        xsec = self.config.physics.cross_sections_pb
        match source:
            case SimulatedInput():
                found = self._simulated()
            case FilesInput():
                found = listed(source, self.analysis, xsec)
            case FilesetInput():
                found = filesets.read(Path(source.path), self.analysis, xsec)
            case PublishedInput():
                found = ()
            case WorkspaceInput():
                if not Path(source.path).is_file():
                    raise InputError(
                        "file not found", place=source.path, remedy="correct `input.path`"
                    )
                found = ()
        taken = take(found, self.config.n_files_max_per_sample)
        return {dataset.name: dataset for dataset in taken}

    @property
    def given(self) -> bool:
        """Whether the run starts from a workspace, without histograms."""
        return isinstance(self.config.input, WorkspaceInput)

    def _simulated(self) -> tuple[Dataset, ...]:
        return tuple(
            Dataset(
                process=process,
                variation=variation,
                xsec_pb=self.config.physics.cross_sections_pb[process],
                files=tuple(
                    InputFile(urls=(f"{stem}.root",), record=f"{stem}.json")
                    for stem in self._stems(self.analysis.dataset_name(process, variation))
                ),
            )
            for process, variation in self.analysis.datasets
        )

    def _stems(self, dataset: str) -> list[str]:
        parts = self.config.simulation.parts(dataset, RECIPES)
        return [f"{self.config.results}/simulated/{dataset}/{part:04d}" for part in range(parts)]

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
        return {name: batches(found, self.files_per_job) for name, found in self.datasets.items()}

    def batches(self, dataset: str) -> dict[str, tuple[InputFile, ...]]:
        """Files of each job of a dataset, by the job's number."""
        return self._batches[dataset]

    def local_inputs(self, dataset: str, batch: str) -> list[str]:
        """Files of a batch that Snakemake can watch: simulated ones, and those on this machine."""
        return _watched(self.batches(dataset)[batch])

    def simulate(self, dataset: str, part: str) -> str:
        """Settings of a simulation job."""
        return _text(self.config.simulation.job(dataset, int(part), RECIPES).model_dump())

    def fileset(self) -> str:
        """Settings of the rule that writes the fileset."""
        return _text({"datasets": [dataset.model_dump() for dataset in self.datasets.values()]})

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
                "process": self.datasets[dataset].process,
                "variation": self.datasets[dataset].variation,
                "files": [file.model_dump() for file in self.batches(dataset)[batch]],
                "selection": self._physics["selection"],
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
                        "process": dataset.process,
                        "variation": dataset.variation,
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
        """Whether a model assigns jets to partons in this run."""
        filled = not isinstance(self.config.input, PublishedInput | WorkspaceInput)
        return filled and self.config.jet_assignment != "off"

    def check_models(self) -> None:
        """Check models that were given, so that wrong ones are told before the first job.

        Raises:
            InputError: if one is missing, or not the right one.
        """
        given = self.config.learning.models
        if self.assigns and given is not None:
            regions = self.analysis.optional[JET_ASSIGNMENT]
            read_models(Path(given), features=[region.observable for region in regions])

    @property
    def parts(self) -> list[str]:
        """Optional regions of the analysis that this run has."""
        return [JET_ASSIGNMENT] if self.assigns else []

    @property
    def trains(self) -> bool:
        """Whether that model is trained in this run."""
        return self.assigns and self.config.learning.models is None

    @property
    def tracks(self) -> bool:
        """Whether the training of this run is kept by MLflow."""
        return self.trains and self.config.learning.training.tracking is not None

    @property
    def models(self) -> list[str]:
        """Files of the models that assign jets: none if they are not assigned."""
        folder = self.config.learning.models or f"{self.config.results.rstrip('/')}/models"
        names = (*(f"{parity}.json" for parity in PARITIES), CARD)
        return [f"{folder}/{name}" for name in names] if self.assigns else []

    @property
    def exported(self) -> list[str]:
        """Files of the repository of these models for a Triton server."""
        paths = repository.files(Path(self.repository), self.config.learning.triton)
        return [str(path) for path in paths] if self.assigns else []

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
                "served": self.config.learning.triton.model_dump(include=served),
            }
        )

    @cached_property
    def training_files(self) -> tuple[InputFile, ...]:
        """Files that models are trained on at most.

        Raises:
            ConfigurationError: if the run does not have it.
        """
        if self.analysis.trained_on is None:
            raise TypeError(f"{self.analysis.name} has no models")
        name = self.analysis.dataset_name(*self.analysis.trained_on)
        if name not in self.datasets:
            raise ConfigurationError(
                f"the input has no {name}, which the models are trained on",
                place="jet_assignment",
                remedy="add it to the input, give the folder of an earlier training as "
                "`learning.models`, or set `jet_assignment: off`",
            )
        (taken,) = take((self.datasets[name],), self.config.learning.training.n_files_max)
        return taken.files

    def train(self) -> str:
        """Settings of the rule that trains the models."""
        return _text(
            {
                "analysis": self.config.analysis,
                "selection": self._physics["selection"],
                "jet_assignment": self._physics["jet_assignment"],
                "training": self.config.learning.training.model_dump(exclude={"tracking"}),
                "files": [file.model_dump() for file in self.training_files],
            }
        )

    def track(self) -> str:
        """Settings of the rule that keeps the training by MLflow."""
        return _text(
            {
                "analysis": self.config.analysis,
                "tracking": self.config.learning.training.tracking,
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
                "jet_assignment": self._physics["jet_assignment"] if self.assigns else None,
                "allow_partial": self.config.allow_partial,
            }
        )

    def scoring(self) -> str:
        """What computes scores, which changes no bin: it is no reason to run a job again."""
        learning = self.config.learning
        return _text({"scorer": self.config.jet_assignment, "triton": learning.triton.model_dump()})

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
                "parts": self.parts,
                "luminosity_per_pb": self.config.physics.luminosity_per_pb,
                "datasets": {
                    dataset.name: {"xsec_pb": dataset.xsec_pb, "n_files": len(dataset.files)}
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
                "parts": self.parts,
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
        """Settings of the rule that compares with the published histograms."""
        return _text(
            {
                "analysis": self.config.analysis,
                "validation": self.config.validation.model_dump(),
            }
        )

    def report(self) -> str:
        """Settings of the rule that draws the report, which shows the whole configuration."""
        return _text(
            {
                "analysis": None if self.given else self.config.analysis,
                "parts": self.parts,
                "measured": self.config.fit.model.poi.process,
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
