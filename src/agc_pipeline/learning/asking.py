"""Questions to a server: time-outs, further attempts, and one error when there is no answer."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity
from tritonclient.utils import InferenceServerException

from agc_pipeline.errors import ServiceError
from agc_pipeline.learning.settings import TritonSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

# What another attempt cannot mend, as gRPC names it.
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
_UNKNOWN_CALL = "StatusCode.UNIMPLEMENTED"
_LATE = "StatusCode.DEADLINE_EXCEEDED"
_DOWN = "StatusCode.UNAVAILABLE"


class Asking:
    """Asks a server, as patiently as the settings say.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings

    def ask(
        self, call: Callable[..., T], *arguments: Any, version: str | None = None, **options: Any
    ) -> T:
        """What the server answers to a call, if need be after more attempts.

        Args:
            call: method of the client.
            arguments: of the call.
            version: of the model, if the call is about one.
            options: of the call.

        Raises:
            ServiceError: if there is no answer.
        """
        try:
            return self._answer(call, *arguments, version=version, **options)
        except InferenceServerException as error:
            raise self._failed(error, version) from error

    def ask_if_known(
        self, call: Callable[..., T], *arguments: Any, version: str | None = None
    ) -> T | None:
        """The same for a call that not every server knows; None if this one does not."""
        try:
            return self._answer(call, *arguments, version=version)
        except InferenceServerException as error:
            if error.status() == _UNKNOWN_CALL:
                return None
            raise self._failed(error, version) from error

    def until_true(self, call: Callable[..., bool], problem: str) -> None:
        """Ask until the answer is yes: no is like no answer.

        Args:
            call: method of the client.
            problem: what a no means.

        Raises:
            ServiceError: if it never is.
        """

        def once(**options: Any) -> None:
            if not call(**options):
                raise InferenceServerException(problem, status=_DOWN)

        self.ask(once)

    def _answer(
        self, call: Callable[..., T], *arguments: Any, version: str | None, **options: Any
    ) -> T:
        settings = self._settings
        if version is not None:
            options["model_version"] = version
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.attempts),
            wait=tenacity.wait_exponential_jitter(
                multiplier=settings.backoff, max=60 * settings.backoff, jitter=settings.backoff
            ),
            retry=tenacity.retry_if_exception(_may_pass),
            before_sleep=self._tell_pause,
            reraise=True,
        )
        return attempts(call, *arguments, client_timeout=settings.timeout, **options)

    def _tell_pause(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        log.warning(
            "%s: %s; attempt %d of %d in %.1f s",
            self._settings.url,
            _told(error),
            state.attempt_number + 1,
            self._settings.attempts,
            state.upcoming_sleep,
        )

    def _failed(self, error: InferenceServerException, version: str | None) -> ServiceError:
        settings = self._settings
        times = "" if settings.attempts == 1 else f", {settings.attempts} times"
        match error.status():
            case status if status == _LATE:
                problem = f"no answer within {settings.timeout:g} s{times}"
                remedy = (
                    "see what else the server does, or give it fewer rows at a time or more time: "
                    "`learning.triton.batch_size`, `timeout`"
                )
            case status if status in _FINAL:
                problem = f"the server refuses: {_told(error)}"
                remedy = "correct `learning.triton`, or what the server serves"
            case _:
                problem = f"no success{times}: {_told(error)}"
                remedy = (
                    "start the server or see its log, correct `learning.triton`, or try more often "
                    "with `attempts`; then run again: finished jobs are kept"
                )
        return ServiceError(problem, place=self.place(version), remedy=remedy)

    def place(self, version: str | None = None) -> str:
        """Server, and model and version if it is about them, for errors."""
        settings = self._settings
        about = "" if version is None else f", model {settings.model}, version {version}"
        return f"Triton server {settings.url}{about}"


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, InferenceServerException) and error.status() not in _FINAL


def _told(error: object) -> str:
    """What an answer says, without what gRPC has around it."""
    text = error.message() if isinstance(error, InferenceServerException) else str(error)
    return str(text).rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
