"""How a request may end other than well."""

from botocore.exceptions import ClientError
from servicex.models import Status, TransformStatus
from servicex.query_core import Query as ClientQuery
from servicex.servicex_client import ServiceXClient

from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.delivery.servicex.failures import InterruptedRequestError
from agc_pipeline.errors import InputError, ServiceError


def refuse(status: TransformStatus, opened: ServiceXClient, endpoint: Endpoint) -> None:
    """Raise the error for a request that the service has given up; the client forgets it."""
    if status.status in (Status.canceled, Status.bad_dataset, Status.fatal):
        opened.query_cache.delete_record_by_request_id(status.request_id)
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
                remedy="run again; if it comes again, give the number of the request to the "
                "people who run the service",
            )
        case _:
            return


def late(query: ClientQuery, n_files: int, timeout: float, endpoint: Endpoint) -> ServiceError:
    """The error for a request that takes too long; it goes on at the service."""
    status = query.current_status
    if query.request_id is None or status is None:
        problem = f"no answer within {timeout:g} s"
        remedy = "try again later, or raise `delivery.servicex.timeout`"
    else:
        problem = (
            f"request {query.request_id} is not finished after {timeout:g} s: "
            f"{status.status.value}, {status.files_completed} of {n_files} files"
        )
        remedy = (
            "run again to go on waiting for the same request, or raise `delivery.servicex.timeout`"
        )
    return ServiceError(problem, place=endpoint.place, remedy=remedy)


def damaged(error: BaseException) -> bool:
    """Whether one file in the object store is the reason: asking for all again is no remedy."""
    return isinstance(error, ClientError) or "Download of" in str(error)
