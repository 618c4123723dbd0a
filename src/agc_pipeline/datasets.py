"""Datasets: which files make up each of them, and how they are split over jobs."""

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat

from agc_pipeline.declaration import Analysis, Dataset, Physics
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.provenance import digest
from agc_pipeline.readers import addresses
from agc_pipeline.readers.file_header import normalised_uuid, uuid_of
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import EventCount, Settings, unknown

TREE = "Events"

# A minute of one core on local files, several over the network: much more than the few seconds
# that a batch system takes for each job.
EVENTS_PER_JOB = 1_000_000
# Batch systems and Snakemake both take thousands of jobs well, and not tens of thousands.
MAX_JOBS = 2000

# Ports that addresses have if they name none.
_PORTS = {"root": 1094, "roots": 1094, "http": 80, "https": 443}
# Files whose headers are looked at before the first job: a second or two on slow disks.
_HEADERS = 1000


# Of a file on this machine it is its path: whoever looks at the file finds it.
_Address = Annotated[str, AfterValidator(addresses.plain)]


class InputFile(Settings):
    """One input file.

    Attributes:
        urls: where it can be had, in the order in which to try; paths in place of ``file://``.
        n_events: number of entries it must have; None if only the file itself or ``record`` knows.
        record: JSON beside a simulated file, with ``n_events`` and ``n_generated``.
        uuid: that ROOT must have given it; None if the list does not say.
    """

    urls: tuple[_Address, ...] = Field(min_length=1)
    n_events: EventCount | None = None
    record: _Address | None = None
    uuid: str | None = None

    @property
    def source(self) -> str:
        """The address that stands for the file in manifests, ledgers and errors."""
        return self.urls[0]


class DatasetFiles(Settings):
    """The files of a dataset, and what their events are normalised to.

    Attributes:
        name: of the dataset in the declaration of the analysis.
        xsec_pb: cross section in pb; None for collision data, which are as they are.
        luminosity_per_pb: of the era of the dataset, in 1/pb.
        files: at least one.
        n_events: number of events of all files; None if the list does not say.
        subset_of: dataset of which its events are a part, file by file; None is none.
    """

    name: str
    xsec_pb: PositiveFloat | None
    luminosity_per_pb: PositiveFloat
    files: tuple[InputFile, ...] = Field(min_length=1)
    n_events: EventCount | None = None
    subset_of: str | None = None


def normalised(
    dataset: Dataset,
    physics: Physics,
    files: Iterable[InputFile],
    xsec_pb: float | None = None,
    n_events: int | None = None,
    *,
    subset_of: str | None = None,
) -> DatasetFiles:
    """Files of a dataset, with the cross section and luminosity of the configuration.

    Args:
        dataset: as it is declared.
        physics: of the configuration.
        files: of the dataset.
        xsec_pb: cross section in place of that of the configuration; None takes that.
        n_events: of all files, if the list says it.
        subset_of: dataset of which its events are a part, file by file.
    """
    if dataset.kind == "simulation" and xsec_pb is None:
        xsec_pb = physics.cross_sections_pb[dataset.cross_section_name]
    return DatasetFiles(
        name=dataset.name,
        xsec_pb=xsec_pb,
        luminosity_per_pb=physics.luminosity(dataset.era),
        files=tuple(files),
        n_events=n_events,
        subset_of=subset_of,
    )


def take(datasets: tuple[DatasetFiles, ...], n_files_max: int) -> tuple[DatasetFiles, ...]:
    """The first ``n_files_max`` files of each dataset; -1 is all."""
    if n_files_max == -1:
        return datasets
    return tuple(
        # The number of events of all files says nothing of some.
        dataset.model_copy(update={"files": dataset.files[:n_files_max], "n_events": None})
        if len(dataset.files) > n_files_max
        else dataset
        for dataset in datasets
    )


def files_per_job(datasets: Collection[DatasetFiles]) -> int:
    """A number of files for each job that suits a list of files.

    A job has about ``EVENTS_PER_JOB`` events, where their numbers are known, and there are at most
    about ``MAX_JOBS`` jobs. It is a power of two, so that a list that grows seldom changes it.
    """
    files = [file for dataset in datasets for file in dataset.files]
    counts = [file.n_events for file in files if file.n_events is not None]
    by_events = EVENTS_PER_JOB * len(counts) / sum(counts) if any(counts) else 1
    by_files = len(files) / MAX_JOBS
    small, many = math.floor(math.log2(max(by_events, 1))), math.ceil(math.log2(max(by_files, 1)))
    return 1 << max(small, many)


def batches(dataset: DatasetFiles, files_per_job: int) -> dict[str, tuple[InputFile, ...]]:
    """The files of each job, by the job's number as four digits or more.

    Files keep their batch when others are added behind them.
    """
    return {
        f"{start // files_per_job:04d}": dataset.files[start : start + files_per_job]
        for start in range(0, len(dataset.files), files_per_job)
    }


def declared(name: str, analysis: Analysis, *, place: str) -> Dataset:
    """The declaration of a dataset.

    Raises:
        ConfigurationError: if the analysis has no such dataset.
    """
    names = [dataset.name for dataset in analysis.datasets]
    if problem := unknown("dataset", [name], names):
        raise ConfigurationError(
            problem, place=place, remedy="correct the name, or declare the dataset in the analysis"
        )
    return analysis.dataset(name)


