"""How far the parameter of interest follows each other parameter: pre- and post-fit impacts."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.impacts import OTHER
from agc_pipeline.inference.interpolation import Array
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
        remarks: how an impact differs from this, by impact: a shift beyond a bound ends there.
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
    remarks: dict[str, str] = Field(default_factory=dict)

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

    A fit that fails leaves its reason in the row of its parameter. Without a parameter of interest
    there are rows without impacts.

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
    poi = problem.poi
    rows = []
    for position, name in enumerate(problem.names):
        if position == poi:
            continue
        width, uncertainty = float(widths[position]), float(uncertainties[position])
        impacts: dict[str, float | None] = dict.fromkeys(_SHIFTS)
        failures, remarks = {}, {}
        shifts = zip(_SHIFTS, (width, -width, uncertainty, -uncertainty), strict=True)
        for label, shift in shifts if poi is not None else ():
            value, remark = _shifted(problem, best, position, shift)
            if remark is not None:
                remarks[label] = remark
            try:
                moved = _moved(problem, best, {position: value})
                impacts[label] = float(moved[poi] - best.parameters[poi])
            except ModelError as error:
                failures[label] = error.problem
        rows.append(
            Rank(
                parameter=name,
                group=groups.get(name, OTHER),
                bestfit=float(best.parameters[position]),
                uncertainty=uncertainty,
                centre=float(centres[position]) if width > 0 else None,
                width=width,
                failures=failures,
                remarks=remarks,
                **impacts,
            )
        )
    return tuple(rows)


def _shifted(
    problem: Problem, best: Minimum, position: int, shift: float
) -> tuple[float, str | None]:
    """The value that a parameter is held at, and a remark if a bound is nearer."""
    value = float(best.parameters[position]) + shift
    low, high = (float(bound) for bound in problem.bounds[position])
    if shift < 0 and value < low <= best.parameters[position]:
        return low, f"held at its bound {low:g}"
    if shift > 0 and value > high >= best.parameters[position]:
        return high, f"held at its bound {high:g}"
    return value, None


def _moved(problem: Problem, best: Minimum, held: Mapping[int, float]) -> Array:
    """The best fit with parameters held."""
    if all(best.parameters[position] == value for position, value in held.items()):
        return best.parameters
    return problem.conditional(best, held).parameters
