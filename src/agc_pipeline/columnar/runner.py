"""Runs a processor over delivered files with coffea, and accounts for every event."""

from collections.abc import Mapping, Sequence
from typing import Any

from coffea.nanoevents import NanoAODSchema
from coffea.processor import ProcessorABC, Runner
from coffea.processor.executor import ExecutorBase

from agc_pipeline.columnar.ledger import LedgerEntry, account
from agc_pipeline.datasets import TREE
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.reading import READ_ERRORS, branch_names, unreadable
from agc_pipeline.errors import InputError


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
    chunk_size: int,
    allow_partial: bool,
) -> tuple[dict[str, Any], list[LedgerEntry]]:
    """Process delivered files.

    Args:
        files: entries of a manifest.
        processor: coffea processor with ``empty()`` for its output without events.
        columns: what the processor reads; nothing else of the files is looked at.
        executor: coffea's.
        chunk_size: events to process at a time.
        allow_partial: leave out files that cannot be read, instead of raising.

    Returns:
        The processor's output and the account of each file.

    Raises:
        InputError: naming the file that could not be read.
    """
    failures: dict[str, str] = {}
    while True:
        readable = [
            file.path
            for file in files
            if file.path is not None and file.after > 0 and file.path not in failures
        ]
        try:
            output = _process(readable, processor, columns, executor, chunk_size)
        except InputError as error:
            if not allow_partial:
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
    paths: Sequence[str],
    processor: Any,
    columns: Mapping[str, Sequence[str]],
    executor: ExecutorBase,
    chunk_size: int,
) -> dict[str, Any]:
    if not paths:
        return {**processor.empty(), "processed": {}}
    runner = Runner(executor=executor, schema=NanoAOD, chunksize=chunk_size)
    try:
        output: dict[str, Any] = runner(
            {"batch": {"treename": TREE, "files": list(paths)}},
            processor_instance=Accounting(processor),
            iteritems_options={"filter_name": branch_names(columns)},
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
