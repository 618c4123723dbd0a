"""Training: the same bytes each time, stops in time, and judged on events that it has not seen."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
import xgboost

from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.learning import evaluation, models, training
from agc_pipeline.learning.examples import Examples, append
from agc_pipeline.learning.settings import TrainingSettings
from agc_pipeline.learning.trees import first_highest
from conftest import read_config

NAMES = ("good", "noise")


def settings(**changes: Any) -> TrainingSettings:
    values = read_config()["learning"]["training"]
    del values["tracking"]
    sampled = {"max_depth": 3, "subsample": 0.7, "colsample_bytree": 0.5}
    small = {"n_trees_max": 20, "early_stopping": 5, "hyperparameters": sampled}
    return TrainingSettings.model_validate({**values, **small, **changes})


def toy(n: int, *, signal: float, seed: int = 1) -> Examples:
    """Events of 3 to 6 candidates; the right one is ``signal`` above the others in one feature."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 7, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    right = np.zeros(offsets[-1], np.bool_)
    right[offsets[:-1] + rng.integers(0, sizes)] = True
    features = rng.normal(size=(offsets[-1], len(NAMES))).astype(np.float32)
    features[right, 0] += signal
    return Examples(
        features=features,
        offsets=offsets,
        right=right,
        in_part=right | (rng.random(len(right)) < 0.2),
        baseline=rng.random(n) < 0.3,
        sizes=sizes,
        numbers=rng.integers(0, 2**40, n).astype(np.uint64),
    )


def test_the_first_of_several_best_counts() -> None:
    scores = np.array([0.1, 0.7, 0.7, 0.5, 0.5, 0.2], np.float32)
    assert first_highest(scores, np.array([0, 3, 5, 6]), np.arange(3)).tolist() == [1, 3, 5]


def test_examples_are_chosen_and_appended() -> None:
    examples = toy(50, signal=1)
    even, odd = examples.of("even"), examples.of("odd")
    assert len(even) + len(odd) == 50
    assert not (even.numbers % 2).any()
    assert (odd.numbers % 2).all()
    both = append([even, odd])
    assert len(both.features) == len(examples.features)
    row = dict(zip(both.numbers.tolist(), np.split(both.features, both.offsets[1:-1]), strict=True))
    for number, rows in zip(
        examples.numbers.tolist(), np.split(examples.features, examples.offsets[1:-1]), strict=True
    ):
        np.testing.assert_array_equal(row[number], rows)
    assert len(append([examples.select(np.zeros(50, np.bool_))])) == 0


def test_models_are_the_same_bytes_on_any_number_of_threads() -> None:
    examples = toy(200, signal=1)
    made = [
        {parity: model.content for parity, model in _both(examples, threads).items()}
        for threads in (1, 2, 8)
    ]
    assert made[0] == made[1] == made[2]
    assert made[0]["even"] != made[0]["odd"]
    other = training.train(examples.of("even"), NAMES, settings(seed=7), "even")
    assert other.content != made[0]["even"]


def _both(examples: Examples, threads: int) -> dict[models.Parity, training.TrainingResult]:
    return training.train_both(examples, NAMES, settings(), threads=threads)


def test_models_are_read_back_and_carry_their_parity() -> None:
    trained = training.train(toy(60, signal=2).of("odd"), NAMES, settings(), "odd")
    booster = training.booster_of(trained.content)
    assert booster.attr(models.TRAINED_ON) == "odd"
    assert booster.num_boosted_rounds() == trained.n_trees
    assert booster.feature_names == list(NAMES)


def test_training_stops_where_validation_is_best() -> None:
    examples = toy(200, signal=1).of("even")
    trained = training.train(examples, NAMES, settings(n_trees_max=500), "even")
    losses = trained.curves["validation"]["logloss"]
    assert trained.n_trees == int(np.argmin(losses)) + 1
    assert len(losses) == trained.n_trees + 5
    assert trained.n_events + trained.n_events_validation == len(examples)
    assert trained.n_events_validation == round(0.2 * len(examples))


def test_a_model_never_sees_events_of_the_other_parity() -> None:
    with pytest.raises(ValueError, match="even events only"):
        training.train(toy(50, signal=1), NAMES, settings(), "even")


