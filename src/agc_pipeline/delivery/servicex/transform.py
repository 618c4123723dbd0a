"""Delivery of a list of files by ServiceX: every file is accounted for, or the delivery fails."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.manifest import Transformer
from agc_pipeline.delivery.servicex.addresses import Address, object_of
from agc_pipeline.delivery.servicex.checks import inspect
from agc_pipeline.delivery.servicex.configuration import Endpoint, required
from agc_pipeline.delivery.servicex.failures import InterruptedRequestError
from agc_pipeline.delivery.servicex.names import check_sources, match
from agc_pipeline.delivery.servicex.request import Answer, ask, forget
from agc_pipeline.delivery.settings import ServiceXSettings
from agc_pipeline.errors import InputError, PipelineError, ServiceError
from agc_pipeline.provenance import digest
from agc_pipeline.readers.settings import Format
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)

# Before another request: what made one fail may take a moment to go away.
_PAUSE_SECONDS = 10.0


class TransformedFile(Settings):
    """A file that ServiceX made.

    Attributes:
        source: address of its input.
        location: path in the client's cache, or text of an ``addresses.Address``.
        size: bytes.
        events: events in it.
        transformer: what made it.
        problems: why earlier requests did not give it.
    """

    source: str
    location: str
    size: int
    events: int
    transformer: Transformer
    problems: tuple[str, ...] = ()


class IncompleteDeliveryError(ServiceError):
    """Files are missing after the last attempt.

    Args:
        problem: what is wrong.
        place: the service.
        remedy: what to do.
        delivered: the files that are there, checked.
        missing: source to reason.
    """

    def __init__(
        self,
        problem: str,
        *,
        place: str,
        remedy: str,
        delivered: Sequence[TransformedFile] = (),
        missing: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.delivered = tuple(delivered)
        self.missing = dict(missing or {})

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.problem, self.place, self.remedy, self.delivered, self.missing))


class _Job(NamedTuple):
    """What stays the same from request to request."""

    query: Query
    kind: Format
    settings: ServiceXSettings
    endpoint: Endpoint
    cache: Path
    received: Callable[[TransformedFile], None]
    limits: Mapping[str, int | None]


def transform(
    urls: Sequence[str],
    query: Query,
    kind: Format,
    settings: ServiceXSettings,
    *,
    cache: Path,
    received: Callable[[TransformedFile], None],
    limits: Mapping[str, int | None] | None = None,
) -> tuple[TransformedFile, ...]:
    """Have files transformed, and check that each of them is there.

    What is missing or damaged is requested again alone, up to ``settings.attempts`` requests.
    After a kill, a call with the same arguments takes up the request that was under way.

    Args:
        urls: addresses of the inputs, as the service sees them; not changed.
        query: what to select.
        kind: format of the outputs.
        settings: endpoint, transport, time-out, attempts.
        cache: folder for the client's files; those given in the result are the caller's to move.
        received: told each file that is there.
        limits: address to the number of events in the input, where it is known.

    Returns:
        One file for each address, in their order.

    Raises:
        IncompleteDeliveryError: naming the files that are missing, with those that are there.
        ServiceError: if the service does not answer, refuses, or is late, and nothing is there.
        InputError: if the addresses cannot be used.
        ConfigurationError: if the client has no usable configuration.
    """
    check_sources(urls)
    endpoint = required(settings.endpoint)
    # The client's cache does not know which server its files are from.
    folder = cache / digest([endpoint.name, endpoint.url])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    # It keeps, for a moment, addresses that give access.
    folder.chmod(0o700)
    job = _Job(query, kind, settings, endpoint, folder, received, limits or {})
    done: dict[str, TransformedFile] = {}
    missing = dict.fromkeys(urls, "not requested")
    problems: dict[str, list[str]] = {url: [] for url in urls}
    for attempt in range(1, settings.attempts + 1):
        try:
            files, missing = _request(tuple(missing), job)
        except PipelineError as error:
            if not isinstance(error, InterruptedRequestError) or attempt == settings.attempts:
                raise _with_files(error, done, missing) from None
            log.warning("asking again: %s", error)
        else:
            for source, file in files.items():
                done[source] = file.model_copy(update={"problems": tuple(problems[source])})
            if not missing:
                return tuple(done[url] for url in urls)
            if attempt < settings.attempts:
                log.warning("asking again for %s", _listed(missing))
            for source, problem in missing.items():
                problems[source].append(problem)
        if attempt < settings.attempts:
            time.sleep(_PAUSE_SECONDS)
    raise IncompleteDeliveryError(
        f"{len(missing)} of {len(urls)} files were not delivered: {_listed(missing)}",
        place=endpoint.place,
        remedy="run again: only these are requested; if they fail again, look whether they can be "
        "read, or choose another address for them (`input.mirror_order`)",
        delivered=tuple(done.values()),
        missing=missing,
    )


def _request(
    sources: Sequence[str], job: _Job
) -> tuple[dict[str, TransformedFile], dict[str, str]]:
    """Make one request; gives the files that are there, and the reason for each that is not."""
    answer = ask(
        sources,
        job.query,
        job.kind,
        settings=job.settings,
        endpoint=job.endpoint,
        cache=job.cache,
    )
    request_id = answer.transformer.request_id
    reason = answer.problem or f"failed at the service, request {request_id}"
    missing = dict.fromkeys(sources, reason)
    files = {}
    for source, output in _matched(answer, sources, job).items():
        try:
            file = _accepted(source, output, answer.transformer, job)
        except InputError as error:
            missing[source] = without_secrets(error.problem)
        else:
            del missing[source]
            files[source] = file
            job.received(file)
    if missing:
        # Or the client would give the same files again.
        forget(request_id, job.endpoint, job.cache)
    return files, missing


def _matched(answer: Answer, sources: Sequence[str], job: _Job) -> dict[str, str]:
    """Source to path or presigned address."""
    if job.settings.transport == "LocalCache":
        outputs = {Path(path).name: path for path in answer.outputs}
    else:
        request_id = answer.transformer.request_id
        outputs = {object_of(url, request_id): url for url in answer.outputs}
    found = match(outputs, sources, place=job.endpoint.place)
    return {source: outputs[name] for source, name in found.items()}


def _accepted(source: str, output: str, transformer: Transformer, job: _Job) -> TransformedFile:
    """Check one file.

    Raises:
        InputError: if it is not what was asked for.
    """
    events, size = inspect(output, job.kind, job.query)
    limit = job.limits.get(source)
    if limit is not None and events > limit:
        raise InputError(
            f"the delivered file has {events} events, its input only {limit}",
            place=source,
            remedy="correct the number of events of the input",
        )
    location = output
    if job.settings.transport == "URLs":
        name = object_of(output, transformer.request_id)
        location = str(Address(transformer.endpoint, transformer.request_id, name))
    return TransformedFile(
        source=source, location=location, size=size, events=events, transformer=transformer
    )


def _with_files(
    error: PipelineError, done: Mapping[str, TransformedFile], missing: Mapping[str, str]
) -> PipelineError:
    """The error, with the files that an earlier request delivered."""
    if not done:
        return error
    return IncompleteDeliveryError(
        f"{len(missing)} files were not delivered: {error.problem}",
        place=error.place,
        remedy=error.remedy,
        delivered=tuple(done.values()),
        missing=dict.fromkeys(missing, error.problem),
    )


def _listed(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{source} ({reason})" for source, reason in missing.items())


def _rebuild(
    problem: str,
    place: str,
    remedy: str,
    delivered: tuple[TransformedFile, ...],
    missing: dict[str, str],
) -> IncompleteDeliveryError:
    return IncompleteDeliveryError(
        problem, place=place, remedy=remedy, delivered=delivered, missing=missing
    )
