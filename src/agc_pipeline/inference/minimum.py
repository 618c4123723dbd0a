"""Minimum of a likelihood within bounds, by damped Newton steps with exact derivatives.

scipy's methods that use a Hessian have no bounds, or approach them through a barrier in ten times
as many steps. MINUIT with numerical derivatives stops where uncertainties are off by up to 10 %.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from agc_pipeline.errors import ModelError
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
        expansion: value and derivatives there.
        free: parameters that are neither fixed nor held by a bound, (p).
        iterations: steps that it took.
    """

    parameters: Array
    expansion: Expansion
    free: Mask
    iterations: int

    @cached_property
    def modes(self) -> Modes:
        """Modes of the free parameters."""
        return modes_at(self.expansion, self.free)

    @cached_property
    def covariance(self) -> Array:
        """Covariance of all parameters, (p, p); zero for those that are not free."""
        covariance = np.zeros_like(self.expansion.hessian)
        covariance[np.ix_(self.free, self.free)] = self.modes.covariance()
        return covariance


def minimise(
    likelihood: Likelihood,
    start: Array,
    *,
    bounds: Array,
    fixed: Mask,
    names: list[str],
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
        names: of the parameters (p), for errors.
        settings: when to stop.

    Raises:
        ModelError: if the value at ``start`` is infinite, there is no minimum, or it is not a point
            because parameters are degenerate.
    """
    lower, upper = bounds.T
    at = np.where(fixed, start, np.clip(start, lower, upper))
    here = likelihood.expand(at)
    if not np.isfinite(here.value):
        raise ModelError(
            "the model excludes the data where the fit starts: zero expected yield in a bin with "
            "events, or a negative expected yield",
            place="workspace",
            remedy="use more simulated events, or merge bins with `fit.model.edges`",
        )
    # A fall by less than this drowns in rounding.
    rounding = 100 * np.finfo(np.float64).eps * (1 + likelihood.data.sum())
    damping, distance = 0.0, np.inf
    for iteration in range(settings.max_iterations):
        held = ((at <= lower) & (here.gradient > 0)) | ((at >= upper) & (here.gradient < 0))
        free = ~fixed & ~held
        around = Surroundings(here, free)
        distance = around.distance()
        if distance <= settings.max_distance:
            if around.suspicious:
                names_free = [name for name, is_free in zip(names, free, strict=True) if is_free]
                _require_point(around.modes, names_free)
            return Minimum(at, here, free, iteration)
        while True:
            there = at.copy()
            there[free] = np.clip(at[free] + around.step(damping), lower[free], upper[free])
            lower_down = likelihood.expand(there)
            if lower_down.value <= here.value + rounding:
                break
            damping = max(10 * damping, 1e-4)
            if damping > _MOST_DAMPED:
                raise _not_converged(distance, iteration, settings)
        at, here = there, lower_down
        damping = damping / 10 if damping > 1e-6 else 0.0
    raise _not_converged(distance, settings.max_iterations, settings)


def _not_converged(distance: float, iterations: int, settings: MinimiserSettings) -> ModelError:
    return ModelError(
        f"the fit has not converged after {iterations} steps: estimated distance to the minimum "
        f"{distance:.2g}, allowed {settings.max_distance:.2g}",
        place="fit.minimiser",
        remedy="look for templates with few events; then raise `max_iterations` or `max_distance`",
    )


def modes_at(here: Expansion, free: Mask) -> Modes:
    """Modes of the free parameters, from the derivatives at a point."""
    gradient, hessian = here.gradient[free], here.hessian[np.ix_(free, free)]
    scale = _scale(hessian)
    eigenvalues, vectors = np.linalg.eigh(hessian * np.outer(scale, scale))
    vectors = scale[:, np.newaxis] * vectors
    return Modes(vectors, eigenvalues, vectors.T @ gradient)


def _scale(hessian: Array) -> Array:
    """Units of the parameters that make the diagonal one."""
    diagonal = np.abs(np.diag(hessian))
    # A parameter without effect keeps its unit; its eigenvalue of zero gives it away.
    scale: Array = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return scale


def _require_point(modes: Modes, names: list[str]) -> None:
    if modes.eigenvalues.size and modes.eigenvalues[0] < _DEGENERATE:
        size = np.abs(modes.vectors[:, 0])
        together = [name for name, part in zip(names, size, strict=True) if part > size.max() / 10]
        raise ModelError(
            f"the data do not distinguish the parameters: {', '.join(together)}",
            place="workspace",
            remedy="remove one of them from the model, or add data that it changes differently",
        )
