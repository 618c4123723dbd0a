"""Lists of inputs as JSON in coffea's fileset shape, read and written."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, TypeAdapter, ValidationError

from agc_pipeline.datasets import TREE, Dataset, InputFile, checked, identity
from agc_pipeline.declaration import NOMINAL, Analysis
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import read_json
from agc_pipeline.settings import Settings, explain


class FilesetFile(Settings):
    """Value of one file in a coffea fileset, as coffea's preprocessing writes it.

    ``record`` is ours: the JSON beside a file of which events were dropped before, with
    ``n_events`` and the ``n_generated`` that it stands for.
    """

    object_path: Literal["Events"] = "Events"
    num_entries: NonNegativeInt | None = None
    steps: list[tuple[NonNegativeInt, NonNegativeInt]] | None = None
    uuid: str | None = None
    record: str | None = None


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


def read(path: Path, analysis: Analysis, cross_sections: dict[str, float]) -> tuple[Dataset, ...]:
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
        process, variation = identity(
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
                record=_relative_to(path.parent, value.record)
                if isinstance(value, FilesetFile) and value.record is not None
                else None,
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
    return checked(datasets, place=str(path))


def as_json(datasets: tuple[Dataset, ...]) -> dict[str, object]:
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


def _relative_to(folder: Path, url: str) -> str:
    return url if "://" in url or Path(url).is_absolute() else str(folder / url)
