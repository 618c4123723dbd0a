"""Differences of two histograms: migrated events, chi-square, cumulative distance."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

Floats = NDArray[np.float64]

# Critical value of the two-sample Kolmogorov-Smirnov distance at a probability of 0.1 %.
_KOLMOGOROV = 1.95

# Fewer entries than this in a bin make a chi-square's Gaussian approximation poor.
_MERGED_MIN = 20.0


class Moves(NamedTuple):
    """Difference of two histograms, in entries.

    Attributes:
        moved: entries that migrated to a neighbouring bin.
        unpaired: the rest: entries gained or lost.
    """

    moved: float
    unpaired: float


@dataclass(frozen=True)
class ChiSquare:
    """Chi-square, degrees of freedom, and the probability of a larger value.

    Without degrees of freedom the probability is 1.
    """

    value: float
    ndf: int
    p_value: float


def moves(difference: ArrayLike) -> Moves:
    """Explain a difference by as many moves between neighbouring bins as possible.

    Going from left to right, an excess is paired with a deficit in the next bin: on a line of
    bins this greedy pairing is the best one.

    Args:
        difference: ``bins``, entries in one histogram less entries in the other.
    """
    rest = np.array(difference, dtype=np.float64)
    moved = 0.0
    for left in range(len(rest) - 1):
        pair = rest[left : left + 2]
        if pair[0] * pair[1] < 0:
            amount = min(abs(pair[0]), abs(pair[1]))
            moved += float(amount)
            pair -= np.sign(pair) * amount
    return Moves(moved, float(np.abs(rest).sum()))


def chi_square(difference: Floats, variance: Floats, entries: Floats, *, fixed: int) -> ChiSquare:
    """Chi-square of a difference, neighbouring bins merged until they hold enough entries.

    Args:
        difference: ``bins``.
        variance: ``bins``, of the difference.
        entries: ``bins``, effective entries that determine the merging.
        fixed: degrees of freedom lost, one for each normalisation fitted to the data.
    """
    groups = _groups(entries)
    if len(groups) <= fixed:
        return ChiSquare(0.0, 0, 1.0)
    summed = np.add.reduceat(difference, groups)
    variances = np.add.reduceat(variance, groups)
    used = variances > 0
    value = float(np.sum(summed[used] ** 2 / variances[used]))
    ndf = int(used.sum()) - fixed
    if ndf <= 0:
        return ChiSquare(0.0, 0, 1.0)
    return ChiSquare(value, ndf, float(chdtrc(ndf, value)))


def cdf_distance(first: Floats, second: Floats) -> float:
    """Largest distance between the cumulative distributions of two histograms, 0 to 1."""
    return float(np.max(np.abs(np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum())))


def cdf_fluctuation(first: float, second: float) -> float:
    """Distance that samples of this many effective entries exceed in 0.1 % of the cases.

    For binned data the true probability is smaller still.
    """
    return float(_KOLMOGOROV * np.sqrt(1 / first + 1 / second))


def effective_entries(contents: Floats, variances: Floats) -> float:
    """Number of events of equal weight with the same relative uncertainty; 0 if empty."""
    variance = float(variances.sum())
    return float(contents.sum()) ** 2 / variance if variance > 0 else 0.0


def _groups(entries: Floats) -> NDArray[np.intp]:
    """First bins of groups with at least ``_MERGED_MIN`` entries each, where there are as many."""
    starts = [0]
    total = 0.0
    for position, count in enumerate(entries):
        if total >= _MERGED_MIN:
            starts.append(position)
            total = 0.0
        total += float(count)
    if total < _MERGED_MIN and len(starts) > 1:
        starts.pop()
    return np.array(starts, dtype=np.intp)
