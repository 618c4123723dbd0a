"""Scaling laws: how much of the work is serial, and how many workers are of use.

Of the same files, G. M. Amdahl, AFIPS 30 (1967) 483: the time on N workers is

    T(N) = s + p / N

with the serial time s and the parallel one p. Of as many files for each worker, J. L. Gustafson,
Commun. ACM 31 (1988) 532: the speed-up is

    S(N) = N - a (N - 1)

with the serial share a. Neither knows of workers that slow each other down: what was measured is
therefore compared with the law, and the rungs with each other.

Both are fitted with the same relative scatter on all rungs, which is that of all repetitions:
intervals are those of Student's t with as many degrees of freedom as these leave.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Literal

import numpy as np
from pydantic import PositiveInt
from scipy.optimize import nnls
from scipy.stats import mannwhitneyu
from scipy.stats import t as student

from agc_pipeline.settings import Settings

# Twice as many workers must shorten the time by this share to be of use.
GAIN = 0.1
# Probability of an interval.
_CENTRAL = 0.68
# What many workers are beyond which none are counted.
_COUNTLESS = 1e6
# Of a law that holds, the largest deviation of a median is further away than twice the scatter of
# the repetitions in one of a hundred ladders with three of them; less than a per cent is none.
_SCATTERS, _NONE = 2.0, 0.01
# Two parameters go through the medians of two rungs, whatever they are.
_TESTED = 3
# Probability with which ranks of equal rungs differ as much.
_CHANCE = 0.05
# Repetitions up to which all their orders are counted.
_COUNTED = 20


class Range(Settings):
    """A value with its interval, both ends None where nothing was repeated and none is known."""

    value: float
    low: float | None
    high: float | None


def spread(values: Sequence[float], middle: Callable[[Sequence[float]], float]) -> Range:
    """The middle of repetitions, with the smallest and the largest; of one, neither is known."""
    if len(values) == 1:
        return Range(value=values[0], low=None, high=None)
    return Range(value=middle(values), low=min(values), high=max(values))


class Reach(Settings):
    """A number of workers with its interval of 68 %.

    ``high`` alone is None where the interval has no end; see ``Range``.
    """

    value: float
    low: float | None
    high: float | None


class Pieces(Settings):
    """Into how many pieces the work is cut, each of which one worker takes."""

    number: PositiveInt
    kind: Literal["chunk", "job", "file"]


Outcome = Literal["faster", "no faster", "slower"]


class Step(Settings):
    """The time of a rung against that of the fastest with fewer workers.

    Attributes:
        workers: of the rung.
        fewer: of the other one.
        ratio: of the median times, with the smallest and largest of the repetitions.
        outcome: what the repetitions say beyond chance.
    """

    workers: int
    fewer: int
    ratio: Range
    outcome: Outcome


class Law(Settings):
    """A scaling law that was fitted to a ladder.

    Attributes:
        kind: "amdahl" or "gustafson".
        rungs: numbers of workers that it was fitted to, rising.
        serial_share: of the work of one worker.
        serial_seconds: of it; None of Gustafson's law.
        parallel_seconds: of one worker; None of Gustafson's law.
        useful_workers: beyond which twice as many shorten the time by less than ``GAIN``, at most
            as many as there are pieces of work. None if there are always more of use, if the
            largest rung is no faster than one with fewer workers, if the law does not describe the
            points, and of Gustafson's law.
        bound: the pieces, where there are fewer than the law alone has workers of use; else None.
        largest_deviation: of a median time from the law, as a share of it.
        scatter: standard deviation of the repetitions of a rung, as a share of their mean; None
            without repetitions.
        describes: whether the deviation is within the scatter; None where that is not tested, of
            fewer than three rungs or without repetitions.
        steps: each rung against those with fewer workers; none of Gustafson's law.
    """

    kind: str
    rungs: tuple[int, ...] = ()
    serial_share: Range
    serial_seconds: Range | None = None
    parallel_seconds: Range | None = None
    useful_workers: Reach | None = None
    bound: Pieces | None = None
    largest_deviation: float
    scatter: float | None = None
    describes: bool | None = None
    steps: tuple[Step, ...] = ()

    @property
    def remark(self) -> str:
        """How well it describes the points, in words."""
        apart = f"{self.largest_deviation:.1%}"
        if self.scatter is None:
            verb = "misses the points by" if self.describes is False else "within"
            return f"{verb} {apart}; without repetitions their scatter is not known"
        within = f"{apart}, with a scatter of {self.scatter:.1%}"
        if self.describes is None:
            return f"not tested by {len(self.rungs)} rungs: within {within}"
        return f"{'within' if self.describes else 'misses the points by up to'} {within}"

    def seconds(self, workers: float) -> float | None:
        """Time on so many workers by Amdahl's law."""
        if self.serial_seconds is None or self.parallel_seconds is None:
            return None
        return self.serial_seconds.value + self.parallel_seconds.value / workers


