"""Datasets: which files make up each of them, and how they are split over jobs."""

import math
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat

from agc_pipeline.analyses.base import Analysis
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings

TREE = "Events"

# A minute of one core on local files, several over the network: much more than the few seconds
# that a batch system takes for each job.
EVENTS_PER_JOB = 1_000_000
# Batch systems and Snakemake both take thousands of jobs well, and not tens of thousands.
MAX_JOBS = 2000


class InputFile(Settings):
    """One input file.

    Attributes:
        urls: where it can be had, in the order in which to try.
        n_events: number of entries it must have; None if only the file itself or ``record`` knows.
        record: JSON beside a simulated file, with ``n_events`` and ``n_generated``.
    """

    urls: tuple[str, ...] = Field(min_length=1)
    n_events: NonNegativeInt | None = None
    record: str | None = None

    @property
    def source(self) -> str:
        """The address that stands for the file in manifests, ledgers and errors."""
        return self.urls[0]


class Dataset(Settings):
    """One input set, all of the same process and variation."""

    process: str
    variation: str
    xsec_pb: PositiveFloat
    files: tuple[InputFile, ...] = Field(min_length=1)

    @property
    def name(self) -> str:
        """Name in file lists and paths."""
        return f"{self.process}__{self.variation}"


def take(datasets: tuple[Dataset, ...], n_files_max: int) -> tuple[Dataset, ...]:
    """The first ``n_files_max`` files of each dataset; -1 is all."""
    if n_files_max == -1:
        return datasets
    return tuple(
        dataset.model_copy(update={"files": dataset.files[:n_files_max]}) for dataset in datasets
    )


def files_per_job(datasets: Collection[Dataset]) -> int:
    """A number of files for each job that suits a list of files.

    A job has about ``EVENTS_PER_JOB`` events, where their numbers are known, and there are at most
    about ``MAX_JOBS`` jobs. It is a power of two, so that a list that grows seldom changes it.
    """
    files = [file for dataset in datasets for file in dataset.files]
    known = [file.n_events for file in files if file.n_events is not None]
    by_events = EVENTS_PER_JOB * len(known) / sum(known) if any(known) else 1
    by_files = len(files) / MAX_JOBS
    small, many = math.floor(math.log2(max(by_events, 1))), math.ceil(math.log2(max(by_files, 1)))
    return 1 << max(small, many)


def batches(dataset: Dataset, files_per_job: int) -> dict[str, tuple[InputFile, ...]]:
    """The files of each job, by the job's number as four digits or more.

    Files keep their batch when others are added behind them.
    """
    return {
        f"{start // files_per_job:04d}": dataset.files[start : start + files_per_job]
        for start in range(0, len(dataset.files), files_per_job)
    }


def identity(name: str, analysis: Analysis, *, place: str) -> tuple[str, str]:
    """Process and variation of a dataset's name.

    Raises:
        ConfigurationError: if the analysis has no such dataset.
    """
    for process, variation in analysis.datasets:
        if analysis.dataset_name(process, variation) == name:
            return process, variation
    known = ", ".join(analysis.dataset_name(*dataset) for dataset in analysis.datasets)
    raise ConfigurationError(
        f"unknown dataset {name!r}", place=place, remedy=f"the datasets are {known}"
    )


def checked(datasets: list[Dataset], *, place: str) -> tuple[Dataset, ...]:
    """The same datasets.

    Raises:
        ConfigurationError: if a dataset or a file is listed more than once, or if an address
            holds what gives access to it: addresses stand in every result.
    """
    for file in (file for dataset in datasets for file in dataset.files):
        for url in file.urls:
            if without_secrets(url) != url:
                raise ConfigurationError(
                    f"an address holds credentials: {without_secrets(url)}",
                    place=place,
                    remedy="leave them out; the XRootD client finds tokens and proxies in the "
                    "environment (`BEARER_TOKEN_FILE`, `X509_USER_PROXY`)",
                )
    names = Counter(dataset.name for dataset in datasets)
    files = Counter(file.source for dataset in datasets for file in dataset.files)
    repeated = [name for name, count in (names + files).items() if count > 1]
    if repeated:
        raise ConfigurationError(
            f"listed more than once: {', '.join(repeated)}",
            place=place,
            remedy="remove the duplicates: their events would be counted twice",
        )
    return tuple(datasets)


def watched(files: Iterable[InputFile]) -> list[str]:
    """Paths that Snakemake can watch: simulated files, and those on this machine."""
    paths = []
    for file in files:
        if file.record is not None:
            paths += [file.source, file.record]
        elif "://" not in file.source and Path(file.source).exists():
            paths.append(file.source)
    return paths
