"""Maximum likelihood fit of a workspace, with results as cabinetry keeps them.

By default exact derivatives take the place of cabinetry's own fit: that one stops early, its
uncertainties are off by several per cent, it fails on some of the published histograms, and then
leaves pyhf's global optimizer changed. It stays available, and pyhf is left as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

import cabinetry
import numpy as np
import pyhf
import scipy.stats
from cabinetry.fit import FitResults
from cabinetry.model_utils import unconstrained_parameter_count

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum, Modes, modes_at
from agc_pipeline.inference.problem import Found, Problem, problem
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.settings import Settings


class Diagnostics(Settings):
    """How good a minimum is.

    Attributes:
        gradient_norm: of -2 ln L by the free parameters.
        distance: estimated height of -2 ln L above its minimum.
        smallest_eigenvalue: of the Hessian scaled to a diagonal of one; None without parameters.
        condition_number: largest over smallest eigenvalue of the same; None likewise.
        iterations: Newton steps taken; None for cabinetry's fit.
        starts: places that fits were started from.
        minima: different minima that they found, of which the lowest is kept.
        at_bounds: names of parameters that a bound holds; their uncertainty is given as zero.
    """

    gradient_norm: float
    distance: float
    smallest_eigenvalue: float | None
    condition_number: float | None
    iterations: int | None
    starts: int
    minima: int
    at_bounds: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """A fit.

    Attributes:
        results: what cabinetry's functions take.
        diagnostics: how far to trust it.
        minimum: where it ends, with the exact derivatives; None for cabinetry's fit.
    """

    results: FitResults
    diagnostics: Diagnostics
    minimum: Minimum | None


def fit(model: pyhf.Model, data: list[float], settings: MinimiserSettings) -> Fit:
    """Fit all parameters of a model, except those that it fixes.

    Args:
        model: with a parameter of interest.
        data: observed events and auxiliary data, in pyhf's order.
        settings: method, and when the fit has converged.

    Returns:
        Best fit and uncertainties, from the exact Hessian unless cabinetry fits. Fixed parameters
        have zero uncertainty and zero correlations, the diagonal included, as cabinetry has it.

    Raises:
        ModelError: if the model is not supported or has no minimum within its bounds.
    """
    return solve(model, data, problem(model, data, settings))


def solve(model: pyhf.Model, data: list[float], made: Problem) -> Fit:
    """Fit as ``fit`` does.

    Args:
        model: with a parameter of interest.
        data: observed events and auxiliary data, in pyhf's order.
        made: the fit of both.

    Raises:
        ModelError: if the model has no minimum within its bounds.
    """
    match made.settings.method:
        case "exact":
            return _exact(model, data, made)
        case "cabinetry":
            return _plain(model, data, made)
        case _:
            assert_never(made.settings.method)


def minimum(made: Problem) -> Found:
    """The lowest minimum of a fit.

    Raises:
        ModelError: if there is none, or the parameter of interest is at a bound other than zero.
    """
    found = made.lowest(made.starts())
    best, poi = found.minimum, made.poi
    # No signal is a result; any other bound was chosen too narrow.
    at_bound = not (best.free[poi] or made.fixed[poi])
    if at_bound and best.parameters[poi] != 0:
        raise ModelError(
            f"the fit drives {made.names[poi]} to its bound {best.parameters[poi]:.3g}",
            place="bounds of the parameter of interest, `fit.model.poi.bounds`",
            remedy="widen the bounds, and check that data and templates belong together",
        )
    return found


def _exact(model: pyhf.Model, data: list[float], made: Problem) -> Fit:
    found = minimum(made)
    best = found.minimum
    held = zip(made.names, best.free, made.fixed, strict=True)
    return Fit(
        _results(model, data, best),
        _diagnostics(
            best.expansion.gradient[best.free],
            best.modes,
            iterations=best.iterations,
            starts=found.starts,
            minima=found.minima,
            at_bounds=tuple(name for name, free, fixed in held if not (free or fixed)),
        ),
        best,
    )


def _plain(model: pyhf.Model, data: list[float], made: Problem) -> Fit:
    """Run cabinetry's fit, with the exact derivatives where it ends as diagnostics."""
    with backend_kept():
        try:
            results = cabinetry.fit.fit(model, data, goodness_of_fit=True)
        except (pyhf.exceptions.FailedMinimization, ValueError) as error:
            raise ModelError(
                f"cabinetry's fit fails: {error}",
                place="fit.minimiser.method",
                remedy="fit with `fit.minimiser.method: exact`",
            ) from error
    free = ~made.fixed
    here = made.likelihood.expand(results.bestfit)
    return Fit(
        results,
        _diagnostics(
            here.gradient[free],
            modes_at(here, free),
            iterations=None,
            starts=1,
            minima=1,
            at_bounds=(),
        ),
        None,
    )


@contextmanager
def backend_kept() -> Iterator[None]:
    """Leave pyhf's backend and optimizer as they were, whatever happens inside."""
    backend = pyhf.get_backend()
    try:
        yield
    finally:
        pyhf.set_backend(*backend)


def _results(model: pyhf.Model, data: list[float], best: Minimum) -> FitResults:
    covariance = best.covariance
    uncertainty = np.sqrt(np.diag(covariance))
    scale = np.where(uncertainty > 0, uncertainty, 1.0)
    n_dof = model.config.nmaindata - unconstrained_parameter_count(model)
    return FitResults(
        bestfit=best.parameters,
        uncertainty=uncertainty,
        labels=model.config.par_names,
        corr_mat=covariance / np.outer(scale, scale),
        best_twice_nll=-2 * float(model.logpdf(best.parameters.tolist(), data)[0]),
        # cabinetry's default, -1, where there is nothing to test.
        goodness_of_fit=(
            float(scipy.stats.chi2.sf(best.expansion.value, n_dof)) if n_dof > 0 else -1.0
        ),
    )


def _diagnostics(
    gradient: Array,
    modes: Modes,
    *,
    iterations: int | None,
    starts: int,
    minima: int,
    at_bounds: tuple[str, ...],
) -> Diagnostics:
    eigenvalues = modes.eigenvalues
    return Diagnostics(
        gradient_norm=float(np.linalg.norm(gradient)),
        distance=modes.distance() if eigenvalues.size else 0.0,
        smallest_eigenvalue=float(eigenvalues[0]) if eigenvalues.size else None,
        condition_number=float(eigenvalues[-1] / eigenvalues[0]) if eigenvalues.size else None,
        iterations=iterations,
        starts=starts,
        minima=minima,
        at_bounds=at_bounds,
    )
