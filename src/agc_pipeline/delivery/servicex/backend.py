"""The backend servicex: from input files to a manifest's entries, in few requests."""

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import PositiveInt

from agc_pipeline.datasets import InputFile
from agc_pipeline.declaration import ALL_EVENTS
from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery import outcome
from agc_pipeline.delivery.choice import ServiceXJob
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.outcome import Results, promised
from agc_pipeline.delivery.progress import Progress
from agc_pipeline.delivery.servicex.configuration import Endpoint, required
from agc_pipeline.delivery.servicex.transform import (
    IncompleteDeliveryError,
    TransformedFile,
    give_up,
    transform,
)
from agc_pipeline.delivery.store import Store
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.files import atomic_path, read_record, write_json
from agc_pipeline.provenance import digest
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.readers.failures import Failure, Undelivered
from agc_pipeline.readers.opening import check_entries, count_events, open_tree
from agc_pipeline.readers.settings import Format, NetworkSettings
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)

# In the folder of a request's client.
_LATE = "late.json"

# For a header that is good to have, where the server may be out of reach.
_HEADER_SECONDS = 5.0


def deliver(
    files: Sequence[InputFile],
    query: Query,
    kind: Format,
    job: ServiceXJob,
    *,
    store: Store,
    progress: Progress,
    network: NetworkSettings,
) -> Results:
    """Request all files from their first mirror, and what is missing from the next ones.

    Args:
        files: the inputs.
        query: what to select.
        kind: format of the skims.
        job: the service, transport, time-out and attempts.
        store: of the skims.
        progress: updated for each file.
        network: how to read from servers.

    Raises:
        ConfigurationError: if the client's configuration changed since the run was planned.
        PipelineError: if the service does not answer or refuses.
    """
    endpoint = required(job.endpoint)
    if endpoint.url != job.url:
        raise ConfigurationError(
            f"the client is configured for {endpoint.url}, but the run was planned for {job.url}",
            place=endpoint.file,
            remedy="run again: the jobs are planned anew",
        )
    pending = list(files)
    failures: dict[InputFile, tuple[Failure, ...]] = dict.fromkeys(files, ())
    for mirror in range(max(len(file.urls) for file in files)):
        by_url = {file.urls[mirror]: file for file in pending if mirror < len(file.urls)}
        if not by_url:
            return
        request = _Request.of(store.folder / ".servicex", by_url, job.late_runs, endpoint)
        limits = {url: promised(file)[0] for url, file in by_url.items()}
        received = partial(_count, by_url, progress)
        transformed = partial(
            transform, query=query, kind=kind, settings=job, received=received, limits=limits
        )
        delivered, missing, remedy, late = request.run(partial(transformed, network=network))
        counter = _Counter(query, network)
        wrong: dict[str, str] = {}
        # Others were kept when the request was late before.
        for skim in (skim for skim in delivered if skim.source in by_url):
            file = by_url[skim.source]
            before = counter.count(skim) if skim.before is None else skim.before
            try:
                if before is not None:
                    check_entries(before, promised(file)[0], url=skim.source)
            except InputError as error:
                wrong[skim.source] = error.problem
                remedy = error.remedy
                continue
            pending.remove(file)
            yield file, _stored(skim, file, store, failures[file], before, late=late)
        if not late:
            shutil.rmtree(request.folder)
        for url, problem in {**missing, **wrong}.items():
            if url not in by_url:
                continue
            file = by_url[url]
            attempts = 1 if url in wrong else job.attempts
            failures[file] += (Failure(url=url, events=None, error=problem, attempts=attempts),)
            # A file that is being made is not asked for elsewhere.
            if late or mirror + 1 >= len(file.urls):
                pending.remove(file)
                yield file, _undelivered(file, failures[file], remedy)


def _count(by_url: Mapping[str, InputFile], progress: Progress, skim: TransformedFile) -> None:
    if skim.source in by_url:
        progress.finish(promised(by_url[skim.source])[0] or 0, skim.size)


class _LateRecord(Settings):
    """What is written of a late request."""

    urls: tuple[str, ...]
    runs: PositiveInt


