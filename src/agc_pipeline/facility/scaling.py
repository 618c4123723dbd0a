"""Scaling laws: how much of the work is serial, and how many workers are of use.

Of the same files, G. M. Amdahl, AFIPS 30 (1967) 483: the time on N workers is

    T(N) = s + p / N

with the serial time s and the parallel one p. Of as many files for each worker, J. L. Gustafson,
Commun. ACM 31 (1988) 532: the speed-up is

    S(N) = N - a (N - 1)

with the serial share a.
"""

from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from scipy.optimize import nnls

from agc_pipeline.settings import Settings

# Twice as many workers must shorten the time by this share to be of use.
GAIN = 0.1
# Resampled ladders for the intervals of a fit.
_RESAMPLED = 400
_CENTRAL = 0.68


class Range(Settings):
    """A value with its interval of 68 %."""

    value: float
    low: float
    high: float


class Law(Settings):
    """A scaling law that was fitted to a ladder.

    Attributes:
        kind: "amdahl" or "gustafson".
        serial_share: of the work of one worker.
        serial_seconds: of it; None of Gustafson's law.
        parallel_seconds: of one worker; None of Gustafson's law.
        useful_workers: beyond which twice as many shorten the time by less than ``GAIN``; None if
            there are always more of use, or of Gustafson's law.
        largest_deviation: of a median time from the law, as a share of it.
    """

    kind: str
    serial_share: Range
    serial_seconds: Range | None = None
    parallel_seconds: Range | None = None
    useful_workers: Range | None = None
    largest_deviation: float

    def seconds(self, workers: float) -> float | None:
        """Time on so many workers by Amdahl's law."""
        if self.serial_seconds is None or self.parallel_seconds is None:
            return None
        return self.serial_seconds.value + self.parallel_seconds.value / workers


Ladder = Mapping[int, Sequence[float]]


def amdahl(ladder: Ladder) -> Law | None:
    """The law of the times of the same work, with neither part negative.

    Intervals are from resampled repetitions of each rung (bootstrap): no shape is assumed.

    Args:
        ladder: number of workers to wall times, seconds.

    Returns:
        None with fewer than two rungs.
    """
    if len(ladder) < 2:
        return None
    serial, parallel = _amdahl(ladder)
    fits = np.array([_amdahl(sample) for sample in _resampled(ladder)])
    useful = [_useful(*fit) for fit in fits]
    deviations = [
        abs(median(times) / (serial + parallel / workers) - 1) for workers, times in ladder.items()
    ]
    reach = _useful(serial, parallel)
    return Law(
        kind="amdahl",
        serial_share=_range(serial / (serial + parallel), fits[:, 0] / fits.sum(axis=1)),
        serial_seconds=_range(serial, fits[:, 0]),
        parallel_seconds=_range(parallel, fits[:, 1]),
        useful_workers=_range(reach, useful) if np.isfinite(reach) else None,
        largest_deviation=max(deviations),
    )


def gustafson(ladder: Ladder) -> Law | None:
    """The law of the times of as much work for each worker.

    Args:
        ladder: number of workers to wall times, seconds; one worker is among them.

    Returns:
        None with fewer than two rungs, or without one worker.
    """
    if len(ladder) < 2 or 1 not in ladder:
        return None
    share = _gustafson(ladder)
    deviations = []
    for workers, times in ladder.items():
        speedup = workers * median(ladder[1]) / median(times)
        deviations.append(abs(speedup / (workers - share * (workers - 1)) - 1))
    return Law(
        kind="gustafson",
        serial_share=_range(share, [_gustafson(sample) for sample in _resampled(ladder)]),
        largest_deviation=max(deviations),
    )


def _amdahl(ladder: Ladder) -> tuple[float, float]:
    """Serial and parallel time: relative deviations weigh the same on all rungs."""
    workers = np.array([n for n, times in ladder.items() for _ in times], float)
    seconds = np.array([time for times in ladder.values() for time in times])
    columns = np.stack([1 / seconds, 1 / (workers * seconds)], axis=1)
    (serial, parallel), _ = nnls(columns, np.ones_like(seconds))
    return float(serial), float(parallel)


def _gustafson(ladder: Ladder) -> float:
    one = median(ladder[1])
    above = [(n, n * one / time) for n, times in ladder.items() for time in times if n > 1]
    weights = [(n - 1) / n for n, _ in above]
    lost = [(n - speedup) / n for n, speedup in above]
    share = float(np.dot(weights, lost) / np.dot(weights, weights))
    return min(max(share, 0.0), 1.0)


def _useful(serial: float, parallel: float) -> float:
    """Workers from which on twice as many, which halve the parallel time, gain too little."""
    if serial <= 0:
        return np.inf
    return max(1.0, (0.5 - GAIN) / GAIN * parallel / serial)


def _resampled(ladder: Ladder) -> list[dict[int, list[float]]]:
    rng = np.random.default_rng(1)
    return [
        {n: rng.choice(times, len(times)).tolist() for n, times in ladder.items()}
        for _ in range(_RESAMPLED)
    ]


def _range(value: float, samples: Sequence[float] | np.ndarray) -> Range:
    outside = (1 - _CENTRAL) / 2
    finite = np.minimum(np.asarray(samples, float), 1e9)
    low, high = np.quantile(finite, [outside, 1 - outside])
    return Range(value=value, low=min(float(low), value), high=max(float(high), value))
