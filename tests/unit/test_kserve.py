"""The client of servers that score, against a server in this process that misbehaves."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from agc_pipeline.errors import PipelineError, ServiceError
from agc_pipeline.learning.kserve import Server, Signature
from scoring import settings
from servers.kserve import Behaviour, serving

Status = grpc.StatusCode
ROWS = np.arange(60, dtype=np.float32).reshape(3, 20) / 100


def behaviour(**changes: Any) -> Behaviour:
    scores = {"1": lambda rows: rows[:, 0], "2": lambda rows: rows[:, 1]}
    return Behaviour(**{"scores": scores, **changes})


@contextlib.contextmanager
def connected(does: Behaviour, **changes: Any) -> Iterator[Server]:
    with serving(does) as url, contextlib.closing(Server(settings(url, **changes))) as server:
        yield server


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_scores_of_a_version_in_each_shape(columns: int) -> None:
    with connected(behaviour(columns=columns, rows_max=7)) as server:
        assert server.describe() == "pretended 1.2"
        signature = server.signature("2", 20)
        assert signature == Signature("in", "out", 7)
        scores = server.score("2", signature, ROWS)
        assert scores.dtype == np.float32
        assert scores.tolist() == ROWS[:, 1].tolist()
        assert server.score("1", signature, ROWS[:1]).tolist() == ROWS[:1, 0].tolist()


def test_a_server_without_the_calls_of_triton_is_good_enough() -> None:
    with connected(behaviour(extensions=False)) as server:
        assert server.signature("1", 20).rows_max is None
        with pytest.raises(ServiceError, match="no such model"):
            server.signature("3", 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_features": 19}, r"expects \[-1, 19\] FP32 \(in\), not \[-1, 20\] FP32"),
        ({"datatype": "FP64"}, r"expects \[-1, 20\] FP64 \(in\), not"),
        ({"columns": 3}, r"returns \[-1, 3\] FP32 \(out\), not scores"),
        ({"model": "other"}, "no such model that is ready; it has other 1 READY, other 2 READY"),
    ],
)
def test_a_model_that_does_something_else_is_refused(changes: dict[str, Any], message: str) -> None:
    with (
        connected(behaviour(**changes)) as server,
        pytest.raises(PipelineError, match=message) as caught,
    ):
        server.signature("1", 20)
    assert "model jet_assignment, version 1" in caught.value.place
    assert "learning.triton.model" in caught.value.remedy


def test_a_version_that_the_server_does_not_have() -> None:
    with connected(behaviour()) as server:
        signature = server.signature("1", 20)
        with pytest.raises(ServiceError, match="has jet_assignment 1 READY") as caught:
            server.signature("3", 20)
        assert caught.value.place.endswith("model jet_assignment, version 3")
        # It went away since it was looked for.
        with pytest.raises(ServiceError):
            server.score("3", signature, ROWS)


@pytest.mark.parametrize("name", ["live", "ready"])
def test_a_server_that_is_not_ready(name: str) -> None:
    message = f"request failed in 3 attempts: the server is not {name}"
    with (
        connected(behaviour(**{name: False})) as server,
        pytest.raises(ServiceError, match=message),
    ):
        server.describe()


def test_requests_that_fail_are_repeated() -> None:
    does = behaviour(failures=[Status.UNAVAILABLE, Status.INTERNAL])
    with connected(does) as server:
        assert len(server.score("1", server.signature("1", 20), ROWS)) == 3
    assert does.requests == [("1", 3)] * 3


def test_attempts_come_to_an_end() -> None:
    does = behaviour(failures=[Status.UNAVAILABLE] * 3)
    with connected(does) as server:
        signature = server.signature("1", 20)
        with pytest.raises(ServiceError, match="request failed in 3 attempts: as told") as caught:
            server.score("1", signature, ROWS)
        assert "attempts" in caught.value.remedy
        assert len(server.score("1", signature, ROWS)) == 3
    assert len(does.requests) == 4


@pytest.mark.parametrize("status", [Status.INVALID_ARGUMENT, Status.UNAUTHENTICATED])
def test_what_cannot_pass_is_not_repeated(status: grpc.StatusCode) -> None:
    does = behaviour(failures=[status])
    with connected(does) as server:
        signature = server.signature("1", 20)
        with pytest.raises(ServiceError, match="the server refuses the request: as told"):
            server.score("1", signature, ROWS)
    assert len(does.requests) == 1


def test_a_slow_server() -> None:
    does = behaviour(delay=0.5)
    with connected(does) as patient:
        signature = patient.signature("1", 20)
    with (
        connected(does, timeout=0.1, attempts=2) as server,
        pytest.raises(ServiceError, match=r"no answer within 0\.1 s in 2 attempts") as caught,
    ):
        server.score("1", signature, ROWS)
    assert "timeout" in caught.value.remedy


def test_no_server_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"127.0.0.1:{taken.getsockname()[1]}"
    with (
        contextlib.closing(Server(settings(url))) as server,
        pytest.raises(ServiceError, match="request failed in 3 attempts") as caught,
    ):
        server.describe()
    assert url in caught.value.place


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.5])
def test_answers_that_are_no_scores(wrong: float) -> None:
    does = behaviour(scores={"1": lambda rows: np.append(rows[1:, 0], wrong)})
    with connected(does) as server:
        signature = server.signature("1", 20)
        with pytest.raises(PipelineError, match="something else than probabilities"):
            server.score("1", signature, ROWS)
        does.scores = {"1": lambda rows: rows[:1, 0]}
        with pytest.raises(PipelineError, match="3 rows with another number of scores"):
            server.score("1", signature, ROWS)


@pytest.mark.parametrize("url", ["localhost", "http://localhost:8001", "user@host:1", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        settings(url)
