"""Scores of forests are those of xgboost, to the bit, and so is the row that scores highest."""

import json
import math
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

import boosters
from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import (
    FEATURES,
    GROUPS,
    Jets,
    Leptons,
    features,
)
from agc_pipeline.errors import InputError
from agc_pipeline.learning import forest
from agc_pipeline.learning.models import Models
from agc_pipeline.learning.scoring import ForestScorer, by_parity
from agc_pipeline.readers.columns import offsets_of

N_FEATURES = 5


def trained(
    rows: Any, *, n_trees: int = 25, seed: int = 1, **options: Any
) -> tuple[xgboost.Booster, bytes]:
    rng = np.random.default_rng(seed)
    target = rows[:, 0] * rows[:, 1] + 0.5 * rows[:, -1] + rng.normal(0, 0.3, len(rows)) > 0
    parameters = {"objective": "binary:logistic", "nthread": 1, "seed": seed, **options}
    model = xgboost.train(parameters, xgboost.DMatrix(rows, label=target), n_trees)
    return model, bytes(model.save_raw("json"))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("depth", [5, 9])
def test_pruned_nodes_are_not_there(missing: bool, depth: int) -> None:
    options = {"gamma": 1.0, "tree_method": "exact", "max_depth": depth, "min_child_weight": 0}
    model, content = trained(random_rows(3000), **options)
    features = [
        feature
        for tree in json.loads(content)["learner"]["gradient_booster"]["model"]["trees"]
        for feature in tree["split_indices"]
    ]
    assert max(features) > N_FEATURES
    rows = random_rows(1000, seed=7)
    if missing:
        rows[::3, 1] = np.nan
    expected = model.predict(xgboost.DMatrix(rows))
    assert np.array_equal(forest.scores(forest.parse(content, place="test"), rows), expected)


def random_rows(n: int, *, seed: int = 0, n_features: int = N_FEATURES) -> Any:
    return np.random.default_rng(seed).normal(size=(n, n_features)).astype(np.float32)


# The last has more leaves than the masks have bits.
@pytest.mark.parametrize(
    ("depth", "base_score"), [(1, 0.5), (3, 0.03), (6, None), (6, 0.97), (9, None)]
)
def test_scores_are_those_of_xgboost(depth: int, base_score: float | None) -> None:
    options = {} if base_score is None else {"base_score": base_score}
    model, content = trained(random_rows(6000), max_depth=depth, min_child_weight=0, **options)
    read = forest.parse(content, place="test")
    assert (read.tests is None) == (depth > 6)
    # More rows than one block, and values on the thresholds of tests.
    rows = random_rows(3000, seed=7)
    thresholds = read.nodes.threshold[read.nodes.feature >= 0]
    rows[:1000] = np.random.default_rng(1).choice(thresholds, (1000, N_FEATURES))
    expected = model.predict(xgboost.DMatrix(rows))
    assert expected.dtype == np.float32
    assert (forest.scores(read, rows) == expected).all()
    for groups in ([(0,), (1,), (2,), (3,), (4,)], [(4, 2), (0, 1, 3)]):
        grouped = forest.parse(content, place="test", groups=groups)
        assert (forest.scores(grouped, rows) == expected).all()
    # Both kernels.
    assert (forest.scores(read._replace(tests=None), rows) == expected).all()


def test_trees_with_more_leaves_than_a_mask_has_bits() -> None:
    given = random_rows(4000)
    labels = np.random.default_rng(5).random(len(given)) < 0.5
    model = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1, "max_depth": 14, "min_child_weight": 0},
        xgboost.DMatrix(given, label=labels),
        8,
    )
    read = forest.parse(bytes(model.save_raw("json")), place="test")
    assert read.tests is None
    assert np.count_nonzero(read.steps.value) > 8 * 200
    # Blocks that are full, and one that is not; values at and beyond all thresholds.
    rows = np.concatenate([random_rows(700, seed=9), given[:30], np.full_like(given[:1], np.inf)])
    rows[5, :] = -np.inf
    largest = np.finfo(np.float32).max
    expected = model.predict(xgboost.DMatrix(np.clip(rows, -largest, largest)))
    assert (forest.scores(read, rows) == expected).all()
    offsets, events = np.array([0, 1, 1, 600, 731]), np.array([1, 2])
    assert (forest.scores(read, rows, offsets, events) == expected[1:600]).all()
    assert len(forest.scores(read, rows, offsets, np.array([1]))) == 0


