"""One request to ServiceX: submitted or resumed, logged, and given up after a time-out."""

import asyncio
import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from servicex.dataset_identifier import FileListDataset
from servicex.minio_adapter import init_s3_config
from servicex.models import ResultFormat, Status, TransformStatus
from servicex.query_core import Query as ClientQuery
from servicex.servicex_adapter import AuthorizationError
from servicex.servicex_client import ServiceXClient
from servicex.uproot_raw.uproot_raw import TreeSubQuery, UprootRawQuery

from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.manifest import Transformer
from agc_pipeline.delivery.servicex import client
from agc_pipeline.delivery.servicex.answers import check_names
from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.delivery.servicex.errors import (
    CLIENT_ERRORS,
    InterruptedRequestError,
    is_download_error,
    message_of,
    pipeline_error,
    raise_for_status,
    timeout_error,
)
from agc_pipeline.delivery.servicex.outputs import COUNT_TREE
from agc_pipeline.delivery.settings import ServiceXSettings
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.formatting import byte_size, duration
from agc_pipeline.readers.settings import Format
from agc_pipeline.settings import unknown

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0

_FORMATS = {
    "ttree": ResultFormat.root_ttree,
    "rntuple": ResultFormat.root_rntuple,
    "parquet": ResultFormat.parquet,
}


class RequestResult(NamedTuple):
    """Outputs of a request.

    Attributes:
        transformer: server and software that wrote the files.
        outputs: paths or presigned addresses, in the order of completion.
        problem: why files may be missing; None if the service reports nothing.
        late: the request goes on at the service; these are the files that it has so far.
    """

    transformer: Transformer
    outputs: tuple[str, ...]
    problem: str | None
    late: bool = False


def run_request(
    sources: Sequence[str],
    query: Query,
    kind: Format,
    *,
    settings: ServiceXSettings,
    endpoint: Endpoint,
    cache: Path,
) -> RequestResult:
    """Make one request and wait for its files, which may be fewer than requested.

    With the same cache, a request that was interrupted on this side is resumed.

    Args:
        sources: addresses of the inputs, none twice.
        query: what to select.
        kind: format of the outputs.
        settings: transport, code generator, time-out.
        endpoint: the server.
        cache: folder of the client for this server.

    Raises:
        InterruptedRequestError: if another request may succeed.
        ServiceError: if the service refuses, or exceeds the time-out.
        InputError: if the service cannot use the list of inputs.
        ConfigurationError: if the service has no such code generator.
    """
    try:
        service = client.open_client(endpoint, cache)
    except CLIENT_ERRORS as error:
        raise pipeline_error(error, endpoint, secrets=(), submitted=False) from None
    client_query = service.generic_query(
        # The client sorts its list in place.
        FileListDataset(list(sources)),
        UprootRawQuery(_sub_queries(query, kind)),
        codegen=settings.codegen,
        title=f"agc-pipeline: {len(sources)} files",
        result_format=_FORMATS[kind],
        # An incomplete result must not stay in the client's cache.
        fail_if_incomplete=True,
    )
    try:
        return client.run(_result(service, client_query, len(sources), settings, endpoint))
    except CLIENT_ERRORS as error:
        submitted = client_query.request_id is not None
        # A ValueError means that there is no such request.
        if submitted and not isinstance(error, ValueError):
            # The client forgets a request whose status it cannot get.
            service.query_cache.cache_submitted_transform(
                client_query.transform_request, client_query.request_id
            )
        secrets = client.secrets_of(service, client_query)
        raise pipeline_error(error, endpoint, secrets=secrets, submitted=submitted) from None
    finally:
        service.query_cache.close()


def forget(request_id: str, endpoint: Endpoint, cache: Path) -> None:
    """Make the client submit a recorded request anew; downloaded files stay."""
    service = client.open_client(endpoint, cache)
    service.query_cache.delete_record_by_request_id(request_id)
    service.query_cache.close()


