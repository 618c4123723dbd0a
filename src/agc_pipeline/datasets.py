"""Inputs: which files make up each dataset, and how they are split over jobs.

Three kinds of input give the same list of datasets: files named in the configuration (compactly,
with their event counts), a fileset in coffea's shape, and the files that the simulation makes.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from agc_pipeline.analyses.base import NOMINAL, Analysis
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import read_json
from agc_pipeline.settings import Settings, explain

TREE = "Events"


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


class Block(Settings):
    """Files numbered consecutively from ``first``: ``{stem}_{number:04d}.root``."""

    stem: str
    first: NonNegativeInt = 0
    n_events: tuple[PositiveInt, ...] = Field(min_length=1)


class FileList(Settings):
    """The files of one dataset: numbered blocks, single files (name to events), or both."""

    folder: str = ""
    blocks: tuple[Block, ...] = ()
    files: dict[str, NonNegativeInt | None] = Field(default_factory=dict)

    def entries(self) -> list[tuple[str, int | None]]:
        """Paths below a mirror's prefix, with the number of events."""
        names: list[tuple[str, int | None]] = [
            (f"{block.stem}_{number:04d}.root", n_events)
            for block in self.blocks
            for number, n_events in enumerate(block.n_events, block.first)
        ]
        names += self.files.items()
        return [(f"{self.folder}/{name}" if self.folder else name, n) for name, n in names]


class SimulatedInput(Settings):
    """Input made by the rule ``simulate``."""

    kind: Literal["simulated"]


class FilesInput(Settings):
    """Input files listed in the configuration.

    Attributes:
        mirrors: name to prefix of the places that hold the files.
        mirror_order: names of the mirrors in the order in which to try them.
        xcache: prefix of an XCache that stands in front of every remote mirror, e.g.
            ``root://cache.example.org:1094//``.
        datasets: dataset name to its files.
    """

    kind: Literal["files"]
    mirrors: dict[str, str]
    mirror_order: tuple[str, ...] = Field(min_length=1)
    xcache: str | None = None
    datasets: dict[str, FileList]


class FilesetInput(Settings):
    """Input files listed in a JSON file in coffea's fileset shape.

    Relative paths in it are relative to the folder of the JSON file.
    """

    kind: Literal["fileset"]
    path: str


class PublishedInput(Settings):
    """No events: start from published histograms."""

    kind: Literal["published"]


Input = Annotated[
    SimulatedInput | FilesInput | FilesetInput | PublishedInput, Field(discriminator="kind")
]


class FilesetFile(Settings):
    """Value of one file in a coffea fileset, as coffea's preprocessing writes it."""

    object_path: Literal["Events"] = "Events"
    num_entries: NonNegativeInt | None = None
    steps: list[tuple[NonNegativeInt, NonNegativeInt]] | None = None
    uuid: str | None = None


class FilesetMetadata(Settings):
    """Metadata of one dataset in a fileset; process and variation may stand in its name."""

    process: str | None = None
    variation: str | None = None
    xsec_pb: PositiveFloat | None = None
    n_events: NonNegativeInt | None = None


class FilesetEntry(Settings):
    """One dataset in a fileset: files as in coffea, path to tree name, or to a description."""

    files: dict[str, Literal["Events"] | FilesetFile] = Field(min_length=1)
    metadata: FilesetMetadata = FilesetMetadata()
    format: str | None = None
    form: str | None = None


def listed(
    source: FilesInput, analysis: Analysis, cross_sections: dict[str, float]
) -> tuple[Dataset, ...]:
    """The datasets of a file list in the configuration.

    Raises:
        ConfigurationError: for an unknown mirror or dataset, or a file that is listed twice.
    """
    for name in source.mirror_order:
        if name not in source.mirrors:
            raise ConfigurationError(
                f"unknown mirror {name!r}",
                place="input.mirror_order",
                remedy=f"choose among {', '.join(source.mirrors)}, or add it to `input.mirrors`",
            )
    prefixes = [_through_cache(source.mirrors[name], source.xcache) for name in source.mirror_order]
    datasets = []
    for name, files in source.datasets.items():
        process, variation = _identity(name, analysis, place="input.datasets")
        datasets.append(
            Dataset(
                process=process,
                variation=variation,
                xsec_pb=cross_sections[process],
                files=tuple(
                    InputFile(urls=tuple(_join(prefix, path) for prefix in prefixes), n_events=n)
                    for path, n in files.entries()
                ),
            )
        )
    return _checked(datasets, place="input.datasets")


