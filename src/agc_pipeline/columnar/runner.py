"""Runs a processor over delivered files with coffea, and accounts for every event."""

from collections.abc import Mapping, Sequence
from hashlib import md5
from typing import Any

from coffea.nanoevents import NanoAODSchema
from coffea.processor import ProcessorABC, Runner
from coffea.processor.executor import ExecutorBase, FileMeta

from agc_pipeline.columnar.ledger import LedgerEntry, account
from agc_pipeline.datasets import TREE
from agc_pipeline.delivery import parquet
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.reading import READ_ERRORS, branch_names, open_tree, unreadable
from agc_pipeline.delivery.settings import Format
from agc_pipeline.errors import InputError

# All files of a run are of one dataset: coffea's own grouping by dataset is not needed.
_BATCH = "batch"


class NanoAOD(NanoAODSchema):
    """coffea's NanoAOD schema, silent about the collections that are not read."""

    warn_missing_crossrefs = False


class Accounting(ProcessorABC):
    """Adds the events processed of each file to what another processor returns.

    A file that cannot be read raises ``InputError`` with its path, from whatever process.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def process(self, events: Any) -> dict[str, Any]:
        """Output of the inner processor, and ``processed``: path to number of events."""
        path = events.metadata["filename"]
        try:
            output: dict[str, Any] = self.inner.process(events)
        except READ_ERRORS as error:
            raise unreadable(path, error) from error
        return {**output, "processed": {path: len(events)}}

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing to do after accumulation."""
        return accumulator


def run(
    files: Sequence[Delivered],
    processor: Any,
    columns: Mapping[str, Sequence[str]],
    executor: ExecutorBase,
    *,
    kind: Format | None,
    chunk_size: int,
    allow_partial: bool,
) -> tuple[dict[str, Any], list[LedgerEntry]]:
    """Process delivered files.

    Args:
        files: entries of a manifest.
        processor: coffea processor with ``empty()`` for its output without events.
        columns: what the processor reads; nothing else of the files is looked at.
        executor: coffea's.
        kind: format of the files; None is that of the inputs, ROOT.
        chunk_size: events to process at a time.
        allow_partial: leave out files that cannot be read, instead of raising.

    Returns:
        The processor's output and the account of each file.

    Raises:
        InputError: naming the file that could not be read.
    """
    failures: dict[str, str] = {}
    while True:
        chosen = {
            file.path: file.after
            for file in files
            if file.path is not None and file.path not in failures
        }
        try:
            output = _process(
                chosen, processor, columns, executor, kind=kind, chunk_size=chunk_size
            )
        except InputError as error:
            # Another place than one of the files would come again and again.
            if not allow_partial or error.place not in chosen:
                raise
            failures[error.place] = str(error)
        else:
            break
    processed = output.pop("processed")
    ledger = [
        account(file, processed.get(file.path, 0), failures.get(file.path or "")) for file in files
    ]
    return output, ledger


def _process(
    entries: Mapping[str, int],
    processor: Any,
    columns: Mapping[str, Sequence[str]],
    executor: ExecutorBase,
    *,
    kind: Format | None,
    chunk_size: int,
) -> dict[str, Any]:
    # Given what it would find out itself, the runner opens no file twice; its own memory of files
    # outlives their content.
    known = {
        FileMeta(_BATCH, path, TREE): _file_facts(path, n, columns, kind)
        for path, n in entries.items()
    }
    filled = [path for path, n in entries.items() if n > 0]
    if not filled:
        return {**processor.empty(), "processed": {}}
    runner = Runner(
        executor=executor,
        schema=NanoAOD,
        chunksize=chunk_size,
        metadata_cache=known,
        format="parquet" if kind == "parquet" else "root",
    )
    try:
        output: dict[str, Any] = runner(
            {_BATCH: {"treename": TREE, "files": filled}},
            processor_instance=Accounting(processor),
            # A Parquet skim has these columns only.
            iteritems_options=None if kind == "parquet" else {"filter_name": branch_names(columns)},
        )
    except Exception as error:
        # coffea wraps what a chunk raises in a bare Exception: find ours inside.
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, InputError):
                raise cause from error
            cause = cause.__cause__
        raise
    return output


def _file_facts(
    path: str, n_events: int, columns: Mapping[str, Sequence[str]], kind: Format | None
) -> dict[str, Any]:
    """Entries and identity of a file that still has the number of events that was delivered."""
    if kind == "parquet":
        found, _ = parquet.inspect(path, columns)
        # Parquet has no UUID; as in coffea, the name stands for the file.
        identity = md5(path.encode(), usedforsecurity=False).digest()
    else:
        with open_tree(path, columns) as tree:
            found, identity = tree.num_entries, tree.file.uuid.bytes
    if found != n_events:
        raise InputError(
            f"the file has {found} events, {n_events} were delivered",
            place=path,
            remedy="delete its manifest and run again",
        )
    return {"numentries": found, "uuid": identity}