def cancel(endpoint: Endpoint, cache: Path) -> bool:
    """Have the service stop working on the requests that the client is waiting for.

    A service that refuses is told of in the log.

    Args:
        endpoint: the server.
        cache: folder of the client for this server.

    Returns:
        Whether they were all to be given up; False if one has ended, so that its files are there.

    Raises:
        PipelineError: if the service does not answer.
    """
    try:
        service = client.open_client(endpoint, cache)
    except CLIENT_ERRORS as error:
        raise pipeline_error(error, endpoint, secrets=(), submitted=False) from None
    waiting = [record["request_id"] for record in service.query_cache.queries_in_state("SUBMITTED")]
    try:
        ended = [client.run(_ended_or_cancelled(service, name)) for name in waiting]
        return not any(ended)
    except CLIENT_ERRORS as error:
        secrets = client.secrets_of(service)
        raise pipeline_error(error, endpoint, secrets=secrets, submitted=True) from None
    finally:
        service.query_cache.close()


async def _ended_or_cancelled(service: ServiceXClient, request_id: str) -> bool:
    """Cancel a request unless it has ended with its files, and say whether it has."""
    try:
        status = (await service.servicex.get_transform_status(request_id)).status
    except ValueError:
        # The service has forgotten it.
        return False
    if status in (Status.complete, Status.fatal, Status.bad_dataset, Status.canceled):
        return bool(status == Status.complete)
    try:
        await client.cancel(service, request_id)
    except (AuthorizationError, RuntimeError, ValueError) as error:
        told = message_of(error, client.secrets_of(service))
        log.warning("ServiceX request %s cannot be cancelled: %s", request_id, told)
    else:
        log.info("ServiceX request %s is cancelled", request_id)
    return False


def _sub_queries(query: Query, kind: Format) -> list[TreeSubQuery]:
    selected = TreeSubQuery(
        treename=query.layout.tree,
        cut=query.cut,
        filter_name=query.layout.all_branches(query.columns),
        fail_on_missing_trees=True,
    )
    if kind == "parquet":
        # A file has one table: there is no room for a count.
        return [selected]
    everything = TreeSubQuery(
        treename={query.layout.tree: COUNT_TREE},
        filter_name=[query.layout.branches(query.columns)[0]],
        fail_on_missing_trees=True,
    )
    return [selected, everything]


async def _result(
    service: ServiceXClient,
    query: ClientQuery,
    n_files: int,
    settings: ServiceXSettings,
    endpoint: Endpoint,
) -> RequestResult:
    # Its semaphores belong to the event loop that first waited for them.
    init_s3_config()
    _drop_stale_record(service, query)
    local = settings.transport == "LocalCache"
    deliver = query.as_files_async if local else query.as_signed_urls_async
    delivery = asyncio.ensure_future(deliver(display_progress=False))
    progress = asyncio.ensure_future(_log_progress(query, n_files))
    await _ended(delivery, query, settings.timeout)
    progress.cancel()
    if not delivery.done():
        late = timeout_error(query, n_files, settings.timeout, endpoint)
        status = query.current_status
        if status is None or status.files_completed == 0:
            raise late
        so_far = await _outputs(query, endpoint, local=local)
        transformer = await _transformer(service, status, settings, endpoint)
        return RequestResult(transformer, so_far, late.problem, late=True)
    error = delivery.exception()
    if isinstance(error, NameError):
        generators = await service.servicex.get_code_generators_async()
        problem = unknown(
            "code generator", (settings.codegen,), generators, "delivery.servicex.codegen"
        )
        remedy = "set it to one that the service has"
        raise ConfigurationError(problem or str(error), place=endpoint.place, remedy=remedy)
    status = query.current_status
    if status is not None:
        # The client may return an empty list before it notices how the request ended.
        raise_for_status(status, service, endpoint)
    if error is None:
        result = delivery.result()
        status = status or await _status(service, result.request_id, endpoint)
        if not local:
            # The client's database must not keep addresses that give access.
            service.query_cache.delete_record_by_request_id(result.request_id)
        outputs = result.file_list if local else result.signed_url_list
        return RequestResult(
            await _transformer(service, status, settings, endpoint), tuple(outputs), None
        )
    if status is None or not local or not is_download_error(error):
        raise error
    # The client gives up at the first file that it cannot download: let it finish the others.
    if downloads := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(downloads, timeout=settings.timeout)
    failure = pipeline_error(
        error, endpoint, secrets=client.secrets_of(service, query), submitted=True
    )
    outputs = sorted(map(str, query.download_path.iterdir()))
    transformer = await _transformer(service, status, settings, endpoint)
    return RequestResult(transformer, tuple(outputs), failure.problem)


