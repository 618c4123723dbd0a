"""One request to ServiceX: submitted or taken up again, watched, and stopped when it is late."""

import asyncio
import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from servicex.dataset_identifier import FileListDataset
from servicex.minio_adapter import init_s3_config
from servicex.models import ResultFormat, TransformStatus
from servicex.query_core import Query as ClientQuery
from servicex.servicex_client import ServiceXClient
from servicex.uproot_raw.uproot_raw import TreeSubQuery, UprootRawQuery

from agc_pipeline.declaration.query import Query
from agc_pipeline.delivery.manifest import Transformer
from agc_pipeline.delivery.servicex import client
from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.delivery.servicex.endings import damaged, late, refuse
from agc_pipeline.delivery.servicex.failures import (
    CLIENT_ERRORS,
    InterruptedRequestError,
    explained,
)
from agc_pipeline.delivery.servicex.progress import tell
from agc_pipeline.delivery.settings import ServiceXSettings
from agc_pipeline.readers.settings import Format

log = logging.getLogger(__name__)

_FORMATS = {
    "ttree": ResultFormat.root_ttree,
    "rntuple": ResultFormat.root_rntuple,
    "parquet": ResultFormat.parquet,
}


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        transformer: what made the files.
        outputs: paths or presigned addresses, in the order of completion.
        problem: why files may be missing; None if the service says nothing.
    """

    transformer: Transformer
    outputs: tuple[str, ...]
    problem: str | None


def ask(
    sources: Sequence[str],
    query: Query,
    kind: Format,
    *,
    settings: ServiceXSettings,
    endpoint: Endpoint,
    cache: Path,
) -> Answer:
    """Make one request and wait for its files. They may be fewer than asked for.

    With the same cache, a request that was cut short on this side is taken up again.

    Args:
        sources: addresses of the inputs, none twice.
        query: what to select.
        kind: format of the outputs.
        settings: transport, code generator, time-out.
        endpoint: the server.
        cache: folder of the client for this server.

    Raises:
        InterruptedRequestError: if another request may have more luck.
        ServiceError: if the service refuses, or is late.
        InputError: if the service cannot use the list of inputs.
        ConfigurationError: if the service has no such code generator.
    """
    try:
        opened = client.open_client(endpoint, cache)
    except CLIENT_ERRORS as error:
        raise explained(error, endpoint, secrets=(), submitted=False) from None
    made = opened.generic_query(
        # The client sorts the list that it is given.
        FileListDataset(list(sources)),
        UprootRawQuery([_sub_query(query)]),
        codegen=settings.codegen,
        title=f"agc-pipeline: {len(sources)} files",
        result_format=_FORMATS[kind],
        # An incomplete result must not stay in the client's cache.
        fail_if_incomplete=True,
    )
    try:
        return client.run(_answer(opened, made, len(sources), settings, endpoint))
    except CLIENT_ERRORS as error:
        submitted = made.request_id is not None
        # A ValueError is the answer that there is no such request.
        if submitted and not isinstance(error, ValueError):
            # The client forgets a request when it cannot be asked for its status.
            opened.query_cache.cache_submitted_transform(made.transform_request, made.request_id)
        secrets = client.secrets_of(opened, made)
        raise explained(error, endpoint, secrets=secrets, submitted=submitted) from None
    finally:
        opened.query_cache.close()


def forget(request_id: str, endpoint: Endpoint, cache: Path) -> None:
    """Make the client submit anew what it has a record of; downloaded files stay."""
    opened = client.open_client(endpoint, cache)
    opened.query_cache.delete_record_by_request_id(request_id)
    opened.query_cache.close()


def _sub_query(query: Query) -> TreeSubQuery:
    return TreeSubQuery(
        treename=query.layout.tree,
        cut=query.cut,
        filter_name=query.layout.all_branches(query.columns),
        fail_on_missing_trees=True,
    )


async def _answer(
    opened: ServiceXClient,
    query: ClientQuery,
    n_files: int,
    settings: ServiceXSettings,
    endpoint: Endpoint,
) -> Answer:
    # Its semaphores belong to the event loop that first waited for them.
    init_s3_config()
    _drop_stale_record(opened, query)
    local = settings.transport == "LocalCache"
    deliver = query.as_files_async if local else query.as_signed_urls_async
    work = asyncio.ensure_future(deliver(display_progress=False))
    watch = asyncio.ensure_future(tell(query, n_files))
    await asyncio.wait({work}, timeout=settings.timeout)
    watch.cancel()
    if not work.done():
        raise late(query, n_files, settings.timeout, endpoint)
    error = work.exception()
    status = query.current_status
    if status is not None:
        # The client may have come to an empty list before it noticed how the request ended.
        refuse(status, opened, endpoint)
    if error is None:
        result = work.result()
        status = status or await _status(opened, result.request_id, endpoint)
        if not local:
            # The client's database must not keep addresses that give access.
            opened.query_cache.delete_record_by_request_id(result.request_id)
        outputs = result.file_list if local else result.signed_url_list
        return Answer(await _transformer(opened, status, settings, endpoint), tuple(outputs), None)
    if status is None or not local or not damaged(error):
        raise error
    # The client gives up at the first file that it cannot download: let it finish the others.
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=settings.timeout)
    told = explained(error, endpoint, secrets=client.secrets_of(opened, query), submitted=True)
    outputs = sorted(map(str, query.download_path.iterdir()))
    transformer = await _transformer(opened, status, settings, endpoint)
    return Answer(transformer, tuple(outputs), told.problem)


async def _status(opened: ServiceXClient, request_id: str, endpoint: Endpoint) -> TransformStatus:
    """Status of a request of which the client has the results."""
    try:
        return await opened.servicex.get_transform_status(request_id)
    except ValueError:
        opened.query_cache.delete_record_by_request_id(request_id)
        raise InterruptedRequestError(
            f"the service no longer knows request {request_id}",
            place=endpoint.place,
            remedy="run again for a new request",
        ) from None


def _drop_stale_record(opened: ServiceXClient, query: ClientQuery) -> None:
    """Forget results whose files are gone: the client would return their paths."""
    cache = opened.query_cache
    record = cache.get_transform_by_hash(query.transform_request.compute_hash())
    if record is not None and not all(Path(path).exists() for path in record.file_list):
        log.info("files of ServiceX request %s are gone, asking again", record.request_id)
        cache.delete_record_by_request_id(record.request_id)


async def _transformer(
    opened: ServiceXClient,
    status: TransformStatus,
    settings: ServiceXSettings,
    endpoint: Endpoint,
) -> Transformer:
    generators = await opened.servicex.get_code_generators_async()
    return Transformer(
        endpoint=endpoint.name,
        url=endpoint.url,
        request_id=status.request_id,
        app_version=status.app_version,
        codegen_image=generators.get(settings.codegen),
        image=status.image,
        client_version=version("servicex"),
    )
