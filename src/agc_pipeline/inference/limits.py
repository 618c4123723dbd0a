"""Upper limit and significance of a signal whose strength is the parameter of interest.

Asymptotic formulae for the statistics q-tilde or q, and q_0, with CLs; ``toy_tests`` does without
them. For q-tilde a strength below zero is none; for q it is a fluctuation of the data like any
other.

Sources: G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727; A. L. Read,
J. Phys. G 28 (2002) 2693 (CLs).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.optimize
from scipy.special import log_ndtr

from agc_pipeline.errors import ModelError
from agc_pipeline.formatting import name_list
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem, no_interest
from agc_pipeline.inference.settings import LimitSettings, Statistic

Result = TypeVar("Result")

# Expected results for fluctuations of the data by so many standard deviations.
BANDS = (-2, -1, 0, 1, 2)
_PRECISION = 1e-6
# Of the distance of a strength from the best fit: a strength so near to another is fitted from
# where that ended, and its minima are not looked for everywhere again.
_NEAR = 0.3
# Limits are looked for up to so many times the upper bound.
_FARTHEST = 1000
# Fits on the way to a strength that has none from further away.
_STEPS = 12


class Limits(NamedTuple):
    """Upper limits; None where there is none.

    Attributes:
        observed: of the data.
        expected: for ``BANDS``.
        failures: why there is none, by name: "observed limit" or that of a band.
    """

    observed: float | None
    expected: tuple[float | None, ...]
    failures: dict[str, str]

    @property
    def largest(self) -> float | None:
        """The largest of them; None if there is none at all."""
        values = [value for value in (self.observed, *self.expected) if value is not None]
        return max(values, default=None)


class Asimov(NamedTuple):
    """A strength that is tested with the data that another one leads to expect.

    Attributes:
        truth: minimum of the fit of the data with that other strength held.
        data: the fit of what is expected there.
        fitted: its minimum with the strength held.
    """

    truth: Minimum
    data: Problem
    fitted: Minimum

    @property
    def statistic(self) -> float:
        """The statistic of the strength: what is expected there is fitted perfectly."""
        return max(self.fitted.expansion.value, 0.0)


class Signal:
    """Tests of hypotheses on the strength of a signal, zero or more.

    Args:
        problem: the fit; its parameter of interest is the strength.
        statistic: of the tests.

    Attributes:
        poi: position of the strength.
        problem: the fit, with the bounds that the statistic asks for.
        best: its minimum.

    Raises:
        ModelError: if there is no strength that can be zero, or for q less, or no minimum.
    """

    def __init__(self, problem: Problem, statistic: Statistic = "qtilde") -> None:
        self.poi = _strength(problem)
        self._statistic = statistic
        bounds = problem.bounds.copy()
        if statistic == "q" and bounds[self.poi, 0] == 0:
            raise ModelError(
                f"the statistic q needs strengths below zero, which the bounds of "
                f"{problem.names[self.poi]} exclude",
                place="fit.limit.statistic",
                remedy="widen the bounds, or take `qtilde`",
            )
        if statistic == "qtilde":
            bounds[self.poi, 0] = 0.0
        self.problem = replace(problem, bounds=bounds)
        self.best = self.problem.search().minimum

    @property
    def strength(self) -> float:
        """Best fit of the strength."""
        return float(self.best.parameters[self.poi])

    @property
    def bound(self) -> float:
        """Upper bound of the strength in fits of it."""
        return float(self.problem.bounds[self.poi, 1])

    def significance(self) -> float:
        """Standard deviations by which the data exclude that there is no signal.

        Raises:
            ModelError: if the data do not determine the strength, or the fit without signal fails.
        """
        return float(np.sqrt(self.statistic_without_signal()))

    def statistic_without_signal(self) -> float:
        """The statistic q_0 of the data: zero unless the strength is above zero.

        Raises:
            ModelError: if the data do not determine the strength, or the fit without signal fails.
        """
        self._require_determined()
        if self.strength <= 0:
            return 0.0
        return max(self.held(0.0).expansion.value - self.best.expansion.value, 0.0)

    def expected_significance(self) -> float:
        """The same, expected for a strength of 1.

        Raises:
            ModelError: if the data do not determine the strength, or a fit with the strength held
                fails.
        """
        self._require_determined()
        try:
            return float(np.sqrt(self.expected_statistic(0.0, truth=1.0).statistic))
        except ModelError as error:
            self._explain(self._asimov(1.0)[1].problem, error)
            raise

    def require_background(self) -> None:
        """A signal without which there were no events at all is beyond any test.

        Raises:
            ModelError: if there are data in bins in which nothing else is expected.
        """
        try:
            self.held(0.0)
        except ModelError as error:
            self._explain(self.problem, error)

    def _explain(self, problem: Problem, error: ModelError) -> None:
        """Tell why a fit without signal fails, if it is for lack of anything else."""
        bins = problem.impossible_bins({self.poi: 0.0})
        if bins:
            raise ModelError(
                f"without {problem.names[self.poi]}, nothing is expected in {name_list(bins)} "
                "(counted from 0), and any event there is signal: the significance is infinite",
                place="background of the model",
                remedy="none is needed, if there is no background; else add it",
            ) from error

    def _require_determined(self) -> None:
        """A strength that others can stand in for has none, whatever excludes that it is zero."""
        if self.best.undetermined[self.poi]:
            others = np.flatnonzero(self.best.undetermined)
            names = name_list([self.problem.names[n] for n in others if n != self.poi])
            raise ModelError(
                f"the data do not determine {self.problem.names[self.poi]}: other values fit "
                f"equally well, with other values of {names}",
                place="parameter of interest",
                remedy="fix or constrain the others, or choose another parameter of interest",
            )

    def cls(self, strength: float) -> float:
        """CLs of a strength.

        Raises:
            ModelError: if a fit with the strength held fails.
        """
        q, expected = self.statistic_of(strength), self._expected(strength)
        root = np.sqrt(expected)
        if root == 0:
            return 1.0
        if self._statistic == "q" or q <= expected:
            shift = np.sqrt(q) - root
        else:
            shift = (q - expected) / (2 * root)
        return float(_ratio(np.array([shift]), root)[0])

    def expected_cls(self, strength: float) -> Array:
        """CLs of a strength that is expected without signal, for ``BANDS``.

        Raises:
            ModelError: if a fit with the strength held fails.
        """
        root = np.sqrt(self._expected(strength))
        if root == 0:
            return np.ones(len(BANDS))
        return _ratio(-np.array(BANDS, dtype=np.float64), root)

    def limits(self, confidence: float) -> Limits:
        """Upper limits on the strength: observed, and expected for ``BANDS``.

        They may be beyond the bound of the strength, which is that of its best fit.
        """
        level = np.log(1 - confidence)

        def expected(band: int) -> Callable[[float], float]:
            return lambda strength: float(self.expected_cls(strength)[band])

        functions: dict[str, Callable[[float], float]] = {"observed limit": self.cls}
        for number, band in enumerate(BANDS):
            name = f"expected limit ({band:+d} sigma)" if band else "expected limit"
            functions[name] = expected(number)
        values: list[float | None] = []
        failures = {}
        for name, function in functions.items():
            try:
                # The data want a strength beyond the bound: then it is no measure of distance.
                bounded = name == "observed limit" and self.strength >= self.bound
                values.append(self._crossing(function, level, bounded=bounded))
            except ModelError as error:
                values.append(None)
                failures[name] = error.problem
        return Limits(values[0], tuple(values[1:]), failures)

    def _crossing(
        self, function: Callable[[float], float], level: float, *, bounded: bool
    ) -> float:
        """The strength at which the logarithm of a falling function is at a level.

        Large strengths may have no fit: where the signal takes events away, no expected yield is
        left. Then it is looked for below the first of these.
        """

        def excess(strength: float) -> float:
            return float(np.log(max(function(strength), 1e-300)) - level)

        name, highest = self.problem.names[self.poi], self.bound
        lower, upper = 0.0, min(max(self.strength, 0.0) + 2 * self._width, highest)
        failing: float | None = None
        while True:
            try:
                if excess(upper) <= 0:
                    break
            except ModelError as error:
                failing = upper
                if failing - lower <= _PRECISION * failing:
                    raise ModelError(
                        f"strengths above {lower:.5g} cannot be tested: {error.problem}",
                        place=error.place,
                        remedy=error.remedy,
                    ) from error
                upper = (lower + failing) / 2
                continue
            if failing is not None:
                lower, upper = upper, (upper + failing) / 2
                continue
            if upper >= highest and bounded:
                raise ModelError(
                    f"the upper limit on {name} exceeds its bound {highest:g}, where the best fit "
                    "is",
                    place="bounds of the parameter of interest",
                    remedy="widen the bounds",
                )
            if upper >= _FARTHEST * highest:
                raise ModelError(
                    f"the upper limit on {name} exceeds {upper:g}",
                    place="signal of the model",
                    remedy="give a signal with more events",
                )
            lower, upper = upper, 2 * upper if upper >= highest else min(2 * upper, highest)
        start = max(lower, _PRECISION * upper)
        return float(scipy.optimize.brentq(excess, start, upper, xtol=_PRECISION * upper))

    def statistic_of(self, strength: float) -> float:
        """The statistic of a strength for the data.

        Raises:
            ModelError: if the fit with the strength held fails.
        """
        if strength not in self._cache:
            q = 0.0
            if strength > self.strength:
                q = self.held(strength).expansion.value - self.best.expansion.value
            self._cache[strength] = max(q, 0.0)
        return self._cache[strength]

    def expected_statistic(self, strength: float, *, truth: float = 0.0) -> Asimov:
        """The test of a strength that is expected with another one.

        Raises:
            ModelError: if a fit with a strength held fails.
        """
        if (strength, truth) not in self._expected_cache:
            minimum, profile = self._asimov(truth)
            test = Asimov(minimum, profile.problem, profile.at(strength))
            self._expected_cache[strength, truth] = test
        return self._expected_cache[strength, truth]

    def _expected(self, strength: float) -> float:
        """The statistic of a strength for Asimov data without signal."""
        return self.expected_statistic(strength).statistic

    def held(self, strength: float) -> Minimum:
        """The minimum with the strength held.

        Raises:
            ModelError: if there is none.
        """
        return self._profile.at(strength)

    @cached_property
    def _profile(self) -> "_Profile":
        return _Profile(self.problem, self.best, self.poi)

    @cached_property
    def _cache(self) -> dict[float, float]:
        return {}

    @cached_property
    def _expected_cache(self) -> dict[tuple[float, float], Asimov]:
        return {}

    @cached_property
    def _asimov_cache(self) -> dict[float, tuple[Minimum, "_Profile"]]:
        return {}

    def _asimov(self, truth: float) -> tuple[Minimum, "_Profile"]:
        """What the data that a strength leads to expect are made of, and the minima for them."""
        if truth not in self._asimov_cache:
            minimum = self.held(truth)
            data = self.problem.asimov(minimum.parameters)
            # Data without signal are those of all tests for limits: their fit has to be good.
            start = minimum if truth else data.conditional(minimum, {self.poi: truth})
            self._asimov_cache[truth] = minimum, _Profile(data, start, self.poi)
        return self._asimov_cache[truth]

    @cached_property
    def _width(self) -> float:
        """Uncertainty of the strength, or of one that a small signal would have."""
        variance = self.best.expansion.hessian[self.poi, self.poi]
        return float(np.sqrt(2 / variance)) if variance > 0 else 1.0


class _Profile:
    """The lowest minima with the strength held, from the best fit and those of near strengths.

    Args:
        problem: the fit.
        best: its minimum.
        poi: position of the strength.

    Attributes:
        problem: the fit.
    """

    def __init__(self, problem: Problem, best: Minimum, poi: int) -> None:
        self.problem, self._best, self._poi = problem, best, poi
        self._minima: dict[float, Minimum] = {}

    def at(self, strength: float) -> Minimum:
        """The minimum at a strength.

        Raises:
            ModelError: if there is none.
        """
        if strength not in self._minima:
            try:
                self._minima[strength] = self._conditional(strength)
            except ModelError:
                # Where the signal takes events away, others may make up for it, step by step.
                if not self._approached(strength):
                    raise
        return self._minima[strength]

    def _conditional(self, strength: float) -> Minimum:
        known = sorted(self._minima, key=lambda other: abs(other - strength))[:1]
        near = (self._minima[other].parameters for other in known)
        reach = _NEAR * abs(strength - float(self._best.parameters[self._poi]))
        far = all(abs(other - strength) > reach for other in known)
        return self.problem.conditional(self._best, {self._poi: strength}, *near, far=far)

    def _approached(self, strength: float) -> bool:
        """Whether a strength is reached from the next one that has a minimum, by smaller steps."""
        own = float(self._best.parameters[self._poi])
        position = min((own, *self._minima), key=lambda other: abs(other - strength))
        step = (strength - position) / 2
        for _ in range(_STEPS):
            place = strength if abs(strength - position) <= abs(step) else position + step
            try:
                self._minima[place] = self._conditional(place)
            except ModelError:
                step = (place - position) / 2
            else:
                position = place
            if position == strength:
                return True
        return False


def _strength(problem: Problem) -> int:
    """Position of the parameter of interest.

    Raises:
        ModelError: if it is no strength of a signal.
    """
    poi = problem.poi
    if poi is None:
        raise no_interest()
    low, high = problem.bounds[poi]
    reason = None
    if problem.likelihood.constraints.widths()[poi] > 0:
        reason = "an auxiliary measurement constrains it"
    elif problem.idle[poi]:
        reason = "it changes no expected yield"
    elif problem.fixed[poi]:
        reason = "it is fixed"
    elif not low <= 0 < high:
        reason = "its bounds exclude zero"
    if reason is not None:
        raise ModelError(
            f"{problem.names[poi]} is not a signal strength: {reason}",
            place="bounds of the parameter of interest",
            remedy="none is needed: limit and significance do not apply",
        )
    return poi


def _ratio(at: Array, root: float) -> Array:
    """CLs for distances from the mean without signal, and the mean with it."""
    ratio: Array = np.exp(log_ndtr(-at - root) - log_ndtr(-at))
    return ratio


def compute(
    problem: Problem, settings: LimitSettings, signal: Signal | None = None
) -> dict[str, Any]:
    """Significance, limits and CLs, as far as they exist: fields of a ``LimitRecord``.

    What fails leaves its reason, and the rest as it is.

    Args:
        problem: the fit.
        settings: statistic, confidence, strengths at which CLs is listed, and the significance from
            which on there is no limit.
        signal: the tests, where there are some already.
    """
    failures: list[str] = []
    remarks: list[str] = []

    def attempted(name: str, function: Callable[[], Result]) -> Result | None:
        try:
            return function()
        except ModelError as error:
            failures.append(f"No {name}: {error.problem}")
            return None

    fields: dict[str, Any] = {
        "limit": None,
        "significance": None,
        "expected_significance": None,
        "strengths": (),
        "cls": (),
    }
    if signal is None:
        signal = attempted("limit or significance", lambda: Signal(problem, settings.statistic))
    if signal is not None:
        attempted("limit or significance", signal.require_background)
    if signal is not None and not failures:
        observed = attempted("significance", signal.significance)
        fields["significance"] = observed
        fields["expected_significance"] = attempted(
            "expected significance", signal.expected_significance
        )
        if observed is not None and observed >= settings.max_significance:
            failures.append(
                f"No limit: the observed significance exceeds {settings.max_significance:g} sigma"
            )
        else:
            limits = signal.limits(settings.confidence)
            failures += [f"No {name}: {reason}" for name, reason in limits.failures.items()]
            fields |= _limit(signal, limits, settings.points)
            if limits.largest is not None and limits.largest > signal.bound:
                remarks.append(
                    f"limits above {signal.bound:g} are beyond the bound of the fit, which holds "
                    "for its best value alone"
                )
    return fields | {"failures": tuple(failures), "remarks": tuple(remarks)}


def _limit(signal: Signal, limits: Limits, points: int) -> dict[str, Any]:
    """Limits, and CLs at strengths up to beyond the largest of them."""
    if limits.largest is None:
        return {}
    strengths = np.linspace(0, 1.2 * limits.largest, points)[1:]
    return {
        "limit": {"observed": limits.observed, "expected": limits.expected},
        "strengths": strengths.tolist(),
        "cls": tuple(
            {
                "observed": _unless_failing(signal.cls, strength),
                "expected": _unless_failing(signal.expected_cls, strength) or (None,) * len(BANDS),
            }
            for strength in strengths
        ),
    }


def _unless_failing(function: Callable[[float], Any], strength: float) -> Any:
    """A number or a list of numbers; None where a fit fails."""
    try:
        value = function(strength)
    except ModelError:
        return None
    return value.tolist() if isinstance(value, np.ndarray) else value
