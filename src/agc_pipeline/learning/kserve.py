"""A client of servers that speak the KServe protocol, version 2, over gRPC, such as Triton.

It handles requests, retries and responses, and is independent of what is scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from agc_pipeline.errors import PipelineError, ServiceError
from agc_pipeline.learning.retry import Retry
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.settings import Tls

Array = npt.NDArray[Any]

_FLOAT32 = "FP32"
# As in tritonclient, except that a restarted server is reached within a second, and at once by a
# new connection.
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
    """Input and output of a version of a model.

    Attributes:
        input: name of its input, rows of single precision.
        output: name of its output, one or two columns of single precision.
        rows_max: rows that it accepts in a request; None is any number.
        parameters: of its configuration on the server, by name.
    """

    input: str
    output: str
    rows_max: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A connection to the server of the settings, opened on demand.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._retry = Retry(settings)
        creds = None if settings.tls is None else _credentials(settings.tls)
        self._client = InferenceServerClient(settings.url, creds=creds, channel_args=_CHANNEL)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def place(self, version: str) -> str:
        """Server, model and version, for errors."""
        return self._retry.place(version)

    def describe(self) -> str:
        """Name and version of the server, once it is live and ready.

        Raises:
            ServiceError: if it does not answer, or does not become ready.
        """
        # A server that has just been started answers before it has loaded its models.
        self._retry.until_true(self._client.is_server_live, "the server is not live")
        self._retry.until_true(self._client.is_server_ready, "the server is not ready")
        metadata = self._retry.call(self._client.get_server_metadata)
        return f"{metadata.name} {metadata.version}".strip()

    def require(self, version: str) -> None:
        """Check that the server has a version of the model, ready.

        Raises:
            ServiceError: if not.
        """
        if not self._retry.call(self._client.is_model_ready, self._settings.model, version=version):
            raise ServiceError(
                f"the server has no such model that is ready; it has {self._models()}",
                place=self._retry.place(version),
                remedy="correct `learning.triton.model` and `versions`, or have the server load "
                "the models of this run, as {results}/models/triton has them",
            )

    def signature(self, version: str, n_features: int) -> Signature:
        """Input and output of a version of the model, checked.

        Args:
            version: of the model.
            n_features: columns of the rows that are to be scored.

        Raises:
            ServiceError: if the server does not have the version, or it is not ready.
            PipelineError: if its input or output are not rows of features and scores.
        """
        self.require(version)
        metadata = self._retry.call(
            self._client.get_model_metadata, self._settings.model, version=version
        )
        inputs = [(entry.datatype, tuple(entry.shape)) for entry in metadata.inputs]
        if inputs != [(_FLOAT32, (-1, n_features))]:
            self._refuse(
                version, f"expects {_described(metadata.inputs)}, not [-1, {n_features}] {_FLOAT32}"
            )
        outputs = [(entry.datatype, tuple(entry.shape)) for entry in metadata.outputs]
        scores = [(_FLOAT32, shape) for shape in ((-1,), (-1, 1), (-1, 2))]
        # Further outputs are not requested.
        if not outputs or outputs[0] not in scores:
            self._refuse(
                version,
                f"returns {_described(metadata.outputs)}, not scores: [-1, 2] probabilities, or "
                f"one score for each row, {_FLOAT32}",
            )
        signature = Signature(metadata.inputs[0].name, metadata.outputs[0].name)
        response = self._retry.call_if_supported(
            self._client.get_model_config, self._settings.model, version=version
        )
        if response is None:
            return signature
        return replace(
            signature,
            rows_max=response.config.max_batch_size or None,
            parameters={
                name: value.string_value for name, value in response.config.parameters.items()
            },
        )

    def _refuse(self, version: str, problem: str) -> NoReturn:
        raise PipelineError(
            f"the served model {problem}",
            place=self._retry.place(version),
            remedy="serve the models of this run, as {results}/models/triton has them, or correct "
            "`learning.triton.model` and `versions`",
        )

    def _models(self) -> str:
        """Models and versions of the server, for an error."""
        index = self._retry.call_if_supported(self._client.get_model_repository_index)
        entries = () if index is None else index.models
        models = [f"{entry.name} {entry.version} {entry.state}".strip() for entry in entries]
        return ", ".join(models) or "others"

    def score(self, version: str, signature: Signature, rows: Array) -> Array:
        """Scores of rows, ``n`` probabilities in single precision.

        Args:
            version: of the model.
            signature: of it.
            rows: ``n * features``, single precision, no more than the model accepts.

        Raises:
            ServiceError: if the server fails or does not answer in time, in all attempts.
            PipelineError: if its response is something else.
        """
        tensor = InferInput(signature.input, rows.shape, _FLOAT32)
        tensor.set_data_from_numpy(np.ascontiguousarray(rows))
        response = self._retry.call(
            self._client.infer,
            self._settings.model,
            inputs=[tensor],
            outputs=[InferRequestedOutput(signature.output)],
            version=version,
        )
        scores = response.as_numpy(signature.output)
        if scores is None or scores.size not in {len(rows), 2 * len(rows)}:
            self._refuse(version, f"answers {len(rows)} rows with another number of scores")
        if scores.dtype != np.float32 or not np.all((scores >= 0) & (scores <= 1)):
            self._refuse(version, "answers with something else than probabilities")
        # Of two columns the second is the probability of the right candidate.
        return np.ascontiguousarray(scores.reshape(len(rows), -1)[:, -1])


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


def _described(tensors: Any) -> str:
    """Shapes and types of tensors, for an error."""
    texts = [f"{list(tensor.shape)} {tensor.datatype} ({tensor.name})" for tensor in tensors]
    return ", ".join(texts) or "nothing"
