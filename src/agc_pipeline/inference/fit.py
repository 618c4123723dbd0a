"""Maximum likelihood fit of a workspace, with results as cabinetry keeps them.

By default exact derivatives take the place of cabinetry's own fit: that one stops early, its
uncertainties are off by several per cent, it fails on some of the published histograms, and then
leaves pyhf's global optimizer changed. It stays available, and pyhf is left as it was.
"""

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
from agc_pipeline.inference.likelihood import Likelihood, from_model
from agc_pipeline.inference.minimum import Minimum, Modes, minimise, modes_at
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.settings import Settings

# Factors may not vanish: the likelihood differentiates their logarithm.
_SMALLEST_FACTOR = 1e-10


class Diagnostics(Settings):
    """How good a minimum is.

    Attributes:
        gradient_norm: of -2 ln L by the free parameters.
        distance: estimated height of -2 ln L above its minimum.
        smallest_eigenvalue: of the Hessian scaled to a diagonal of one.
        condition_number: largest over smallest eigenvalue of the same.
        iterations: Newton steps taken; None for cabinetry's fit.
        at_bounds: names of parameters that a bound holds; their uncertainty is given as zero.
    """

    gradient_norm: float
    distance: float
    smallest_eigenvalue: float
    condition_number: float
    iterations: int | None
    at_bounds: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """A fit: what cabinetry's functions take, and how far to trust it."""

    results: FitResults
    diagnostics: Diagnostics


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
    likelihood = from_model(model, data)
    start = np.array(model.config.suggested_init(), dtype=np.float64)
    _require_prediction(model, likelihood, start)
    match settings.method:
        case "exact":
            return _exact(model, data, likelihood, start, settings)
        case "cabinetry":
            return _plain(model, data, likelihood)
        case _:
            assert_never(settings.method)


def _exact(
    model: pyhf.Model,
    data: list[float],
    likelihood: Likelihood,
    start: Array,
    settings: MinimiserSettings,
) -> Fit:
    bounds = np.array(model.config.suggested_bounds(), dtype=np.float64)
    factors = likelihood.linear.any(axis=(1, 2)) & (bounds[:, 0] == 0)
    bounds[factors, 0] = _SMALLEST_FACTOR
    minimum = minimise(
        likelihood,
        start,
        bounds=bounds,
        fixed=np.array(model.config.suggested_fixed(), dtype=np.bool_),
        names=model.config.par_names,
        settings=settings,
    )
    poi = model.config.poi_index
    if not minimum.free[poi]:
        raise ModelError(
            f"the fit drives {model.config.poi_name} to its bound {minimum.parameters[poi]:.3g}",
            place="fit.model.poi.bounds",
            remedy="widen the bounds, and check that data and templates belong together",
        )
    held = zip(model.config.par_names, minimum.free, model.config.suggested_fixed(), strict=True)
    return Fit(
        _results(model, data, minimum),
        _diagnostics(
            minimum.expansion.gradient[minimum.free],
            minimum.modes,
            iterations=minimum.iterations,
            at_bounds=tuple(name for name, free, fixed in held if not (free or fixed)),
        ),
    )


def _plain(model: pyhf.Model, data: list[float], likelihood: Likelihood) -> Fit:
    """Run cabinetry's fit, with the exact derivatives where it ends as diagnostics."""
    backend = pyhf.get_backend()
    try:
        results = cabinetry.fit.fit(model, data, goodness_of_fit=True)
    except (pyhf.exceptions.FailedMinimization, ValueError) as error:
        raise ModelError(
            f"cabinetry's fit fails: {error}",
            place="fit.minimiser.method",
            remedy="fit with `fit.minimiser.method: exact`",
        ) from error
    finally:
        pyhf.set_backend(*backend)
    free = ~np.array(model.config.suggested_fixed(), dtype=np.bool_)
    here = likelihood.expand(results.bestfit)
    return Fit(
        results,
        _diagnostics(here.gradient[free], modes_at(here, free), iterations=None, at_bounds=()),
    )


def _results(model: pyhf.Model, data: list[float], minimum: Minimum) -> FitResults:
    uncertainty = np.zeros(model.config.npars)
    correlation = np.zeros((model.config.npars, model.config.npars))
    covariance = minimum.modes.covariance()
    widths = np.sqrt(np.diag(covariance))
    uncertainty[minimum.free] = widths
    correlation[np.ix_(minimum.free, minimum.free)] = covariance / np.outer(widths, widths)
    n_dof = model.config.nmaindata - unconstrained_parameter_count(model)
    return FitResults(
        bestfit=minimum.parameters,
        uncertainty=uncertainty,
        labels=model.config.par_names,
        corr_mat=correlation,
        best_twice_nll=-2 * float(model.logpdf(minimum.parameters.tolist(), data)[0]),
        # cabinetry's default, -1, where there is nothing to test.
        goodness_of_fit=(
            float(scipy.stats.chi2.sf(minimum.expansion.value, n_dof)) if n_dof > 0 else -1.0
        ),
    )


def _diagnostics(
    gradient: Array, modes: Modes, *, iterations: int | None, at_bounds: tuple[str, ...]
) -> Diagnostics:
    return Diagnostics(
        gradient_norm=float(np.linalg.norm(gradient)),
        distance=modes.distance(),
        smallest_eigenvalue=float(modes.eigenvalues[0]),
        condition_number=float(modes.eigenvalues[-1] / modes.eigenvalues[0]),
        iterations=iterations,
        at_bounds=at_bounds,
    )


def _require_prediction(model: pyhf.Model, likelihood: Likelihood, start: Array) -> None:
    """Refuse data in a bin in which the model expects nothing: no parameter could explain them."""
    impossible = (likelihood.rates(start).sum(axis=0) <= 0) & (likelihood.data > 0)
    bins = [
        f"{channel} bin {number}"
        for channel, where in model.config.channel_slices.items()
        for number in np.flatnonzero(impossible[where])
    ]
    if bins:
        raise ModelError(
            f"data but no expected events in {', '.join(bins)} (counted from 0)",
            place="workspace",
            remedy="use more simulated events, or merge bins with `fit.model.rebinning`",
        )
