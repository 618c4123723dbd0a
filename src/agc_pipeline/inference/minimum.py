"""Minimum of a likelihood within bounds, by damped Newton steps with exact derivatives.

Where a step leads to a negative rate, the minimum may be on the border: see ``border``.

scipy's methods that use a Hessian have no bounds, or approach them through a barrier in ten times
as many steps. MINUIT with numerical derivatives stops where uncertainties are off by up to 10 %.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from agc_pipeline.errors import ModelError
from agc_pipeline.inference import border
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.likelihood import Expansion, Likelihood
from agc_pipeline.inference.settings import MinimiserSettings

# Eigenvalue of the Hessian with unit diagonal below which parameters are indistinguishable: their
# correlation would be 0.9999999 or more. Short of the minimum by the largest distance that the
# settings allow, an eigenvalue that should be zero can be 1e-8.
_DEGENERATE = 1e-7
# Pivot of its Cholesky decomposition below which the eigenvalues have to be looked at.
_SUSPICIOUS = 1e-5
_MOST_DAMPED = 1e12
# Part of a parameter in a flat direction, relative to the largest, that is more than rounding.
_INVOLVED = 1e-3
# Gradient that is rounding, relative to that of one standard deviation away from a minimum.
_LEVEL = 1e-7
# Derivatives that are smaller are zero; a factor of zero stands as 1e-150.
_NO_EFFECT = 1e-100
# Nearer to its bound, a parameter is at it, if others at theirs hold it there.
_CORNER = 1e-5
# A step that has to be shortened so much by a rate that would be negative leads to its border.
_BLOCKED = 1.0
# Steps to a minimum on a border are few, or too many.
_ON_BORDER = 25
# Events that keep the rates of bins without data from zero, on the path to the border, and steps
# for each.
_FRACTIONS = tuple(10.0**-power for power in range(8))
_ON_PATH = 50
# Directions that are shorter, relative to the longest, are none.
_NEGLIGIBLE = 1e-9

Mask = npt.NDArray[np.bool_]


class Modes(NamedTuple):
    """Gradient and Hessian in coordinates in which the Hessian is diagonal.

    Attributes:
        vectors: displacement of each free parameter along each mode, (free, modes).
        eigenvalues: of the Hessian scaled to a diagonal of one, ascending, (modes).
        slopes: gradient along the modes, (modes).
    """

    vectors: Array
    eigenvalues: Array
    slopes: Array

    def step(self, damping: float) -> Array:
        """Newton's step of the free parameters, shortened, and downhill in every mode."""
        return -self.vectors @ (self.slopes / (self._sizes() + damping))

    def distance(self) -> float:
        """Estimated height above the minimum."""
        return float(self.slopes @ (self.slopes / self._sizes())) / 2

    def covariance(self) -> Array:
        """Covariance of the free parameters, if the function is -2 ln L."""
        return 2 * (self.vectors / self.eigenvalues) @ self.vectors.T

    def _sizes(self) -> Array:
        sizes: Array = np.maximum(np.abs(self.eigenvalues), _DEGENERATE)
        return sizes


