"""A client of servers that speak the KServe protocol, version 2, over gRPC, such as Triton.

It knows requests, retries and what servers answer, and nothing of what is scored.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
import tenacity
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from agc_pipeline.errors import PipelineError, ServiceError
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.settings import Tls

log = logging.getLogger(__name__)
T = TypeVar("T")
Array = npt.NDArray[Any]

_FLOAT32 = "FP32"
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
# As tritonclient has them, except that a server which is back is found within a second, and at once
# by a new connection.
_CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class Signature:
    """What a version of a model takes and gives.

    Attributes:
        input: name of its input, rows of single precision.
        output: name of its output, one or two columns of single precision.
        rows_max: rows that it takes in a request; None is any number.
        parameters: of its configuration on the server, by name.
    """

    input: str
    output: str
    rows_max: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A connection to the server of the settings, made when it is needed.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._client = self._connected()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _connected(self) -> InferenceServerClient:
        tls = self._settings.tls
        creds = None if tls is None else _credentials(tls)
        return InferenceServerClient(self._settings.url, creds=creds, channel_args=_CHANNEL)

    def describe(self) -> str:
        """Name and version of the server, once it is live and ready.

        Raises:
            ServiceError: if it does not answer, or does not become ready.
        """
        # A server that has just been started answers before it has loaded its models.
        for state, ask in (
            ("live", self._client.is_server_live),
            ("ready", self._client.is_server_ready),
        ):
            self._asked(_true(ask, f"the server is not {state}"))
        found = self._asked(self._client.get_server_metadata)
        return f"{found.name} {found.version}".strip()

    def require(self, version: str) -> None:
        """Check that the server has a version of the model, ready.

        Raises:
            ServiceError: if not.
        """
        if not self._asked(self._client.is_model_ready, self._settings.model, version=version):
            raise ServiceError(
                f"the server has no such model that is ready; it has {self._served()}",
                place=self.place(version),
                remedy="correct `learning.triton.model` and `versions`, or have the server load "
                "the models of this run, as {results}/models/triton has them",
            )

    def signature(self, version: str, n_features: int) -> Signature:
        """What a version of the model takes and gives, checked.

        Args:
            version: of the model.
            n_features: columns that it is going to be given.

        Raises:
            ServiceError: if the server does not have the version, or it is not ready.
            PipelineError: if it takes or gives something else than rows of features and scores.
        """
        self.require(version)
        found = self._asked(self._client.get_model_metadata, self._settings.model, version=version)
        inputs = [(entry.datatype, tuple(entry.shape)) for entry in found.inputs]
        if inputs != [(_FLOAT32, (-1, n_features))]:
            self._refuse(
                version, f"takes {_described(found.inputs)}, not [-1, {n_features}] {_FLOAT32}"
            )
        outputs = [(entry.datatype, tuple(entry.shape)) for entry in found.outputs]
        scores = [(_FLOAT32, shape) for shape in ((-1,), (-1, 1), (-1, 2))]
        # Others are not asked for.
        if not outputs or outputs[0] not in scores:
            self._refuse(
                version,
                f"gives {_described(found.outputs)}, not scores: [-1, 2] probabilities, or one "
                f"score for each row, {_FLOAT32}",
            )
        signature = Signature(found.inputs[0].name, found.outputs[0].name)
        known = self._extension(
            self._client.get_model_config, self._settings.model, version=version
        )
        if known is None:
            return signature
        return replace(
            signature,
            rows_max=known.config.max_batch_size or None,
            parameters={
                name: value.string_value for name, value in known.config.parameters.items()
            },
        )

    def _refuse(self, version: str, problem: str) -> None:
        raise PipelineError(
            f"the served model {problem}",
            place=self.place(version),
            remedy="serve the models of this run, as {results}/models/triton has them, or correct "
            "`learning.triton.model` and `versions`",
        )

    def _served(self) -> str:
        """Models and versions of the server, for an error."""
        found = self._extension(self._client.get_model_repository_index)
        names = () if found is None else found.models
        served = [f"{entry.name} {entry.version} {entry.state}".strip() for entry in names]
        return ", ".join(served) or "others"

    def _extension(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        """What a call of Triton's own gives; other servers do not know it."""
        try:
            return self._asked(call, *arguments, optional=True, **options)
        except InferenceServerException:
            return None

    def score(self, version: str, signature: Signature, rows: Array) -> Array:
        """Scores of rows, ``n`` in single precision.

        Args:
            version: of the model.
            signature: of it.
            rows: ``n * features``, single precision, no more than the model takes.

        Raises:
            ServiceError: if the server fails, or does not answer in time, again and again.
        """
        given = InferInput(signature.input, rows.shape, _FLOAT32)
        given.set_data_from_numpy(np.ascontiguousarray(rows))
        answer = self._asked(
            self._client.infer,
            self._settings.model,
            inputs=[given],
            outputs=[InferRequestedOutput(signature.output)],
            version=version,
        )
        scores = answer.as_numpy(signature.output)
        known = scores is not None and scores.dtype == np.float32
        if not known or scores.size not in {len(rows), 2 * len(rows)} or np.isnan(scores).any():
            self._refuse(version, f"answers {len(rows)} rows with something else than scores")
        # Of two columns the second is the probability of the right assignment.
        return np.ascontiguousarray(scores.reshape(len(rows), -1)[:, -1])

    def _asked(
        self,
        call: Callable[..., T],
        *arguments: Any,
        version: str | None = None,
        optional: bool = False,
        **options: Any,
    ) -> T:
        """What the server answers to a call, if need be after more attempts.

        Args:
            call: method of the client.
            arguments: of the call.
            version: of the model, if the call is about one.
            optional: the server need not know the call.
            options: of the call.

        Raises:
            InferenceServerException: if the call is optional and unknown.
            ServiceError: if there is no answer.
        """
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
        try:
            return attempts(call, *arguments, client_timeout=settings.timeout, **options)
        except InferenceServerException as error:
            if optional and error.status() == _UNKNOWN_CALL:
                raise
            raise self._failed(error, version) from error

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


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Credentials for a connection.

    Raises:
        ServiceError: if a file cannot be read.
    """
    try:
        root, key, chain = (
            None if name is None else Path(name).read_bytes()
            for name in (tls.ca_file, tls.key, tls.cert)
        )
    except OSError as error:
        raise ServiceError(
            f"cannot read a file for TLS: {error}",
            place="learning.triton.tls",
            remedy="correct the path or its permissions",
        ) from error
    return grpc.ssl_channel_credentials(root, key, chain)


def _true(ask: Callable[..., bool], problem: str) -> Callable[..., None]:
    """A call that fails, as by a server that is down, where the answer is no."""

    def asked(**options: Any) -> None:
        if not ask(**options):
            raise InferenceServerException(problem, status=_DOWN)

    return asked


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, InferenceServerException) and error.status() not in _FINAL


def _told(error: object) -> str:
    """What an answer says, without what gRPC has around it."""
    text = error.message() if isinstance(error, InferenceServerException) else str(error)
    return str(text).rpartition("last error: ")[2].removeprefix("UNKNOWN: ")


def _described(tensors: Any) -> str:
    """Shapes and types of tensors, for an error."""
    found = [f"{list(tensor.shape)} {tensor.datatype} ({tensor.name})" for tensor in tensors]
    return ", ".join(found) or "nothing"
