"""The profile likelihood of single parameters: scans, and uncertainties from it (MINOS)."""

from typing import Literal, NamedTuple

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.settings import Settings

# Downwards and upwards from the best fit.
Side = Literal["down", "up"]
_SIDES: tuple[tuple[Side, int], ...] = (("down", -1), ("up", 1))
_CLOSE = 1e-7
_STEPS = 40
# Distance of points in units of the uncertainty below which they are one.
_SAME = 1e-6


class BoundError(ModelError):
    """A profile does not rise far enough within the bounds of its parameter."""


class Interval(Settings):
    """Where the profile of -2 ln L is one above its minimum, relative to the best fit.

    Attributes:
        parameter: its name.
        bestfit: its value.
        hesse: symmetric uncertainty from the Hessian.
        down: distance below; None if a bound or a failing fit prevents it.
        up: distance above; None likewise.
        failures: what prevents it, by side.
        bounds: the bounds that prevent it, by side.
    """

    parameter: str
    bestfit: float
    hesse: float
    down: float | None
    up: float | None
    failures: dict[Side, str]
    bounds: dict[Side, float]

    def describe(self) -> str:
        """Best fit and uncertainties in one line."""
        down = "?" if self.down is None else f"{self.down:.4f}"
        up = "?" if self.up is None else f"{self.up:.4f}"
        return f"{self.bestfit:.4f} -{down} +{up}"


class Scan(NamedTuple):
    """Profile of a parameter: values, and -2 ln L above the minimum, NaN where a fit failed."""

    values: Array
    heights: Array


class Plane(Settings):
    """Profile of two parameters on a grid.

    Attributes:
        parameters: their names.
        bestfit: their values.
        first: values of the first parameter.
        second: values of the second one.
        heights: of -2 ln L above its minimum, a row for each value of the second parameter; None
            where a fit failed.
    """

    parameters: tuple[str, str]
    bestfit: tuple[float, float]
    first: tuple[float, ...]
    second: tuple[float, ...]
    heights: tuple[tuple[float | None, ...], ...]


