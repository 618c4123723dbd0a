"""How far two computations of the same score may be apart, and what they then agree upon.

A score is the sigmoid of a sum of leaves, in single precision. The order of the sum is nobody's
promise: it differs between processors, threads and libraries. Source of the bound: N. Higham,
Accuracy and Stability of Numerical Algorithms, section 4.2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Rounding of one operation in single precision.
_UNIT = 2.0**-24
# Roundings of a sigmoid, whose exponential is good to a few of them.
_SIGMOID = 16


@dataclass(frozen=True)
class Rounding:
    """Of a model.

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
    """Of a sum in any order.

    Args:
        largest: of each term, the largest magnitude that it has.
    """
    # Each of the two sums may be wrong by as much.
    return Rounding(2.0 * len(largest) * _UNIT * float(np.sum(np.abs(largest), dtype=np.float64)))


def undecided(scores: Array, offsets: Array, rounding: Rounding) -> Array:
    """Events in which another computation may find another row to be the best.

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
