"""Addresses of files that stay in ServiceX's object store: safe to store, resolved when read.

The client returns presigned addresses: whoever has one can read the file, so they are never
stored. ``servicex://ENDPOINT/REQUEST/OBJECT`` names the file and grants access to nobody.
"""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from botocore.exceptions import ClientError
from servicex.minio_adapter import MinioAdapter
from servicex.servicex_client import ServiceXClient

from agc_pipeline.delivery.servicex import client
from agc_pipeline.delivery.servicex.configuration import Endpoint, required
from agc_pipeline.delivery.servicex.errors import CLIENT_ERRORS, pipeline_error
from agc_pipeline.errors import InputError

SCHEME = "servicex"


class Address(NamedTuple):
    """Name of a delivered object.

    Attributes:
        endpoint: name of the server in the client's configuration.
        request_id: of the request that wrote it.
        object_name: in the object store.
    """

    endpoint: str
    request_id: str
    object_name: str

    def __str__(self) -> str:
        parts = (quote(part, safe="") for part in self)
        return f"{SCHEME}://{'/'.join(parts)}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address from its text.

        Raises:
            InputError: if it is something else.
        """
        scheme, _, rest = text.partition("://")
        parts = [unquote(part) for part in rest.split("/")]
        if scheme != SCHEME or len(parts) != 3 or not all(parts):
            raise InputError(
                "not the address of a file at ServiceX", place=text, remedy="deliver the file again"
            )
        return cls(*parts)


def object_of(presigned: str, request_id: str) -> str:
    """The name of the object that a presigned address of a request leads to."""
    return unquote(urlsplit(presigned).path.removeprefix(f"/{request_id}/"))


def presign(addresses: Iterable[str]) -> dict[str, str]:
    """Fresh presigned addresses, to be read at once and never to be stored or logged.

    Args:
        addresses: texts of ``Address``.

    Returns:
        Address to presigned address.

    Raises:
        InputError: if the service no longer has a request or a file of it.
        ServiceError: if the service or its object store do not answer.
        ConfigurationError: if the client's configuration no longer has the endpoint.
    """
    requests: dict[tuple[str, str], list[Address]] = {}
    for address in map(Address.parse, addresses):
        requests.setdefault((address.endpoint, address.request_id), []).append(address)
    presigned: dict[str, str] = {}
    for (name, request_id), objects in requests.items():
        presigned |= _of_request(required(name), request_id, objects)
    return presigned


def _of_request(endpoint: Endpoint, request_id: str, objects: Sequence[Address]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        service = client.open_client(endpoint, Path(folder))
        try:
            return client.run(_sign(service, request_id, objects))
        except CLIENT_ERRORS as error:
            secrets = client.secrets_of(service)
            raise pipeline_error(error, endpoint, secrets=secrets, submitted=False) from None
        finally:
            service.query_cache.close()


async def _sign(
    service: ServiceXClient, request_id: str, objects: Sequence[Address]
) -> dict[str, str]:
    try:
        status = await service.servicex.get_transform_status(request_id)
    except ValueError:
        raise _expired(objects[0], f"the service no longer has request {request_id}") from None
    store = MinioAdapter.for_transform(status)
    try:
        present = {file.filename for file in await store.list_bucket()}
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchBucket":
            raise
        present = set()
    for address in objects:
        if address.object_name not in present:
            raise _expired(address, "the file is no longer in the object store of the service")
    return {str(address): await store.get_signed_url(address.object_name) for address in objects}


def _expired(address: Address, problem: str) -> InputError:
    return InputError(
        problem,
        place=str(address),
        remedy="delete the manifest of its delivery and run again for a new request",
    )
