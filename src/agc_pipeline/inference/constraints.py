"""Auxiliary measurements: constraints of the parameters by other data.

A Gaussian one adds ((t - a) / sigma)^2 to -2 ln L, for a parameter t measured as a +- sigma; a
Poisson one adds that of a events where rate * t are expected, relative to its minimum.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agc_pipeline.inference.interpolation import Array, Interpolated

# Numbers near 1 are no closer to each other: a parameter measured with a smaller width cannot move.
NARROWEST = float(np.finfo(np.float64).eps)
# Relative excess below which the logarithm is that of one plus the excess.
_NEAR = 0.5


def deviance(events: Array, expected: Array) -> Array:
    """-2 ln L of numbers of events with Poisson distributions, relative to its minimum.

    Precise to the rounding of the root of a number, where it is near what is expected: the terms
    of the formula are as large as the number itself, and cancel.

    Args:
        events: zero or more.
        expected: above zero where there are events.
    """
    some = np.where(events > 0, events, 1.0)
    excess = (expected - events) / some
    near = (np.abs(excess) < _NEAR) & (events > 0)
    small = np.where(near, excess, 0.0)
    ratio = np.where(near | (events == 0), 1.0, some / np.where(events > 0, expected, 1.0))
    far = expected - events + events * np.log(ratio)
    deviance: Array = 2 * np.where(near, events * (small - np.log1p(small)), far)
    return deviance


@dataclass(frozen=True)
class Constraints:
    """Auxiliary measurements of the parameters (p); free parameters have none.

    Attributes:
        centre: of Gaussian measurements; zero where there is none.
        weight: inverse squared width of Gaussian measurements, of ``NARROWEST`` at least; zero
            where there is none.
        counts: events of Poisson measurements; zero where there is none.
        rate: events that a Poisson measurement expects at 1; zero where there is none.
    """

    centre: Array
    weight: Array
    counts: Array
    rate: Array

    def expand(self, parameters: Array) -> Interpolated:
        """Contribution of each parameter to the statistic, with its first two derivatives.

        Infinite, with NaN, where a Poisson measurement expects no events.
        """
        pull = parameters - self.centre
        value, first = self.weight * pull**2, 2 * self.weight * pull
        second = 2 * self.weight
        poisson = self.rate > 0
        if not poisson.any():
            return Interpolated(value, first, second)
        t, n, rate = parameters[poisson], self.counts[poisson], self.rate[poisson]
        good = t > 0
        t = np.where(good, t, 1.0)
        nothing = np.full_like(t, np.nan)
        value[poisson] = np.where(good, deviance(n, rate * t), np.inf)
        first[poisson] = np.where(good, 2 * (rate - n / t), nothing)
        second[poisson] = np.where(good, 2 * n / t**2, nothing)
        return Interpolated(value, first, second)

    def information(self, parameters: Array) -> Array:
        """Inverse squared uncertainty that each auxiliary measurement alone leaves, (p)."""
        information: Array = self.expand(parameters).second / 2
        return information

    def exact(self) -> npt.NDArray[np.bool_]:
        """Parameters that a Gaussian measurement leaves no room, (p)."""
        return np.asarray(self.weight >= 1 / NARROWEST**2)

    def widths(self) -> Array:
        """Uncertainty of the parameters before the fit, (p); zero for free parameters."""
        precision = self.weight + self.rate
        return np.where(precision > 0, 1 / np.sqrt(np.where(precision > 0, precision, 1)), 0.0)
