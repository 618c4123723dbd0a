"""Interpolation of systematic variations between their templates, with exact derivatives.

Source: HistFactory, CERN-OPEN-2012-016, in the numbering of pyhf 0.7
(https://pyhf.readthedocs.io, interpolation codes 4 and 4p). Both are twice differentiable.
"""

from dataclasses import dataclass
from types import EllipsisType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int_]

# Relative change of a content below which it is rounding.
NO_CHANGE = 1e-12


class Interpolated(NamedTuple):
    """A function of one parameter and its first two derivatives, at the same points."""

    value: Array
    first: Array
    second: Array


def shift(at: Array, up: Array, down: Array, of: Integers | EllipsisType = ...) -> Interpolated:
    """Code 4p: what is added to a bin.

    Linear beyond one sigma, a polynomial of sixth order in between.

    Args:
        at: parameters in units of their pre-fit uncertainty.
        up: change of each bin at +1.
        down: change of each bin at -1.
        of: which parameter changes each bin; without it, parameters broadcast with the changes.
    """
    mean, bend = (up - down) / 2, (up + down) / 16
    # The polynomials are those of parameters, of which there are fewer than changes.
    clipped = np.clip(at, -1, 1)
    square, fourth = clipped**2, clipped**4
    inside, a, squared = (np.abs(at) < 1)[of], clipped[of], square[of]
    beyond = np.where((at > 0)[of], up, -down)
    return Interpolated(
        np.where(
            inside,
            a * mean + bend * squared * (15 - 10 * square + 3 * fourth)[of],
            at[of] * beyond,
        ),
        np.where(inside, mean + bend * a * (30 - 40 * square + 18 * fourth)[of], beyond),
        np.where(inside, bend * (30 - 120 * square + 90 * fourth)[of], 0.0),
    )


@dataclass(frozen=True)
class Factors:
    """Code 4: what bins are multiplied by.

    Exponential beyond one sigma; in between a polynomial of sixth order that continues value,
    slope and curvature.

    Attributes:
        rate_up: logarithm of the factors at +1.
        rate_down: minus the logarithm of the factors at -1.
        coefficients: of the powers 1 to 6 in between, first axis.
    """

    rate_up: Array
    rate_down: Array
    coefficients: Array

    @classmethod
    def between(cls, up: Array, down: Array) -> "Factors":
        """Interpolation between factors at +1 and at -1, all positive."""
        a, b = np.log(up), -np.log(down)
        ends = (up - 1, a * up, a**2 * up, down - 1, b * down, b**2 * down)
        return cls(a, b, np.tensordot(_FROM_ENDS, np.stack(ends), axes=1))

    def at(self, at: Array) -> Interpolated:
        """The factors for parameters in units of their pre-fit uncertainty."""
        inside = np.abs(at) < 1
        a = np.clip(at, -1, 1)
        value, first, second = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a)
        # Horner's scheme; the lowest power is the first.
        for n, coefficient in zip(range(6, 0, -1), self.coefficients[::-1], strict=True):
            value = (value + coefficient) * a
            first = first * a + n * coefficient
            if n > 1:
                second = second * a + n * (n - 1) * coefficient
        rate = np.where(at > 0, self.rate_up, self.rate_down)
        # The exponential is not needed inside, where `at` can make it neither large nor small.
        beyond = np.exp(rate * at)
        return Interpolated(
            np.where(inside, 1 + value, beyond),
            np.where(inside, first, rate * beyond),
            np.where(inside, second, rate**2 * beyond),
        )


def by_ends(at: Array) -> tuple[Interpolated, Interpolated]:
    """What is added to a bin by code 4p, differentiated by the change at +1 and by that at -1."""
    one, zero = np.ones_like(at), np.zeros_like(at)
    return shift(at, one, zero), shift(at, zero, one)


def factors_by_ends(at: Array, up: Array, down: Array) -> tuple[Array, Array]:
    """Logarithms of factors by code 4, differentiated by the factors at +1 and at -1.

    Args:
        at: parameters in units of their pre-fit uncertainty, (m).
        up: factors at +1, (m).
        down: factors at -1, (m).

    Returns:
        For each of the two, the derivative and how it changes with the parameter, (2, m).
    """
    a, b = np.log(up), -np.log(down)
    one, zero = np.ones_like(at), np.zeros_like(at)
    # Values, slopes and curvatures at both ends, and their derivatives by both factors.
    ends = (up - 1, a * up, a**2 * up, down - 1, b * down, b**2 * down)
    by_up = (one, a + 1, a**2 + 2 * a, zero, zero, zero)
    by_down = (zero, zero, zero, one, b - 1, b**2 - 2 * b)
    powers = np.clip(at, -1, 1) ** _POWERS[:, np.newaxis]
    slopes = _POWERS[:, np.newaxis] * np.clip(at, -1, 1) ** (_POWERS[:, np.newaxis] - 1)
    inside = [
        (np.sum(powers * coefficients, axis=0), np.sum(slopes * coefficients, axis=0))
        for coefficients in (_FROM_ENDS @ np.stack(each) for each in (ends, by_up, by_down))
    ]
    value = 1 + inside[0][0]
    relative = inside[0][1] / value
    results = []
    for (change, slope), end, sign in zip(inside[1:], (up, down), (1, -1), strict=True):
        within = np.stack([change, slope - change * relative]) / value
        beyond = np.where(sign * at > 0, np.stack([sign * at, sign * one]) / end, 0.0)
        results.append(np.where(np.abs(at) < 1, within, beyond))
    return results[0], results[1]


def factor_slopes(up: Array, down: Array) -> Array:
    """Slopes at zero of factors by code 4, from those at +1 and -1; NaN if one is not positive."""
    good = (up > 0) & (down > 0)
    up, down = np.where(good, up, np.nan), np.where(good, down, np.nan)
    a, b = np.log(up), -np.log(down)
    ends = np.stack([up - 1, a * up, a**2 * up, down - 1, b * down, b**2 * down])
    slopes: Array = _FROM_ENDS[0] @ ends
    return slopes


def factor_slopes_by_ends(up: Array, down: Array) -> tuple[Array, Array]:
    """Derivatives of these slopes by the factors at +1 and at -1, all positive."""
    a, b = np.log(up), -np.log(down)
    first, last = _FROM_ENDS[0, :3], _FROM_ENDS[0, 3:]
    by_up: Array = first @ np.stack([np.ones_like(a), a + 1, a**2 + 2 * a])
    by_down: Array = last @ np.stack([np.ones_like(b), b - 1, b**2 - 2 * b])
    return by_up, by_down


def _from_ends() -> Array:
    """Matrix from values, slopes and curvatures at +1 and -1 to coefficients of powers 1 to 6."""
    n = np.arange(1, 7)
    ends = [
        row
        for end in (1.0, -1.0)
        for row in (end**n, n * end ** (n - 1), n * (n - 1) * end ** (n - 2))
    ]
    matrix: Array = np.linalg.inv(np.array(ends))
    return matrix


_POWERS = np.arange(1.0, 7.0)
_FROM_ENDS = _from_ends()