def interval(problem: Problem, best: Minimum, position: int) -> Interval:
    """MINOS uncertainties of a parameter that is not fixed; of one at a bound on the other side."""
    failures: dict[Side, str] = {}
    bounds: dict[Side, float] = {}
    distances: dict[Side, float] = {}
    for side, sign in _SIDES:
        try:
            distances[side] = abs(crossing(problem, best, position, sign, height=1.0))
        except ModelError as error:
            failures[side] = error.problem
            if isinstance(error, BoundError):
                bounds[side] = float(problem.bounds[position][(sign + 1) // 2])
    return Interval(
        parameter=problem.names[position],
        bestfit=float(best.parameters[position]),
        hesse=float(np.sqrt(best.covariance[position, position])),
        down=distances.get("down"),
        up=distances.get("up"),
        failures=failures,
        bounds=bounds,
    )


def _first_step(best: Minimum, position: int, height: float) -> float:
    """Distance at which a profile rises by ``height``, from its derivatives at the best fit."""
    if best.free[position]:
        return float(np.sqrt(height * best.covariance[position, position]))
    # Held where the others do not move: at a bound it rises from the start.
    slope = abs(float(best.expansion.gradient[position]))
    bend = max(float(best.expansion.hessian[position, position]), 0.0) / 2
    size = slope + np.sqrt(slope**2 + 4 * bend * height)
    return 2 * height / size if size > 0 else 1.0


def crossing(problem: Problem, best: Minimum, position: int, sign: int, *, height: float) -> float:
    """Distance from the best fit at which the profile of -2 ln L has risen by ``height``.

    Newton steps on the square root of the profile, which is linear if it is a parabola; its slope
    is the derivative of the likelihood at the conditional minimum.

    Raises:
        BoundError: if it does not rise so far within the bounds.
        ModelError: if a fit fails.
    """
    name = problem.names[position]
    centre = float(best.parameters[position])
    reach = abs(float(problem.bounds[position][(sign + 1) // 2]) - centre)
    target = float(np.sqrt(height))
    if reach == 0:
        raise BoundError(
            f"{name} is at its bound {centre:.4g}",
            place="bounds of the parameter",
            remedy="widen them, if they are not physical",
        )
    at = min(_first_step(best, position, height), reach)
    low, high = 0.0, reach
    near: tuple[Array, ...] = ()
    for _ in range(_STEPS):
        there = problem.conditional(best, {position: centre + sign * at}, *near)
        near = (there.parameters,)
        rise = there.expansion.value - best.expansion.value
        if rise < -_CLOSE:
            raise ModelError(
                f"with {name} at {centre + sign * at:.4g} there is a minimum {-rise:.2g} below "
                "that of the fit",
                place="fit.minimiser.starts",
                remedy="fit from more starts",
            )
        root = float(np.sqrt(max(rise, 0.0)))
        if abs(root - target) < _CLOSE:
            return sign * at
        if root < target:
            if at >= reach:
                raise BoundError(
                    f"the profile of {name} reaches its bound {centre + sign * reach:.4g} first",
                    place="bounds of the parameter",
                    remedy="widen them, if they are not physical",
                )
            low = at
        else:
            high = at
        slope = sign * float(there.expansion.gradient[position])
        step = (target - root) * 2 * root / slope if slope > 0 and root > 0 else np.inf
        at = at + step
        if not low < at < high:
            at = high if high == reach and root < target else (low + high) / 2
    raise ModelError(
        f"the search on the profile of {name} does not converge",
        place="workspace",
        remedy="look at its scan; templates with few events can make steps in it",
    )


def scan(problem: Problem, best: Minimum, position: int, *, reach: float, points: int) -> Scan:
    """Profile of a parameter at equal distances around the best fit.

    Args:
        problem: the fit.
        best: its minimum; the parameter is not fixed there.
        position: of the parameter.
        reach: distance to the first and last point, in units of the uncertainty; less at a bound.
            For a parameter that is held there, the unit is how far it must go for one unit.
        points: number of them; the best fit is one more, if it is not among them.
    """
    centre = best.parameters[position]
    sigma = _first_step(best, position, 1.0)
    lowest, highest = np.clip(
        [centre - reach * sigma, centre + reach * sigma], *problem.bounds[position]
    )
    values = np.union1d(np.linspace(lowest, highest, points), [centre])
    heights = np.zeros(len(values))
    middle = int(np.searchsorted(values, centre))
    # Outwards from the minimum, so that each point starts from its neighbour.
    for indices in (range(middle + 1, len(values)), range(middle - 1, -1, -1)):
        near: tuple[Array, ...] = ()
        for index in indices:
            try:
                there = problem.conditional(best, {position: values[index]}, *near)
            except ModelError:
                heights[index] = np.nan
            else:
                near = (there.parameters,)
                heights[index] = there.expansion.value - best.expansion.value
    return Scan(values, heights)


def plane(
    problem: Problem, best: Minimum, positions: tuple[int, int], *, reach: float, points: int
) -> Plane:
    """Profile of two parameters on a grid around the best fit.

    Args:
        problem: the fit.
        best: its minimum; neither of the parameters is fixed there.
        positions: of the parameters.
        reach: distance to the outermost points, as in ``scan``.
        points: number of them for each parameter; the best fit is one more.
    """
    axes = []
    for position in positions:
        centre, sigma = best.parameters[position], _first_step(best, position, 1.0)
        ends = np.clip([centre - reach * sigma, centre + reach * sigma], *problem.bounds[position])
        values = np.linspace(ends[0], ends[1], points)
        # The best fit is one of them, but for rounding.
        values = values[np.abs(values - centre) > _SAME * sigma]
        axes.append(np.union1d(values, [centre]))
    # Outwards from the minimum, so that each point starts from its neighbour.
    orders = [
        np.argsort(np.abs(values - best.parameters[position]), kind="stable").tolist()
        for values, position in zip(axes, positions, strict=True)
    ]
    solved: dict[tuple[int, int], Array] = {}
    heights: list[list[float | None]] = [[None] * len(axes[0]) for _ in axes[1]]
    for row in orders[1]:
        for column in orders[0]:
            beside = ((row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column))
            near = [solved[place] for place in beside if place in solved][:1]
            held = {positions[0]: float(axes[0][column]), positions[1]: float(axes[1][row])}
            try:
                there = problem.conditional(best, held, *near)
            except ModelError:
                continue
            solved[row, column] = there.parameters
            heights[row][column] = float(there.expansion.value - best.expansion.value)
    first, second = positions
    return Plane(
        parameters=(problem.names[first], problem.names[second]),
        bestfit=(float(best.parameters[first]), float(best.parameters[second])),
        first=tuple(axes[0].tolist()),
        second=tuple(axes[1].tolist()),
        heights=tuple(tuple(line) for line in heights),
    )
