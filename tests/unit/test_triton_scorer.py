"""Scores from a server give the choices of this process, or an error that says why not."""

import contextlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

import boosters
from agc_pipeline.errors import PipelineError, ServiceError
from agc_pipeline.learning import repository
from agc_pipeline.learning.models import Models
from agc_pipeline.learning.scoring import ForestScorer
from agc_pipeline.learning.triton import TritonScorer
from scoring import FEATURES, Events, events, settings
from servers.kserve import Behaviour, serving

Array = npt.NDArray[Any]
VERSIONS = {"1": "even", "2": "odd"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return boosters.pair(tmp_path_factory.mktemp("models"), FEATURES)


def served(models: Models, change: Callable[[Array], Array] = lambda scores: scores) -> Any:
    """What a server has that serves these models, with a change of their scores."""
    return {
        version: lambda rows, parity=parity: change(boosters.predicted(models, parity, rows))
        for version, parity in VERSIONS.items()
    }


def scorer_of(models: Models, url: str, **changes: Any) -> TritonScorer:
    return TritonScorer(models, ForestScorer(models), settings(url, **changes))


@contextlib.contextmanager
def served_by(models: Models, does: Behaviour, **changes: Any) -> Iterator[TritonScorer]:
    with (
        serving(does) as url,
        contextlib.closing(scorer_of(models, url, **changes)) as scorer,
    ):
        yield scorer


def test_the_choices_are_those_of_this_process(models: Models) -> None:
    given = events(300)
    expected = ForestScorer(models).best(*given.arguments)
    does = Behaviour(served(models), rows_max=700)
    with served_by(models, does) as scorer:
        found = scorer.best(*given.arguments)
    assert found.tolist() == expected.tolist()
    # Even events are scored by the odd model, the others by the even one, each row once: after the
    # rows of the check, in requests as large as the server takes.
    counts = np.diff(given.offsets)
    n_rows = {"1": counts[given.numbers % 2 == 1].sum(), "2": counts[given.numbers % 2 == 0].sum()}
    for version, n in n_rows.items():
        sizes = [rows for asked, rows in does.requests if asked == version]
        assert sizes == [512, *[700] * (n // 700), n % 700]


def test_a_swap_of_parities_would_be_seen(models: Models) -> None:
    given = events(50)
    right = ForestScorer(models).best(*given.arguments)
    wrong = ForestScorer(models).best(given.features, given.offsets, given.numbers + 1)
    assert (right != wrong).any()


def rounded_otherwise(scores: Array) -> Array:
    """Scores that are wrong in their last bits."""
    random = np.random.default_rng(len(scores))
    ulps = random.integers(-4, 5, len(scores)).astype(np.float32)
    return scores * (1 + ulps * np.float32(2**-23))


def test_another_rounding_changes_no_choice(models: Models) -> None:
    given = events(400)
    # Many rivals that only rounding tells apart.
    features = np.repeat(given.features[::40], 40, axis=0)[: len(given.features)]
    features = np.resize(features, given.features.shape)
    features[::7, 19] += 1e-6
    given = Events(features, given.offsets, given.numbers)
    expected = ForestScorer(models).best(*given.arguments)
    with served_by(models, Behaviour(served(models, rounded_otherwise))) as scorer:
        assert scorer.best(*given.arguments).tolist() == expected.tolist()


def test_no_events(models: Models) -> None:
    with served_by(models, Behaviour(served(models))) as scorer:
        none = (
            np.empty((0, len(FEATURES)), np.float32),
            np.zeros(1, np.int64),
            np.empty(0, np.int64),
        )
        assert scorer.best(*none).tolist() == []


@pytest.mark.parametrize("columns", [0, 2])
def test_a_server_that_answers_in_another_shape(models: Models, columns: int) -> None:
    given = events(20)
    with served_by(models, Behaviour(served(models), columns=columns)) as scorer:
        found = scorer.best(*given.arguments)
    assert found.tolist() == ForestScorer(models).best(*given.arguments).tolist()


def test_other_models_are_refused_before_any_event(
    models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    others = boosters.pair(tmp_path_factory.mktemp("others"), FEATURES, seed=1)
    parameters = {repository.DIGEST: others.digest}
    does = Behaviour(served(others), parameters=parameters)
    message = r"another model: \d+ of 512 scores"
    with served_by(models, does) as scorer, pytest.raises(PipelineError, match=message) as caught:
        scorer.check()
    assert f"exported with models {others.digest[:12]}" in caught.value.problem
    assert "version 1" in caught.value.place
    assert "learning.models" in caught.value.remedy


def test_a_model_with_one_tree_less_is_another_one(
    models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    less = boosters.pair(tmp_path_factory.mktemp("less"), FEATURES, n_trees=29)
    does = Behaviour(served(less))
    with served_by(models, does) as scorer, pytest.raises(PipelineError, match="another model"):
        scorer.check()


def test_swapped_versions_are_told(models: Models) -> None:
    swapped = served(models)
    does = Behaviour({"1": swapped["2"], "2": swapped["1"]})
    message = "it is the model of the other parity"
    with served_by(models, does) as scorer, pytest.raises(PipelineError, match=message):
        scorer.check()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"n_features": 21}, PipelineError, "expects"),
        ({"ready": False}, ServiceError, "not ready"),
        ({"scores": {"1": lambda rows: rows[:, 0]}}, ServiceError, "has jet_assignment 1 READY"),
    ],
)
def test_the_check_before_any_event(
    models: Models, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    does = Behaviour(**{"scores": served(models), **changes})
    with served_by(models, does) as scorer, pytest.raises(kind, match=message):
        scorer.check()
    assert does.requests == []


def test_models_that_are_exchanged_while_events_are_scored(
    models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given = events(20)
    does = Behaviour(served(models))
    with served_by(models, does) as scorer:
        scorer.best(*given.arguments)
        does.scores = served(boosters.pair(tmp_path_factory.mktemp("new"), FEATURES, seed=1))
        with pytest.raises(PipelineError, match="another model"):
            scorer.best(*given.arguments)


def test_a_server_that_goes_and_comes(models: Models) -> None:
    given = events(30)
    does = Behaviour(served(models))
    expected = ForestScorer(models).best(*given.arguments).tolist()
    with serving(does) as url:
        scorer = scorer_of(models, url, attempts=2)
        assert scorer.best(*given.arguments).tolist() == expected
    with pytest.raises(ServiceError, match="request failed in 2 attempts"):
        scorer.best(*given.arguments)
    port = int(url.rpartition(":")[2])
    with serving(does, port=port), contextlib.closing(scorer):
        patient = scorer_of(models, url, attempts=20, backoff=0.1)
        with contextlib.closing(patient):
            assert patient.best(*given.arguments).tolist() == expected


def test_requests_that_fail_are_repeated(models: Models) -> None:
    given = events(30)
    does = Behaviour(served(models))
    with served_by(models, does) as scorer:
        scorer.check()
        does.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL]
        found = scorer.best(*given.arguments)
    assert found.tolist() == ForestScorer(models).best(*given.arguments).tolist()


def test_it_can_be_sent_to_other_processes(models: Models) -> None:
    given = events(10)
    with served_by(models, Behaviour(served(models))) as scorer:
        found = scorer.best(*given.arguments)
        with contextlib.closing(pickle.loads(pickle.dumps(scorer))) as other:  # noqa: S301
            assert other.best(*given.arguments).tolist() == found.tolist()