def test_models_are_judged_on_events_that_they_have_not_seen() -> None:
    # Nothing can be learned here, but much can be learned by heart.
    examples = toy(800, signal=0)
    trained = {}
    for parity in models.PARITIES:
        own = examples.of(parity)
        model = _by_heart(own)
        scores = training.scores(model.content, own.features)
        assert np.mean(own.right[own.best(scores)]) > 0.8
        trained[parity] = model
    rows, records = evaluation.evaluate(examples, NAMES, trained)
    chance = rows[0].random_whole
    assert rows[0].whole.value < chance + 4 * rows[0].whole.uncertainty
    for parity in models.PARITIES:
        assert records[parity].metrics["area_under_curve"] == pytest.approx(0.5, abs=0.06)


def _by_heart(own: Examples) -> training.TrainingResult:
    """A model with so many large trees that it knows its events."""
    booster = xgboost.train(
        {"max_depth": 10, "learning_rate": 0.5, "objective": "binary:logistic", "nthread": 1},
        xgboost.QuantileDMatrix(own.features, own.right.astype(float), feature_names=NAMES),
        num_boost_round=60,
    )
    content = bytes(booster.save_raw("json"))
    return training.TrainingResult(content, 60, {}, len(own), 0)


def test_fractions_are_those_of_plain_loops() -> None:
    examples = toy(300, signal=1)
    trained = training.train_both(examples, NAMES, settings(), threads=1)
    rows, records = evaluation.evaluate(examples, NAMES, trained)
    right: dict[int, list[tuple[bool, bool, bool, float, float]]] = {}
    for parity, other in (("even", "odd"), ("odd", "even")):
        unseen = examples.of(other)  # type: ignore[arg-type]
        scores = training.scores(trained[parity].content, unseen.features)  # type: ignore[index]
        for event in range(len(unseen)):
            candidates = range(unseen.offsets[event], unseen.offsets[event + 1])
            chosen = max(candidates, key=lambda row: (scores[row], -row))
            right.setdefault(int(unseen.sizes[event]), []).append(
                (
                    bool(unseen.right[chosen]),
                    bool(unseen.in_part[chosen]),
                    bool(unseen.baseline[event]),
                    1 / len(candidates),
                    sum(unseen.in_part[row] for row in candidates) / len(candidates),
                )
            )
    assert [row.size for row in rows] == [None, 3, 4, 5, 6]
    for row in rows:
        events = list(chain(*right.values())) if row.size is None else right[row.size]
        whole, part, baseline, by_lot, part_by_lot = np.array(events, float).T
        assert row.n_events == len(events)
        assert row.whole.value == pytest.approx(whole.mean())
        assert row.part.value == pytest.approx(part.mean())
        assert row.baseline.value == pytest.approx(baseline.mean())
        assert row.gain.value == pytest.approx(part.mean() - baseline.mean())
        assert row.random_whole == pytest.approx(by_lot.mean())
        assert row.random_part == pytest.approx(part_by_lot.mean())
        binomial = np.sqrt(row.whole.value * (1 - row.whole.value) / len(events))
        assert row.whole.uncertainty == pytest.approx(binomial)
    # What carries the signal counts, and the scores of all candidates are in the distributions.
    assert records["even"].importance["good"] > 0.5
    assert sum(records["even"].importance.values()) == pytest.approx(1)
    assert sum(records["odd"].test_scores.right) == len(examples.of("even"))


def test_the_right_candidates_are_found() -> None:
    examples = toy(400, signal=3)
    trained = training.train_both(examples, NAMES, settings(), threads=1)
    rows, _ = evaluation.evaluate(examples, NAMES, trained)
    assert rows[0].whole.value > rows[0].random_whole + 0.3


def test_too_few_events_are_refused() -> None:
    examples = toy(50, signal=1)
    lone = examples.select(examples.numbers % 2 == 0)
    with pytest.raises(InputError, match=r"0 matched events with odd numbers, 3 are needed"):
        training.check_enough(lone, 3)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"max_depht": 3}, "max_depht"),
        ({"max_depth": -3}, "max_depth"),
    ],
)
def test_hyperparameters_are_checked(hyperparameters: dict[str, Any], message: str) -> None:
    training.check_hyperparameters(settings())
    with pytest.raises(ConfigurationError, match=message):
        training.check_hyperparameters(settings(hyperparameters=hyperparameters))


def test_what_training_sets_itself_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="nthread, objective cannot be set"):
        settings(hyperparameters={"objective": "rank:ndcg", "nthread": 4})


def test_more_events_than_are_used_cannot_be_needed() -> None:
    assert settings(n_events_min=30, n_events_max=30).n_events_min == 30
    with pytest.raises(ValueError, match="`n_events_min` 31 are more than `n_events_max` 30"):
        settings(n_events_min=31, n_events_max=30)


def test_without_xgboost_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "distribution", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"agc-pipeline\[learning\]"):
        training.xgboost_distribution("scorer")
