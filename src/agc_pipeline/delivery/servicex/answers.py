"""Checks of what a ServiceX service hands out before the client acts on it.

The client connects to the object store that the service names, with the credentials that it gives,
and writes files under names that it gives.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from servicex.servicex_adapter import ServiceXAdapter

from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.errors import ServiceError

_STORE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?")
_REQUEST = re.compile(r"[A-Za-z0-9_-]{1,100}")


def check_answers(adapter: ServiceXAdapter, endpoint: Endpoint) -> None:
    """Have every answer of a service checked that names a place.

    Args:
        adapter: of the client; its methods are replaced.
        endpoint: the service.
    """
    status_of, results_of = adapter.get_transform_status, adapter.get_transformation_results

    async def checked_status(request_id: str) -> Any:
        status = await status_of(request_id)
        check_request(status.request_id, endpoint)
        check_store(status.minio_endpoint, endpoint)
        return status

    async def checked_results(*arguments: Any, **options: Any) -> Any:
        results = await results_of(*arguments, **options)
        check_names((result.filename for result in results), endpoint)
        return results

    adapter.get_transform_status = checked_status
    adapter.get_transformation_results = checked_results


def check_request(request_id: str, endpoint: Endpoint) -> None:
    """Refuse the name of a request that is no name of a folder.

    Raises:
        ServiceError: if it is not.
    """
    if not _REQUEST.fullmatch(request_id):
        raise _refused(f"the name of a request {request_id!r}", endpoint)


def check_names(names: Iterable[str], endpoint: Endpoint) -> None:
    """Refuse names of objects that are no names of files.

    Raises:
        ServiceError: for the first one.
    """
    for name in names:
        if "/" in name or "\0" in name or name in (".", ".."):
            raise _refused(f"the name of a file {name!r}", endpoint)


def check_store(address: str | None, endpoint: Endpoint) -> None:
    """Refuse an object store that is no HOST:PORT, or on this machine if the service is not.

    Raises:
        ServiceError: if it is.
    """
    if address is None:
        return
    named = _STORE.fullmatch(address)
    own = (urlsplit(endpoint.url).hostname or "").lower()
    if named is None:
        raise _refused(f"the object store {address!r}", endpoint)
    host = named[1].strip("[]").lower()
    if host != own and _is_inside(host) and not _is_inside(own):
        raise _refused(
            f"the object store {address!r}, which is this machine or its network", endpoint
        )


def _is_inside(host: str) -> bool:
    """Whether a host is this machine, or an address that only neighbours have."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _refused(what: str, endpoint: Endpoint) -> ServiceError:
    return ServiceError(
        f"the service hands out {what}, which is not used",
        place=endpoint.place,
        remedy="report it to the operators of the service, or use another one",
    )
