"""Upper limit and significance of a signal whose strength is the parameter of interest.

Asymptotic formulae for the statistics q-tilde or q, and q_0, with CLs. For q-tilde a strength below
zero is none; for q it is a fluctuation of the data like any other.

Sources: G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727; A. L. Read,
J. Phys. G 28 (2002) 2693 (CLs).
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
import scipy.optimize
from scipy.stats import norm

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.constraints import Constraints
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.settings import Statistic

# Expected results for fluctuations of the data by so many standard deviations.
BANDS = (-2, -1, 0, 1, 2)
_PRECISION = 1e-6


class Signal:
    """Tests of hypotheses on the strength of a signal, zero or more.

    Args:
        problem: the fit; its parameter of interest is the strength.
        statistic: of the tests.

    Raises:
        ModelError: if the strength cannot be zero, or for q not be less, or a fit fails.
    """

    def __init__(self, problem: Problem, statistic: Statistic = "qtilde") -> None:
        self._poi = problem.poi
        self._statistic = statistic
        low, high = problem.bounds[self._poi]
        if problem.fixed[self._poi] or not low <= 0 < high:
            raise ModelError(
                f"{problem.names[self._poi]} is not a signal strength: its bounds exclude zero",
                place="bounds of the parameter of interest",
                remedy="none is needed: limit and significance do not apply",
            )
        if statistic == "q" and low == 0:
            raise ModelError(
                f"the statistic q needs strengths below zero, which the bounds of "
                f"{problem.names[self._poi]} exclude",
                place="fit.limit.statistic",
                remedy="widen the bounds, or take `qtilde`",
            )
        bounds = problem.bounds.copy()
        if statistic == "qtilde":
            bounds[self._poi, 0] = 0.0
        self._problem = replace(problem, bounds=bounds)
        self.best = self._problem.lowest(problem.starts()).minimum

    @property
    def strength(self) -> float:
        """Best fit of the strength."""
        return float(self.best.parameters[self._poi])

    def significance(self) -> tuple[float, float]:
        """Standard deviations by which no signal is excluded: observed, and expected for 1."""
        observed = 0.0
        if self.strength > 0:
            observed = self._held(0.0).expansion.value - self.best.expansion.value
        asimov = _asimov(self._problem, self._held(1.0).parameters)
        expected = asimov.conditional(self._held(1.0), {self._poi: 0.0}).expansion.value
        return float(np.sqrt(max(observed, 0.0))), float(np.sqrt(expected))

    def cls(self, strength: float) -> tuple[float, Array]:
        """CLs of a strength: observed, and expected for ``BANDS``."""
        q, expected = self._statistics(strength)
        root = np.sqrt(expected)
        if root == 0:
            return 1.0, np.ones(len(BANDS))
        if self._statistic == "q" or q <= expected:
            shift = np.sqrt(q) - root
        else:
            shift = (q - expected) / (2 * root)
        at = np.array([shift, *(-band for band in BANDS)])
        values = np.exp(norm.logsf(at + root) - norm.logsf(at))
        return float(values[0]), values[1:]

    def limits(self, confidence: float) -> tuple[float, Array]:
        """Upper limits on the strength: observed, and expected for ``BANDS``.

        Raises:
            ModelError: if a limit is beyond the bound of the strength.
        """
        level = np.log(1 - confidence)

        def solve(which: int) -> float:
            def excess(strength: float) -> float:
                observed, expected = self.cls(strength)
                return float(np.log(max([observed, *expected][which], 1e-300)) - level)

            highest = float(self._problem.bounds[self._poi, 1])
            lower, upper = 0.0, min(max(self.strength, 0.0) + 2 * self._width, highest)
            while excess(upper) > 0:
                if upper >= highest:
                    raise ModelError(
                        f"the upper limit on {self._problem.names[self._poi]} exceeds its bound "
                        f"{highest:g}",
                        place="bounds of the parameter of interest",
                        remedy="widen the bounds",
                    )
                lower, upper = upper, min(2 * upper, highest)
            start = max(lower, _PRECISION * upper)
            return float(scipy.optimize.brentq(excess, start, upper, xtol=_PRECISION * upper))

        observed, *expected = (solve(which) for which in range(1 + len(BANDS)))
        return observed, np.array(expected)

    def _statistics(self, strength: float) -> tuple[float, float]:
        """The statistic of a strength, for the data and for Asimov data without signal."""
        if strength not in self._cache:
            q = 0.0
            if strength > self.strength:
                q = self._held(strength).expansion.value - self.best.expansion.value
            asimov, background = self._background
            expected = asimov.conditional(background, {self._poi: strength}).expansion.value
            self._cache[strength] = max(q, 0.0), max(expected, 0.0)
        return self._cache[strength]

    def _held(self, strength: float) -> Minimum:
        return self._problem.conditional(self.best, {self._poi: strength})

    @cached_property
    def _cache(self) -> dict[float, tuple[float, float]]:
        return {}

    @cached_property
    def _background(self) -> tuple[Problem, Minimum]:
        """Asimov data without signal, and their fit: they are fitted perfectly."""
        background = self._held(0.0)
        asimov = _asimov(self._problem, background.parameters)
        return asimov, asimov.conditional(background, {self._poi: 0.0})

    @cached_property
    def _width(self) -> float:
        """Uncertainty of the strength, or of one that a small signal would have."""
        variance = self.best.expansion.hessian[self._poi, self._poi]
        return float(np.sqrt(2 / variance)) if variance > 0 else 1.0


def _asimov(problem: Problem, parameters: Array) -> Problem:
    """The same fit for the data, auxiliary ones included, that the model expects."""
    measured = problem.likelihood.constraints
    constraints = Constraints(
        centre=np.where(measured.weight > 0, parameters, measured.centre),
        weight=measured.weight,
        counts=measured.rate * parameters,
        rate=measured.rate,
    )
    return problem.with_data(problem.likelihood.rates(parameters), constraints)