class Surroundings:
    """The quadratic approximation of a function of the free parameters.

    Cholesky's decomposition gives Newton's step many times faster than the eigenvalues do. Only
    where the function is not convex, or nearly flat, these are needed.
    """

    def __init__(self, here: Expansion, free: Mask) -> None:
        self._here, self._free = here, free
        gradient, hessian = here.gradient[free], here.hessian[np.ix_(free, free)]
        self._scale = _scale(hessian)
        self._gradient = self._scale * gradient
        self._hessian = hessian * np.outer(self._scale, self._scale)

    @cached_property
    def modes(self) -> Modes:
        """Eigenvalues and eigenvectors."""
        return modes_at(self._here, self._free)

    @cached_property
    def suspicious(self) -> bool:
        """Whether there may be a direction in which the function is flat, or no minimum."""
        return self._newton is None

    def step(self, damping: float) -> Array:
        """Newton's step of the free parameters, shortened, and always downhill."""
        solution = self._newton if damping == 0 else self._solve(damping)
        return self.modes.step(damping) if solution is None else self._scale * solution

    def distance(self) -> float:
        """Estimated height above the minimum."""
        solution = self._newton
        if solution is None:
            return self.modes.distance()
        return float(-self._gradient @ solution) / 2

    @cached_property
    def _newton(self) -> Array | None:
        return self._solve(0.0)

    def _solve(self, damping: float) -> Array | None:
        """The step in scaled coordinates; None if it must come from the eigenvalues."""
        if not self._gradient.size:
            return np.zeros(0)
        matrix = self._hessian + damping * np.eye(len(self._gradient))
        triangle, solution, failed = lapack.dposv(matrix, -self._gradient)
        pivot = 0.0 if failed else float(np.min(np.diag(triangle)) ** 2)
        return None if pivot < _SUSPICIOUS else solution


@dataclass(frozen=True)
class Minimum:
    """A minimum within bounds.

    Attributes:
        parameters: where it is, (p).
        expansion: value and derivatives there; on a border those of the Lagrangian.
        moving: parameters that are neither fixed nor held, by a bound or by rates of zero, (p).
        iterations: steps that it took.
        zero_rates: numbers of the bins without data whose rates are zero at a minimum on a border.
        normals: derivatives of the rates that hold it there, (w, p).
        unseen: positions of parameters that change nothing there: the others take their effect.
        steep: whether it is known that no parameters can be changed together without effect.
    """

    parameters: Array
    expansion: Expansion
    moving: Mask
    iterations: int
    zero_rates: tuple[int, ...] = ()
    normals: Array | None = None
    unseen: tuple[int, ...] = ()
    steep: bool = False

    @property
    def idle(self) -> Mask:
        """Parameters that change nothing there, and keep the value that they started with, (p)."""
        idle = np.zeros(len(self.parameters), dtype=np.bool_)
        idle[list(self.unseen)] = True
        return idle

    @cached_property
    def modes(self) -> Modes:
        """Modes of the moving parameters, along the border if there is one, without flat ones."""
        modes = self._all_modes
        if self.steep or not self._flat.any():
            return modes
        flat = self._flat
        return Modes(modes.vectors[:, ~flat], modes.eigenvalues[~flat], modes.slopes[~flat])

    @cached_property
    def undetermined(self) -> Mask:
        """Parameters that can be changed together without effect: the minimum is no point, (p)."""
        undetermined = np.zeros(len(self.parameters), dtype=np.bool_)
        if self.steep:
            return undetermined
        flat = self._all_modes.vectors[:, self._flat]
        if flat.size:
            size = np.abs(flat / np.abs(flat).max(axis=0)).max(axis=1)
            undetermined[self.moving] = size > _INVOLVED
        return undetermined

    @cached_property
    def free(self) -> Mask:
        """Moving parameters that the data determine, (p)."""
        return self.moving & ~self.undetermined

    @cached_property
    def covariance(self) -> Array:
        """Covariance of all parameters, (p, p); zero for those that are not free."""
        covariance = np.zeros_like(self.expansion.hessian)
        covariance[np.ix_(self.moving, self.moving)] = self.modes.covariance()
        covariance[self.undetermined] = covariance[:, self.undetermined] = 0
        return covariance

    @cached_property
    def _all_modes(self) -> Modes:
        return modes_at(self.expansion, self.moving, self.normals)

    @property
    def is_saddle(self) -> bool:
        """Whether there is something lower close by."""
        return bool(np.any(self._all_modes.eigenvalues < -_DEGENERATE))

    @property
    def _flat(self) -> Mask:
        return self._all_modes.eigenvalues < _DEGENERATE


