"""The backends of delivery, behind one function: from input files to a manifest's entries."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.mirrors import from_mirrors
from agc_pipeline.delivery.outcome import Outcome, Results, entry, promised
from agc_pipeline.delivery.preselected import SkimContent, compare_counters, open_input
from agc_pipeline.delivery.progress import Progress
from agc_pipeline.delivery.skim import write_skim
from agc_pipeline.delivery.store import Store, with_digest
from agc_pipeline.errors import InputError
from agc_pipeline.provenance import digest, file_digest
from agc_pipeline.readers.opening import (
    READ_ERRORS,
    check_entries,
    check_uuid,
    count_events,
    identity,
    unreadable,
)
from agc_pipeline.readers.settings import ReadingSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """What all backends are given.

    Attributes:
        content: of the skims.
        query: for a service; None without one.
        job: backend and format.
        reading: chunks and patience.
        store: of the skims; None without skims.
        progress: to be told of everything that is done.
        weighing: digest of what decides the sum of generator weights of a file; None without one.
    """

    content: SkimContent
    query: Query | None
    job: DeliveryJob
    reading: ReadingSettings
    store: Store | None
    progress: Progress
    weighing: str | None


def deliver(
    files: Sequence[InputFile],
    content: SkimContent,
    query: Query | None,
    job: DeliveryJob,
    *,
    reading: ReadingSettings,
    store: Store | None,
) -> Outcome:
    """Deliver the files that are not there yet.

    A file that cannot be delivered does not stop the others. Of a skim that is there, the sum of
    generator weights is read again where the code that reads it has changed.

    Args:
        files: the inputs.
        content: of the skims.
        query: for a service; None without one.
        job: backend and format.
        reading: chunks and patience.
        store: of the skims, with those of earlier runs; None without skims.

    Raises:
        ServiceError: if a service that all files need does not answer.
    """
    delivered = {}
    if store is not None:
        stored = {file: store.find(file) for file in files}
        delivered = {file: entry for file, entry in stored.items() if entry is not None}
    missing = [file for file in files if file not in delivered]
    if delivered:
        log.info("%d of %d files are there from earlier", len(delivered), len(files))
    weighing = _weighing(content)
    unweighed = [
        file
        for file, entry in delivered.items()
        if job.backend == "local" and entry.weighing != weighing
    ]
    counts = [promised(file)[0] for file in missing]
    n_events = None if None in counts else sum(count or 0 for count in counts)
    n_files = len(missing) + len(unweighed)
    task = _Task(content, query, job, reading, store, Progress(n_files, n_events), weighing)
    problems: dict[InputFile, InputError] = {}
    if store is not None and unweighed:
        log.info("%d sums of generator weights are read again", len(unweighed))
        for file, result in _each(unweighed, task, partial(_weigh, delivered)):
            if isinstance(result, InputError):
                log.warning("not delivered: %s", result)
                problems[file] = result
                del delivered[file]
                continue
            delivered[file] = result if result.digest is not None else with_digest(result)
            store.keep(file, delivered[file])
    # A second time only for what a service made before it changed.
    for _ in range(2):
        for file, result in _backend(missing, task) if missing else ():
            if isinstance(result, InputError):
                log.warning("not delivered: %s", result)
                problems[file] = result
                continue
            delivered[file] = result if store is None else with_digest(result)
            if store is not None:
                store.keep(file, delivered[file])
        missing = _outdated(delivered, since=missing)
        if missing:
            log.info("the service changed: %d files of before are asked for again", len(missing))
    return Outcome(files, delivered, problems)


def _outdated(
    delivered: Mapping[InputFile, Delivered], since: Sequence[InputFile]
) -> list[InputFile]:
    """Files that a service made with other versions than those that it made just now."""
    now = {
        entry.transformer.versions
        for file in since
        if file in delivered and (entry := delivered[file]).transformer is not None
    }
    return [
        file
        for file, entry in delivered.items()
        if now and entry.transformer is not None and entry.transformer.versions not in now
    ]


def _backend(files: Sequence[InputFile], task: _Task) -> Results:
    match task.job.backend:
        case "local":
            return _each(files, task, _skim)
        case "none":
            return _each(files, task, _as_is)
        case "servicex":
            return _servicex(files, task)
        case _:
            assert_never(task.job.backend)


def _each(
    files: Sequence[InputFile], task: _Task, read: Callable[[_Task, InputFile, str], Delivered]
) -> Results:
    """File by file, each from the first of its mirrors that gives it."""
    for file in files:
        task.progress.begin()
        try:
            delivered, failures = from_mirrors(
                file, partial(read, task, file), task.reading.network
            )
        except InputError as error:
            yield file, error
        else:
            task.progress.finish()
            yield file, delivered.model_copy(update={"failures": failures})


def _skim(task: _Task, file: InputFile, url: str) -> Delivered:
    """Read the file and write the events and columns that the analysis needs."""
    if task.store is None or task.job.format is None:
        raise TypeError("the backend local needs a store and a format")
    path = task.store.path(file)
    content = task.content
    with open_input(url, content, task.reading.network) as tree:
        check_entries(count_events(tree), promised(file)[0], url=url)
        check_uuid(str(tree.file.uuid), file.uuid, url=url)
        counts = write_skim(
            tree,
            content,
            path,
            url=url,
            kind=task.job.format,
            chunk_size=task.reading.chunk_size,
            advance=task.progress.advance,
        )
        origin, weights = identity(tree), _sum_of_weights(content, tree, url)
    return entry(
        file,
        path=str(path),
        weighing=task.weighing,
        size=path.stat().st_size,
        url=url,
        identity=origin,
        bytes_read=counts.bytes_read,
        before=counts.before,
        after=counts.after,
        cutflow=counts.cutflow,
        sum_of_weights=weights,
    )


def _weigh(
    delivered: Mapping[InputFile, Delivered], task: _Task, file: InputFile, url: str
) -> Delivered:
    """Read the sum of generator weights of a file whose skim is there; skim any other file."""
    with open_input(url, task.content, task.reading.network) as tree:
        if identity(tree).uuid == _uuid(delivered[file]):
            weights = _sum_of_weights(task.content, tree, url)
            sums = {"sum_of_weights": weights, "weighing": task.weighing}
            return delivered[file].model_copy(update=sums)
    return _skim(task, file, url)


def _uuid(entry: Delivered) -> str | None:
    return None if entry.identity is None else entry.identity.uuid


def _weighing(content: SkimContent) -> str | None:
    """Digest of what decides the sum of generator weights of a file; None without one."""
    if content.generated is None:
        return None
    return digest([file_digest(Path(path)) for path in content.weighing])


def _sum_of_weights(content: SkimContent, tree: Any, url: str) -> float | None:
    if content.generated is None:
        return None
    try:
        return float(content.generated(tree.file.root_directory))
    except READ_ERRORS as error:
        raise unreadable(url, error) from error


def _as_is(task: _Task, file: InputFile, url: str) -> Delivered:
    """Check the file, to be read as it is."""
    content = task.content
    with open_input(url, content, task.reading.network) as tree:
        entries = count_events(tree)
        check_entries(entries, promised(file)[0], url=url)
        check_uuid(str(tree.file.uuid), file.uuid, url=url)
        compare_counters(tree, content, url, task.reading.chunk_size)
        origin, weights = identity(tree), _sum_of_weights(content, tree, url)
    task.progress.advance(entries, 0)
    return entry(
        file,
        path=url,
        mirrors=tuple(other for other in file.urls if other != url),
        size=origin.size,
        url=url,
        identity=origin,
        before=entries,
        after=entries,
        sum_of_weights=weights,
    )


def _servicex(files: Sequence[InputFile], task: _Task) -> Results:
    """All files in one request, each mirror in its turn."""
    # The client is an optional dependency, and slow to import.
    from agc_pipeline.delivery.servicex.backend import deliver  # noqa: PLC0415

    if task.query is None or task.job.servicex is None or task.job.format is None:
        raise TypeError("the backend servicex needs its query, its settings and a format")
    if task.store is None:
        raise TypeError("the backend servicex needs a store")
    return deliver(
        files,
        task.query,
        task.job.format,
        task.job.servicex,
        store=task.store,
        progress=task.progress,
        network=task.reading.network,
    )