def complete_data(
    listed: tuple[DatasetFiles, ...],
    analysis: Analysis,
    *,
    n_files_max: int,
) -> None:
    """Check that all collision data are taken that the luminosity stands for.

    Args:
        listed: datasets with all their files.
        analysis: that declares them.
        n_files_max: files that are taken of each; -1 is all.

    Raises:
        ConfigurationError: if some data would be left out.
    """
    data = [dataset for dataset in listed if analysis.dataset(dataset.name).kind == "data"]
    cut = [d for d in data if n_files_max != -1 and len(d.files) > n_files_max]
    if cut:
        raise ConfigurationError(
            f"{n_files_max} of the {len(cut[0].files)} files of the collision data {cut[0].name} "
            "have less than the luminosity of the configuration",
            place="n_files_max_per_sample",
            remedy="take all with -1, or list fewer files of the data and give their luminosity as "
            "`physics.luminosity_per_pb`",
        )


def checked(datasets: list[DatasetFiles], *, place: str) -> tuple[DatasetFiles, ...]:
    """The same datasets.

    Raises:
        ConfigurationError: if there are none, if a dataset or a file is listed more than once, if
            an address is none that is read, or if it holds what gives access to it: addresses stand
            in every result.
    """
    if not datasets:
        raise ConfigurationError(
            "no datasets are listed", place=place, remedy="list the files of each dataset"
        )
    for file in (file for dataset in datasets for file in dataset.files):
        for url in file.urls:
            addresses.check(url, place=place)
            if without_secrets(url) != url:
                raise ConfigurationError(
                    f"an address holds credentials: {without_secrets(url)}",
                    place=place,
                    remedy="leave them out; tokens and proxies are found in the environment "
                    "(`BEARER_TOKEN`, `BEARER_TOKEN_FILE`, `X509_USER_PROXY`), see "
                    "`delivery.network.token_hosts`",
                )
    names = Counter(dataset.name for dataset in datasets)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise _twice(", ".join(repeated), place=place)
    files = [file for dataset in datasets for file in dataset.files]
    listed: dict[str, InputFile] = {}
    for file in files:
        for url in {_place(url) for url in file.urls}:
            other = listed.setdefault(url, file)
            if other is not file:
                raise _twice(_both(other.source, file.source), place=place)
    _once({file.source: normalised_uuid(file.uuid) for file in files}, place=place)
    return tuple(datasets)


def check_origins(datasets: Iterable[DatasetFiles], *, place: str) -> None:
    """Compare the files on this machine by what ROOT wrote into their headers.

    Copies and links have other names and the same UUID. It is also looked at where a file comes
    from a server, when all of them have been read.

    Args:
        datasets: with their files.
        place: where they are listed, for errors.

    Raises:
        ConfigurationError: if a file is listed twice, or is not the one that the list names.
    """
    files = [file for dataset in datasets for file in dataset.files if file.record is None]
    local = [file for file in files if "://" not in file.source][:_HEADERS]
    uuids = {file.source: uuid_of(Path(file.source)) for file in local}
    for file in local:
        found, expected = uuids[file.source], normalised_uuid(file.uuid)
        if None not in (found, expected) and found != expected:
            raise ConfigurationError(
                f"the file {file.source} has the UUID {found}, the list says {expected}",
                place=place,
                remedy="correct the address or the `uuid`: the list was made of another file",
            )
    _once(
        {file.source: uuids.get(file.source) or normalised_uuid(file.uuid) for file in files},
        place=place,
    )


def _once(uuids: Mapping[str, str | None], *, place: str) -> None:
    """Refuse a file that is listed under two addresses."""
    sources: dict[str, str] = {}
    for source, uuid in uuids.items():
        if uuid is not None and sources.setdefault(uuid, source) != source:
            raise _twice(f"{_both(sources[uuid], source)}, the UUID {uuid}", place=place)


def _twice(what: str, *, place: str) -> ConfigurationError:
    return ConfigurationError(
        f"listed more than once: {what}",
        place=place,
        remedy="remove the duplicates: their events would be counted twice",
    )


def _both(one: str, other: str) -> str:
    return one if one == other else f"{one} and {other} are the same file"


def _place(url: str) -> str:
    """An address in one of the ways in which it can be written; of a link, what it points to."""
    scheme = addresses.scheme(url)
    if not scheme:
        return os.path.realpath(url)
    parts = urlsplit(url)
    spoken = addresses.HTTP.get(scheme, scheme)
    host = parts.netloc.lower().removesuffix(f":{_PORTS.get(spoken)}")
    path = re.sub("/+", "/", parts.path)
    return f"{spoken}://{host}{path}{'?' * bool(parts.query)}{parts.query}"


def state(files: Iterable[InputFile]) -> str:
    """Digest of sizes and times of the files on this machine that no rule writes.

    Snakemake notices files that are newer than what was made of them. One that takes the place of
    another may be older.

    Args:
        files: the inputs.
    """
    states = []
    for file in files:
        path = Path(file.source)
        if file.record is None and "://" not in file.source and path.exists():
            status = path.stat()
            states.append((file.source, status.st_size, status.st_mtime_ns))
    return digest(states)


def watched(files: Iterable[InputFile]) -> list[str]:
    """Paths that Snakemake can watch: simulated files, and those on this machine."""
    paths = []
    for file in files:
        if file.record is not None:
            paths.append(file.record)
        here = "://" not in file.source
        if here and (file.record is not None or Path(file.source).exists()):
            paths.append(file.source)
    return paths
