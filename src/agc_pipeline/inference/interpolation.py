"""Interpolation of systematic variations between their templates, with exact derivatives.

Source: HistFactory, CERN-OPEN-2012-016, in the numbering of pyhf 0.7
(https://pyhf.readthedocs.io, interpolation codes 4 and 4p). Both are twice differentiable.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Interpolated(NamedTuple):
    """A function of one parameter and its first two derivatives, at the same points."""

    value: Array
    first: Array
    second: Array


def shift(at: Array, up: Array, down: Array) -> Interpolated:
    """Code 4p: what is added to a bin.

    Linear beyond one sigma, a polynomial of sixth order in between.

    Args:
        at: parameter in units of its pre-fit uncertainty; broadcasts with the others.
        up: change of the bin at +1.
        down: change of the bin at -1.
    """
    mean, bend = (up - down) / 2, (up + down) / 16
    inside = np.abs(at) < 1
    a = np.clip(at, -1, 1)
    beyond = np.where(at > 0, up, -down)
    return Interpolated(
        np.where(inside, a * mean + bend * a**2 * (15 - 10 * a**2 + 3 * a**4), at * beyond),
        np.where(inside, mean + bend * a * (30 - 40 * a**2 + 18 * a**4), beyond),
        np.where(inside, bend * (30 - 120 * a**2 + 90 * a**4), 0.0),
    )


def factor(at: Array, up: Array, down: Array) -> Interpolated:
    """Code 4: what a bin is multiplied by.

    Exponential beyond one sigma; in between a polynomial of sixth order that continues value,
    slope and curvature.

    Args:
        at: parameter in units of its pre-fit uncertainty; broadcasts with the others.
        up: factor at +1, positive.
        down: factor at -1, positive.
    """
    rate_up, rate_down = np.log(up), -np.log(down)
    ends = (up - 1, rate_up * up, rate_up**2 * up, down - 1, rate_down * down, rate_down**2 * down)
    coefficients = np.tensordot(_FROM_ENDS, np.stack(ends), axes=1)
    inside = np.abs(at) < 1
    a = np.clip(at, -1, 1)
    value, first, second = np.ones_like(up), np.zeros_like(up), np.zeros_like(up)
    for n, coefficient in enumerate(coefficients, 1):
        value = value + coefficient * a**n
        first = first + n * coefficient * a ** (n - 1)
        second = second + n * (n - 1) * coefficient * a ** max(n - 2, 0)
    rate = np.where(at > 0, rate_up, rate_down)
    # The exponential is not needed inside, where `at` can make it neither large nor small.
    beyond = np.exp(rate * at)
    return Interpolated(
        np.where(inside, value, beyond),
        np.where(inside, first, rate * beyond),
        np.where(inside, second, rate**2 * beyond),
    )


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


_FROM_ENDS = _from_ends()
