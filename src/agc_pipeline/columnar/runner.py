"""Runs processors over delivered files on coffea's executors, and accounts for every event."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from coffea.processor import IterativeExecutor, accumulate
from coffea.processor.executor import ExecutorBase

from agc_pipeline.analyses.base import CompiledProcessor
from agc_pipeline.columnar.facts import FileFacts, keep, parquet_facts, recall
from agc_pipeline.columnar.ledger import LedgerEntry, account
from agc_pipeline.columnar.performance import Performance, Seconds, Stopwatch, performance
from agc_pipeline.columnar.pieces import pieces
from agc_pipeline.columnar.tasks import CoffeaTask, CompiledTask, LearnTask
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.settings import Format
from agc_pipeline.errors import InputError

log = logging.getLogger(__name__)

Fields = Mapping[str, Sequence[str]]
# What is known of a file, and what it cost to find out.
Learned = tuple[FileFacts, Seconds]


@dataclass(frozen=True)
class Work:
    """What is done with the files of a batch.

    Attributes:
        coffea: coffea processor with ``empty()`` for its output without events.
        columns: what it reads; every file must have them.
        compiled: compiled processor that is taken instead; None if there is none.
        chunk_size: most events to process at a time.
        chunk_bytes: most bytes of columns in memory to process at a time.
        kept: folder where what is learned of files is kept; None keeps nothing.
        kind: format of the files; None is that of the inputs, ROOT.
    """

    coffea: Any
    columns: Fields
    compiled: CompiledProcessor | None
    chunk_size: int
    chunk_bytes: int
    kept: Path | None
    kind: Format | None = None

    @property
    def task(self) -> CoffeaTask | CompiledTask:
        """What an executor runs."""
        if self.compiled is None or self.kind == "parquet":
            return CoffeaTask(self.coffea, self.columns, self.kind)
        return CompiledTask(self.compiled, self.columns)

    def way(self, file: FileFacts) -> str:
        """How a file is processed, as the ledger of performance names it."""
        if self.compiled is None or self.kind == "parquet":
            return "coffea"
        return "uproot" if file.branches is None else "baskets"

    @property
    def names(self) -> list[str]:
        """Branches that may be read, without counters; the same for every way."""
        return [
            f"{collection}_{field}" if collection else field
            for collection, fields in self.columns.items()
            for field in fields
        ]


class Done(NamedTuple):
    """What came of a batch.

    Attributes:
        output: of the processor, summed.
        ledger: account of each file.
        performance: way of processing ("baskets", "uproot" or "coffea") to its cost.
    """

    output: dict[str, Any]
    ledger: list[LedgerEntry]
    performance: dict[str, Performance]


def run(
    files: Sequence[Delivered], work: Work, executor: ExecutorBase, *, allow_partial: bool
) -> Done:
    """Process delivered files.

    Args:
        files: entries of a manifest.
        work: what is done with them.
        executor: coffea's.
        allow_partial: leave out files that cannot be read, instead of raising.

    Raises:
        InputError: naming the file that could not be read.
    """
    learned: dict[str, Learned] = {}
    failures: dict[str, str] = {}
    while True:
        chosen = {
            file.path: file.after
            for file in files
            if file.path is not None and file.path not in failures
        }
        try:
            _learn(list(chosen), work, executor, learned)
            output, costs = _process(chosen, work, executor, learned)
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
    return Done(output, ledger, costs)


def _process(
    entries: Mapping[str, int],
    work: Work,
    executor: ExecutorBase,
    learned: Mapping[str, Learned],
) -> tuple[dict[str, Any], dict[str, Performance]]:
    known: dict[str, list[FileFacts]] = {}
    opening: dict[str, Seconds] = {}
    for path, n_events in entries.items():
        file, seconds = learned[path]
        _check_events(file, n_events)
        way = work.way(file)
        known.setdefault(way, []).append(file)
        opening[way] = opening.get(way, Seconds()) + seconds
    clock = Stopwatch()
    items = [
        piece
        for files in known.values()
        for file in files
        for piece in pieces(file, chunk_size=work.chunk_size, chunk_bytes=work.chunk_bytes)
    ]
    if not items:
        return {**work.coffea.empty(), "processed": {}}, {}
    output = _executed(executor, items, work.task)
    costs = {
        way: performance(cost, files=len(known[way]))
        for way, cost in output.pop("performance").items()
    }
    merging = clock.lap()
    if isinstance(executor, IterativeExecutor):
        # Its chunks ran in this process.
        spent = sum((cost.total for cost in costs.values()), Seconds())
        merging = merging.without(spent)
    else:
        # While others work, this process waits.
        merging = Seconds(cpu=merging.cpu, wall=merging.cpu)
    n_events = sum(cost.events for cost in costs.values())
    for way, cost in costs.items():
        log.info("%d files, %d events by way of %s", cost.files, cost.events, way)
        share = merging.scaled(cost.events / n_events)
        costs[way] = cost + Performance(seconds={"open": opening[way], "merge": share})
    return output, costs


def _learn(
    paths: Sequence[str], work: Work, executor: ExecutorBase, learned: dict[str, Learned]
) -> None:
    """Find out what must be known of each file and what that costs, unless it was learned before.

    Raises:
        InputError: naming a file that could not be read, after all others were learned.
    """
    watch = Stopwatch()
    unknown = []
    for path in paths:
        if path in learned:
            continue
        if work.kind == "parquet":
            learned[path] = parquet_facts(path, work.columns), watch.lap()
        elif (known := recall(path, work.names, work.kept)) is not None:
            learned[path] = known, watch.lap()
        else:
            unknown.append(path)
    if not unknown:
        return
    # Headers of many files take as long as their events: no work for one process alone.
    found = _executed(executor, unknown, LearnTask(work.columns, work.names))
    for path in unknown:
        if not isinstance(found[path], InputError):
            learned[path] = found[path]
            keep(learned[path][0], work.kept)
    for path in unknown:
        if path not in learned:
            raise found[path]


def _executed(
    executor: ExecutorBase, items: Sequence[Any], task: Callable[[Any], Any]
) -> dict[str, Any]:
    """The sum of what a task gives for each item."""
    if isinstance(executor, IterativeExecutor):
        # The same without its progress bar, which takes time even where it is not shown.
        output = accumulate(map(task, items))
    else:
        output, _ = executor(items, task, None)
    found: dict[str, Any] = output
    return found


def _check_events(file: FileFacts, n_events: int) -> None:
    if file.n_events != n_events:
        raise InputError(
            f"the file has {file.n_events} events, {n_events} were delivered",
            place=file.path,
            remedy="delete its manifest and run again",
        )