def from_fileset(
    path: Path, analysis: Analysis, cross_sections: dict[str, float]
) -> tuple[Dataset, ...]:
    """The datasets of a JSON file in coffea's fileset shape.

    Raises:
        InputError: if the file is missing or not JSON.
        ConfigurationError: if its content is not a fileset, a dataset is unknown, a file is
            listed twice, or the counts of the files do not add up to the dataset's.
    """
    adapter = TypeAdapter(dict[str, FilesetEntry])
    try:
        entries = adapter.validate_python(read_json(path))
    except ValidationError as error:
        raise explain(error, FilesetEntry, place=str(path)) from error
    datasets = []
    for name, entry in entries.items():
        metadata = entry.metadata
        process, variation = _identity(
            name
            if metadata.process is None
            else analysis.dataset_name(metadata.process, metadata.variation or NOMINAL),
            analysis,
            place=str(path),
        )
        files = tuple(
            InputFile(
                urls=(_relative_to(path.parent, url),),
                n_events=value.num_entries if isinstance(value, FilesetFile) else None,
            )
            for url, value in entry.files.items()
        )
        if len(files) == 1 and files[0].n_events is None and metadata.n_events is not None:
            files = (files[0].model_copy(update={"n_events": metadata.n_events}),)
        counts = [file.n_events for file in files]
        total = sum(n for n in counts if n is not None)
        if metadata.n_events is not None and None not in counts and total != metadata.n_events:
            raise ConfigurationError(
                f"dataset {name} states n_events {metadata.n_events}, its files add up to {total}",
                place=str(path),
                remedy="correct `metadata.n_events` or the `num_entries` of its files",
            )
        datasets.append(
            Dataset(
                process=process,
                variation=variation,
                xsec_pb=metadata.xsec_pb or cross_sections[process],
                files=files,
            )
        )
    return _checked(datasets, place=str(path))


def as_fileset(datasets: tuple[Dataset, ...]) -> dict[str, object]:
    """The datasets in coffea's fileset shape, to be written as JSON."""
    return {
        dataset.name: {
            "files": {
                file.source: {"object_path": TREE, "num_entries": file.n_events}
                for file in dataset.files
            },
            "metadata": {
                "process": dataset.process,
                "variation": dataset.variation,
                "xsec_pb": dataset.xsec_pb,
            },
        }
        for dataset in datasets
    }


def take(datasets: tuple[Dataset, ...], n_files_max: int) -> tuple[Dataset, ...]:
    """The first ``n_files_max`` files of each dataset; -1 is all."""
    if n_files_max == -1:
        return datasets
    return tuple(
        dataset.model_copy(update={"files": dataset.files[:n_files_max]}) for dataset in datasets
    )


def batches(dataset: Dataset, files_per_job: int) -> dict[str, tuple[InputFile, ...]]:
    """The files of each job, by the job's number as four digits or more.

    Files keep their batch when others are added behind them.
    """
    return {
        f"{start // files_per_job:04d}": dataset.files[start : start + files_per_job]
        for start in range(0, len(dataset.files), files_per_job)
    }


def _identity(name: str, analysis: Analysis, *, place: str) -> tuple[str, str]:
    for process, variation in analysis.datasets:
        if analysis.dataset_name(process, variation) == name:
            return process, variation
    known = ", ".join(analysis.dataset_name(*dataset) for dataset in analysis.datasets)
    raise ConfigurationError(
        f"unknown dataset {name!r}", place=place, remedy=f"the datasets are {known}"
    )


def _checked(datasets: list[Dataset], *, place: str) -> tuple[Dataset, ...]:
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


def _through_cache(prefix: str, cache: str | None) -> str:
    return cache + prefix if cache is not None and "://" in prefix else prefix


def _join(prefix: str, path: str) -> str:
    return f"{prefix.rstrip('/')}/{path}"


def _relative_to(folder: Path, url: str) -> str:
    return url if "://" in url or Path(url).is_absolute() else str(folder / url)
