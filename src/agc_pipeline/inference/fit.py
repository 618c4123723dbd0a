"""Maximum likelihood fit of a workspace, with results as cabinetry keeps them.

By default exact derivatives take the place of cabinetry's own fit: that one stops early, its
uncertainties are off by several per cent, it fails on some of the published histograms, and then
leaves pyhf's global optimizer changed. It stays available, and pyhf is left as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np
from scipy.special import chdtrc

from agc_pipeline.errors import ModelError
from agc_pipeline.formatting import name_list
from agc_pipeline.inference.checks import WITHOUT_EFFECT, Finding
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum, Modes, modes_at
from agc_pipeline.inference.problem import Problem, problem
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyhf
    from cabinetry.fit import FitResults


# Distance to a bound, in units of the range between the bounds, at which MINUIT is held by it.
_NEAR = 1e-6


class Diagnostics(Settings):
    """How good a minimum is.

    Attributes:
        gradient_norm: of -2 ln L by the free parameters.
        distance: estimated height of -2 ln L above its minimum.
        smallest_eigenvalue: of the Hessian scaled to a diagonal of one; None without parameters.
        condition_number: largest over smallest eigenvalue of the same; None likewise, and where
            cabinetry's fit ends at no minimum.
        iterations: Newton steps taken; None for cabinetry's fit.
        starts: places that fits were started from.
        minima: different minima that they ended in, of which the lowest counts.
        at_bounds: names of parameters at a bound; their uncertainty is zero, unless cabinetry fits,
            whose uncertainty there means nothing.
        zero_rates: bins without data whose expected yield is zero at the minimum, so that it is on
            the border of what the model can describe. Uncertainties are those along the border.
        held_by_rates: names of parameters that these alone determine; their uncertainty is zero.
        without_effect: names of parameters that change nothing: they are held or, if they have an
            auxiliary measurement, only that is known of them.
        undetermined: names of parameters that can be changed together without effect on the
            likelihood; their values are one possibility, and their uncertainty is zero.
    """

    gradient_norm: float
    distance: float
    smallest_eigenvalue: float | None
    condition_number: float | None
    iterations: int | None
    starts: int
    minima: int
    at_bounds: tuple[str, ...]
    zero_rates: tuple[str, ...] = ()
    held_by_rates: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    undetermined: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A fit: what cabinetry's functions take, and how far to trust it.

    Attributes:
        results: best fit, uncertainties and correlations.
        diagnostics: how good the minimum is.
        problem: what was fitted, to be repeated with other data or with parameters held.
        lowest: minimum by exact derivatives; None for a fit by cabinetry.
    """

    results: "FitResults"
    diagnostics: Diagnostics
    problem: Problem
    lowest: Minimum | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is to be known about the minimum."""
        return tuple(_findings(self))

    @property
    def method(self) -> Literal["exact", "cabinetry"]:
        """Method of the fit."""
        return "cabinetry" if self.lowest is None else "exact"

    @cached_property
    def minimum(self) -> Minimum:
        """The minimum with exact derivatives; a fit by cabinetry is where its search starts.

        Raises:
            ModelError: if there is none.
        """
        if self.lowest is not None:
            return self.lowest
        return self.problem.lowest([self.results.bestfit]).minimum


def fit(model: "pyhf.Model", data: list[float], settings: MinimiserSettings) -> Fit:
    """Fit all parameters of a model, except those that it fixes.

    Args:
        model: from ``workspace.load``.
        data: observed events and auxiliary data, in pyhf's order.
        settings: method, and when the fit has converged.

    Returns:
        Best fit and uncertainties, from the exact Hessian unless cabinetry fits. Fixed parameters
        have zero uncertainty and zero correlations, the diagonal included, as cabinetry has it.

    Raises:
        ModelError: if the model is not supported or has no minimum within its bounds.
    """
    task = problem(model, data, settings)
    match settings.method:
        case "exact":
            return _exact(model, data, task)
        case "cabinetry":
            return _plain(model, data, task)
        case _:
            assert_never(settings.method)


def _exact(model: "pyhf.Model", data: list[float], task: Problem) -> Fit:
    search = task.search()
    best = search.minimum
    bounded = np.any(best.parameters[:, np.newaxis] == task.bounds, axis=1)
    held = ~(best.moving | task.fixed | best.idle)
    diagnostics = Diagnostics(
        **_quality(best.expansion.gradient[best.moving], best.modes),
        iterations=best.iterations,
        starts=search.starts,
        minima=search.minima,
        at_bounds=task.named(held & bounded),
        zero_rates=tuple(task.bins[number] for number in best.zero_rates),
        held_by_rates=task.named(held & ~bounded),
        without_effect=task.named(task.without_effect | best.idle),
        undetermined=task.named(best.undetermined),
    )
    return Fit(_results(model, data, best), diagnostics, task, best)


def _plain(model: "pyhf.Model", data: list[float], task: Problem) -> Fit:
    """Run cabinetry's fit, with the exact derivatives where it ends as diagnostics."""
    import cabinetry

    with backend_kept():
        try:
            results = cabinetry.fit.fit(
                model,
                data,
                init_pars=task.start.tolist(),
                fix_pars=task.fixed.tolist(),
                goodness_of_fit=True,
            )
        # It fails in as many ways as the packages below it.
        except Exception as error:
            raise _cabinetry_fails(f"{type(error).__name__}: {error}") from error
    free = ~task.fixed
    here = task.likelihood.expand(results.bestfit, beyond=True)
    # MINUIT comes as close to a bound as its transformation of the parameter lets it.
    near = np.abs(results.bestfit[:, np.newaxis] - task.bounds) <= _NEAR * np.ptp(
        task.bounds, axis=1, keepdims=True
    )
    outward = np.stack([here.gradient > 0, here.gradient < 0], axis=1)
    if not np.isfinite(here.value):
        raise _cabinetry_fails("it ends where the model excludes the data")
    diagnostics = Diagnostics(
        **_quality(here.gradient[free], modes_at(here, free)),
        iterations=None,
        starts=1,
        minima=1,
        at_bounds=task.named(free & np.any(near & outward, axis=1)),
        without_effect=task.named(task.without_effect),
    )
    return Fit(results, diagnostics, task, None)