class _Request(NamedTuple):
    """A request, perhaps of an earlier run.

    Attributes:
        folder: of the client.
        urls: its inputs.
        runs: in which it was not finished in time.
    """

    folder: Path
    urls: tuple[str, ...]
    runs: int

    @classmethod
    def of(cls, folder: Path, urls: Iterable[str], most: int, endpoint: Endpoint) -> "_Request":
        """The late request that is making some files, or a new one.

        Args:
            folder: of all requests.
            urls: of the files.
            most: runs in which a request may be late; then it is given up, and cancelled at the
                service, unless it has ended there.
            endpoint: the service.

        Raises:
            PipelineError: if a request is to be cancelled, and the service does not answer.
        """
        wanted = sorted(urls)
        for path in sorted(folder.glob(f"*/{_LATE}")):
            record = read_record(_LateRecord, path, "the record of a late request")
            if not set(wanted) <= set(record.urls):
                continue
            if record.runs < most or not give_up(endpoint, path.parent):
                return cls(path.parent, record.urls, record.runs)
            log.warning("a ServiceX request was late in %d runs and is given up", record.runs)
            shutil.rmtree(path.parent)
        # The same files have the same folder: the request of a killed job is resumed.
        return cls(folder / digest(wanted)[:12], tuple(wanted), 0)

    def run(
        self, call: Callable[..., Sequence[TransformedFile]]
    ) -> tuple[Sequence[TransformedFile], Mapping[str, str], str, bool]:
        """Delivered files, the reason for each missing one, the remedy, and whether it is late."""
        try:
            return call(self.urls, cache=self.folder), {}, "", False
        except IncompleteDeliveryError as error:
            if error.late:
                record = {"urls": error.late, "runs": self.runs + 1}
                write_json(self.folder / _LATE, record)
                if not error.delivered:
                    raise
            return error.delivered, error.missing, error.remedy, bool(error.late)


class _Counter:
    """Counts the events of inputs in their headers, where these can be reached from here."""

    def __init__(self, query: Query, network: NetworkSettings) -> None:
        self._query = query
        self._network = network.model_copy(
            update={"request_timeout": min(network.request_timeout, _HEADER_SECONDS)}
        )
        self._away: set[str] = set()

    def count(self, skim: TransformedFile) -> int | None:
        """Events of the input of a skim; None if its server is out of reach."""
        host = urlsplit(skim.source).netloc
        if host in self._away or not is_remote(skim.source):
            return None
        columns = {"": ()}
        try:
            with open_tree(skim.source, columns, self._query.layout, self._network) as tree:
                return count_events(tree)
        except InputError as error:
            log.info("events of %s are not counted: %s", skim.source, error.problem)
            self._away.add(host)
            return None


def _stored(
    skim: TransformedFile,
    file: InputFile,
    store: Store,
    failures: tuple[Failure, ...],
    before: int | None,
    *,
    late: bool,
) -> Delivered:
    """The entry of a file, which is moved, or copied, from the client's cache to the skims."""
    location = skim.location
    if "://" not in location:
        with atomic_path(store.path(file)) as temporary:
            # The client fetches anew what it does not find when it resumes a request.
            if late:
                shutil.copyfile(location, temporary)
            else:
                Path(location).replace(temporary)
        location = str(store.path(file))
    n_events = promised(file)[0] if before is None else before
    if n_events is None:
        raise TypeError("files without a number of events are refused before the first job")
    return outcome.entry(
        file,
        path=location,
        size=skim.size,
        url=skim.source,
        transformer=skim.transformer,
        before=n_events,
        counted=before is not None,
        after=skim.events,
        # The service does not report how many events its other cuts drop.
        cutflow={ALL_EVENTS: n_events},
        failures=(
            *failures,
            *(
                Failure(url=skim.source, events=None, error=problem, attempts=1)
                for problem in skim.problems
            ),
        ),
    )


def _undelivered(file: InputFile, failures: tuple[Failure, ...], remedy: str) -> Undelivered:
    return Undelivered(
        "; ".join(f"{failure.url}: {failure.error}" for failure in failures)
        if len(failures) > 1
        else failures[0].error,
        place=file.source,
        remedy=remedy,
        failures=failures,
    )
