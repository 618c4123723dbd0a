"""Performance of a pair of models, each on events of the parity that it was not trained on."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from agc_pipeline.learning import training
from agc_pipeline.learning.examples import Array, Examples
from agc_pipeline.learning.models import PARITIES, Parity
from agc_pipeline.learning.training import TrainingResult
from agc_pipeline.learning.training_record import Fraction, ModelRecord, Row, Scores

# Scores are between 0 and 1.
_SCORE_EDGES = np.linspace(0.0, 1.0, 41)


def evaluate(
    examples: Examples, features: Sequence[str], models: Mapping[Parity, TrainingResult]
) -> tuple[tuple[Row, ...], dict[Parity, ModelRecord]]:
    """Performance of the models on the events that they were not trained on.

    Args:
        examples: all of them, of both parities.
        features: names of the columns.
        models: by the parity that they were trained on.

    Returns:
        Fractions by size, all events first; and the performance of each model.
    """
    tests, records = [], {}
    for parity, other in zip(PARITIES, reversed(PARITIES), strict=True):
        model = models[parity]
        own, unseen = examples.of(parity), examples.of(other)
        scores = training.scores(model.content, unseen.features)
        best = unseen.best(scores)
        tests.append((unseen, unseen.right[best], unseen.in_part[best]))
        records[parity] = ModelRecord(
            n_trees=model.n_trees,
            n_events=model.n_events,
            n_events_validation=model.n_events_validation,
            curves={
                name: {metric: tuple(map(float, values)) for metric, values in curves.items()}
                for name, curves in model.curves.items()
            },
            training_scores=_distribution(own, training.scores(model.content, own.features)),
            test_scores=_distribution(unseen, scores),
            importance=_importance(model.content, features),
            metrics={
                "log_loss": _log_loss(unseen.right, scores),
                "area_under_curve": _area_under_curve(unseen.right, scores),
                "right_in_whole": float(np.mean(unseen.right[best])),
                "right_in_part": float(np.mean(unseen.in_part[best])),
            },
        )
    return _rows(tests), records


def _rows(tests: Sequence[tuple[Examples, Array, Array]]) -> tuple[Row, ...]:
    sizes = np.concatenate([unseen.sizes for unseen, _, _ in tests])
    whole = np.concatenate([right for _, right, _ in tests])
    part = np.concatenate([in_part for _, _, in_part in tests])
    baseline = np.concatenate([unseen.baseline for unseen, _, _ in tests])
    n_rows = np.concatenate([np.diff(unseen.offsets) for unseen, _, _ in tests])
    n_in_part = np.concatenate(
        [np.add.reduceat(unseen.in_part, unseen.offsets[:-1], dtype=int) for unseen, _, _ in tests]
    )
    rows = []
    for size in (None, *np.unique(sizes).tolist()):
        mask = np.ones(len(sizes), np.bool_) if size is None else sizes == size
        rows.append(
            Row(
                size=size,
                n_events=np.count_nonzero(mask),
                whole=_fraction(whole[mask]),
                part=_fraction(part[mask]),
                baseline=_fraction(baseline[mask]),
                gain=_fraction(part[mask].astype(int) - baseline[mask]),
                random_whole=float(np.mean(1 / n_rows[mask])),
                random_part=float(np.mean(n_in_part[mask] / n_rows[mask])),
            )
        )
    return tuple(rows)


def _fraction(values: Array) -> Fraction:
    """Mean of one value for each event, and its uncertainty; of events with one value, binomial."""
    return Fraction(
        value=float(np.mean(values)), uncertainty=float(np.std(values)) / math.sqrt(len(values))
    )


def _distribution(examples: Examples, scores: Array) -> Scores:
    return Scores(
        right=tuple(np.histogram(scores[examples.right], _SCORE_EDGES)[0].tolist()),
        wrong=tuple(np.histogram(scores[~examples.right], _SCORE_EDGES)[0].tolist()),
    )


def edges() -> tuple[float, ...]:
    """Edges of the distributions of scores."""
    return tuple(_SCORE_EDGES.tolist())


def _importance(content: bytes, features: Sequence[str]) -> dict[str, float]:
    gains = training.booster_of(content).get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {name: gains.get(name, 0.0) / total for name in features}


def _log_loss(right: Array, scores: Array) -> float:
    # Single precision may give a score of exactly 1.
    bounded = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.log(np.where(right, bounded, 1 - bounded))))


def _area_under_curve(right: Array, scores: Array) -> float:
    """Probability that a right candidate has a larger score than a wrong one of any event."""
    n_right = np.count_nonzero(right)
    excess = rankdata(scores)[right].sum() - n_right * (n_right + 1) / 2
    return float(excess / (n_right * (len(right) - n_right)))
