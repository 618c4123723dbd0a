"""How far a request is, on a line every few seconds."""

import asyncio
import logging
import time

from servicex.models import TransformStatus
from servicex.query_core import Query as ClientQuery

from agc_pipeline.formatting import byte_size, duration

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


async def tell(query: ClientQuery, n_files: int) -> None:
    """Log the progress of a request until cancelled."""
    start = time.monotonic()
    while True:
        await asyncio.sleep(_SECONDS_BETWEEN_LINES)
        status = query.current_status
        if status is not None:
            log.info(_progress(status, n_files, _received(query), time.monotonic() - start))


def _progress(status: TransformStatus, n_files: int, received: int, elapsed: float) -> str:
    done = status.files_completed + status.files_failed
    failed = f", {status.files_failed} failed" if status.files_failed else ""
    left = ""
    if done:
        left = f", about {duration(elapsed / done * (n_files - done))} left"
    return (
        f"ServiceX request {status.request_id}: {status.status.value}, {done} of {n_files} files"
        f"{failed}, {byte_size(received)} received, {byte_size(received / elapsed)}/s{left}"
    )


def _received(query: ClientQuery) -> int:
    """Bytes on disk of the files that are being downloaded."""
    if query.download_path is None:
        return 0
    return sum(path.stat().st_size for path in query.download_path.glob("*"))
