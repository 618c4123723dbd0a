"""The likelihood of a HistFactory model with exact first and second derivatives, in numpy.

pyhf's numpy backend has no derivatives, and a fit with numerical ones is not accurate enough:
parameters of this model have global correlations of up to 0.9995. HistFactory is simple enough to
be differentiated by hand. The rate of sample s in bin b, a cell, is

    rate_sb = (nominal_sb + sum_p shift_psb) * prod_p factor_psb,

where each shift and factor depends on one parameter p only: an interpolated shape, an interpolated
normalisation, or the parameter itself. The statistic is -2 ln L relative to a model that fits all
data perfectly,

    2 sum_b (rate_b - n_b + n_b ln(n_b / rate_b)) + sum_p constraint_p,

for n observed events, and auxiliary measurements of the parameters (``constraints``).

Sources: HistFactory, CERN-OPEN-2012-016; S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221
(1984) 437 (saturated model).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agc_pipeline.inference import interpolation
from agc_pipeline.inference.constraints import Constraints, deviance
from agc_pipeline.inference.interpolation import NO_CHANGE, Array, Factors

Integers = npt.NDArray[np.int_]

# Stands for a factor of zero, which has no logarithmic derivative; products of two are no zero.
_ALMOST_ZERO = 1e-150
# A bin with a smaller rate expects nothing.
_NOTHING = 1e-100
# Rounding of a rate of zero that is the sum of such contributions.
_ROUNDING = 1e-13


class Expansion(NamedTuple):
    """The statistic at a point, its gradient (p) and its Hessian (p, p).

    Where a total rate is negative, or zero in a bin with data, the value is infinite and the
    derivatives are NaN. (pyhf gives a negative rate in a bin without data a finite value, the
    better the more negative.)
    """

    value: float
    gradient: Array
    hessian: Array


class Shifts(NamedTuple):
    """Interpolated shapes: entry e changes a cell through a parameter."""

    parameter: Integers
    cell: Integers
    up: Array
    down: Array


class Norms(NamedTuple):
    """Interpolated normalisations: modifier m has a parameter, entry e applies one to a cell."""

    parameter: Integers
    factors: Factors
    modifier: Integers
    cell: Integers


class Scales(NamedTuple):
    """Parameters that are factors themselves: entry e multiplies a cell with a parameter."""

    parameter: Integers
    cell: Integers


class Cells(NamedTuple):
    """Cells at a point, and how they change along a direction of the parameters, (c) each.

    Attributes:
        product: of the factors on the content.
        product_slope: derivative of it along the direction.
        events: expected.
        events_slope: derivative of them.
    """

    product: Array
    product_slope: Array
    events: Array
    events_slope: Array


@dataclass(frozen=True)
class Likelihood:
    """A model and its data as arrays; axes are parameters (p), cells (c) and bins (b).

    Attributes:
        nominal: events before any modifier, (c); cells are ordered by bin.
        sample: of each cell, (c).
        bin: of each cell, (c); every bin has one.
        shifts: what is added to cells.
        norms: what cells are multiplied by, interpolated.
        scales: what cells are multiplied by, directly.
        data: observed events, (b).
        constraints: auxiliary measurements.
    """

    nominal: Array
    sample: Integers
    bin: Integers
    shifts: Shifts
    norms: Norms
    scales: Scales
    data: Array
    constraints: Constraints

    def with_data(self, data: Array, constraints: Constraints) -> "Likelihood":
        """The same model for other data."""
        return replace(self, data=data, constraints=constraints)

    def effective(self, n: int) -> npt.NDArray[np.bool_]:
        """Which of n parameters change a cell that can have events, by more than rounding, (n)."""
        size = np.maximum(np.abs(self.shifts.up), np.abs(self.shifts.down))
        shifted = size > NO_CHANGE * np.abs(self.nominal[self.shifts.cell])
        filled = self.nominal != 0
        filled[self.shifts.cell[shifted]] = True
        effective = np.zeros(n, dtype=np.bool_)
        effective[self.shifts.parameter[shifted]] = True
        factors = self.norms.factors
        rates = np.maximum(np.abs(factors.rate_up), np.abs(factors.rate_down))
        acting = filled[self.norms.cell] & (rates > NO_CHANGE)[self.norms.modifier]
        effective[self.norms.parameter[self.norms.modifier[acting]]] = True
        effective[self.scales.parameter[filled[self.scales.cell]]] = True
        return effective

    def rates(self, parameters: Array) -> Array:
        """Expected events, (b), for parameters (p)."""
        base, product, *_ = self._cells(parameters)
        return self._by_bin(base * product)

    def allows(self, parameters: Array) -> bool:
        """Whether no rate is negative, or zero in a bin with data, for parameters (p)."""
        rates = self.rates(parameters)
        return bool(np.all(rates >= 0) and not self.excluded(rates).any())

    def excluded(self, rates: Array) -> npt.NDArray[np.bool_]:
        """Whether bins have data and no expected events, (b), for rates (b)."""
        excluded: npt.NDArray[np.bool_] = (rates < _NOTHING) & (self.data > 0)
        return excluded

    def largest_shift(self, parameters: Array) -> float:
        """The largest effect of a shape, at one standard deviation, relative to its bin."""
        base, product, *_ = self._cells(parameters)
        cell = self.shifts.cell
        events = self._by_bin(base * product)[self.bin[cell]]
        size = np.maximum(np.abs(self.shifts.up), np.abs(self.shifts.down)) * np.abs(product[cell])
        relative = np.divide(size, events, out=np.zeros_like(size), where=events > 0)
        return float(np.max(relative, initial=0))

    def rates_by_sample(self, parameters: Array) -> Array:
        """Expected events, (s, b), for parameters (p); zero where a sample is not in a channel."""
        base, product, *_ = self._cells(parameters)
        rates = np.zeros((self.sample.max() + 1, len(self.data)))
        rates[self.sample, self.bin] = base * product
        return rates

    def expand(
        self, parameters: Array, multipliers: Array | None = None, *, beyond: bool = False
    ) -> Expansion:
        """The statistic and its derivatives for parameters (p).

        Args:
            parameters: where.
            multipliers: Lagrange multipliers of the rates, (b): the derivatives are those of the
                statistic minus the sum of multipliers times rates. None is zero.
            beyond: continue the statistic to negative rates in bins without data, where it is the
                same linear function of the rate.
        """
        n = len(parameters)
        base, product, shift, norm, scale = self._cells(parameters)
        rate = self._by_bin(base * product)
        constraint = self.constraints.expand(parameters)
        seen = self.data > 0
        excluded = np.any(rate[seen] < _NOTHING)
        if not (excluded or beyond) and np.any(rate < 0):
            shifted = np.zeros_like(base)
            np.add.at(shifted, self.shifts.cell, np.abs(shift.value))
            largest = np.abs(self.nominal * product) + np.abs(shifted * product)
            sizes = self._by_bin(largest)
            excluded = np.any(rate < -_ROUNDING * sizes)
        if excluded or not np.all(np.isfinite(constraint.value)):
            return _impossible(n)
        ratio = np.divide(self.data, rate, out=np.zeros_like(rate), where=seen)
        value = np.sum(deviance(self.data, rate)) + constraint.value.sum()
        pull = 2 * (1 - ratio)
        if multipliers is not None:
            pull = pull - multipliers

        # Logarithmic derivatives of the factors and derivatives of the shifts, (p, c).
        factors, added = np.zeros((n, len(base))), np.zeros((n, len(base)))
        factors[self.scales.parameter, self.scales.cell] = 1 / scale
        of_norm = self.norms.parameter[self.norms.modifier]
        factors[of_norm, self.norms.cell] = (norm.first / norm.value)[self.norms.modifier]
        added[self.shifts.parameter, self.shifts.cell] = shift.first

        pulled = base * factors
        slope = np.add.reduceat(product * (added + pulled), self._starts, axis=1)
        gradient = slope @ pull + constraint.first
        curvature = np.divide(ratio, rate, out=np.zeros_like(rate), where=seen)
        # A matrix times its own transpose is symmetric to the bit.
        root = slope * np.sqrt(2 * curvature)
        hessian = root @ root.T
        diagonal = np.diag(hessian) + constraint.second
        # The second derivatives of a rate count as far as it differs from the data.
        misfit = product * pull[self.bin]
        mixed = ((added + pulled / 2) * misfit) @ factors.T
        hessian += mixed + mixed.T
        # The factors' own second derivatives: squares of first ones would not cancel exactly.
        diagonal += 2 * np.einsum("pc,pc,c->p", added, factors, misfit)
        diagonal += np.bincount(
            self.shifts.parameter, shift.second * misfit[self.shifts.cell], minlength=n
        )
        bend = (norm.second / norm.value)[self.norms.modifier]
        diagonal += np.bincount(of_norm, bend * (base * misfit)[self.norms.cell], minlength=n)
        np.fill_diagonal(hessian, diagonal)
        if not np.all(np.isfinite(hessian)):
            # Numbers too large for the machine: no place for a minimum.
            return _impossible(n)
        return Expansion(float(value), gradient, hessian)

    def slopes(self, parameters: Array) -> Array:
        """First derivatives of the expected events, (p, b)."""
        base, product, shift, norm, scale = self._cells(parameters)
        change = np.zeros((len(parameters), len(base)))
        events = base * product
        change[self.scales.parameter, self.scales.cell] = events[self.scales.cell] / scale
        of_norm = self.norms.parameter[self.norms.modifier]
        relative = (norm.first / norm.value)[self.norms.modifier]
        change[of_norm, self.norms.cell] += relative * events[self.norms.cell]
        change[self.shifts.parameter, self.shifts.cell] += shift.first * product[self.shifts.cell]
        slopes: Array = np.add.reduceat(change, self._starts, axis=1)
        return slopes

    def cells(self, parameters: Array, along: Array) -> Cells:
        """The cells for parameters (p), and their derivatives along a direction, (p)."""
        base, product, shift, norm, scale = self._cells(parameters)
        n = len(base)
        relative = np.bincount(self.scales.cell, along[self.scales.parameter] / scale, minlength=n)
        of_norm = along[self.norms.parameter] * norm.first / norm.value
        relative = relative + np.bincount(self.norms.cell, of_norm[self.norms.modifier], n)
        added = np.bincount(
            self.shifts.cell, along[self.shifts.parameter] * shift.first, minlength=n
        )
        events = base * product
        return Cells(product, product * relative, events, product * added + events * relative)

    def _cells(
        self, parameters: Array
    ) -> tuple[Array, Array, interpolation.Interpolated, interpolation.Interpolated, Array]:
        """Sum and product of each cell, (c) each, and the modifiers that make them."""
        shift = interpolation.shift(
            parameters, self.shifts.up, self.shifts.down, self.shifts.parameter
        )
        norm = self.norms.factors.at(parameters[self.norms.parameter])
        scale = parameters[self.scales.parameter]
        scale = np.where(scale == 0, _ALMOST_ZERO, scale)
        n = len(self.nominal)
        base = self.nominal + np.bincount(self.shifts.cell, shift.value, minlength=n)
        product = np.ones(n)
        np.multiply.at(product, self.norms.cell, norm.value[self.norms.modifier])
        np.multiply.at(product, self.scales.cell, scale)
        return base, product, shift, norm, scale

    def _by_bin(self, cells: Array) -> Array:
        sums: Array = np.add.reduceat(cells, self._starts)
        return sums

    @cached_property
    def _starts(self) -> Integers:
        return np.flatnonzero(np.diff(self.bin, prepend=-1))


def _impossible(n: int) -> Expansion:
    """The statistic of n parameters where the model excludes the data."""
    return Expansion(np.inf, np.full(n, np.nan), np.full((n, n), np.nan))
