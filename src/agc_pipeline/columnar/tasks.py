"""What an executor runs for each chunk of a file: the processing, on columns of some reader."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from agc_pipeline import functions
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.columnar.traces import TASKS, Tracer
from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.delivery.mirrors import from_mirrors
from agc_pipeline.errors import InputError
from agc_pipeline.readers import metadata
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.readers.arrays import ArrayColumns
from agc_pipeline.readers.chunks import Chunk
from agc_pipeline.readers.clock import Clock, Seconds, Stopwatch
from agc_pipeline.readers.columns import Columns as ReadColumns
from agc_pipeline.readers.file_header import HEADER_BYTES, check_magic, file_uuid
from agc_pipeline.readers.local import stored_columns
from agc_pipeline.readers.metadata import FileMetadata
from agc_pipeline.readers.opening import READ_ERRORS, open_tree, unreadable
from agc_pipeline.readers.ranges import RangeColumns, Timed, stored_bytes
from agc_pipeline.readers.remote import RemoteSource
from agc_pipeline.readers.root_format import speed_up_uproot
from agc_pipeline.readers.settings import NETWORK, Format, NetworkSettings
from agc_pipeline.readers.tuning import keep_freed_memory, without_garbage_collection

Result = TypeVar("Result")


@dataclass(frozen=True)
class Network:
    """How files on servers are read: with patience, and from their mirrors if need be.

    Attributes:
        settings: of the network.
        mirrors: address of a file to its other addresses.
        traced: keep the record of each task.
    """

    settings: NetworkSettings = NETWORK
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    traced: bool = False

    def attempted(self, path: str, attempt: Callable[[str], Result]) -> "Attempted[Result]":
        """What an attempt gives for a path, or for the first address that gives the file.

        Raises:
            InputError: if none does.
        """
        if not is_remote(path):
            return Attempted(attempt(path), path, 0, Seconds())
        file = InputFile(urls=(path, *self.mirrors.get(path, ())))
        watch = Stopwatch()

        def timed(url: str) -> tuple[Result, str, Seconds]:
            # Until this attempt began; of the last one it is what all others took.
            before = watch.total()
            return attempt(url), url, before

        (result, url, before), failures = from_mirrors(file, timed, self.settings)
        failed = sum(failure.attempts for failure in failures)
        return Attempted(result, url, failed, before if failed else Seconds())

    def processed(self, chunk: Chunk, process: Callable[[Chunk], dict[str, Any]]) -> dict[str, Any]:
        """What processing gives for a chunk, with the events that were ``processed``."""
        tracer = Tracer()
        done = self.attempted(chunk.path, lambda url: process(chunk._replace(path=url)))
        output = {**done.result, "processed": {chunk.path: chunk.stop - chunk.start}}
        if not self.traced:
            return output
        task = tracer.task(
            "events",
            chunk.path,
            done.url,
            failed_attempts=done.failed,
            failed=done.seconds,
            output=output,
        )
        return {**output, TASKS: [task]}


class Attempted(NamedTuple, Generic[Result]):
    """What an attempt gave, from which address, how many failed before, and how long that took."""

    result: Result
    url: str
    failed: int
    seconds: Seconds


class Header(NamedTuple):
    """Metadata of a file, what they cost, and the record of the task; None if it is not kept."""

    metadata: FileMetadata
    seconds: Seconds
    task: dict[str, Any] | None = None


class MetadataTask:
    """Reads the metadata of a file."""

    def __init__(self, columns: Columns, layout: Layout, network: Network) -> None:
        self._columns = columns
        self._layout = layout
        self._network = network

    def __call__(self, path: str) -> dict[str, Header | InputError]:
        """By path, the metadata and what they cost, or why the file cannot be read."""
        keep_freed_memory()
        speed_up_uproot()
        watch, tracer = Stopwatch(), Tracer()
        try:
            done = self._network.attempted(path, self._read)
        except InputError as error:
            # Not raised: the metadata of other files would be lost.
            return {path: error}
        task = None
        if self._network.traced:
            task = tracer.task(
                "header", path, done.url, failed_attempts=done.failed, failed=done.seconds
            )
        return {path: Header(done.result.model_copy(update={"path": path}), watch.lap(), task)}

    def _read(self, url: str) -> FileMetadata:
        with without_garbage_collection():
            return metadata.read(url, self._columns, self._layout, self._network.settings)


class ColumnsTask:
    """Processes chunks of TTrees and RNTuples whose columns are read as they are needed.

    A file that cannot be read raises ``InputError`` with its path, from whatever process.
    """

    def __init__(self, processing: Processing, network: Network) -> None:
        self._processing = processing
        self._network = network

    def __call__(self, chunk: Chunk) -> dict[str, Any]:
        """The processing's output, events ``processed`` of the file, and what it cost."""
        keep_freed_memory()
        speed_up_uproot()
        return self._network.processed(chunk, self._process)

    def _process(self, chunk: Chunk) -> dict[str, Any]:
        clock = Clock()
        try:
            with (
                without_garbage_collection(),
                self._opened(chunk, clock) as columns,
                functions.told_by_line(READ_ERRORS),
            ):
                output = self._processing.process(columns)
        except READ_ERRORS as error:
            if not functions.is_of_reader(error):
                raise
            raise unreadable(chunk.path, error, (chunk.start, chunk.stop)) from error
        return _accounted(output, chunk, clock, columns_reader(chunk))

    @contextmanager
    def _opened(self, chunk: Chunk, clock: Clock) -> Iterator[ReadColumns]:
        layout = self._processing.analysis.layout
        content = self._content(chunk, clock)
        stored = stored_columns(chunk, layout, clock, content=content)
        if stored is not None:
            with stored as columns:
                yield columns
            return
        with clock.part("open"):
            tree = open_tree(chunk.path, self._processing.columns, layout, self._network.settings)
        with tree:
            _check_identity(tree.file.uuid.hex, chunk)
            yield RangeColumns(tree, layout, chunk.edges, clock)

    def _content(self, chunk: Chunk, clock: Clock) -> Mapping[int, memoryview] | None:
        """The ranges of a file on a server, in one go; None for other files, or if not known."""
        ranges = chunk.ranges
        if not is_remote(chunk.path) or not ranges:
            return None
        with clock.part("open"):
            source = RemoteSource(chunk.path, network=self._network.settings)
        with source, clock.part("read"):
            header = (0, min(HEADER_BYTES, source.num_bytes))
            blocks = source.fetch([header, *ranges])
            clock.bytes += source.received
        beginning = bytes(blocks.pop(header))
        check_magic(beginning)
        _check_identity(file_uuid(beginning), chunk)
        return {start: data for (start, _), data in blocks.items()}


