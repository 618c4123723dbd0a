"""Significance and CLs from pseudo-experiments, without asymptotic formulae.

The statistics are those of ``limits``. Pseudo-experiments of a hypothesis are thrown with the
nuisance parameters that fit the data best under it, auxiliary measurements included.

Probabilities of strong signals without signal are small: pseudo-experiments are thrown at several
strengths and weighted by the ratio of the probability of their data without signal to that in the
mixture (importance sampling; for its use in particle physics see M. Woodroofe and X. Yang,
Proc. PHYSTAT2011, CERN-2011-006), so that a few hundred of them reach far into the tail.

Source of the statistics: G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm, poisson

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.limits import Signal
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.settings import LimitSettings, ToyTestSettings
from agc_pipeline.inference.toys import thrown
from agc_pipeline.settings import Settings

Result = TypeVar("Result")

# Values of a statistic that differ by less are the same, as of pseudo-experiments with equal data.
_SAME = 1e-6
# Streams of random numbers.
_BACKGROUND, _EXPECTED, _WITH_SIGNAL, _WITHOUT_SIGNAL = range(4)


class Estimate(Settings):
    """A number, and its statistical uncertainty by the finite number of pseudo-experiments."""

    value: float
    error: float


class ToyCLs(Settings):
    """CLs of a strength from pseudo-experiments, and by the asymptotic formula."""

    strength: float
    cls: Estimate
    asymptotic: float


class ToyTests(Settings):
    """Tests of hypotheses by pseudo-experiments; None where there is no result.

    Attributes:
        count: pseudo-experiments of each hypothesis.
        seed: of their random numbers.
        n_failed: in which a fit failed; they do not count.
        significance: standard deviations by which no signal is excluded.
        expected_significance: the same, median for a strength of 1.
        cls: CLs of some strengths.
    """

    count: int
    seed: int
    n_failed: int
    significance: Estimate | None = None
    expected_significance: Estimate | None = None
    cls: tuple[ToyCLs, ...] = ()


class ToySignal:
    """Tests of hypotheses on the strength of a signal by pseudo-experiments.

    Args:
        signal: fit of the data, and what the data say of hypotheses.
        settings: number of pseudo-experiments of each hypothesis, and their seed.

    Attributes:
        n_failed: pseudo-experiments in which a fit failed, so far; they do not count.
    """

    def __init__(self, signal: Signal, settings: ToyTestSettings) -> None:
        self._signal = signal
        self._problem, self._poi = signal.problem, signal.poi
        self._settings = settings
        self.n_failed = 0

    def significances(self) -> tuple[Estimate, Estimate]:
        """Observed significance, and the expected one, median for a strength of 1.

        Raises:
            ModelError: if a fit to the data fails, or no pseudo-experiment is as extreme.
        """
        # What has none is known before any of them.
        statistic = self._signal.statistic_without_signal()
        weights, values = self._background()
        with_signal = self._signal.held(1.0).parameters
        expected = np.sort([q for _, q in self._tested(with_signal, 0.0, _EXPECTED)])
        if not len(expected):
            raise _none(0.0)
        # The interval of one standard deviation of a median, in ranks.
        middle, half = (len(expected) - 1) / 2, np.sqrt(len(expected)) / 2
        ranks = np.clip(np.round([middle - half, middle + half]), 0, len(expected) - 1)
        low, high = (_significance(weights, values, expected[int(rank)]).value for rank in ranks)
        median = _significance(weights, values, float(np.median(expected)))
        error = float(np.hypot(median.error, (high - low) / 2))
        observed = _significance(weights, values, statistic)
        return observed, Estimate(value=median.value, error=error)

    def cls(self, strength: float) -> Estimate:
        """CLs of a strength.

        Raises:
            ModelError: if a fit to the data fails, or no pseudo-experiment is as extreme.
        """
        observed = self._signal.statistic_of(strength)
        fractions = []
        for truth, stream in ((strength, _WITH_SIGNAL), (0.0, _WITHOUT_SIGNAL)):
            parameters = self._signal.held(truth).parameters
            values = np.array([q for _, q in self._tested(parameters, strength, stream)])
            n_beyond = int(np.count_nonzero(values >= observed - _SAME))
            if n_beyond == 0:
                raise _none(strength)
            fractions.append((n_beyond / len(values), len(values)))
        (with_signal, _), (without, _) = fractions
        ratio = with_signal / without
        relative = sum((1 - p) / (p * n) for p, n in fractions)
        return Estimate(value=ratio, error=ratio * float(np.sqrt(relative)))

    def _background(self) -> tuple[Array, Array]:
        """Weights and q_0 of pseudo-experiments without signal, (t) each."""
        truth = self._signal.held(0.0).parameters
        best = self._signal.strength
        strengths = [0.0, 1.0] + ([best] if best > _SAME and abs(best - 1.0) > _SAME else [])
        mixture = [self._at(truth, min(s, self._signal.bound)) for s in strengths]
        rates = [np.maximum(self._problem.likelihood.rates(p), 0.0) for p in mixture]
        weights, values = [], []
        for number, parameters in enumerate(mixture):
            share = range(number, self._settings.count, len(mixture))
            for toy, value in self._tested(parameters, 0.0, _BACKGROUND, share):
                logs = [float(poisson.logpmf(toy.likelihood.data, rate).sum()) for rate in rates]
                weights.append(np.exp(logs[0] - logsumexp(logs) + np.log(len(logs))))
                values.append(value)
        if not values:
            raise _none(0.0)
        return np.array(weights), np.array(values)

    def _tested(
        self, truth: Array, strength: float, stream: int, numbers: range | None = None
    ) -> Iterator[tuple[Problem, float]]:
        """Pseudo-experiments, each with the statistic of a strength; zero is that of no signal."""
        for number in range(self._settings.count) if numbers is None else numbers:
            random = np.random.Generator(
                np.random.Philox(key=self._settings.seed, counter=[0, 0, stream, number])
            )
            toy = thrown(self._problem, truth, random)
            try:
                best = toy.lowest([truth]).minimum
                value = self._statistic(toy, best, strength)
            except ModelError:
                self.n_failed += 1
            else:
                yield toy, value

    def _statistic(self, toy: Problem, best: Minimum, strength: float) -> float:
        fitted = best.parameters[self._poi]
        # An excess is no evidence against a strength below it, nor a deficit one for a signal.
        if fitted >= strength if strength > 0 else fitted <= 0:
            return 0.0
        held = toy.lowest([best.parameters], {self._poi: strength}).minimum
        return max(held.expansion.value - best.expansion.value, 0.0)

    def _at(self, parameters: Array, strength: float) -> Array:
        there = parameters.copy()
        there[self._poi] = strength
        return there


def _significance(weights: Array, values: Array, observed: float) -> Estimate:
    """Standard deviations of the probability of a statistic at least as large, not below zero."""
    if observed <= _SAME:
        return Estimate(value=0.0, error=0.0)
    beyond = np.where(values >= observed - _SAME, weights, 0.0)
    p_value = float(beyond.mean())
    if p_value == 0:
        raise _none(0.0)
    error = float(beyond.std(ddof=min(1, len(beyond) - 1)) / np.sqrt(len(beyond)))
    at = float(norm.isf(min(p_value, 0.5)))
    return Estimate(value=max(at, 0.0), error=error / float(norm.pdf(at)))


def _none(strength: float) -> ModelError:
    return ModelError(
        f"no pseudo-experiment is as far from a strength of {strength:g} as the data",
        place="fit.limit.toys",
        remedy="raise `count`",
    )


def with_toys(fields: dict[str, Any], problem: Problem, settings: LimitSettings) -> dict[str, Any]:
    """Add tests by pseudo-experiments to what ``limits.compute`` gives.

    CLs is that of the observed limit, and of a strength of 1 if the best fit is smaller: otherwise
    nothing speaks against it. What fails leaves its reason.

    Args:
        fields: of ``limits.compute``.
        problem: the fit.
        settings: with the number of pseudo-experiments.
    """
    if settings.toys.count == 0 or fields["significance"] is None:
        return fields
    signal = Signal(problem, settings.statistic)
    tests = ToySignal(signal, settings.toys)
    failures: list[str] = []

    def attempted(name: str, function: Callable[[], Result]) -> Result | None:
        try:
            return function()
        except ModelError as error:
            failures.append(f"No {name} by pseudo-experiments: {error.problem}")
            return None

    significances = attempted("significance", tests.significances)
    strengths = []
    if fields["limit"] is not None:
        strengths = [1.0] if signal.strength < 1.0 else []
        if fields["limit"]["observed"] is not None:
            strengths.append(fields["limit"]["observed"])
    rows = []
    for strength in strengths:
        ratio = attempted(f"CLs of {strength:.4g}", partial(tests.cls, strength))
        if ratio is not None:
            rows.append(ToyCLs(strength=strength, cls=ratio, asymptotic=signal.cls(strength)))
    observed, expected = (None, None) if significances is None else significances
    result = ToyTests(
        count=settings.toys.count,
        seed=settings.toys.seed,
        n_failed=tests.n_failed,
        significance=observed,
        expected_significance=expected,
        cls=tuple(rows),
    )
    return fields | {"toys": result, "failures": (*fields["failures"], *failures)}
