"""Significance, CLs and upper limit from pseudo-experiments, without asymptotic formulae.

The statistics are those of ``limits``. Pseudo-experiments of a hypothesis are thrown with the
nuisance parameters that fit the data best under it, auxiliary measurements included. Probabilities
in the tails come from mixtures of hypotheses, see ``toy_mixture``.

Source of the statistics: G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.optimize
from scipy.special import ndtri

from agc_pipeline.errors import ModelError
from agc_pipeline.formatting import plural
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.limits import BANDS, Signal
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.settings import LimitSettings, ToyTestSettings
from agc_pipeline.inference.toy_mixture import Mixture, Toy
from agc_pipeline.settings import Settings

Result = TypeVar("Result")

# Values of a statistic that differ by less are the same, as of pseudo-experiments with equal data.
_SAME = 1e-6
# CLs of so few pseudo-experiments would have no error that means something.
_FEWEST = 5
# Places of a standard normal distribution with the same probability around each.
_PLACES = ndtri((np.arange(16) + 0.5) / 16)
# Streams of random numbers.
_BACKGROUND, _EXPECTED, _LIMIT = range(3)
# Limits are looked for from the asymptotic one up and down by this factor, up to so many times, and
# then to this relative precision.
_STEP, _STEPS, _PRECISION = 1.25, 12, 1e-3
_MEDIAN = BANDS.index(0)


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
        count: pseudo-experiments of each of three kinds: without signal for the observed
            significance, with a strength of 1 for the expected one, and those of CLs and limits.
        seed: of their random numbers.
        n_failed: in which a fit failed; they do not count.
        significance: standard deviations by which no signal is excluded.
        expected_significance: the same, median for a strength of 1.
        limit: upper limit with CLs.
        expected_limit: the same, median without signal.
        cls: CLs of the observed asymptotic limit, and of a strength of 1 that exceeds the best fit.
        scan: observed CLs of all strengths that were tried, in their order.
    """

    count: int
    seed: int
    n_failed: int
    significance: Estimate | None = None
    expected_significance: Estimate | None = None
    limit: Estimate | None = None
    expected_limit: Estimate | None = None
    cls: tuple[ToyCLs, ...] = ()
    scan: tuple[ToyCLs, ...] = ()


class _Tested(NamedTuple):
    """A strength in the pseudo-experiments of a mixture (t).

    Attributes:
        statistic: of the strength; NaN where a fit failed.
        with_signal: weights under the hypothesis of this strength; zero where a fit failed.
        without: likewise, of no signal.
    """

    statistic: Array
    with_signal: Array
    without: Array