def minimise(
    likelihood: Likelihood,
    start: Array,
    *,
    bounds: Array,
    fixed: Mask,
    settings: MinimiserSettings,
) -> Minimum:
    """Go downhill from ``start`` to a minimum within ``bounds``.

    Steps are Newton's in coordinates that make the Hessian's diagonal one, damped as far as needed
    for the function to fall. A parameter at a bound is held while the gradient points outwards.

    Args:
        likelihood: the function, -2 ln L.
        start: parameters (p).
        bounds: lowest and highest value of each parameter, (p, 2).
        fixed: parameters that keep their value in ``start``, (p).
        settings: when to stop.

    Raises:
        ModelError: if the value at ``start`` is infinite, or there is no minimum.
    """
    first = np.where(fixed, start, np.clip(start, *bounds.T))
    # A fall by less than this drowns in rounding.
    rounding = 100 * np.finfo(np.float64).eps * (1 + likelihood.data.sum())
    newton = partial(_newton, bounds=bounds, fixed=fixed, rounding=rounding)
    sides = partial(_on_border, bounds=bounds, fixed=fixed, settings=settings, rounding=rounding)
    limits = (settings.max_distance, settings.max_iterations)
    end = newton(likelihood, first, *limits, stop_at_border=True)
    if not end.converged:
        for point in ((end.at, None), _from_inside(likelihood, first, newton)):
            minimum = sides(likelihood, *point)
            if minimum is not None:
                return minimum
        end = newton(likelihood, end.at, *limits)
    if not end.converged:
        raise _not_converged(end.around.distance(), end.iterations, settings)
    free = _released(end, fixed)
    if not end.around.suspicious and np.array_equal(free, end.free):
        return Minimum(end.at, end.here, free, end.iterations, steep=True)
    unseen = _unseen(end.here, free)
    minimum = Minimum(end.at, end.here, _without(free, unseen), end.iterations, unseen=unseen)
    if minimum.is_saddle:
        corner = _cornered(minimum, bounds)
        nearest = np.where(minimum.parameters - bounds[:, 0] < _CORNER, *bounds.T)
        at = np.where(corner, nearest, minimum.parameters)
        minimum = replace(
            minimum,
            parameters=at,
            expansion=likelihood.expand(at),
            moving=minimum.moving & ~corner,
        )
    if minimum.is_saddle:
        raise ModelError(
            "the fit ends at a saddle point of the likelihood",
            place="workspace",
            remedy="start elsewhere: change the initial values of the parameters",
        )
    return minimum


class _End(NamedTuple):
    """Where Newton's steps end.

    Attributes:
        at: parameters (p).
        here: the function there.
        around: its quadratic approximation.
        free: parameters that are not held, (p).
        iterations: steps that it took.
        converged: whether it is a minimum.
    """

    at: Array
    here: Expansion
    around: Surroundings
    free: Mask
    iterations: int
    converged: bool


def _newton(
    likelihood: Likelihood,
    start: Array,
    max_distance: float,
    max_iterations: int,
    *,
    bounds: Array,
    fixed: Mask,
    rounding: float,
    stop_at_border: bool = False,
) -> _End:
    """Take Newton's steps.

    Args:
        likelihood: the function.
        start: parameters (p), where it is finite.
        max_distance: largest estimated distance to the minimum.
        max_iterations: steps after which it gives up.
        bounds: lowest and highest value of each parameter, (p, 2).
        fixed: parameters that keep their value, (p).
        rounding: change of the function that is none.
        stop_at_border: end where negative rates are in the way.

    Raises:
        ModelError: if the value at ``start`` is infinite.
    """
    lower, upper = bounds.T
    at, here = start, likelihood.expand(start)
    if not np.isfinite(here.value):
        raise ModelError(
            "the model excludes the data where the fit starts: zero expected yield in a bin with "
            "events, or a negative expected yield",
            place="workspace",
            remedy="use more simulated events, or merge bins with `fit.model.edges`",
        )
    damping = 0.0
    for iteration in count():
        held = ((at <= lower) & (here.gradient > 0)) | ((at >= upper) & (here.gradient < 0))
        free = ~fixed & ~held
        around = Surroundings(here, free)
        if iteration == max_iterations:
            break
        if around.distance() <= max_distance:
            return _End(at, here, around, free, iteration, converged=True)
        while True:
            there = at.copy()
            there[free] = np.clip(at[free] + around.step(damping), lower[free], upper[free])
            lower_down = likelihood.expand(there)
            if lower_down.value <= here.value + rounding:
                break
            damping = max(10 * damping, 1e-4)
            blocked = damping > _BLOCKED and stop_at_border and border.crossed(likelihood, there)
            if blocked or damping > _MOST_DAMPED:
                return _End(at, here, around, free, iteration, converged=False)
        at, here = there, lower_down
        damping = damping / 10 if damping > 1e-6 else 0.0
    return _End(at, here, around, free, max_iterations, converged=False)


