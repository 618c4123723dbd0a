"""The unmodified ServiceX client for one endpoint, with its own logging switched off."""

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from rich import get_console
from servicex.query_core import Query
from servicex.servicex_client import ServiceXClient

from agc_pipeline.delivery.servicex.answers import check_answers
from agc_pipeline.delivery.servicex.configuration import Endpoint

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Loggers that write each poll, presigned addresses, or a traceback of what is raised anyway.
_NOISY = ("servicex", "httpx", "httpcore", "httpx_retries", "botocore", "aiobotocore", "boto3")

# What a service can do that wants a POST to cancel a request, where others take a GET.
_POST = "post_cancel_transform"
_CANCEL_SECONDS = 30.0

_SILENT = logging.CRITICAL + 1


def open_client(endpoint: Endpoint, cache: Path) -> ServiceXClient:
    """The client for an endpoint, with its cache and its database in ``cache``."""
    _discard_damaged(cache / ".servicex" / "db.json")
    client = ServiceXClient(
        backend=endpoint.name, config_path=endpoint.file, cache_dir=str(cache.absolute())
    )
    check_answers(client.servicex, endpoint)
    return client


def _discard_damaged(database: Path) -> None:
    """Delete the client's database if it is truncated: the client would always fail."""
    try:
        text = database.read_text(encoding="utf-8")
        # An empty one is a new one.
        if text:
            json.loads(text)
    except FileNotFoundError:
        return
    except ValueError:
        log.warning("the ServiceX client's database is truncated, starting anew: %s", database)
        database.unlink()


async def cancel(service: ServiceXClient, request_id: str) -> None:
    """Have a service stop working on a request.

    Args:
        service: the client.
        request_id: number of the request.

    Raises:
        AuthorizationError, ValueError, RuntimeError: as the client, if the service refuses.
    """
    adapter = service.servicex
    if _POST not in await adapter.get_servicex_capabilities():
        await adapter.cancel_transform(request_id)
        return
    # The client asks in the way of older services only.
    async with httpx.AsyncClient(timeout=_CANCEL_SECONDS) as session:
        answer = await session.post(
            f"{adapter.url}/servicex/transformation/{request_id}/cancel",
            headers=await adapter._get_authorization(),
        )
    if answer.status_code != httpx.codes.OK:
        raise RuntimeError(f"HTTP status {answer.status_code}")


def secrets_of(client: ServiceXClient, query: Query | None = None) -> set[str]:
    """Credentials of the client, which must not appear in logs and errors."""
    status = query.current_status if query is not None else None
    credentials = [
        client.servicex.refresh_token,
        client.servicex.token,
        *((status.minio_access_key, status.minio_secret_key) if status is not None else ()),
    ]
    # A key of a few characters is that of a test server, and may be part of any text.
    return {secret for secret in credentials if secret and len(secret) > 3}


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine of the client, and end everything that it started."""
    with _quiet():
        return asyncio.run(_supervised(coroutine))


async def _supervised(coroutine: Coroutine[Any, Any, Result]) -> Result:
    # The client raises in callbacks of tasks what it also reports in another way, or what
    # the caller concludes from the number of files.
    asyncio.get_running_loop().set_exception_handler(_ignore)
    try:
        return await coroutine
    finally:
        await end_tasks()


async def end_tasks() -> None:
    """End everything that the client does besides this task."""
    # It swallows a single cancellation in several places, and goes on.
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.2)


def _ignore(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    pass


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client and the libraries below it from writing to logs and to the terminal."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    console = get_console()
    quiet = console.quiet
    for logger in loggers:
        logger.setLevel(_SILENT)
    console.quiet = True
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        console.quiet = quiet