class ToySignal:
    """Tests of hypotheses on the strength of a signal by pseudo-experiments.

    Args:
        signal: fit of the data, and what the data say of hypotheses.
        settings: number of pseudo-experiments of each kind, and their seed.
        excluded: a strength that the data all but exclude, such as the asymptotic limit.

    Attributes:
        scanned: observed CLs by strength, so far.
    """

    def __init__(self, signal: Signal, settings: ToyTestSettings, excluded: float) -> None:
        self._signal = signal
        self._poi = signal.poi
        self._settings = settings
        self._excluded = excluded
        self._n_failed = 0
        self._tested: dict[float, _Tested] = {}
        self.scanned: dict[float, Estimate] = {}

    @property
    def n_failed(self) -> int:
        """Pseudo-experiments in which a fit failed, so far; they do not count."""
        if not self._tested:
            return self._n_failed
        lost = max(int(np.isnan(one.statistic).sum()) for one in self._tested.values())
        return self._n_failed + self._for_limits.n_failed + lost

    def significance(self) -> Estimate:
        """Observed significance.

        Raises:
            ModelError: if a fit to the data fails, or no pseudo-experiment is as extreme.
        """
        # What has none is known before any of them.
        statistic = self._signal.statistic_without_signal()
        return _significance(*self._background, statistic)

    def expected_significance(self) -> Estimate:
        """Expected significance, median for a strength of 1.

        Raises:
            ModelError: if a fit to the data fails, or no pseudo-experiment is as extreme.
        """
        with_signal = self._signal.held(1.0).parameters
        expected = np.sort(self._converged(self._mixture([with_signal], _EXPECTED), with_signal)[1])
        if not len(expected):
            raise _too_few(0, 0.0)
        weights, values = self._background
        median = _significance(weights, values, float(np.median(expected)))
        # The place of a median among so many; beyond the last statistics there is no significance.
        last = np.sort(values)[-min(_FEWEST, len(values))]
        shares = 0.5 + _PLACES / (2 * np.sqrt(len(expected)))
        ranks = np.round(shares.clip(0, 1) * (len(expected) - 1)).astype(np.int64)
        around = [_significance(weights, values, min(expected[rank], last)).value for rank in ranks]
        return Estimate(value=median.value, error=float(np.hypot(median.error, np.std(around))))

    def cls(self, strength: float) -> Estimate:
        """CLs of a strength.

        Raises:
            ModelError: if a fit to the data fails, or no pseudo-experiment is as extreme.
        """
        if strength not in self.scanned:
            observed = self._signal.statistic_of(strength)
            tested = self._test(strength)
            self.scanned[strength] = self._ratio(tested, strength, observed)
        return self.scanned[strength]

    def expected_cls(self, strength: float) -> Estimate:
        """CLs of a strength, median without signal.

        Raises:
            ModelError: if a fit to the data fails.
        """
        tested = self._test(strength)
        order = np.argsort(tested.statistic)
        shares = np.cumsum(tested.without[order]) / tested.without.sum()
        (place,) = np.searchsorted(shares, [0.5]).clip(max=len(order) - 1)
        median = self._ratio(tested, strength, float(tested.statistic[order[place]]))
        # The place of the median among so many; beyond the last statistics there is no ratio.
        width = float(np.sqrt((tested.without**2).sum()) / tested.without.sum()) / 2
        places = np.searchsorted(shares, 0.5 + width * _PLACES)
        last = max(int(place), len(order) - _FEWEST)
        around = [
            self._ratio(tested, strength, float(tested.statistic[order[one]])).value
            for one in places.clip(max=last)
        ]
        return Estimate(value=median.value, error=float(np.hypot(median.error, np.std(around))))

    def limit(
        self, of: Callable[[float], Estimate], confidence: float, asymptotic: float
    ) -> Estimate:
        """The strength at which CLs is one minus the confidence.

        Args:
            of: CLs of a strength, ``cls`` or ``expected_cls``.
            confidence: level of the limit.
            asymptotic: where to look for it.

        Raises:
            ModelError: if a fit to the data fails, no pseudo-experiment is as extreme, or there is
                none within reach.
        """

        def excess(logarithm: float) -> float:
            ratio = of(float(np.exp(logarithm))).value
            return float(np.log(max(ratio, 1e-300)) - np.log(1 - confidence))

        step = float(np.log(_STEP))
        low, high = np.log(asymptotic) - step, np.log(asymptotic) + step
        below, above = excess(low), excess(high)
        for _ in range(_STEPS):
            if below >= 0 >= above:
                break
            if below < 0:
                low, high, above = low - step, low, below
                below = excess(low)
            else:
                low, high, below = high, high + step, above
                above = excess(high)
        else:
            raise ModelError(
                f"it is not between {np.exp(low):.4g} and {np.exp(high):.4g}, near the asymptotic "
                f"{asymptotic:.4g}",
                place="fit.limit.toys",
                remedy="raise `count`",
            )
        at = float(scipy.optimize.brentq(excess, low, high, xtol=_PRECISION))
        value = float(np.exp(at))
        ratio = of(value)
        slope = (below - above) / (high - low)
        relative = float(np.hypot(ratio.error / ratio.value / slope, _PRECISION))
        return Estimate(value=value, error=value * relative)

    def _test(self, strength: float) -> _Tested:
        if strength not in self._tested:
            mixture = self._for_limits
            values = self._statistics(mixture, strength)
            weights = [
                np.where(np.isnan(values), 0.0, mixture.weights(self._signal.held(s).parameters))
                for s in (strength, 0.0)
            ]
            self._tested[strength] = _Tested(values, *weights)
        return self._tested[strength]

    def _ratio(self, tested: _Tested, strength: float, statistic: float) -> Estimate:
        """CLs of a value of the statistic."""
        beyond = tested.statistic >= statistic - _SAME
        with_signal, without = tested.with_signal * beyond, tested.without * beyond
        if (n_beyond := int(np.count_nonzero(without))) < _FEWEST:
            raise _too_few(n_beyond, strength)
        denominator = float(without.mean())
        ratio = float(with_signal.mean()) / denominator
        error = self._for_limits.error((with_signal - ratio * without) / denominator)
        return Estimate(value=ratio, error=error)

    @cached_property
    def _background(self) -> tuple[Array, Array]:
        """Weights without signal, and q_0, of pseudo-experiments, (t) each."""
        without = self._signal.held(0.0).parameters
        best = max(self._signal.strength, 0.0)
        # What no signal most often gives if it looks like one is what fits its own expectation
        # best. What fits the data may differ: a nuisance parameter that moves the signal finds
        # excesses elsewhere.
        likely = [
            self._signal.expected_statistic(strength).fitted.parameters
            for strength in _distinct(1.0, best)
            if strength > 0
        ]
        truths = [without, *likely, self._signal.held(best).parameters]
        weights, values = self._converged(self._mixture(truths, _BACKGROUND), without)
        if not len(values):
            raise _too_few(0, 0.0)
        return weights, values

    @cached_property
    def _for_limits(self) -> Mixture:
        strengths = _distinct(0.0, self._signal.strength, self._excluded)
        return self._mixture([self._signal.held(one).parameters for one in strengths], _LIMIT)

    def _mixture(self, truths: list[Array], stream: int) -> Mixture:
        """Pseudo-experiments of several hypotheses.

        Each with the nuisance parameters of its own: data like these are what no signal most often
        gives if auxiliary measurements fluctuate with them.
        """
        distinct: list[Array] = []
        for truth in truths:
            if not any(np.allclose(truth, other, rtol=0, atol=_SAME) for other in distinct):
                distinct.append(truth)
        mixture = Mixture(self._signal.problem, distinct, self._settings, stream)
        if not mixture.toys:
            raise _too_few(0, 0.0)
        return mixture

    def _converged(self, mixture: Mixture, truth: Array) -> tuple[Array, Array]:
        """Weights under a hypothesis, and q_0, of the pseudo-experiments that have one."""
        values = self._statistics(mixture, 0.0)
        converged = ~np.isnan(values)
        self._n_failed += mixture.n_failed + int(np.count_nonzero(~converged))
        return mixture.weights(truth)[converged], values[converged]

    def _statistics(self, mixture: Mixture, strength: float) -> Array:
        """The statistic of a strength, zero being that of no signal; NaN where a fit fails, (t)."""
        values = np.full(len(mixture.toys), np.nan)
        for number, toy in enumerate(mixture.toys):
            with suppress(ModelError):
                values[number] = self._statistic(toy, strength)
        return values

    def _statistic(self, toy: Toy, strength: float) -> float:
        fitted = toy.parameters[self._poi]
        # An excess is no evidence against a strength below it, nor a deficit one for a signal.
        if fitted >= strength if strength > 0 else fitted <= 0:
            return 0.0
        held = toy.problem.lowest([toy.parameters], {self._poi: strength}).minimum
        return max(held.expansion.value - toy.value, 0.0)


