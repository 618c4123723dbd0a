"""How good a pair of models is: on events of the parity that each of them was not trained on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from scipy.stats import rankdata

from agc_pipeline.learning import training
from agc_pipeline.learning.examples import Array, Examples, Wording
from agc_pipeline.learning.models import PARITIES, Parity
from agc_pipeline.learning.records import Fraction, ModelRecord, Row, Scores, Words
from agc_pipeline.learning.training import Trained

# Scores are between 0 and 1.
_SCORE_EDGES = np.linspace(0.0, 1.0, 41)


def words(wording: Wording) -> Words:
    """The wording as it is recorded."""
    return Words(**asdict(wording))


def judge(
    examples: Examples, features: Sequence[str], trained: Mapping[Parity, Trained]
) -> tuple[tuple[Row, ...], dict[Parity, ModelRecord]]:
    """What the models do with the events that they have not seen.

    Args:
        examples: all of them, of both parities.
        features: names of the columns.
        trained: the models, by the parity that they were trained on.

    Returns:
        Fractions by size, all events first; and what is known of each model.
    """
    tested, records = [], {}
    for parity, other in zip(PARITIES, reversed(PARITIES), strict=True):
        model = trained[parity]
        own, unseen = examples.of(parity), examples.of(other)
        found = training.scores(model.content, unseen.features)
        best = unseen.best(found)
        tested.append((unseen, unseen.right[best], unseen.in_part[best]))
        records[parity] = ModelRecord(
            n_trees=model.n_trees,
            n_events=model.n_events,
            n_events_validation=model.n_events_validation,
            curves={
                name: {metric: tuple(map(float, values)) for metric, values in curves.items()}
                for name, curves in model.curves.items()
            },
            trained=_distribution(own, training.scores(model.content, own.features)),
            tested=_distribution(unseen, found),
            importance=_importance(model.content, features),
            metrics={
                "log_loss": _log_loss(unseen.right, found),
                "area_under_curve": _area_under_curve(unseen.right, found),
                "right_in_whole": float(np.mean(unseen.right[best])),
                "right_in_part": float(np.mean(unseen.in_part[best])),
            },
        )
    return _rows(tested), records


def _rows(tested: Sequence[tuple[Examples, Array, Array]]) -> tuple[Row, ...]:
    sizes = np.concatenate([unseen.sizes for unseen, _, _ in tested])
    whole = np.concatenate([right for _, right, _ in tested])
    part = np.concatenate([in_part for _, _, in_part in tested])
    baseline = np.concatenate([unseen.baseline for unseen, _, _ in tested])
    n_rows = np.concatenate([np.diff(unseen.offsets) for unseen, _, _ in tested])
    n_in_part = np.concatenate(
        [np.add.reduceat(unseen.in_part, unseen.offsets[:-1], dtype=int) for unseen, _, _ in tested]
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


def _distribution(examples: Examples, found: Array) -> Scores:
    return Scores(
        right=tuple(np.histogram(found[examples.right], _SCORE_EDGES)[0].tolist()),
        wrong=tuple(np.histogram(found[~examples.right], _SCORE_EDGES)[0].tolist()),
    )


def edges() -> tuple[float, ...]:
    """Edges of the distributions of scores."""
    return tuple(_SCORE_EDGES.tolist())


def _importance(content: bytes, features: Sequence[str]) -> dict[str, float]:
    gains = training.booster_of(content).get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {name: gains.get(name, 0.0) / total for name in features}


def _log_loss(right: Array, found: Array) -> float:
    # Single precision may give a score of exactly 1.
    bounded = np.clip(found.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.log(np.where(right, bounded, 1 - bounded))))


def _area_under_curve(right: Array, found: Array) -> float:
    """Probability that a right candidate has a larger score than a wrong one of any event."""
    n_right = np.count_nonzero(right)
    excess = rankdata(found)[right].sum() - n_right * (n_right + 1) / 2
    return float(excess / (n_right * (len(right) - n_right)))
