"""Calls to a server with time-outs and retries, and one error when they fail."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity
from tritonclient.utils import InferenceServerException

from agc_pipeline.errors import ServiceError
from agc_pipeline.learning.settings import TritonSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

# Status codes of gRPC that another attempt cannot change.
_FINAL = frozenset(
    f"StatusCode.{name}"
    for name in (
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
    )
)
_UNSUPPORTED = "StatusCode.UNIMPLEMENTED"
_TIMEOUT = "StatusCode.DEADLINE_EXCEEDED"
_UNAVAILABLE = "StatusCode.UNAVAILABLE"


class Retry:
    """Calls of a server with the time-out and attempts of the settings.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings

    def call(
        self, method: Callable[..., T], *arguments: Any, version: str | None = None, **options: Any
    ) -> T:
        """The response to a call, after more attempts if needed.

        Args:
            method: of the client.
            arguments: of the method.
            version: of the model, if the call is about one.
            options: of the method.

        Raises:
            ServiceError: if there is no response.
        """
        try:
            return self._response(method, *arguments, version=version, **options)
        except InferenceServerException as error:
            raise self._error(error, version) from error

    def call_if_supported(
        self, method: Callable[..., T], *arguments: Any, version: str | None = None
    ) -> T | None:
        """The same for a method that not every server supports; None if this one does not."""
        try:
            return self._response(method, *arguments, version=version)
        except InferenceServerException as error:
            if error.status() == _UNSUPPORTED:
                return None
            raise self._error(error, version) from error

    def until_true(self, method: Callable[..., bool], problem: str) -> None:
        """Repeat a call until its response is true.

        Args:
            method: of the client.
            problem: what false means.

        Raises:
            ServiceError: if it stays false, or there is no response.
        """

        def check(**options: Any) -> None:
            if not method(**options):
                raise InferenceServerException(problem, status=_UNAVAILABLE)

        self.call(check)

    def _response(
        self, method: Callable[..., T], *arguments: Any, version: str | None, **options: Any
    ) -> T:
        settings = self._settings
        if version is not None:
            options["model_version"] = version
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.attempts),
            wait=tenacity.wait_exponential_jitter(
                multiplier=settings.backoff, max=60 * settings.backoff, jitter=settings.backoff
            ),
            retry=tenacity.retry_if_exception(_is_transient),
            before_sleep=self._log_attempt,
            reraise=True,
        )
        return attempts(method, *arguments, client_timeout=settings.timeout, **options)

    def _log_attempt(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        log.warning(
            "%s: %s; attempt %d of %d in %.1f s",
            self._settings.url,
            _message(error),
            state.attempt_number + 1,
            self._settings.attempts,
            state.upcoming_sleep,
        )

    def _error(self, error: InferenceServerException, version: str | None) -> ServiceError:
        settings = self._settings
        attempts = "" if settings.attempts == 1 else f" in {settings.attempts} attempts"
        match error.status():
            case status if status == _TIMEOUT:
                problem = f"no answer within {settings.timeout:g} s{attempts}"
                remedy = (
                    "check the load of the server, or reduce the rows of a request or extend its "
                    "time: `learning.triton.batch_size`, `timeout`"
                )
            case status if status in _FINAL:
                problem = f"the server refuses the request: {_message(error)}"
                remedy = "correct `learning.triton`, or the models of the server"
            case _:
                problem = f"request failed{attempts}: {_message(error)}"
                remedy = (
                    "start the server or check its log, correct `learning.triton`, or allow more "
                    "`attempts`; then run again: finished jobs are kept"
                )
        return ServiceError(problem, place=self.place(version), remedy=remedy)

    def place(self, version: str | None = None) -> str:
        """Server, model and version, for errors."""
        settings = self._settings
        model = "" if version is None else f", model {settings.model}, version {version}"
        return f"Triton server {settings.url}{model}"


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, InferenceServerException) and error.status() not in _FINAL


def _message(error: object) -> str:
    """Message of a response, without what gRPC adds to it."""
    text = error.message() if isinstance(error, InferenceServerException) else str(error)
    return str(text).rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
