"""Errors of ServiceX and of its client as errors of this pipeline, without secrets."""

from collections.abc import Iterable

import aiohttp
import httpx
from botocore.exceptions import BotoCoreError, ClientError
from google.auth.exceptions import MalformedError
from servicex.models import Status, TransformStatus
from servicex.query_cache import CacheException
from servicex.query_core import Query as ClientQuery
from servicex.query_core import ServiceXException
from servicex.servicex_adapter import AuthorizationError
from servicex.servicex_client import ServiceXClient

from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.errors import InputError, PipelineError, ServiceError
from agc_pipeline.secrets import without_secrets

# They share no base class. The built-in ones are what it raises for answers of the server:
# ValueError and RuntimeError on purpose, KeyError, TypeError and AttributeError when an answer
# is not as expected.
CLIENT_ERRORS = (
    ServiceXException,
    AuthorizationError,
    CacheException,
    httpx.HTTPError,
    httpx.InvalidURL,
    BotoCoreError,
    ClientError,
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
    FileNotFoundError,
    ValueError,
    RuntimeError,
    NameError,
    KeyError,
    TypeError,
    AttributeError,
)

_RETRY_LATER = "try again later; the state of the service is on its web page"


LATE_REMEDY = "run again to keep waiting for the same request, or raise `delivery.servicex.timeout`"


class LateRequestError(ServiceError):
    """A request is not finished in time; it goes on at the service."""


class InterruptedRequestError(ServiceError):
    """A request failed, but another one may succeed."""


def pipeline_error(
    error: BaseException, endpoint: Endpoint, *, secrets: Iterable[str], submitted: bool
) -> PipelineError:
    """The error for what the client raised.

    Args:
        error: one of ``CLIENT_ERRORS``.
        endpoint: where it happened.
        secrets: texts that must not appear in it.
        submitted: the service had accepted the request: another attempt may succeed.
    """
    message = message_of(error, secrets)
    match error:
        case AuthorizationError():
            problem, retry = f"the service refuses the credentials: {message}", submitted
            remedy = (
                f"copy a new token from the service's profile page into {endpoint.file}, "
                "or renew the file that BEARER_TOKEN_FILE names"
            )
        case FileNotFoundError():
            problem, retry = f"a file of the client is missing: {error.filename}", False
            remedy = "correct BEARER_TOKEN_FILE, or unset it to use the token of the configuration"
        case httpx.HTTPError() | ConnectionError() | TimeoutError():
            problem, retry = f"the server does not answer: {message}", True
            remedy = _RETRY_LATER
        case httpx.InvalidURL():
            problem, retry = f"not an address: {message}", False
            remedy = f"correct the endpoint in {endpoint.file}"
        case BotoCoreError() | ClientError() | aiohttp.ClientError():
            problem, retry = f"the object store failed: {message}", True
            remedy = _RETRY_LATER
        case ValueError() if "Invalid transform request" in message:
            problem, retry = f"the service does not take the request: {message}", False
            remedy = (
                "check the addresses of the input files, `delivery.servicex.codegen` and "
                "`delivery.format`"
            )
        case RuntimeError():
            problem, retry = f"the service fails: {message}", True
            remedy = _RETRY_LATER
        case _:
            problem, retry = f"the request failed: {message}", submitted
            remedy = _RETRY_LATER
    kind = InterruptedRequestError if retry else ServiceError
    return kind(problem, place=endpoint.place, remedy=remedy)


def message_of(error: BaseException, secrets: Iterable[str]) -> str:
    """Type and message of an error on one line, without secrets."""
    # Both quote the token or its content.
    if isinstance(error, MalformedError) or "Token data" in str(error):
        return "the token is not a JSON Web Token with an expiry date"
    text = f"{type(error).__name__}: {error}"
    for secret in secrets:
        text = text.replace(secret, "***")
    return without_secrets(" ".join(text.split()))[:300]


def raise_for_status(status: TransformStatus, service: ServiceXClient, endpoint: Endpoint) -> None:
    """Raise the error for a request that the service has given up; the client forgets it."""
    if status.status in (Status.canceled, Status.bad_dataset, Status.fatal):
        service.query_cache.delete_record_by_request_id(status.request_id)
    match status.status:
        case Status.canceled:
            raise ServiceError(
                f"request {status.request_id} was cancelled at the service",
                place=endpoint.place,
                remedy="find out who cancelled it and why, then run again for a new request",
            )
        case Status.bad_dataset:
            raise InputError(
                f"the service cannot use the list of files of request {status.request_id}",
                place=endpoint.place,
                remedy="check the addresses of the input files",
            )
        case Status.fatal:
            raise InterruptedRequestError(
                f"request {status.request_id} ended with a fatal error of the service",
                place=endpoint.place,
                remedy="run again; if it recurs, report the number of the request to the operators "
                "of the service",
            )
        case _:
            return


def timeout_error(
    query: ClientQuery, n_files: int, timeout: float, endpoint: Endpoint
) -> ServiceError:
    """The error for a request that takes too long; it continues at the service."""
    status = query.current_status
    if query.request_id is None or status is None:
        problem = f"no answer within {timeout:g} s"
        remedy = "try again later, or raise `delivery.servicex.timeout`"
    else:
        problem = (
            f"request {query.request_id} is not finished after {timeout:g} s: "
            f"{status.status.value}, {status.files_completed} of {n_files} files"
        )
        return LateRequestError(problem, place=endpoint.place, remedy=LATE_REMEDY)
    return ServiceError(problem, place=endpoint.place, remedy=remedy)


def is_download_error(error: BaseException) -> bool:
    """Whether one file in the object store is the reason, so that the others can be kept."""
    return isinstance(error, ClientError) or "Download of" in str(error)