def _findings(result: Fit) -> Iterator[Finding]:
    diagnostics, bounds = result.diagnostics, result.problem.bounds
    if diagnostics.zero_rates:
        yield Finding(
            severity="warning",
            where=name_list(diagnostics.zero_rates),
            message="the best fit is on the border where the expected yield is zero; uncertainties "
            "from the Hessian, and correlations, are those along the border, while scan, "
            "asymmetric uncertainties and limit account for it",
        )
    if diagnostics.held_by_rates:
        yield Finding(
            severity="warning",
            where=name_list(diagnostics.held_by_rates),
            message="determined by expected yields of zero alone, without an uncertainty",
        )
    if diagnostics.undetermined:
        yield Finding(
            severity="warning",
            where=name_list(diagnostics.undetermined),
            message="not determined by the data: other values of these parameters together fit "
            "equally well; the values are one possibility, without an uncertainty",
        )
    bounded: dict[tuple[float, float], list[str]] = {}
    for name in diagnostics.at_bounds:
        position = result.problem.names.index(name)
        lowest, highest = bounds[position].tolist()
        value = float(result.results.bestfit[position])
        nearest = lowest if value - lowest < highest - value else highest
        # No signal is a result; any other bound may be too narrow.
        if position != result.problem.poi or nearest != 0:
            bounded.setdefault((lowest, highest), []).append(name)
    for (lowest, highest), names in bounded.items():
        yield Finding(
            severity="warning",
            where=name_list(names),
            message=f"the best fit is at a bound of [{lowest:g}, {highest:g}], where no "
            "uncertainty is known, and others are those with the parameter held there; widen the "
            "bounds unless they are physical",
        )
    if diagnostics.without_effect:
        yield Finding(
            severity="warning",
            where=name_list(diagnostics.without_effect),
            message=f"{WITHOUT_EFFECT}: the value is the initial one or that of its auxiliary "
            "measurement",
        )


def _cabinetry_fails(reason: str) -> ModelError:
    return ModelError(
        f"cabinetry's fit fails: {reason}",
        place="fit.minimiser.method",
        remedy="fit with `fit.minimiser.method: exact`",
    )


@contextmanager
def backend_kept() -> Iterator[None]:
    """Leave pyhf's backend and optimizer as they were, whatever happens inside."""
    import pyhf

    backend = pyhf.get_backend()
    try:
        yield
    finally:
        pyhf.set_backend(*backend)


def _results(model: "pyhf.Model", data: list[float], best: Minimum) -> "FitResults":
    from cabinetry.fit import FitResults
    from cabinetry.model_utils import unconstrained_parameter_count

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
        goodness_of_fit=(float(chdtrc(n_dof, best.expansion.value)) if n_dof > 0 else -1.0),
    )


def _quality(gradient: Array, modes: Modes) -> dict[str, float | None]:
    """Numbers of the diagnostics that describe the surroundings of a point."""
    eigenvalues = modes.eigenvalues.tolist()
    # Only at a minimum it has a meaning.
    convex = bool(eigenvalues) and eigenvalues[0] > 0
    return {
        "gradient_norm": float(np.linalg.norm(gradient)),
        "distance": modes.distance() if eigenvalues else 0.0,
        "smallest_eigenvalue": eigenvalues[0] if eigenvalues else None,
        "condition_number": eigenvalues[-1] / eigenvalues[0] if convex else None,
    }
