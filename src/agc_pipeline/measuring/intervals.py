"""Intervals for medians, and for ratios of times that were taken in pairs."""

import math
from collections.abc import Sequence
from statistics import median

from agc_pipeline.settings import Settings

# Intervals for a median get as close to this as the number of values allows.
_CONFIDENCE = 0.95


class Ratio(Settings):
    """Times over those of something else.

    Attributes:
        median: of the ratios of pairs.
        low: lower end of the interval for the median.
        high: its upper end.
        confidence: of the interval.
    """

    median: float
    low: float
    high: float
    confidence: float


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Ratio of times taken in pairs.

    A pair shares the load of the machine, which drops out of its ratio. The interval is the one
    for the median that assumes nothing about the distribution: between two of the sorted ratios.

    Args:
        ours: times of a cell.
        theirs: times of the baseline, as many.
    """
    ratios = sorted(our / their for our, their in zip(ours, theirs, strict=True))
    rank, confidence = median_interval(len(ratios))
    return Ratio(
        median=median(ratios), low=ratios[rank], high=ratios[-1 - rank], confidence=confidence
    )


def median_interval(n: int) -> tuple[int, float]:
    """Interval for a median: from the sorted value of this rank to the one as far from the end.

    Args:
        n: number of values.

    Returns:
        The rank, counted from 0, and the probability that the interval holds the median: the
        narrowest that reaches 95 %, or the widest there is.
    """
    # The median lies outside if at most `rank` of n values are on one side of it.
    outside = [sum(math.comb(n, k) for k in range(rank + 1)) / 2 ** (n - 1) for rank in range(n)]
    ranks = [rank for rank in range((n + 1) // 2) if 1 - outside[rank] >= _CONFIDENCE]
    rank = max(ranks, default=0)
    return rank, max(0.0, 1 - outside[rank])
