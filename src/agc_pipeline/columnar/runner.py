"""Runs the processing over delivered files on an executor, and accounts for every event."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agc_pipeline.columnar.exactness import check_scale, power_of_two
from agc_pipeline.columnar.executors import Executor, InThisProcess
from agc_pipeline.columnar.filling import Sums
from agc_pipeline.columnar.ledger import LedgerEntry, account
from agc_pipeline.columnar.performance import Performance, performance
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.columnar.tasks import (
    CoffeaTask,
    ColumnsTask,
    Header,
    MetadataTask,
    Network,
    columns_reader,
)
from agc_pipeline.columnar.traces import TASKS
from agc_pipeline.declaration import Dataset
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.progress import Progress
from agc_pipeline.errors import InputError
from agc_pipeline.readers import metadata
from agc_pipeline.readers.chunks import Chunk, chunks
from agc_pipeline.readers.clock import Seconds, Stopwatch
from agc_pipeline.readers.metadata import FileMetadata
from agc_pipeline.readers.settings import NETWORK, Format, NetworkSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Specification:
    """What is done with the files of a batch.

    Attributes:
        processing: what is filled.
        reader: "auto" reads single baskets or ranges of events; "coffea" always makes NanoEvents.
        chunk_size: most events to process at a time.
        chunk_bytes: most bytes of columns in memory to process at a time.
        cache: folder with the metadata of files; None has none.
        kind: format of the files; None is that of the inputs, ROOT.
        network: how files on servers are read.
        traced: keep the record of each task.
    """

    processing: Processing
    reader: Literal["auto", "coffea"]
    chunk_size: int
    chunk_bytes: int
    cache: Path | None
    kind: Format | None = None
    network: NetworkSettings = NETWORK
    traced: bool = False

    @property
    def _coffea(self) -> bool:
        records = self.processing.analysis.events == "records"
        return records or self.reader == "coffea" or self.kind == "parquet"

    def task(self, network: Network) -> CoffeaTask | ColumnsTask:
        """What an executor runs."""
        if self._coffea:
            return CoffeaTask(self.processing, self.kind, network)
        return ColumnsTask(self.processing, network)

    def reader_of(self, file: FileMetadata) -> str:
        """What reads a file, as the ledger of performance names it."""
        if self._coffea:
            return "coffea"
        return columns_reader(file)


class Result(NamedTuple):
    """Histograms and accounts of a batch.

    Attributes:
        output: of the processing, summed.
        ledger: account of each file.
        performance: reader ("baskets", "pages", "uproot" or "coffea") to its cost.
        tasks: records of all tasks, if they are kept; see ``traces``.
    """

    output: dict[str, Any]
    ledger: list[LedgerEntry]
    performance: dict[str, Performance]
    tasks: list[dict[str, Any]]


def run(
    files: Sequence[Delivered],
    specification: Specification,
    executor: Executor,
    *,
    allow_partial: bool,
) -> Result:
    """Process delivered files.

    Args:
        files: entries of a manifest.
        specification: what is done with them.
        executor: this process, or one of coffea's.
        allow_partial: leave out files that cannot be read, instead of raising.

    Raises:
        InputError: naming the file that could not be read.
    """
    cache: dict[str, Header] = {}
    failures: dict[str, str] = {}
    network = Network(
        specification.network,
        {file.path: file.mirrors for file in files if file.path is not None and file.mirrors},
        specification.traced,
    )
    while True:
        readable = {
            file.path: file for file in files if file.path is not None and file.path not in failures
        }
        try:
            _read_metadata(list(readable), specification, network, executor, cache)
            output, costs = _process(readable, specification, network, executor, cache)
        except InputError as error:
            # Another place than one of the files would come again and again.
            if not allow_partial or error.place not in readable:
                raise
            failures[error.place] = str(error)
        else:
            break
    processed = output.pop("processed")
    check_scales(output["histograms"], specification.processing)
    ledger = [
        account(file, processed.get(file.path, 0), failures.get(file.path or "")) for file in files
    ]
    headers = [header.task for header in cache.values() if header.task is not None]
    return Result(output, ledger, costs, headers + output.pop(TASKS, []))


def _process(
    files: Mapping[str, Delivered],
    specification: Specification,
    network: Network,
    executor: Executor,
    cache: Mapping[str, Header],
) -> tuple[dict[str, Any], dict[str, Performance]]:
    by_reader: dict[str, list[FileMetadata]] = {}
    opening: dict[str, Seconds] = {}
    for path, delivered in files.items():
        file, seconds, _ = cache[path]
        _check_events(file, delivered.after)
        reader = specification.reader_of(file)
        by_reader.setdefault(reader, []).append(file)
        opening[reader] = opening.get(reader, Seconds()) + seconds
    clock = Stopwatch()
    items = [
        chunk
        for opened in by_reader.values()
        for file in opened
        for chunk in chunks(
            file, chunk_size=specification.chunk_size, chunk_bytes=specification.chunk_bytes
        )
    ]
    if not items:
        return {**specification.processing.empty(), "processed": {}}, {}
    task: Callable[[Chunk], Any] = specification.task(network)
    if isinstance(executor, InThisProcess):
        task = _followed(task, items)
    output, _ = executor(items, task, None)
    costs = {
        reader: performance(cost, files=len(by_reader[reader]))
        for reader, cost in output.pop("performance").items()
    }
    merging = clock.lap()
    if isinstance(executor, InThisProcess):
        # Its chunks ran in this process.
        spent = sum((cost.total for cost in costs.values()), Seconds())
        merging = merging.without(spent)
    else:
        # While others work, this process waits.
        merging = Seconds(cpu=merging.cpu, wall=merging.cpu)
    n_events = sum(cost.events for cost in costs.values())
    for reader, cost in costs.items():
        log.info("%d files, %d events, read as %s", cost.files, cost.events, reader)
        share = merging.scaled(cost.events / n_events)
        costs[reader] = cost + Performance(seconds={"open": opening[reader], "merge": share})
    return output, costs


def unit_of(dataset: Dataset, files: Sequence[Delivered]) -> float:
    """Unit of the weights of a dataset's events, a power of two.

    Args:
        dataset: that the events are of.
        files: the first that were delivered of it, whatever files are to be processed: then the
            unit is the same for all of them.

    Returns:
        The one near the declared weight; else near the largest mean weight of the files with
        generator weights, which nearly cancel in some; 1 without any.
    """
    if dataset.unit is not None:
        return power_of_two(dataset.unit)
    means = [f.sum_of_weights / f.generated for f in files if f.sum_of_weights and f.generated]
    return power_of_two(max(means, key=abs)) if means else 1.0


def check_scales(contents: Mapping[str, Mapping[str, Sums]], processing: Processing) -> None:
    """Refuse weights that the unit of the dataset does not suit.

    Args:
        contents: sums by process and region.
        processing: that filled them.

    Raises:
        InputError: if there are some.
    """
    variations = [v.name for v in processing.variations]
    for process, regions in contents.items():
        for region, sums in regions.items():
            try:
                check_scale(**sums.scale, unit=processing.unit, variations=variations)
            except InputError as error:
                place = f"dataset {processing.dataset.name}, process {process}, region {region}"
                raise InputError(
                    error.problem, place=f"{place}: {error.place}", remedy=error.remedy
                ) from error


def _read_metadata(
    paths: Sequence[str],
    specification: Specification,
    network: Network,
    executor: Executor,
    cache: dict[str, Header],
) -> None:
    """Get the metadata of each file and what that costs, unless they are in the cache.

    Raises:
        InputError: naming a file that could not be read, after all others were.
    """
    columns = specification.processing.columns
    layout = specification.processing.analysis.layout
    names = layout.branches(columns)
    watch = Stopwatch()
    missing = []
    for path in paths:
        if path in cache:
            continue
        if specification.kind == "parquet":
            content = network.attempted(
                path, lambda url: metadata.of_parquet(url, columns, layout, network.settings)
            ).result
            cache[path] = Header(content.model_copy(update={"path": path}), watch.lap())
        elif known := metadata.cached(path, layout.tree, names, specification.cache):
            cache[path] = Header(known, watch.lap())
        else:
            missing.append(path)
    if not missing:
        return
    # Headers of many files take as long as their events: no work for one process alone.
    headers, _ = executor(missing, MetadataTask(columns, layout, network), None)
    for path in missing:
        if not isinstance(headers[path], InputError):
            cache[path] = headers[path]
            metadata.keep(cache[path].metadata, specification.cache)
    for path in missing:
        if path not in cache:
            raise headers[path]


def _followed(task: Callable[[Chunk], Any], items: Sequence[Chunk]) -> Callable[[Chunk], Any]:
    """The task for each of the chunks, with a line in the log now and then.

    Args:
        task: for one chunk.
        items: all that it will be done for, in this process.
    """
    sizes = [chunk.edges[-1] - chunk.edges[0] for chunk in items]
    progress = Progress(len({chunk.path for chunk in items}), sum(sizes))
    left = Counter(chunk.path for chunk in items)

    def followed(chunk: Chunk) -> Any:
        output = task(chunk)
        left[chunk.path] -= 1
        progress.advance(chunk.edges[-1] - chunk.edges[0], 0)
        if not left[chunk.path]:
            progress.finish()
        return output

    return followed


def _check_events(file: FileMetadata, n_events: int) -> None:
    if file.n_events != n_events:
        raise InputError(
            f"the file has {file.n_events} events, {n_events} were delivered",
            place=file.path,
            remedy="delete its manifest and run again",
        )