def _distinct(*strengths: float) -> list[float]:
    """Those that differ from all before them."""
    distinct: list[float] = []
    for strength in strengths:
        if all(abs(strength - other) > _SAME for other in distinct):
            distinct.append(strength)
    return distinct


def _significance(weights: Array, values: Array, observed: float) -> Estimate:
    """Standard deviations of the probability of a statistic at least as large, not below zero."""
    if observed <= _SAME:
        return Estimate(value=0.0, error=0.0)
    beyond = np.where(values >= observed - _SAME, weights, 0.0)
    if (n_beyond := int(np.count_nonzero(beyond))) < _FEWEST:
        raise _too_few(n_beyond, 0.0)
    p_value = float(beyond.mean())
    # The spread of a few large weights is seen too small: as if the largest came once more.
    scatter = beyond.std(ddof=min(1, len(beyond) - 1)) / np.sqrt(len(beyond))
    error = float(np.hypot(scatter, beyond.max() / len(beyond)))
    at = -float(ndtri(min(p_value, 0.5)))
    return Estimate(value=max(at, 0.0), error=error * float(np.sqrt(2 * np.pi) * np.exp(at**2 / 2)))


def _too_few(n_beyond: int, strength: float) -> ModelError:
    few = f"only {n_beyond} {plural('pseudo-experiment', n_beyond)}"
    subject = few if n_beyond else "no pseudo-experiment"
    verb = "are" if n_beyond > 1 else "is"
    return ModelError(
        f"{subject} {verb} far enough from a strength of {strength:.4g}",
        place="fit.limit.toys",
        remedy="raise `count`",
    )


