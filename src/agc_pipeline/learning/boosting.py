"""Gradient boosting of a loss of one's own, which may be of all rows together.

Trees are xgboost's: each row brings the derivative of the loss by its score, and a weight in place
of a second derivative. A tree that does not make the loss smaller is taken back, and the next steps
are shorter. The same bytes come from the same rows and seed: there is one thread, whose sums have
one order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agc_pipeline.learning.models import TRAINED_ON, Parity
from agc_pipeline.learning.trees import Array

# Steps after a tree that made the loss smaller, up to the first one, and after one that did not.
_LONGER, _SHORTER = 1.1, 0.5
# Trees in a row that are taken back before nothing better is expected.
_PATIENCE = 4
# Bins of a feature that trees may split between.
_BINS = 128


class Step(NamedTuple):
    """The loss of scores before the sigmoid.

    Attributes:
        loss: of all rows.
        slopes: derivatives by the score of each row.
        weights: of the rows, not negative, in place of second derivatives.
    """

    loss: float
    slopes: Array
    weights: Array


@dataclass(frozen=True)
class Loss:
    """What is minimised, on rows for training and on others that decide when to stop.

    Attributes:
        step: of the scores of the rows for training.
        judge: loss of the scores of the others.
    """

    step: Callable[[Array], Step]
    judge: Callable[[Array], float]


@dataclass(frozen=True)
class Budget:
    """What a model may cost.

    Attributes:
        trees: at most.
        depth: of each.
        step: mean square root change of scores, before the sigmoid, by the first tree.
        leaf: share of the weight of all rows that a leaf needs.
        patience: trees without an improvement on the other rows after which training stops.
        seed: of everything that is random.
    """

    trees: int
    depth: int
    step: float
    leaf: float
    patience: int
    seed: int


@dataclass(frozen=True)
class Boosted:
    """A model, with its losses tree by tree.

    Attributes:
        booster: xgboost's, as good as it was on the other rows.
        training: losses on the rows for training, the first without a tree of these.
        validation: likewise on the others.
        best: number of trees of these that it has.
    """

    booster: Any
    training: tuple[float, ...]
    validation: tuple[float, ...]
    best: int

    @property
    def n_trees(self) -> int:
        """Of the model."""
        return int(self.booster.num_boosted_rounds())

    def content(self, parity: Parity) -> bytes:
        """The model in xgboost's JSON.

        Args:
            parity: of the numbers of the events that it was trained on.
        """
        self.booster.set_attr(**{TRAINED_ON: parity})
        return bytes(self.booster.save_raw("json"))

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        """Share of each column in what all splits gained."""
        gains: Mapping[str, Any] = self.booster.get_score(importance_type="total_gain")
        total = sum(gains.values()) or 1.0
        return {name: float(gains.get(name, 0.0)) / total for name in names}


class Matrices:
    """Rows for training and others, as xgboost takes them.

    Args:
        columns: of the rows for training, single precision.
        others: of the others.
        names: of the columns.
    """

    def __init__(self, columns: Array, others: Array, names: Sequence[str]) -> None:
        import xgboost  # noqa: PLC0415 - an optional dependency, and slow to import

        told = {"feature_names": list(names), "nthread": 1, "max_bin": _BINS}
        self.training = xgboost.QuantileDMatrix(columns, **told)
        self.validation = xgboost.QuantileDMatrix(others, ref=self.training, **told)

    def booster(self, budget: Budget) -> Any:
        """A model without trees, whose scores are 0."""
        import xgboost  # noqa: PLC0415 - an optional dependency, and slow to import

        parameters = {
            "objective": "binary:logistic",
            "base_score": 0.5,
            "tree_method": "hist",
            "max_bin": _BINS,
            "max_depth": budget.depth,
            "learning_rate": 1.0,
            "reg_lambda": 1.0,
            "seed": budget.seed,
            "nthread": 1,
        }
        return xgboost.Booster(parameters, cache=[self.training, self.validation])


def boost(matrices: Matrices, booster: Any, losses: Sequence[Loss], budget: Budget) -> Boosted:
    """Add trees to a model.

    Args:
        matrices: the rows.
        booster: the model that is continued.
        losses: what is minimised, one after the other, each with the same number of trees at most;
            what is judged is the same in all.
        budget: of the trees that are added.
    """
    way = _Way(matrices, booster, budget, losses[0])
    for number, loss in enumerate(losses):
        way.follow(loss, budget.trees * (number + 1) // len(losses))
    best = int(np.argmin(way.validation))
    n_trees = booster.num_boosted_rounds() + best
    return Boosted(way.booster[:n_trees], tuple(way.training), tuple(way.validation), best)


class _Way:
    """The trees that are added to a model, and the losses on the way.

    Args:
        matrices: the rows.
        booster: the model that is continued.
        budget: of the trees that are added.
        first: of the losses.
    """

    def __init__(self, matrices: Matrices, booster: Any, budget: Budget, first: Loss) -> None:
        self._matrices, self._budget = matrices, budget
        self.booster = booster.copy()
        self.training = [first.step(self._scores()).loss]
        self.validation = [first.judge(self._others())]

    def _scores(self) -> Array:
        return _margins(self.booster, self._matrices.training)

    def _others(self) -> Array:
        return _margins(self.booster, self._matrices.validation)

    def follow(self, loss: Loss, last: int) -> None:
        """Add trees while they help, up to a number of all added ones."""
        now = loss.step(self._scores())
        # As much of the weight of all, whatever a loss has for it.
        self.booster.set_param({"min_child_weight": self._budget.leaf * float(now.weights.sum())})
        first = size = self._first_size(now)
        begin, failures = len(self.validation) - 1, 0
        while len(self.validation) <= last and failures < _PATIENCE and size > 0:
            n_trees = self.booster.num_boosted_rounds()
            self._add(self.booster, size * now.slopes, now.weights)
            after = loss.step(self._scores())
            if not after.loss < now.loss:
                self.booster = self.booster[:n_trees]
                size, failures = size * _SHORTER, failures + 1
                continue
            now, size, failures = after, min(size * _LONGER, first), 0
            self.training.append(now.loss)
            self.validation.append(loss.judge(self._others()))
            best = max(int(np.argmin(self.validation)), begin)
            if len(self.validation) - 1 - best >= self._budget.patience:
                break

    def _add(self, booster: Any, slopes: Array, weights: Array) -> None:
        booster.boost(
            self._matrices.training, booster.num_boosted_rounds(), grad=slopes, hess=weights
        )

    def _first_size(self, now: Step) -> float:
        """Factor on the derivatives with which the first tree changes scores as it should."""
        largest = float(np.max(np.abs(now.slopes), initial=0.0))
        weight = float(now.weights.sum())
        if largest == 0 or weight == 0:
            return 0.0
        trial = self.booster.copy()
        self._add(trial, now.slopes / largest, now.weights)
        change = _margins(trial, self._matrices.training) - self._scores()
        size = float(np.sqrt(np.sum(now.weights * change**2) / weight))
        return self._budget.step / size / largest if size > 0 else 0.0


def _margins(booster: Any, matrix: Any) -> Array:
    """Scores before the sigmoid, double precision."""
    margins: Array = booster.predict(matrix, output_margin=True).astype(np.float64)
    return margins


def cross_entropy(labels: Array, weights: Array, other_labels: Array, other_weights: Array) -> Loss:
    """The mean cross entropy of rows.

    Args:
        labels: 1 for signal, 0 for background, of the rows for training.
        weights: of these; they may be negative.
        other_labels: likewise, of the others.
        other_weights: likewise.
    """
    total = float(np.abs(weights).sum())

    def step(scores: Array) -> Step:
        probability = 1 / (1 + np.exp(-scores))
        slopes = weights * (probability - labels)
        bend = np.abs(weights) * probability * (1 - probability)
        return Step(_entropy(scores, labels, weights) / total, slopes, bend)

    def judge(scores: Array) -> float:
        return _entropy(scores, other_labels, other_weights) / float(np.abs(other_weights).sum())

    return Loss(step, judge)


def _entropy(scores: Array, labels: Array, weights: Array) -> float:
    # Not a product of vectors, whose sums have another order with another number of threads.
    return float(np.sum(weights * (np.logaddexp(0.0, scores) - labels * scores)))
