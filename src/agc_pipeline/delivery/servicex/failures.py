"""What the ServiceX client raises, told as the errors of this pipeline, without its secrets."""

from collections.abc import Iterable

import aiohttp
import httpx
from botocore.exceptions import BotoCoreError, ClientError
from google.auth.exceptions import MalformedError
from servicex.query_cache import CacheException
from servicex.query_core import ServiceXException
from servicex.servicex_adapter import AuthorizationError

from agc_pipeline.delivery.servicex.configuration import Endpoint
from agc_pipeline.errors import ConfigurationError, PipelineError, ServiceError
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

_AGAIN = "try again later; the service's state is on its web page"


class InterruptedRequestError(ServiceError):
    """A request failed in a way that another one may not."""


def explained(
    error: BaseException, endpoint: Endpoint, *, secrets: Iterable[str], submitted: bool
) -> PipelineError:
    """The error for what the client raised.

    Args:
        error: one of ``CLIENT_ERRORS``.
        endpoint: where it happened.
        secrets: texts that must not be told.
        submitted: the service had taken the request: another attempt is worth while.
    """
    told = text_of(error, secrets)
    match error:
        case AuthorizationError():
            problem, again = f"the service refuses the credentials: {told}", submitted
            remedy = (
                f"get a new token from the service's profile page and put it into {endpoint.file}, "
                "or renew the file that BEARER_TOKEN_FILE names"
            )
        case FileNotFoundError():
            problem, again = f"a file of the client is missing: {error.filename}", False
            remedy = "correct BEARER_TOKEN_FILE, or unset it to use the token of the configuration"
        # No code generator of the name that the configuration gives.
        case NameError():
            problem, remedy = told, "set `delivery.servicex.codegen` to one that the service has"
            return ConfigurationError(problem, place=endpoint.place, remedy=remedy)
        case httpx.HTTPError() | ConnectionError() | TimeoutError():
            problem, again = f"the server does not answer: {told}", True
            remedy = _AGAIN
        case httpx.InvalidURL():
            problem, again = f"not an address: {told}", False
            remedy = f"correct the endpoint in {endpoint.file}"
        case BotoCoreError() | ClientError() | aiohttp.ClientError():
            problem, again = f"the object store fails: {told}", True
            remedy = _AGAIN
        case ValueError() if "Invalid transform request" in told:
            problem, again = f"the service does not take the request: {told}", False
            remedy = (
                "check the addresses of the input files, `delivery.servicex.codegen` and "
                "`delivery.format`"
            )
        case RuntimeError():
            problem, again = f"the service fails: {told}", True
            remedy = _AGAIN
        case _:
            problem, again = f"the request failed: {told}", submitted
            remedy = _AGAIN
    kind = InterruptedRequestError if again else ServiceError
    return kind(problem, place=endpoint.place, remedy=remedy)


def text_of(error: BaseException, secrets: Iterable[str]) -> str:
    """What an error says, on one line, without secrets."""
    # Both quote the token or what it says.
    if isinstance(error, MalformedError) or "Token data" in str(error):
        return "the token is not a JSON Web Token with an expiry date"
    text = f"{type(error).__name__}: {error}"
    for secret in secrets:
        text = text.replace(secret, "***")
    return without_secrets(" ".join(text.split()))[:300]
