"""A server of the KServe protocol in this process, which does as it is told."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as service

Array = npt.NDArray[Any]
Status = grpc.StatusCode


@dataclass
class Behaviour:
    """What the server has and how it misbehaves; may be changed while it runs.

    Attributes:
        scores: function of rows for each version of the model.
        model: its name.
        n_features: columns that it takes.
        columns: of its answer; 0 is one score for each row without a dimension of its own.
        datatype: of input and output.
        rows_max: rows of a request at most; None does not tell.
        live, ready: of the server.
        failures: status for each of the next requests for scores, before they are well again.
        delay: seconds before each answer to a request for scores.
        requests: version and rows of each request for scores.
        extensions: whether it knows Triton's calls.
        parameters: of the model's configuration.
    """

    scores: Mapping[str, Callable[[Array], Array]]
    model: str = "jet_assignment"
    n_features: int = 20
    columns: int = 1
    datatype: str = "FP32"
    rows_max: int | None = None
    live: bool = True
    ready: bool = True
    failures: list[grpc.StatusCode] = field(default_factory=list)
    delay: float = 0
    requests: list[tuple[str, int]] = field(default_factory=list)
    extensions: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)


class _Servicer(service.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, behaviour: Behaviour) -> None:
        self._is = behaviour
        self._lock = threading.Lock()

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:
        return messages.ServerLiveResponse(live=self._is.live)

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return messages.ServerReadyResponse(ready=self._is.ready)

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return messages.ServerMetadataResponse(name="pretended", version="1.2")

    def _has(self, request: Any) -> bool:
        name = request.model_name if hasattr(request, "model_name") else request.name
        version = request.model_version if hasattr(request, "model_version") else request.version
        return name == self._is.model and version in self._is.scores

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return messages.ModelReadyResponse(ready=self._has(request))

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        tensor = messages.ModelMetadataResponse.TensorMetadata
        columns = [self._is.columns] if self._is.columns else []
        return messages.ModelMetadataResponse(
            name=self._is.model,
            inputs=[tensor(name="in", datatype=self._is.datatype, shape=[-1, self._is.n_features])],
            outputs=[tensor(name="out", datatype=self._is.datatype, shape=[-1, *columns])],
        )

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not self._is.extensions:
            context.abort(Status.UNIMPLEMENTED, "no such call")
        answer = messages.ModelConfigResponse()
        answer.config.max_batch_size = self._is.rows_max or 0
        for name, value in self._is.parameters.items():
            answer.config.parameters[name].string_value = value
        return answer

    def RepositoryIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not self._is.extensions:
            context.abort(Status.UNIMPLEMENTED, "no such call")
        model = messages.RepositoryIndexResponse.ModelIndex
        return messages.RepositoryIndexResponse(
            models=[
                model(name=self._is.model, version=version, state="READY")
                for version in self._is.scores
            ]
        )

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        (tensor,) = request.inputs
        rows = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tensor.shape)
        with self._lock:
            self._is.requests.append((request.model_version, len(rows)))
            failure = self._is.failures.pop(0) if self._is.failures else None
        time.sleep(self._is.delay)
        if failure is not None:
            context.abort(failure, "as told")
        if self._is.rows_max is not None and len(rows) > self._is.rows_max:
            context.abort(Status.INVALID_ARGUMENT, "too many rows")
        scores = np.asarray(self._is.scores[request.model_version](rows), np.float32)
        match self._is.columns:
            case 0:
                answer = scores
            case 1:
                answer = scores[:, np.newaxis]
            case _:
                answer = np.stack([1 - scores, scores], axis=1)
        made = messages.ModelInferResponse(raw_output_contents=[answer.tobytes()])
        output = made.outputs.add()
        output.name, output.datatype = "out", "FP32"
        output.shape.extend(answer.shape)
        return made


@contextmanager
def serving(behaviour: Behaviour, *, port: int = 0) -> Iterator[str]:
    """Gives the address; with a port of its own unless one is given."""
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", -1)])
        service.add_GRPCInferenceServiceServicer_to_server(_Servicer(behaviour), server)
        address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        server.start()
        try:
            yield address
        finally:
            server.stop(0).wait()