def with_toys(fields: dict[str, Any], problem: Problem, settings: LimitSettings) -> dict[str, Any]:
    """Add tests by pseudo-experiments to what ``limits.compute`` gives.

    CLs is that of the observed limit, and of a strength of 1 if the best fit is smaller: otherwise
    nothing speaks against it. Limits are looked for where asymptotic ones exist. What fails leaves
    its reason.

    Args:
        fields: of ``limits.compute``.
        problem: the fit.
        settings: with the number of pseudo-experiments.
    """
    significance, limit = fields["significance"], fields["limit"]
    if settings.toys.count == 0 or (significance is None and limit is None):
        return fields
    signal = Signal(problem, settings.statistic)
    observed = None if limit is None else limit["observed"]
    expected = None if limit is None else limit["expected"][_MEDIAN]
    tests = ToySignal(signal, settings.toys, observed or expected or 1.0)
    failures: list[str] = []

    def attempted(name: str, function: Callable[[], Result]) -> Result | None:
        try:
            return function()
        except ModelError as error:
            failures.append(f"No {name} by pseudo-experiments: {error.problem}")
            return None

    results: dict[str, Any] = {}
    if significance is not None:
        results["significance"] = attempted("significance", tests.significance)
    if fields["expected_significance"] is not None:
        name = "expected_significance"
        results[name] = attempted("expected significance", tests.expected_significance)
    strengths = [] if observed is None else [observed]
    if limit is not None and signal.strength < 1.0:
        strengths.insert(0, 1.0)
    tested = {s: attempted(f"CLs of {s:.4g}", partial(tests.cls, s)) for s in strengths}
    for name, of, near in (
        ("limit", tests.cls, observed),
        ("expected_limit", tests.expected_cls, expected),
    ):
        if near is not None:
            title = name.replace("limit", "upper limit").replace("_", " ")
            results[name] = attempted(title, partial(tests.limit, of, settings.confidence, near))

    def row(strength: float, cls: Estimate) -> ToyCLs:
        return ToyCLs(strength=strength, cls=cls, asymptotic=signal.cls(strength))

    toys = ToyTests(
        count=settings.toys.count,
        seed=settings.toys.seed,
        n_failed=tests.n_failed,
        cls=tuple(row(s, cls) for s, cls in tested.items() if cls is not None),
        scan=tuple(row(s, cls) for s, cls in sorted(tests.scanned.items())),
        **results,
    )
    return fields | {"toys": toys, "failures": (*fields["failures"], *failures)}
