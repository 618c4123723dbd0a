"""A fit that can be repeated: from other starts, with parameters held, for other data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyhf

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.constraints import Constraints
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.likelihood import Likelihood
from agc_pipeline.inference.minimum import Mask, Minimum, minimise
from agc_pipeline.inference.modifiers import model_likelihood
from agc_pipeline.inference.settings import MinimiserSettings

# Minima that differ by less in -2 ln L are the same.
_SAME = 1e-6
# Width of the distribution of the logarithm of free factors in random starts.
_SPREAD = 0.3


class Search(NamedTuple):
    """The lowest minimum of a search: how many different ones were reached from how many starts."""

    minimum: Minimum
    starts: int
    minima: int


@dataclass(frozen=True)
class Problem:
    """A fit to be done: a likelihood, and what may be done with its parameters (p).

    Attributes:
        likelihood: to be minimised.
        start: values to start from, and of fixed parameters, (p).
        bounds: lowest and highest value, (p, 2).
        fixed: parameters that keep their value, (p).
        names: of the parameters, (p).
        poi: position of the parameter of interest.
        settings: when a fit has converged.
    """

    likelihood: Likelihood
    start: Array
    bounds: Array
    fixed: Mask
    names: tuple[str, ...]
    poi: int
    settings: MinimiserSettings

    def lowest(self, starts: Iterable[Array], held: Mapping[int, float] | None = None) -> Search:
        """The lowest minimum that is reached from several starts.

        Args:
            starts: parameters (p); those of fixed parameters do not matter.
            held: values of parameters, by position, that are fixed in addition.

        Raises:
            ModelError: why the first start failed, if all of them fail.
        """
        fixed, values = self.fixed.copy(), self.start.copy()
        for position, value in (held or {}).items():
            fixed[position], values[position] = True, value
        minima: list[Minimum] = []
        failures: list[ModelError] = []
        for start in starts:
            try:
                minimum = minimise(
                    self.likelihood,
                    np.where(fixed, values, start),
                    bounds=self.bounds,
                    fixed=fixed,
                    names=list(self.names),
                    settings=self.settings,
                )
            except ModelError as error:
                failures.append(error)
            else:
                minima.append(minimum)
        if not minima:
            raise failures[0]
        heights = np.array([minimum.expansion.value for minimum in minima])
        # Of starts that reach the same minimum the first counts, not the one with luckier rounding.
        first = int(np.argmax(heights < heights.min() + _SAME))
        return Search(
            minima[first],
            starts=len(minima) + len(failures),
            minima=1 + int(np.count_nonzero(np.diff(np.sort(heights)) > _SAME)),
        )

    def conditional(self, best: Minimum, held: Mapping[int, float], *near: Array) -> Minimum:
        """The lowest minimum with some parameters held.

        Two minima may compete: it starts from the best fit, and from where the others are expected
        to be if the likelihood were Gaussian.

        Args:
            best: minimum without holding them.
            held: position to value.
            near: further starts.

        Raises:
            ModelError: if there is no minimum.
        """
        covariance = best.covariance
        positions = [position for position in held if best.free[position]]
        starts = [best.parameters, *near]
        if positions:
            shift = np.array([held[position] - best.parameters[position] for position in positions])
            response = np.linalg.solve(covariance[np.ix_(positions, positions)], shift)
            starts.insert(1, best.parameters + covariance[:, positions] @ response)
        return self.lowest(starts, held).minimum

    def starts(self) -> list[Array]:
        """Where fits of all parameters start: as the model says, then at random places around it.

        The random places are the same every time.
        """
        random = np.random.Generator(np.random.Philox(key=0))
        widths = self.likelihood.constraints.widths()
        starts = [self.start]
        for _ in range(self.settings.starts - 1):
            draw = random.normal(size=len(self.start))
            free = self.start * np.exp(_SPREAD * draw)
            starts.append(np.where(widths > 0, self.start + widths * draw, free))
        return starts

    def with_data(self, data: Array, constraints: Constraints) -> "Problem":
        """The same for other data."""
        return replace(self, likelihood=self.likelihood.with_data(data, constraints))


def problem(model: pyhf.Model, data: list[float], settings: MinimiserSettings) -> Problem:
    """The fit of a model with a parameter of interest.

    Args:
        model: from ``workspace.load``.
        data: observed events and auxiliary data, in pyhf's order.
        settings: when a fit has converged.

    Raises:
        ModelError: if the model is not supported, or expects no events in a bin with data.
    """
    config = model.config
    likelihood = model_likelihood(model, data)
    suggested = np.array(config.suggested_fixed(), dtype=np.bool_)
    task = Problem(
        likelihood=likelihood,
        start=np.array(config.suggested_init(), dtype=np.float64),
        bounds=np.array(config.suggested_bounds(), dtype=np.float64),
        fixed=suggested | likelihood.constraints.exact(),
        names=tuple(config.par_names),
        poi=config.poi_index,
        settings=settings,
    )
    _require_prediction(model, task)
    return task


def _require_prediction(model: pyhf.Model, task: Problem) -> None:
    """Refuse data in a bin in which the model expects nothing: no parameter could explain them."""
    likelihood = task.likelihood
    # A free factor that starts at zero may grow.
    free = likelihood.constraints.widths() == 0
    start = np.where(free & (task.start == 0), 1e-3, task.start)
    impossible = (likelihood.rates(start) <= 0) & (likelihood.data > 0)
    bins = [
        f"{channel} bin {number}"
        for channel, where in model.config.channel_slices.items()
        for number in np.flatnonzero(impossible[where])
    ]
    if bins:
        raise ModelError(
            f"data but zero expected yield in {', '.join(bins)} (counted from 0)",
            place="workspace",
            remedy="use more simulated events, or merge bins with `fit.model.edges`",
        )
