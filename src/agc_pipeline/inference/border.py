"""Minimum of a likelihood on the border of a rate of zero.

A bin without data prefers a rate as low as possible: its contribution to -2 ln L falls linearly
down to zero, and a rate below zero has no meaning. Where a shape takes a bin that far, the minimum
lies on the border: the derivatives do not vanish there, and parameters can move along it only.

It is found by sequential quadratic programming: each step minimises the quadratic approximation
of the Lagrangian, from exact derivatives, under linear approximations of the rates and within the
bounds.

Sources: J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, chapters 16 and 18; for the
quadratic problems C. Lawson and R. Hanson, Solving Least Squares Problems, chapter 23.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.likelihood import Expansion, Likelihood

Mask = npt.NDArray[np.bool_]

# Eigenvalues of the Hessian with unit diagonal are taken as no smaller, for a step.
_FLATTEST = 1e-7
_MOST_DAMPED = 1e12
# Violation of a rate of zero, in events, that is rounding.
_VIOLATION = 1e-12
# Estimated height above the minimum that is negligible where the steps get no closer: there, the
# border or the function leave several parameters nearly without a preference.
_NEAR = 1e-6
_PATIENCE = 10
# Part of the derivatives by other parameters with which a rate depends on one only.
_ALONE = 1e-6
# Rate, in events, that is zero, and distance from a bound.
_ZERO = 1e-9
# Derivatives of the Lagrangian, relative to the terms that cancel in them, that are rounding.
_BALANCED = 1e-6
# Directions that are shorter, relative to the longest, are none.
_NEGLIGIBLE = 1e-9
# Second derivatives that are larger, in units of the first ones' scale, are those of no minimum.
_LARGEST = 1e100


class Border(NamedTuple):
    """A point on the border where the statistic has its lowest value.

    Attributes:
        parameters: where it is, (p).
        expansion: value of the statistic there, and derivatives of its Lagrangian.
        bins: numbers of the bins whose rates are zero there, and not because of bounds alone.
        normals: derivatives of the rates that hold the parameters, (w, p).
        held: parameters at a bound, (p).
        iterations: steps that it took.
    """

    parameters: Array
    expansion: Expansion
    bins: npt.NDArray[np.int_]
    normals: Array
    held: Mask
    iterations: int


@dataclass(frozen=True)
class _Step:
    """The solution of a quadratic problem.

    Attributes:
        step: of the free parameters, (f).
        multipliers: of all constraints, those of the bins first, (m).
        distance: estimated height above the minimum.
    """

    step: Array
    multipliers: Array
    distance: float


def open_bins(likelihood: Likelihood, parameters: Array) -> npt.NDArray[np.int_]:
    """Numbers of the bins without data whose rates depend on the parameters."""
    slopes = likelihood.slopes(parameters)
    return np.flatnonzero((likelihood.data == 0) & np.any(slopes != 0, axis=0))


def crossed(likelihood: Likelihood, parameters: Array) -> bool:
    """Whether the rate of a bin without data is negative."""
    rates = likelihood.rates(parameters)
    return bool(np.any(rates[likelihood.data == 0] < 0))


@dataclass(frozen=True)
class _Region:
    """Where the parameters may go.

    Attributes:
        likelihood: has the rates.
        bins: numbers of the bins whose rates must not be negative, (w).
        free: parameters that move, (p).
        bounds: lowest and highest value of each parameter, (p, 2).
    """

    likelihood: Likelihood
    bins: npt.NDArray[np.int_]
    free: Mask
    bounds: Array

    def rates(self, at: Array) -> Array:
        """What must not be negative, (w)."""
        rates: Array = self.likelihood.rates(at)[self.bins]
        return rates

    def constraints(self, at: Array) -> tuple[Array, Array]:
        """What must not be negative, the bins first, and its derivatives by free parameters."""
        slopes = self.likelihood.slopes(at)[np.ix_(self.free, self.bins)]
        identity = np.eye(slopes.shape[0])
        lower, upper = self.bounds[self.free].T
        room = at[self.free]
        return (
            np.concatenate([self.rates(at), room - lower, upper - room]),
            np.vstack([slopes.T, identity, -identity]),
        )

    def moved(self, at: Array, step: Array) -> Array:
        """The point after a step of the free parameters, within the bounds."""
        there = at.copy()
        there[self.free] = np.clip(at[self.free] + step, *self.bounds[self.free].T)
        return there

    def returned(self, at: Array, bins: npt.NDArray[np.int_]) -> Array:
        """The nearest point, to first order, where the rates of these bins are zero."""
        if not len(bins):
            return at
        slopes = self.likelihood.slopes(at)[np.ix_(self.free, bins)]
        step, *_ = np.linalg.lstsq(slopes.T, -self.likelihood.rates(at)[bins], rcond=_NEGLIGIBLE)
        return self.moved(at, np.asarray(step, dtype=np.float64))

    def merit(self, at: Array, penalty: float) -> float:
        """The statistic, with a penalty on negative rates."""
        value = self.likelihood.expand(at, beyond=True).value
        return value + penalty * float(np.sum(np.maximum(-self.rates(at), 0)))

    def _at_bounds(self, at: Array) -> Array:
        """The point with parameters that are nearly at a bound at it."""
        nearest = np.where(at - self.bounds[:, 0] < self.bounds[:, 1] - at, *self.bounds.T)
        near: Array = np.where(self.free & (np.abs(at - nearest) < _ZERO), nearest, at)
        return near

    def border(self, start: Array, multipliers: Array, iterations: int) -> Border | None:
        """The point as a minimum on the border; None if a rate is negative there."""
        back = self.returned(start, np.flatnonzero(multipliers))
        places = (self._at_bounds(back), back, self._at_bounds(start), start)
        allowed = (place for place in places if np.all(self.rates(place) >= -_VIOLATION))
        at = next(allowed, None)
        if at is None:
            return None
        slopes, rates = self.likelihood.slopes(at), self.likelihood.rates(at)
        distance = np.abs(at[:, np.newaxis] - self.bounds)
        bounded = self.free & np.any(distance < _ZERO, axis=1)
        # Where bounds alone hold a rate at zero, they are what holds the parameters.
        size = np.linalg.norm(slopes[self.free], axis=0)
        inside = np.linalg.norm(slopes[self.free & ~bounded], axis=0)
        crossing = inside > _NEGLIGIBLE * size
        active = np.flatnonzero((multipliers > 0) & crossing)
        lowest = (rates < _ZERO) | (multipliers > 0)
        zero = np.flatnonzero((self.likelihood.data == 0) & crossing & lowest)
        kept = np.zeros_like(multipliers)
        kept[active] = multipliers[active]
        expansion = self.likelihood.expand(at, kept, beyond=True)
        outwards = np.where(distance[:, 0] < _ZERO, expansion.gradient, -expansion.gradient)
        # What the rates prefer, and their multipliers take back: rounding is no preference.
        balanced = np.abs(slopes) @ kept
        held = bounded & (outwards > _BALANCED * balanced)
        return Border(at, expansion, zero, slopes[:, active].T, held, iterations)


def descend(
    likelihood: Likelihood,
    start: Array,
    multipliers: Array | None = None,
    *,
    bounds: Array,
    fixed: Mask,
    rounding: float,
    max_distance: float,
    max_iterations: int,
) -> Border | None:
    """Go down to a minimum on the border.

    Args:
        likelihood: the function, -2 ln L.
        start: parameters (p) where no rate is negative.
        multipliers: of the rates at a minimum nearby, (b); None are zero.
        bounds: lowest and highest value of each parameter, (p, 2).
        fixed: parameters that keep their value, (p).
        rounding: change of the function that is none.
        max_distance: largest estimated distance to the minimum.
        max_iterations: steps after which it gives up.

    Returns:
        The minimum; None if the steps do not converge.
    """
    region = _Region(likelihood, open_bins(likelihood, start), ~fixed, bounds)
    free, n_bins = region.free, len(region.bins)
    at = start
    if multipliers is None:
        multipliers = np.zeros(len(likelihood.data))
    penalty, damping = 1.0, 0.0
    near, patience = None, _PATIENCE
    for iteration in range(max_iterations):
        gradient = likelihood.expand(at, beyond=True).gradient[free]
        hessian = likelihood.expand(at, multipliers, beyond=True).hessian[np.ix_(free, free)]
        slack, constraints = region.constraints(at)
        step = partial(
            _step, gradient, hessian, constraints, slack, active=multipliers[region.bins] > 0
        )
        full = step(damping=0.0)
        while True:
            solution = step(damping=damping) if damping > 0 else full
            if solution is None:
                return region.border(*near, iteration) if near is not None else None
            of_bins = solution.multipliers[:n_bins]
            penalty = max(penalty, 2 * float(np.max(of_bins, initial=0)))
            highest = region.merit(at, penalty) + rounding
            there = region.moved(at, solution.step)
            if not region.merit(there, penalty) <= highest:
                # The rates are curved: return to the border, and look again.
                there = region.returned(there, region.bins[of_bins > 0])
            if region.merit(there, penalty) <= highest:
                break
            damping = max(10 * damping, 1e-4)
            if damping > _MOST_DAMPED:
                return region.border(*near, iteration) if near is not None else None
        at = there
        multipliers = np.zeros(len(likelihood.data))
        multipliers[region.bins] = of_bins
        damping = damping / 10 if damping > 1e-6 else 0.0
        if damping == 0 and solution.distance <= max_distance:
            border = region.border(at, multipliers, iteration + 1)
            if border is not None:
                return border
        # Damping shortens the step, and not the distance.
        if full is not None and full.distance <= _NEAR:
            near, patience = (at, multipliers), patience - 1
            if patience == 0:
                break
    return region.border(*near, iteration + 1) if near is not None else None


def _step(
    gradient: Array,
    hessian: Array,
    constraints: Array,
    slack: Array,
    *,
    active: Mask,
    damping: float,
) -> _Step | None:
    """The step to the minimum of a quadratic function under linear constraints.

    Args:
        gradient: of the function, (f).
        hessian: of the Lagrangian, (f, f).
        constraints: derivatives of what must not be negative, the bins first, (m, f).
        slack: what must not be negative, (m).
        active: bins that the last step held at zero.
        damping: added to the Hessian of unit diagonal.
    """
    diagonal = np.abs(np.diag(hessian))
    unit = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = hessian * np.outer(unit, unit)
    # Far from any minimum, factors grow beyond what numbers can hold.
    if not np.all(np.abs(scaled) < _LARGEST):
        return None
    rows = constraints * unit
    length = np.linalg.norm(rows, axis=1)
    # Infinite bounds, and rates that nothing changes, constrain nothing.
    usable = np.isfinite(slack) & (length > 0)
    usable[: len(active)] &= ~_within_bounds(rows, slack, length, len(active))
    rows = rows[usable] / length[usable, np.newaxis]
    room = slack[usable] / length[usable]
    values, vectors = _curvature(
        scaled, rows[: np.count_nonzero(usable[: len(active)])][active[usable[: len(active)]]]
    )
    root = np.sqrt(values + damping)
    # With x = root * (vectors' d) + g the function is the square of x, up to a constant.
    inverse = vectors / root
    g = inverse.T @ (unit * gradient)
    first = rows @ inverse
    dual = _least_distance(first, -room + first @ g)
    if dual is None:
        dual = _least_distance(first, -np.maximum(room, 0) + first @ g)
        room = np.maximum(room, 0)
    if dual is None:
        return None
    x, positive = dual
    multipliers = np.zeros(len(slack))
    if positive.any():
        # The same with the constraints that hold as equations, which is more precise.
        held = first[positive]
        size, *_ = np.linalg.lstsq(held @ held.T, -room[positive] + held @ g, rcond=None)
        exact = held.T @ size
        if np.all(size >= 0) and np.all(first @ (exact - g) >= -room - _VIOLATION):
            x = exact
        places = np.flatnonzero(usable)[positive]
        multipliers[places] = np.maximum(size, 0) / length[places]
    step = x - g
    return _Step(unit * (inverse @ step), multipliers, float(step @ step) / 2)


def _within_bounds(rows: Array, slack: Array, length: Array, n_bins: int) -> Mask:
    """Which rates bounds alone keep from being negative: those that one parameter changes only.

    A factor that is nearly zero makes everything else in its bin count for nothing. Its bound and
    the rate are the same constraint then, and only one of them has a multiplier that is known.

    Args:
        rows: derivatives of what must not be negative: bins, lower bounds, upper bounds, (m, f).
        slack: what must not be negative, (m).
        length: of the rows, (m).
        n_bins: number of bins.
    """
    n = rows.shape[1]
    bins = rows[:n_bins]
    if not bins.size:
        return np.zeros(n_bins, dtype=np.bool_)
    which = np.argmax(np.abs(bins), axis=1)
    rest = bins.copy()
    rest[np.arange(n_bins), which] = 0
    alone = np.linalg.norm(rest, axis=1) <= _ALONE * length[:n_bins]
    bound = n_bins + which + np.where(bins[np.arange(n_bins), which] > 0, 0, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        nearer = slack[bound] / length[bound] <= slack[:n_bins] / length[:n_bins] * (1 + _ALONE)
    return np.asarray(alone & nearer, dtype=np.bool_)


def _curvature(scaled: Array, normals: Array) -> tuple[Array, Array]:
    """Positive curvatures and their directions, (f) and (f, f): those of the Hessian on a border.

    Across the border, what counts is that the steps lead to it.

    Args:
        scaled: Hessian of unit diagonal, (f, f).
        normals: of the border, (w, f).
    """
    if not len(normals):
        values, vectors = np.linalg.eigh(scaled)
        return np.maximum(np.abs(values), _FLATTEST), vectors
    _, sizes, directions = np.linalg.svd(normals)
    rank = int(np.count_nonzero(sizes > _NEGLIGIBLE * sizes[0]))
    across, along = directions[:rank].T, directions[rank:].T
    values, vectors = np.linalg.eigh(along.T @ scaled @ along)
    bend = max(1.0, float(np.abs(across.T @ scaled @ across).max()))
    return (
        np.concatenate([np.maximum(np.abs(values), _FLATTEST), np.full(rank, bend)]),
        np.hstack([along @ vectors, across]),
    )


def _least_distance(rows: Array, least: Array) -> tuple[Array, Mask] | None:
    """The shortest x with ``rows @ x >= least``, and which of them hold as equations.

    None if there is no such x.
    """
    n = rows.shape[1]
    if not np.any(least > 0):
        return np.zeros(n), np.zeros(len(rows), dtype=np.bool_)
    target = np.zeros(n + 1)
    target[-1] = 1
    system = np.vstack([rows.T, least])
    try:
        solution, _ = nnls(system, target, maxiter=30 * (n + len(rows)))
    except RuntimeError:
        return None
    rest = system @ solution - target
    if not rest[-1] < -np.finfo(np.float64).eps:
        return None
    return -rest[:-1] / rest[-1], solution > 0
