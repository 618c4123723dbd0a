"""How far the parameter of interest follows each other parameter: pre- and post-fit impacts."""

from collections.abc import Mapping

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.impacts import OTHER
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.settings import Settings

_SHIFTS = ("prefit_up", "prefit_down", "postfit_up", "postfit_down")


class Rank(Settings):
    """Impacts of a parameter: changes of the parameter of interest when it is held shifted.

    Attributes:
        parameter: its name.
        group: of the source of uncertainty.
        bestfit: its value, about which it is shifted.
        uncertainty: after the fit; zero if it is fixed or at a bound.
        centre: its auxiliary measurement; None for free parameters.
        width: uncertainty of that; zero for free parameters.
        prefit_up: impact of a shift up by ``width``; zero if that is.
        prefit_down: impact of a shift down by ``width``.
        postfit_up: impact of a shift up by ``uncertainty``; zero if that is.
        postfit_down: impact of a shift down by ``uncertainty``.
        failures: why a fit failed, by impact, which is None then.
    """

    parameter: str
    group: str
    bestfit: float
    uncertainty: float
    centre: float | None
    width: float
    prefit_up: float | None
    prefit_down: float | None
    postfit_up: float | None
    postfit_down: float | None
    failures: dict[str, str]

    @property
    def size(self) -> float:
        """Larger of the post-fit impacts; zero without any."""
        return max(abs(self.postfit_up or 0.0), abs(self.postfit_down or 0.0))

    @property
    def pull(self) -> tuple[float, float] | None:
        """Best fit and uncertainty in units of the width; None for free parameters."""
        if self.centre is None or self.width == 0:
            return None
        return (self.bestfit - self.centre) / self.width, self.uncertainty / self.width


def rank(problem: Problem, best: Minimum, groups: Mapping[str, str]) -> tuple[Rank, ...]:
    """Impacts of all parameters but the one of interest, in the order of the model.

    A fit that fails leaves its reason in the row of its parameter.

    Args:
        problem: the fit.
        best: its minimum.
        groups: group of each parameter that has one, by name.
    """
    uncertainties = np.sqrt(np.diag(best.covariance))
    constraints = problem.likelihood.constraints
    widths = np.where(problem.fixed, 0.0, constraints.widths())
    centres = np.where(
        constraints.rate > 0,
        constraints.counts / np.where(constraints.rate > 0, constraints.rate, 1),
        constraints.centre,
    )
    rows = []
    for position, name in enumerate(problem.names):
        if position == problem.poi:
            continue
        width, uncertainty = float(widths[position]), float(uncertainties[position])
        impacts: dict[str, float | None] = {}
        failures = {}
        for label, shift in zip(_SHIFTS, (width, -width, uncertainty, -uncertainty), strict=True):
            try:
                impacts[label] = _impact(problem, best, position, shift)
            except ModelError as error:
                impacts[label], failures[label] = None, error.problem
        rows.append(
            Rank(
                parameter=name,
                group=groups.get(name, OTHER),
                bestfit=float(best.parameters[position]),
                uncertainty=uncertainty,
                centre=float(centres[position]) if width > 0 else None,
                width=width,
                failures=failures,
                **impacts,
            )
        )
    return tuple(rows)


def _impact(problem: Problem, best: Minimum, position: int, shift: float) -> float:
    if shift == 0:
        return 0.0
    shifted = problem.conditional(best, {position: best.parameters[position] + shift})
    return float(shifted.parameters[problem.poi] - best.parameters[problem.poi])
