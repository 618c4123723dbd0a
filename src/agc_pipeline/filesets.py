"""Lists of inputs as JSON in coffea's fileset shape, read and written."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, TypeAdapter, ValidationError

from agc_pipeline import archives
from agc_pipeline.datasets import DatasetFiles, InputFile, checked, declared, normalised
from agc_pipeline.declaration import NOMINAL, Analysis, Dataset, Physics
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.files import parse_json, read_json, read_record
from agc_pipeline.settings import EventCount, Settings, explain, unknown


class FilesetFile(Settings):
    """Value of one file in a coffea fileset, as coffea's preprocessing writes it.

    Attributes:
        object_path: name of the tree.
        num_entries: number of events that the file must have.
        steps: ranges of events to process at a time; they must be all of the file, one behind the
            other, and say how many events there are.
        uuid: that ROOT must have given the file.
        record: ours: the JSON beside a file of which events were dropped before, with ``n_events``
            and the ``n_generated`` that it stands for.
    """

    object_path: str | None = None
    num_entries: EventCount | None = None
    steps: list[tuple[NonNegativeInt, NonNegativeInt]] | None = None
    uuid: str | None = None
    record: str | None = None


class FilesetMetadata(Settings):
    """Metadata of one dataset in a fileset.

    Attributes:
        process: name of the process that it fills, or several; None for data. With the variation,
            it says which dataset an entry of another name is.
        variation: None is the nominal.
        xsec_pb: cross section in place of that of the configuration.
        n_events: number of events of all files.
        subset_of: dataset of this fileset of which the events are a part, file by file: templates
            of the two have common statistical fluctuations.
    """

    process: str | tuple[str, ...] | None = None
    variation: str | None = None
    xsec_pb: PositiveFloat | None = None
    n_events: EventCount | None = None
    subset_of: str | None = None


class FilesetEntry(Settings):
    """One dataset in a fileset.

    Attributes:
        files: as in coffea, path to tree name, or to a description.
        metadata: of all files.
        format: of the files; ROOT only.
        form: types of the columns, which coffea keeps; the files say it, too.
    """

    files: dict[str, str | FilesetFile] = Field(min_length=1)
    metadata: FilesetMetadata = FilesetMetadata()
    format: Literal["root"] | None = None
    form: str | None = None


class _Record(Settings, extra="ignore"):
    """What is read of the JSON beside a simulated file."""

    n_events: EventCount


def read(path: Path, analysis: Analysis, physics: Physics) -> tuple[DatasetFiles, ...]:
    """The datasets of a JSON file in coffea's fileset shape.

    Args:
        path: of the file, which may be compressed.
        analysis: that declares the datasets.
        physics: of the configuration.

    Raises:
        InputError: if the file is missing or not JSON.
        ConfigurationError: if its content is not a fileset, a dataset is unknown, a file is
            listed twice, or the counts of the files do not add up to the dataset's.
    """
    adapter = TypeAdapter(dict[str, FilesetEntry])
    try:
        if path.is_file() and archives.is_packed(path):
            # coffea writes it with gzip.
            content = parse_json(archives.read(path, None), place=str(path))
        else:
            content = read_json(path, remedy="correct `input.path`")
        entries = adapter.validate_python(content)
    except ValidationError as error:
        raise explain(error, FilesetEntry, place=str(path), values=content) from error
    datasets = []
    for name, entry in entries.items():
        dataset = _declared(name, entry.metadata, analysis, place=str(path))
        xsec_pb = entry.metadata.xsec_pb
        if dataset.kind == "data" and xsec_pb is not None:
            raise ConfigurationError(
                f"the collision data {name} have a cross section",
                place=str(path),
                remedy="remove `metadata.xsec_pb`",
            )
        files = _files(name, entry, path, tree=analysis.layout.tree)
        datasets.append(
            normalised(
                dataset,
                physics,
                files,
                xsec_pb,
                entry.metadata.n_events,
                subset_of=entry.metadata.subset_of,
            )
        )
    _check_subsets(datasets, place=str(path))
    return checked(datasets, place=str(path))


def _check_subsets(datasets: Iterable[DatasetFiles], *, place: str) -> None:
    """Check that a dataset can be part of the one that it names.

    Raises:
        ConfigurationError: if it cannot.
    """
    files = {dataset.name: len(dataset.files) for dataset in datasets}
    for dataset in datasets:
        whole = dataset.subset_of
        if whole is not None and (whole == dataset.name or files.get(whole) != len(dataset.files)):
            raise ConfigurationError(
                f"{dataset.name} cannot be a part of {whole}, file by file",
                place=place,
                remedy="correct `metadata.subset_of`: it names another dataset of the fileset with "
                "as many files, or leave it out",
            )


def as_json(
    datasets: Iterable[DatasetFiles], analysis: Analysis, *, folder: Path
) -> dict[str, object]:
    """The datasets in coffea's fileset shape, to be written as JSON.

    Args:
        datasets: of a run.
        analysis: that declares them.
        folder: of the JSON file, which paths are relative to.

    Raises:
        InputError: if the record of a simulated file holds something else.
    """
    return {
        dataset.name: {
            "files": {
                _seen_from(folder, file.source): _description(file, analysis, folder)
                for file in dataset.files
            },
            "metadata": _metadata(dataset, analysis),
        }
        for dataset in datasets
    }


def _description(file: InputFile, analysis: Analysis, folder: Path) -> dict[str, object]:
    n_events = file.n_events
    described: dict[str, object] = {"object_path": analysis.layout.tree}
    if file.record is not None:
        described["record"] = _seen_from(folder, file.record)
        if Path(file.record).exists():
            n_events = read_record(_Record, Path(file.record), "a record of events").n_events
    described["num_entries"] = n_events
    return described if file.uuid is None else {**described, "uuid": file.uuid}


def _metadata(dataset: DatasetFiles, analysis: Analysis) -> dict[str, object]:
    own = analysis.dataset(dataset.name)
    metadata: dict[str, object] = {}
    if own.processes:
        metadata["process"] = own.processes[0] if len(own.processes) == 1 else own.processes
    metadata["variation"] = own.variation
    if dataset.xsec_pb is not None:
        metadata["xsec_pb"] = dataset.xsec_pb
    if dataset.n_events is not None:
        metadata["n_events"] = dataset.n_events
    if dataset.subset_of is not None:
        metadata["subset_of"] = dataset.subset_of
    return metadata


def _declared(name: str, metadata: FilesetMetadata, analysis: Analysis, *, place: str) -> Dataset:
    """The declaration of an entry: by its name, or by the process and variation that it has."""
    process = metadata.process
    processes = (process,) if isinstance(process, str) else process
    if processes is None or any(dataset.name == name for dataset in analysis.datasets):
        dataset = declared(name, analysis, place=place)
        stated = dataset.processes if processes is None else processes
        # An entry with neither has those of its dataset.
        variation = metadata.variation or (dataset.variation if processes is None else NOMINAL)
        if (dataset.processes, dataset.variation) != (stated, variation):
            raise ConfigurationError(
                f"the metadata of {name} name another dataset: {', '.join((*stated, variation))}",
                place=place,
                remedy="correct `metadata.process` and `metadata.variation`, or remove them",
            )
        return dataset
    names = [dataset.name for dataset in analysis.datasets]
    same = [
        dataset
        for dataset in analysis.datasets
        if (dataset.processes, dataset.variation) == (processes, metadata.variation or NOMINAL)
    ]
    if len(same) != 1:
        several = " could be " + " or ".join(dataset.name for dataset in same)
        raise ConfigurationError(
            f"{name}{several}" if same else str(unknown("dataset", [name], names)),
            place=place,
            remedy="name the entry by one of the datasets of the analysis",
        )
    return same[0]


def _files(name: str, entry: FilesetEntry, path: Path, *, tree: str) -> tuple[InputFile, ...]:
    files = []
    for url, value in entry.files.items():
        described = FilesetFile(object_path=value) if isinstance(value, str) else value
        if described.object_path not in (None, tree):
            raise ConfigurationError(
                f"the events of {url} are in {described.object_path!r}, not in {tree!r}",
                place=str(path),
                remedy=f"give {tree!r}, the name of the tree in the declaration of the analysis",
            )
        record = described.record
        file = InputFile(
            urls=(_relative_to(path.parent, url),),
            n_events=_events(url, described, path),
            record=None if record is None else _relative_to(path.parent, record),
            uuid=described.uuid,
        )
        _check_record(file, path)
        files.append(file)
    n_events = entry.metadata.n_events
    if len(files) == 1 and files[0].n_events is None and n_events is not None:
        files = [files[0].model_copy(update={"n_events": n_events})]
    counts = [file.n_events for file in files]
    total = sum(count for count in counts if count is not None)
    if n_events is not None and (total > n_events if None in counts else total != n_events):
        more = " or more" * (None in counts)
        raise ConfigurationError(
            f"dataset {name} states n_events {n_events}, its files add up to {total}{more}",
            place=str(path),
            remedy="correct `metadata.n_events` or the `num_entries` of its files",
        )
    return tuple(files)


def _events(url: str, described: FilesetFile, path: Path) -> int | None:
    """Number of events that the description of a file promises.

    Raises:
        ConfigurationError: if its steps are a part of the events, or more than there are.
    """
    steps, n_events = described.steps, described.num_entries
    if steps is None:
        return n_events
    edges = [0, *(stop for _, stop in steps)]
    one_behind_the_other = [start for start, _ in steps] == edges[:-1] and edges == sorted(edges)
    if not one_behind_the_other or n_events not in (None, edges[-1]):
        ranges = ", ".join(f"{start} to {stop}" for start, stop in steps[:3])
        of_all = "" if n_events is None else f" of {n_events}"
        raise ConfigurationError(
            f"the steps of {url} are not all of its events, one behind the other: {ranges}"
            f"{', ...' * (len(steps) > 3)}{of_all}",
            place=str(path),
            remedy="remove `steps`: whole files are processed, and what they stand for is counted "
            "in whole files",
        )
    return edges[-1]


def _check_record(file: InputFile, fileset: Path) -> None:
    """Check that a record can be read before the first job, and the file that it is of."""
    if file.record is None:
        return
    if "://" in file.record:
        raise ConfigurationError(
            f"the record of {file.source} is on a server: {file.record}",
            place=str(fileset),
            remedy="copy it to this machine, and give its path as `record`",
        )
    for path in (file.record, file.source):
        if "://" not in path and not Path(path).is_file():
            raise InputError(
                "file not found",
                place=path,
                remedy=f"correct its path in {fileset}",
            )


def _relative_to(folder: Path, url: str) -> str:
    return url if "://" in url or Path(url).is_absolute() else str(folder / url)


def _seen_from(folder: Path, url: str) -> str:
    return url if "://" in url or Path(url).is_absolute() else os.path.relpath(url, folder)