def test_missing_and_infinite_values_are_those_of_xgboost() -> None:
    given = random_rows(3000)
    given[np.random.default_rng(2).random(given.shape) < 0.3] = np.nan
    model, content = trained(np.nan_to_num(given), max_depth=4)
    with_missing = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1},
        xgboost.DMatrix(given, label=given[:, 0] > 0),
        20,
    )
    read = forest.parse(bytes(with_missing.save_raw("json")), place="test")
    expected = with_missing.predict(xgboost.DMatrix(given))
    assert (forest.scores(read, given) == expected).all()
    full = random_rows(50, seed=3)
    full[:, 2] = np.inf
    full[::2, 3] = -np.inf
    largest = np.finfo(np.float32).max
    expected = model.predict(xgboost.DMatrix(np.clip(full, -largest, largest)))
    assert (forest.scores(forest.parse(content, place="test"), full) == expected).all()


def random_events(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Features and offsets of random events with jets, and numbers of the events."""
    rng = np.random.default_rng(seed)
    offsets = offsets_of(rng.integers(4, 7, n))
    total = offsets[-1]
    jets = Jets(
        offsets,
        30 + rng.exponential(40, total),
        rng.normal(0, 1, total),
        rng.uniform(-3, 3, total),
        rng.uniform(1, 20, total),
        rng.random(total),
        rng.random(total),
    )
    leptons = Leptons(*(rng.random(n) for _ in range(4)))
    rows, starts = features(jets, leptons, wrapped=True)
    return rows, starts, rng.integers(0, 2**64, n, np.uint64)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return boosters.pair(tmp_path_factory.mktemp("models"), FEATURES)


def plain_best(pair: Models, rows: Any, offsets: Any, numbers: Any) -> list[int]:
    """The first row of the highest score, by xgboost."""
    by_even, by_odd = (boosters.predicted(pair, parity, rows) for parity in ("even", "odd"))
    return [
        start + int(np.argmax((by_odd if int(number) % 2 == 0 else by_even)[start:stop]))
        for start, stop, number in zip(offsets[:-1], offsets[1:], numbers, strict=True)
    ]


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_best_row_is_that_of_xgboost(pair: Models, n: int, seed: int, repeated: bool) -> None:
    rows, offsets, numbers = random_events(n, seed)
    if repeated:
        # Few different rows: many events in which several score highest.
        rows = rows[np.random.default_rng(seed).integers(0, 3, len(rows))]
    expected = plain_best(pair, rows, offsets, numbers)
    for scorer in (ForestScorer(pair), ForestScorer(pair, GROUPS)):
        found = pickle.loads(pickle.dumps(scorer)).best(rows, offsets, numbers)  # noqa: S301
        assert found.dtype == np.int64
        assert found.tolist() == expected


def test_events_are_scored_by_the_model_of_the_other_parity(pair: Models) -> None:
    rows, offsets, _ = random_events(300, 5)
    scorer = ForestScorer(pair, GROUPS)
    by_even, by_odd = (boosters.predicted(pair, parity, rows) for parity in ("even", "odd"))
    bounds = list(pairwise(offsets))
    of_even_model = [start + np.argmax(by_even[start:stop]) for start, stop in bounds]
    of_odd_model = [start + np.argmax(by_odd[start:stop]) for start, stop in bounds]
    # The models differ, or a swap would not be noticed.
    assert sum(a != b for a, b in zip(of_even_model, of_odd_model, strict=True)) > 100
    even_numbers = 2 * np.arange(300, dtype=np.uint64)
    assert scorer.best(rows, offsets, even_numbers).tolist() == of_odd_model
    assert scorer.best(rows, offsets, even_numbers + np.uint64(1)).tolist() == of_even_model


def test_parity_of_large_numbers() -> None:
    numbers = np.array([2**64 - 1, 2**64 - 2, 2**53 + 1, 0, 1], np.uint64)
    found = {parity: events.tolist() for parity, events in by_parity(numbers).items()}
    assert found == {"even": [1, 3], "odd": [0, 2, 4]}


def written_by_hand(base_score: Any, version: list[int], **learner: Any) -> dict[str, Any]:
    """A stump on feature 1 at 0.5 and one on feature 0 at -1, as xgboost writes them."""

    def stump(number: int, feature: int, threshold: float, left: float, right: float) -> Any:
        return {
            "base_weights": [0.0, left, right],
            "categories": [],
            "categories_nodes": [],
            "categories_segments": [],
            "categories_sizes": [],
            "default_left": [1, 0, 0],
            "id": number,
            "left_children": [1, -1, -1],
            "loss_changes": [1.0, 0.0, 0.0],
            "parents": [2147483647, 0, 0],
            "right_children": [2, -1, -1],
            "split_conditions": [threshold, left, right],
            "split_indices": [feature, 0, 0],
            "split_type": [0, 0, 0],
            "sum_hessian": [2.0, 1.0, 1.0],
            "tree_param": {
                "num_deleted": "0",
                "num_feature": "2",
                "num_nodes": "3",
                "size_leaf_vector": "1",
            },
        }

    return {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "2"},
                    "iteration_indptr": [0, 1, 2],
                    "tree_info": [0, 0],
                    "trees": [stump(0, 1, 0.5, -0.25, 0.5), stump(1, 0, -1.0, 2.0, -0.125)],
                },
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": base_score,
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": "2",
                "num_target": "1",
            },
            "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
        }
        | learner,
        "version": version,
    }


# Version 1 wrote a number as text, version 3.1 and later a list.
@pytest.mark.parametrize(
    ("base_score", "version"), [("2E-1", [1, 7, 6]), ("[2E-1]", [3, 2, 0]), ("2E-1", [2, 1, 4])]
)
def test_dialects(base_score: str, version: list[int], tmp_path: Path) -> None:
    content = written_by_hand(base_score, version)
    rows = np.array([[0.0, 0.5], [-2.0, 0.25]], np.float32)
    found = forest.scores(forest.parse(json.dumps(content).encode(), place="test"), rows)
    # log odds of 0.2, and the leaves by hand
    sums = [math.log(0.25) + 0.5 - 0.125, math.log(0.25) - 0.25 + 2.0]
    assert found.tolist() == pytest.approx([1 / (1 + math.exp(-s)) for s in sums], rel=1e-6)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(content))
    assert (xgboost.Booster(model_file=path).predict(xgboost.DMatrix(rows)) == found).all()


def changed(path: str, value: Any) -> bytes:
    content = written_by_hand("5E-1", [3, 2, 0])
    *keys, last = path.split("/")
    place: Any = content
    for key in keys:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return json.dumps(content).encode()


TREE = "learner/gradient_booster/model/trees/1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"binf", "not a model in xgboost's JSON"),
        (b"{}", "not a model in xgboost's JSON: KeyError"),
        (changed("learner/objective", {"name": "multi:softmax"}), "multi:softmax"),
        (changed("learner/gradient_booster/name", "dart"), "dart"),
        (changed("learner/gradient_booster/model/trees", []), "no trees"),
        (changed("learner/learner_model_param/base_score", "[2E-1,3E-1]"), "base score"),
        (changed("learner/learner_model_param/base_score", "1E0"), "base score"),
        (changed(f"{TREE}/split_type", [1, 0, 0]), "categories"),
        (changed(f"{TREE}/split_indices", [2, 0, 0]), "tests feature 2 of 2"),
        (changed(f"{TREE}/split_indices", [-1, 0, 0]), "tests feature -1 of 2"),
        (changed(f"{TREE}/tree_param", {"size_leaf_vector": "2"}), "several values"),
        (changed(f"{TREE}/left_children", [7, -1, -1]), "IndexError"),
        (changed(f"{TREE}/left_children", [0, -1, -1]), "loop"),
    ],
)
def test_other_models_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        forest.parse(content, place="here")
    assert caught.value.place == "here"


def test_features_must_be_those_of_the_groups() -> None:
    content = json.dumps(written_by_hand("5E-1", [3, 2, 0])).encode()
    with pytest.raises(InputError, match="has 2 features, not 3"):
        forest.parse(content, place="here", groups=[(0, 1), (2,)])
