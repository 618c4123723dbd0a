"""Delivery of a list of files by ServiceX: it fails unless every file is accounted for."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.manifest import Transformer
from agc_pipeline.delivery.servicex.addresses import Address, object_of
from agc_pipeline.delivery.servicex.configuration import Endpoint, required
from agc_pipeline.delivery.servicex.errors import (
    LATE_REMEDY,
    InterruptedRequestError,
    LateRequestError,
)
from agc_pipeline.delivery.servicex.outputs import check_sources, inspect, match
from agc_pipeline.delivery.servicex.request import RequestResult, cancel, forget, run_request
from agc_pipeline.delivery.settings import ServiceXSettings
from agc_pipeline.errors import InputError, PipelineError, ServiceError
from agc_pipeline.provenance import digest
from agc_pipeline.readers.settings import NETWORK, Format, NetworkSettings
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings

log = logging.getLogger(__name__)

# Before another request: what made one fail may take a moment to pass.
_PAUSE_SECONDS = 10.0


class TransformedFile(Settings):
    """A file that ServiceX wrote.

    Attributes:
        source: address of its input.
        location: path in the client's cache, or text of an ``addresses.Address``.
        size: bytes.
        events: events in it.
        before: events in its input; None where it is not known.
        transformer: server and software that wrote it.
        problems: why earlier requests did not deliver it.
    """

    source: str
    location: str
    size: int
    events: int
    before: int | None = None
    transformer: Transformer
    problems: tuple[str, ...] = ()


class IncompleteDeliveryError(ServiceError):
    """Files are missing after the last attempt.

    Args:
        problem: what is wrong.
        place: the service.
        remedy: what to do.
        delivered: the other files, checked.
        missing: source to reason.
        late: inputs of the request that is late, and goes on at the service; none if it ended.
    """

    def __init__(
        self,
        problem: str,
        *,
        place: str,
        remedy: str,
        delivered: Sequence[TransformedFile] = (),
        missing: Mapping[str, str] | None = None,
        late: Sequence[str] = (),
    ) -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.delivered = tuple(delivered)
        self.missing = dict(missing or {})
        self.late = tuple(late)


class _Job(NamedTuple):
    """Arguments that all requests share."""

    query: Query
    kind: Format
    settings: ServiceXSettings
    endpoint: Endpoint
    cache: Path
    received: Callable[[TransformedFile], None]
    limits: Mapping[str, int | None]
    network: NetworkSettings


def transform(
    urls: Sequence[str],
    query: Query,
    kind: Format,
    settings: ServiceXSettings,
    *,
    cache: Path,
    received: Callable[[TransformedFile], None],
    limits: Mapping[str, int | None] | None = None,
    network: NetworkSettings = NETWORK,
) -> tuple[TransformedFile, ...]:
    """Have files transformed, and check that each of them is there.

    Only missing or damaged files are requested again, in up to ``settings.attempts`` requests.
    After a kill, a call with the same arguments resumes the request that was in progress.

    Args:
        urls: addresses of the inputs, as the service sees them; not changed.
        query: what to select.
        kind: format of the outputs.
        settings: endpoint, transport, time-out, attempts.
        cache: folder for the client's files; the caller may move those in the result.
        received: called with each file that is delivered.
        limits: address to the number of events in the input; None where it is unknown.
        network: how to read from the object store.

    Returns:
        One file for each address, in their order.

    Raises:
        IncompleteDeliveryError: with the files that are missing, and those that are delivered.
        ServiceError: if the service does not answer, refuses, or exceeds the time-out, and
            nothing is delivered.
        InputError: if the addresses cannot be used.
        ConfigurationError: if the client has no usable configuration.
    """
    check_sources(urls)
    endpoint = required(settings.endpoint)
    folder = _folder(cache, endpoint)
    folder.mkdir(parents=True, exist_ok=True)
    # For a moment it holds addresses that grant access.
    folder.chmod(0o700)
    job = _Job(query, kind, settings, endpoint, folder, received, limits or {}, network)
    delivered: dict[str, TransformedFile] = {}
    missing = dict.fromkeys(urls, "not requested")
    problems: dict[str, list[str]] = {url: [] for url in urls}
    for attempt in range(1, settings.attempts + 1):
        sources = tuple(missing)
        try:
            files, missing, late = _request(sources, job)
        except LateRequestError as error:
            raise _with_files(error, delivered, missing, late=sources) from None
        except PipelineError as error:
            if not isinstance(error, InterruptedRequestError) or attempt == settings.attempts:
                raise _with_files(error, delivered, missing) from None
            log.warning("requesting again: %s", error)
        else:
            for source, file in files.items():
                delivered[source] = file.model_copy(update={"problems": tuple(problems[source])})
            if not missing:
                return tuple(delivered[url] for url in urls)
            if late is not None:
                overdue = LateRequestError(late, place=endpoint.place, remedy=LATE_REMEDY)
                raise _with_files(overdue, delivered, missing, late=sources)
            if attempt < settings.attempts:
                log.warning("requesting again: %s", _listed(missing))
            for source, problem in missing.items():
                problems[source].append(problem)
        if attempt < settings.attempts:
            time.sleep(_PAUSE_SECONDS)
    raise IncompleteDeliveryError(
        f"{len(missing)} of {len(urls)} files were not delivered: {_listed(missing)}",
        place=endpoint.place,
        remedy="run again: only these are requested; if they fail again, check whether they can be "
        "read, or use another mirror (`input.mirror_order`)",
        delivered=tuple(delivered.values()),
        missing=missing,
    )


def give_up(endpoint: Endpoint, cache: Path) -> bool:
    """Cancel what is still requested of a service.

    Args:
        endpoint: the service.
        cache: as given to ``transform``.

    Returns:
        False if there is nothing to give up: a request has ended, and its files are there.

    Raises:
        PipelineError: if the service does not answer.
    """
    folder = _folder(cache, endpoint)
    return not folder.is_dir() or cancel(endpoint, folder)


def _folder(cache: Path, endpoint: Endpoint) -> Path:
    # The client's cache does not know which server its files are from.
    return cache / digest([endpoint.name, endpoint.url])[:16]


def _request(
    sources: Sequence[str], job: _Job
) -> tuple[dict[str, TransformedFile], dict[str, str], str | None]:
    """Make one request.

    Returns:
        The delivered files, the reason for each missing one, and what is late, if it is.
    """
    result = run_request(
        sources,
        job.query,
        job.kind,
        settings=job.settings,
        endpoint=job.endpoint,
        cache=job.cache,
    )
    request_id = result.transformer.request_id
    reason = result.problem or f"failed at the service, request {request_id}"
    missing = dict.fromkeys(sources, reason)
    files = {}
    for source, output in _matched(result, sources, job).items():
        try:
            file = _checked(source, output, result.transformer, job)
        except InputError as error:
            missing[source] = without_secrets(error.problem)
        else:
            del missing[source]
            files[source] = file
            job.received(file)
    if missing and not result.late:
        # Otherwise the client would return the same files again.
        forget(request_id, job.endpoint, job.cache)
    return files, missing, result.problem if result.late else None


def _matched(result: RequestResult, sources: Sequence[str], job: _Job) -> dict[str, str]:
    """Source to path or presigned address."""
    if job.settings.transport == "LocalCache":
        outputs = {Path(path).name: path for path in result.outputs}
    else:
        request_id = result.transformer.request_id
        outputs = {object_of(url, request_id): url for url in result.outputs}
    names = match(outputs, sources, place=job.endpoint.place)
    return {source: outputs[name] for source, name in names.items()}


def _checked(source: str, output: str, transformer: Transformer, job: _Job) -> TransformedFile:
    """Check one file.

    Raises:
        InputError: if it is not what was requested.
    """
    events, size, before = inspect(output, job.kind, job.query, job.network)
    limit = job.limits.get(source) if before is None else before
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
        source=source,
        location=location,
        size=size,
        events=events,
        before=before,
        transformer=transformer,
    )


def _with_files(
    error: PipelineError,
    delivered: Mapping[str, TransformedFile],
    missing: Mapping[str, str],
    late: Sequence[str] = (),
) -> PipelineError:
    """The error, with the files that a request delivered before it."""
    if not delivered and not late:
        return error
    return IncompleteDeliveryError(
        f"{len(missing)} files were not delivered: {error.problem}",
        place=error.place,
        remedy=error.remedy,
        delivered=tuple(delivered.values()),
        missing=dict.fromkeys(missing, error.problem),
        late=late,
    )


def _listed(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{source} ({reason})" for source, reason in missing.items())
