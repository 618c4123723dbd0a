"""Rounding of scores: how far two computations of a score may be apart, and how to compare them.

A score is the sigmoid of a sum of leaves, in single precision. The order of the sum is not
guaranteed: it differs between processors, threads and libraries. Source of the bound: N. Higham,
Accuracy and Stability of Numerical Algorithms, section 4.2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agc_pipeline.learning.forest import Forest

Array = npt.NDArray[Any]

# Rounding of one operation in single precision.
_UNIT = 2.0**-24
# Roundings of a sigmoid, whose exponential is good to a few of them.
_SIGMOID = 16


@dataclass(frozen=True)
class Rounding:
    """Rounding of the scores of a model.

    Attributes:
        margin: how far two sums of the same leaves may be apart, before the sigmoid.
    """

    margin: float

    def of(self, scores: Array) -> Array:
        """How far other computations of these scores may be from them, double precision."""
        exact = scores.astype(np.float64)
        distance: Array = np.expm1(self.margin) * exact * (1.0 - exact) + _SIGMOID * _UNIT
        return distance

    def differ(self, scores: Array, others: Array) -> Array:
        """Where two computations differ by more: truth values."""
        return ~(np.abs(scores.astype(np.float64) - others) <= self.of(scores))


def of_sum(largest: Array) -> Rounding:
    """The rounding of a sum in any order.

    Args:
        largest: largest magnitude of each term.
    """
    # Each of the two sums may be off by as much.
    return Rounding(2.0 * len(largest) * _UNIT * float(np.sum(np.abs(largest), dtype=np.float64)))


def of_forest(forest: Forest) -> Rounding:
    """The rounding of the scores of a forest."""
    nodes = forest.nodes
    leaves = np.where(nodes.feature < 0, np.abs(nodes.value), 0.0)
    return of_sum(np.append(np.maximum.reduceat(leaves, nodes.roots), forest.base))


def undecided(scores: Array, offsets: Array, rounding: Rounding) -> Array:
    """Events in which another computation may have another row with the highest score.

    Args:
        scores: ``rows``.
        offsets: of the events' rows, ``events + 1``; each event has some.
        rounding: of the scores.

    Returns:
        ``events`` truth values.
    """
    highest = np.maximum.reduceat(scores, offsets[:-1])
    lowest_of_best = highest - rounding.of(highest)
    rivals = scores + rounding.of(scores) >= np.repeat(lowest_of_best, np.diff(offsets))
    return np.asarray(np.add.reduceat(rivals.astype(np.int64), offsets[:-1]) > 1)


def probe_rows(forest: Forest, n: int) -> Array:
    """Rows that tell forests apart: features at thresholds or right below, always the same ones.

    Every threshold of a feature is as likely as any other, so that the rows go through all trees.

    Args:
        forest: that has the thresholds.
        n: number of rows.

    Returns:
        ``n * features``, single precision.
    """
    random = np.random.default_rng(0)
    values = np.zeros((n, forest.n_features), np.float32)
    for feature in range(forest.n_features):
        thresholds = np.unique(forest.nodes.threshold[forest.nodes.feature == feature])
        if len(thresholds):
            values[:, feature] = random.choice(thresholds, n)
    below = random.random(values.shape) < 0.5
    return np.where(below, np.nextafter(values, np.float32(-np.inf)), values)