def _from_inside(
    likelihood: Likelihood, start: Array, newton: Callable[..., _End]
) -> tuple[Array, Array | None]:
    """A point near the border that a path of minima leads to, and multipliers of the rates there.

    Bins without data get fractions of an event, which keep their rates from zero. With ever
    smaller ones, the minima of smooth functions lead to that on the border: it is the method of
    the logarithmic barrier.

    Args:
        likelihood: the function.
        start: parameters (p).
        newton: takes the steps.

    Returns:
        The point and the multipliers; ``start`` and None if a rate is zero there.
    """
    bins = border.open_bins(likelihood, start)
    if not len(bins) or np.any(likelihood.rates(start)[bins] <= 0):
        return start, None
    at = start
    for events in _FRACTIONS:
        data = likelihood.data.copy()
        data[bins] = events
        filled = likelihood.with_data(data, likelihood.constraints)
        at = newton(filled, at, events / 10, _ON_PATH).at
    rates = likelihood.rates(at)[bins]
    multipliers = np.zeros(len(likelihood.data))
    multipliers[bins] = np.where(rates < np.sqrt(events), 2 * events / rates, 0.0)
    return at, multipliers


def _on_border(
    likelihood: Likelihood,
    at: Array,
    multipliers: Array | None = None,
    *,
    bounds: Array,
    fixed: Mask,
    settings: MinimiserSettings,
    rounding: float,
) -> Minimum | None:
    """The minimum that the border of a rate of zero leads to; None if there is none."""
    end = border.descend(
        likelihood,
        at,
        multipliers,
        bounds=bounds,
        fixed=fixed,
        rounding=rounding,
        max_distance=settings.max_distance,
        max_iterations=min(settings.max_iterations, _ON_BORDER),
    )
    if end is None:
        return None
    free = ~fixed & ~end.held
    along = _along(end.normals[:, free])
    # What the rates alone determine cannot move.
    free[free] = np.linalg.norm(along, axis=1) > _NEGLIGIBLE
    reach, whole = (np.linalg.norm(end.normals[:, mask], axis=1) for mask in (free, ~fixed))
    normals = end.normals[reach > _NEGLIGIBLE * whole]
    # What changes a rate that is zero must follow the others.
    apart = ~np.any(normals != 0, axis=0)
    unseen = _unseen(end.expansion, free & apart)
    return Minimum(
        end.parameters,
        end.expansion,
        _without(free, unseen),
        end.iterations,
        tuple(int(number) for number in end.bins),
        normals,
        unseen,
    )


def _released(end: _End, fixed: Mask) -> Mask:
    """Free parameters, and those at a bound that a flat direction leads away from.

    Their gradient is rounding: the bound holds nothing, and the data determine neither them nor
    what takes their effect.
    """
    level = np.abs(end.here.gradient) <= _LEVEL * np.sqrt(np.abs(np.diag(end.here.hessian)))
    released = end.free | (~fixed & level)
    if np.array_equal(released, end.free):
        return end.free
    is_flat = modes_at(end.here, released).eigenvalues.min() < _DEGENERATE
    return released if is_flat else end.free