class CoffeaTask:
    """Processes chunks as coffea's NanoEvents, whose columns are read when they are asked for."""

    def __init__(self, processing: Processing, kind: Format | None, network: Network) -> None:
        self._processing = processing
        self._network = network
        self._layout = processing.analysis.layout
        self._kind = kind
        # Columns need no vectors: branches as they are.
        self._flat = processing.analysis.events == "columns"

    def __call__(self, chunk: Chunk) -> dict[str, Any]:
        """The processing's output, events ``processed`` of the file, and what it cost."""
        speed_up_uproot()
        return self._network.processed(chunk, self._process)

    def _process(self, chunk: Chunk) -> dict[str, Any]:
        clock = Clock()
        try:
            if self._kind == "parquet":
                output = self._parquet(chunk, clock)
            else:
                output = self._root(chunk, clock)
        except READ_ERRORS as error:
            if not functions.is_of_reader(error):
                raise
            raise unreadable(chunk.path, error, (chunk.start, chunk.stop)) from error
        return _accounted(output, chunk, clock, "coffea")

    # coffea and Parquet take longer to import than a small file to read. Most jobs need neither.
    def _root(self, chunk: Chunk, clock: Clock) -> dict[str, Any]:
        from agc_pipeline.readers.nano_events import of_root  # noqa: PLC0415

        accesses: list[Any] = []
        columns, entries = self._processing.columns, (chunk.start, chunk.stop)
        with clock.part("open"), without_garbage_collection():
            tree = open_tree(chunk.path, columns, self._layout, self._network.settings)
        with tree:
            _check_identity(tree.file.uuid.hex, chunk)
            with clock.part("open"), without_garbage_collection():
                events = of_root(
                    tree,
                    columns,
                    self._layout,
                    entries,
                    flat=self._flat,
                    metadata={"filename": chunk.path, "dataset": self._processing.dataset.name},
                    access_log=accesses,
                    decompression_executor=Timed(clock, "decompress"),
                    interpretation_executor=Timed(clock, "read"),
                )
            before = tree.file.source.num_requested_bytes
            output = self._processed(events, chunk, clock)
            branches = {access.branch for access in accesses}
            clock.bytes += stored_bytes(tree, branches, *entries) or (
                tree.file.source.num_requested_bytes - before
            )
        return output

    def _parquet(self, chunk: Chunk, clock: Clock) -> dict[str, Any]:
        from agc_pipeline.readers import parquet  # noqa: PLC0415
        from agc_pipeline.readers.nano_events import of_parquet  # noqa: PLC0415

        columns = self._processing.columns
        with ExitStack() as files:
            with clock.part("open"):
                file = files.enter_context(
                    parquet.opened(chunk.path, columns, self._layout, self._network.settings)
                )
                events = of_parquet(
                    file,
                    columns,
                    self._layout,
                    (chunk.start, chunk.stop),
                    flat=self._flat,
                    metadata={"filename": chunk.path, "dataset": self._processing.dataset.name},
                )
            return self._processed(events, chunk, clock)

    def _processed(self, events: Any, chunk: Chunk, clock: Clock) -> dict[str, Any]:
        with functions.told_by_line(READ_ERRORS):
            if self._flat:
                columns = ArrayColumns(events, self._layout, clock, first=chunk.start)
                return self._processing.process(columns)
            return self._processing.process_records(events, clock)


def columns_reader(file: Chunk | FileMetadata) -> str:
    """What reads columns as they are needed, as the ledger of performance names it."""
    if file.branches is not None:
        return "baskets"
    return "uproot" if file.fields is None else "pages"


def _check_identity(uuid: str | None, chunk: Chunk) -> None:
    """Check that it is the file whose metadata were read.

    Raises:
        InputError: if it is another one.
    """
    if uuid != chunk.uuid:
        raise InputError(
            "another file than the one that was looked at before: its UUID is "
            f"{uuid and UUID(uuid)}, not {UUID(chunk.uuid)}",
            place=chunk.path,
            remedy="use another mirror: list mirrors of the same file only; or deliver it again "
            "once the file no longer changes",
        )


def _accounted(output: dict[str, Any], chunk: Chunk, clock: Clock, reader: str) -> dict[str, Any]:
    n_events = chunk.stop - chunk.start
    return {
        **output,
        "performance": clock.report(reader, n_events),
    }
