"""The jobs of a run: datasets, batches, and what follows from them.

Pure functions of the configuration. The descriptions of the stages take from them what each job
depends on.
"""

import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from agc_pipeline import filesets
from agc_pipeline.analyses.base import JET_ASSIGNMENT, Analysis
from agc_pipeline.code import data
from agc_pipeline.config import Configuration
from agc_pipeline.datasets import Dataset, InputFile, batches, files_per_job, take
from agc_pipeline.delivery.choice import DeliveryJob, choose, needs_endpoint
from agc_pipeline.delivery.servicex.configuration import configured
from agc_pipeline.errors import InputError
from agc_pipeline.inputs import (
    FilesetInput,
    FilesInput,
    PublishedInput,
    SimulatedInput,
    WorkspaceInput,
    listed,
)
from agc_pipeline.learning.models import CARD, PARITIES
from agc_pipeline.learning.models import read as read_models

# Simulated files are small, and their events are not known before: the default run has a job for
# each dataset.
_SIMULATED_FILES_PER_JOB = 4
# Files that one job adds up, so that memory and command lines stay bounded.
_FAN_IN = 100


class Plan:
    """All jobs of a run.

    Args:
        config: the validated configuration.

    Attributes:
        config: as given.
        analysis: the declaration of the analysis.
        physics: its part of the configuration.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self.analysis: Analysis = config.declaration
        self.physics: dict[str, Any] = config.physics.model_dump()

    @property
    def folder(self) -> str:
        """Folder of the results."""
        return self.config.results.rstrip("/")

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

    @property
    def published(self) -> bool:
        """Whether the run starts from the published histograms."""
        return isinstance(self.config.input, PublishedInput)

    @property
    def fills(self) -> bool:
        """Whether the run fills histograms."""
        return not (self.given or self.published)

    @property
    def simulates(self) -> bool:
        """Whether the run simulates its events."""
        return isinstance(self.config.input, SimulatedInput)

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
        parts = self.config.simulation.parts(dataset)
        return [f"{self.folder}/simulated/{dataset}/{part:04d}" for part in range(parts)]

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
        return {name: batches(found, self.files_per_job) for name, found in self.datasets.items()}

    def batches(self, dataset: str) -> dict[str, tuple[InputFile, ...]]:
        """Files of each job of a dataset, by the job's number."""
        return self._batches[dataset]

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

    @cached_property
    def assigns(self) -> bool:
        """Whether a model assigns jets to partons in this run."""
        return self.fills and self.config.jet_assignment != "off"

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
    def models_folder(self) -> str | None:
        """Folder of the models that assign jets: None if they are not assigned."""
        return self.config.learning.models or f"{self.folder}/models" if self.assigns else None

    @property
    def models(self) -> list[str]:
        """Files of these models."""
        names = (*(f"{parity}.json" for parity in PARITIES), CARD)
        return [f"{self.models_folder}/{name}" for name in names] if self.assigns else []

    @property
    def reference_files(self) -> list[str]:
        """Files with the published histograms."""
        return data(f"analyses/{self.config.analysis}/published/*.json")

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