async def _ended(
    delivery: "asyncio.Future[Any]",
    query: ClientQuery,  # noqa: ARG001 - what it is that ends
    seconds: float,
) -> None:
    """Wait for a delivery until it has ended, or is late."""
    await asyncio.wait({delivery}, timeout=seconds)


async def _outputs(query: ClientQuery, endpoint: Endpoint, *, local: bool) -> tuple[str, ...]:
    """What a request that is not finished has given so far: paths or presigned addresses."""
    # What is being downloaded is begun anew.
    await client.end_tasks()
    store, folder = query.minio, query.download_path
    files = await store.list_bucket()
    check_names((file.filename for file in files), endpoint)
    if not local:
        return tuple([await store.get_signed_url(file.filename) for file in files])
    short = query.configuration.shortened_downloaded_filename
    paths = [await store.download_file(file.filename, folder, short, file.size) for file in files]
    return tuple(map(str, paths))


async def _status(service: ServiceXClient, request_id: str, endpoint: Endpoint) -> TransformStatus:
    """Status of a request of which the client has the results."""
    try:
        return await service.servicex.get_transform_status(request_id)
    except ValueError:
        service.query_cache.delete_record_by_request_id(request_id)
        raise InterruptedRequestError(
            f"the service no longer has request {request_id}",
            place=endpoint.place,
            remedy="run again for a new request",
        ) from None


def _drop_stale_record(service: ServiceXClient, query: ClientQuery) -> None:
    """Forget results whose files are gone: the client would return their paths."""
    cache = service.query_cache
    record = cache.get_transform_by_hash(query.transform_request.compute_hash())
    if record is not None and not all(Path(path).exists() for path in record.file_list):
        log.info("files of ServiceX request %s are gone, requesting them again", record.request_id)
        cache.delete_record_by_request_id(record.request_id)


async def _transformer(
    service: ServiceXClient,
    status: TransformStatus,
    settings: ServiceXSettings,
    endpoint: Endpoint,
) -> Transformer:
    generators = await service.servicex.get_code_generators_async()
    return Transformer(
        endpoint=endpoint.name,
        url=endpoint.url,
        request_id=status.request_id,
        app_version=status.app_version,
        codegen_image=generators.get(settings.codegen),
        image=status.image,
        client_version=version("servicex"),
    )


async def _log_progress(query: ClientQuery, n_files: int) -> None:
    """Log the progress of a request until cancelled."""
    start = time.monotonic()
    while True:
        await asyncio.sleep(_SECONDS_BETWEEN_LINES)
        status = query.current_status
        if status is not None:
            log.info(_progress(status, n_files, _received(query), time.monotonic() - start))


def _progress(status: TransformStatus, n_files: int, received: int, elapsed: float) -> str:
    finished = status.files_completed + status.files_failed
    failed = f", {status.files_failed} failed" if status.files_failed else ""
    remaining = ""
    if finished:
        remaining = f", about {duration(elapsed / finished * (n_files - finished))} left"
    return (
        f"ServiceX request {status.request_id}: {status.status.value}, "
        f"{finished} of {n_files} files{failed}, {byte_size(received)} received, "
        f"{byte_size(received / elapsed)}/s{remaining}"
    )


def _received(query: ClientQuery) -> int:
    """Bytes on disk of the files that are being downloaded."""
    if query.download_path is None:
        return 0
    return sum(path.stat().st_size for path in query.download_path.glob("*"))