def _unseen(here: Expansion, free: Mask) -> tuple[int, ...]:
    """Positions of free parameters that change nothing: another factor is zero."""
    sizes = np.abs(here.hessian[:, free]).max(axis=1, initial=0)
    unseen = free & (sizes < _NO_EFFECT) & (np.abs(here.gradient) < _NO_EFFECT)
    return tuple(int(position) for position in np.flatnonzero(unseen))


def _cornered(minimum: Minimum, bounds: Array) -> Mask:
    """Parameters that hold each other at their bounds, as ``x * y`` has its minimum at 0 for both.

    None of them has a slope there, and the curvature of two together is that of a saddle, but only
    beyond the bounds: where it is not negative for any steps inwards, there is nothing lower.
    """
    at, hessian = minimum.parameters, minimum.expansion.hessian
    inwards = 1.0 * (at - bounds[:, 0] < _CORNER) - 1.0 * (bounds[:, 1] - at < _CORNER)
    corner = minimum.moving & (inwards != 0)
    inside = minimum.moving & ~corner
    curvature = hessian[np.ix_(corner, corner)]
    if inside.any():
        # With all others where they are best.
        mixed = hessian[np.ix_(inside, corner)]
        others = hessian[np.ix_(inside, inside)]
        curvature = curvature - mixed.T @ np.linalg.lstsq(others, mixed, rcond=None)[0]
    curvature = curvature * np.outer(inwards[corner], inwards[corner])
    negligible = _DEGENERATE * np.abs(curvature).max(initial=0)
    none = np.zeros(len(at), dtype=np.bool_)
    if np.any(curvature < -negligible):
        return none
    none[corner] = np.diag(curvature) <= negligible
    return none


def _without(free: Mask, positions: tuple[int, ...]) -> Mask:
    less = free.copy()
    less[list(positions)] = False
    return less


def _not_converged(distance: float, iterations: int, settings: MinimiserSettings) -> ModelError:
    return ModelError(
        f"the fit has not converged after {iterations} steps: estimated distance to the minimum "
        f"{distance:.2g}, allowed {settings.max_distance:.2g}",
        place="fit.minimiser",
        remedy="look for templates with few events; then raise `max_iterations` or `max_distance`",
    )


def modes_at(here: Expansion, free: Mask, normals: Array | None = None) -> Modes:
    """Modes of the free parameters, from the derivatives at a point.

    Args:
        here: the derivatives.
        free: parameters that move, (p).
        normals: directions in which they do not, (w, p).
    """
    gradient, hessian = here.gradient[free], here.hessian[np.ix_(free, free)]
    scale = _scale(hessian)
    scaled = hessian * np.outer(scale, scale)
    if normals is None:
        eigenvalues, vectors = np.linalg.eigh(scaled)
    else:
        along = _along(normals[:, free] * scale)
        eigenvalues, vectors = np.linalg.eigh(along.T @ scaled @ along)
        vectors = along @ vectors
    vectors = scale[:, np.newaxis] * vectors
    return Modes(vectors, eigenvalues, vectors.T @ gradient)


def _along(normals: Array) -> Array:
    """Orthogonal directions, (p, d), perpendicular to normals, (w, p)."""
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    units = normals / np.where(lengths > 0, lengths, 1.0)
    _, sizes, directions = np.linalg.svd(units)
    along: Array = directions[np.count_nonzero(sizes > _NEGLIGIBLE) :].T
    return along


def _scale(hessian: Array) -> Array:
    """Units of the parameters that make the diagonal one."""
    diagonal = np.abs(np.diag(hessian))
    # A parameter without effect keeps its unit; its eigenvalue of zero gives it away.
    scale: Array = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return scale