Ladder = Mapping[int, Sequence[float]]


def amdahl(ladder: Ladder, pieces: Pieces | None = None) -> Law | None:
    """The law of the times of the same work, with neither part negative.

    Args:
        ladder: number of workers to wall times, seconds.
        pieces: of the work; None if that is not known.

    Returns:
        None with fewer than two rungs.
    """
    if len(ladder) < 2:
        return None
    (serial, parallel), covariance = _amdahl(ladder)
    deviation = max(
        abs(median(times) / (serial + parallel / workers) - 1) for workers, times in ladder.items()
    )
    describes, steps = _describes(ladder, deviation), _steps(ladder)
    share = serial / (serial + parallel)
    slope = np.array([parallel, -serial]) / (serial + parallel) ** 2
    width = _width(ladder)
    serial_share = _range(share, slope @ covariance @ slope, width, most=1.0)
    reach, most = _useful(share), _COUNTLESS if pieces is None else pieces.number
    told = describes is not False and steps[-1].outcome == "faster"
    bound = pieces if told and reach > most else None
    return Law(
        kind="amdahl",
        rungs=tuple(sorted(ladder)),
        serial_share=serial_share,
        serial_seconds=_range(serial, covariance[0, 0], width),
        parallel_seconds=_range(parallel, covariance[1, 1], width),
        useful_workers=_reach(serial_share, most)
        if told and min(reach, most) < _COUNTLESS
        else None,
        bound=bound,
        largest_deviation=deviation,
        scatter=_scatter(ladder),
        describes=describes,
        steps=steps,
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
    share, variance = _gustafson(ladder)
    one = median(ladder[1])
    deviation = max(
        abs(workers * one / median(times) / (workers - share * (workers - 1)) - 1)
        for workers, times in ladder.items()
    )
    return Law(
        kind="gustafson",
        rungs=tuple(sorted(ladder)),
        serial_share=_range(share, variance, _width(ladder), most=1.0),
        largest_deviation=deviation,
        scatter=_scatter(ladder),
        describes=_describes(ladder, deviation),
    )


def _scatter(ladder: Ladder) -> float | None:
    """Of the repetitions, of all rungs together, which have too few for one of their own."""
    free = _free(ladder)
    if not free:
        return None
    squares = [(time / fmean(times) - 1) ** 2 for times in ladder.values() for time in times]
    return math.sqrt(sum(squares) / free)


def _free(ladder: Ladder) -> int:
    """Degrees of freedom of the scatter."""
    return sum(len(times) - 1 for times in ladder.values())


def _width(ladder: Ladder) -> float | None:
    """Half an interval of what varies as much as the times do; None without repetitions."""
    scatter = _scatter(ladder)
    if scatter is None:
        return None
    return scatter * float(student.ppf((1 + _CENTRAL) / 2, _free(ladder)))


def _describes(ladder: Ladder, deviation: float) -> bool | None:
    scatter = _scatter(ladder)
    if deviation > (GAIN if scatter is None else max(_SCATTERS * scatter, _NONE)):
        return False
    return True if scatter is not None and len(ladder) >= _TESTED else None


def _steps(ladder: Ladder) -> tuple[Step, ...]:
    steps = []
    numbers = sorted(ladder)
    for place, workers in enumerate(numbers[1:], 1):
        fewer = min(numbers[:place], key=lambda number: median(ladder[number]))
        times, others = ladder[workers], ladder[fewer]
        outcome: Outcome = "no faster"
        if _longer(times, others):
            outcome = "slower"
        elif _longer(others, times):
            outcome = "faster"
        known = len(times) + len(others) > 2
        ratio = Range(
            value=median(times) / median(others),
            low=min(times) / max(others) if known else None,
            high=max(times) / min(others) if known else None,
        )
        steps.append(Step(workers=workers, fewer=fewer, ratio=ratio, outcome=outcome))
    return tuple(steps)


def _longer(times: Sequence[float], others: Sequence[float]) -> bool:
    """Whether times are longer than others beyond chance."""
    if 1 / math.comb(len(times) + len(others), len(times)) > _CHANCE:
        # Too few for ranks to say anything.
        return min(times) > (1 + GAIN) * max(others)
    counted = max(len(times), len(others)) <= _COUNTED
    method = "exact" if counted else "asymptotic"
    chance = mannwhitneyu(times, others, alternative="greater", method=method).pvalue
    return bool(chance < _CHANCE or math.isclose(chance, _CHANCE))


def _amdahl(ladder: Ladder) -> tuple[np.ndarray, np.ndarray]:
    """Serial and parallel time: relative deviations weigh the same on all rungs.

    Returns:
        Both, and their covariance for a relative scatter of one.
    """
    workers = np.array([n for n, times in ladder.items() for _ in times], float)
    means = np.array([fmean(times) for times in ladder.values() for _ in times])
    seconds = np.array([time for times in ladder.values() for time in times])
    columns = np.stack([1 / means, 1 / (workers * means)], axis=1)
    parts, _ = nnls(columns, seconds / means)
    return parts, np.linalg.inv(columns.T @ columns)


def _gustafson(ladder: Ladder) -> tuple[float, float]:
    """The serial share, and its variance for a relative scatter of one."""
    one = fmean(ladder[1])
    above = [(n, one / fmean(times)) for n, times in ladder.items() for _ in times if n > 1]
    weights = np.array([(n - 1) / n for n, _ in above])
    weights /= weights @ weights
    rates = np.array([rate for _, rate in above])
    share = float(weights @ (1 - rates))
    # The time of one worker is in all of them.
    changes = weights * rates
    variance = float(changes @ changes + changes.sum() ** 2 / len(ladder[1]))
    return min(max(share, 0.0), 1.0), variance


def _useful(share: float) -> float:
    """Workers from which on twice as many, which halve the parallel time, gain too little.

    Args:
        share: of the time of one worker, serial.
    """
    if share <= 0:
        return np.inf
    return max(1.0, (0.5 - GAIN) / GAIN * (1 / share - 1))


def _range(value: float, variance: float, width: float | None, most: float = math.inf) -> Range:
    """The interval of a value between zero and a bound.

    Args:
        value: within the bounds.
        variance: of it, for a relative scatter of one.
        width: half of its interval for a variance of one; None is not known.
        most: the bound.
    """
    if width is None:
        return Range(value=value, low=None, high=None)
    half = width * math.sqrt(variance)
    return Range(value=value, low=max(value - half, 0.0), high=min(value + half, most))


def _reach(share: Range, most: float) -> Reach:
    """Workers of use, at most so many: fewer, the larger the serial share."""
    value = min(_useful(share.value), most)
    if share.low is None or share.high is None:
        return Reach(value=value, low=None, high=None)
    high = min(_useful(share.low), most)
    return Reach(
        value=value,
        low=min(_useful(share.high), most),
        high=None if high >= _COUNTLESS else high,
    )
