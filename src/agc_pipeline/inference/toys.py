"""Pseudo-experiments: data thrown from the fitted model, and fitted as the data were.

They test what a single fit assumes: that it is not biased, that its uncertainties
cover, and how the goodness-of-fit statistic is really distributed.
"""

from dataclasses import dataclass

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.constraints import Constraints
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Mask, Minimum
from agc_pipeline.inference.problem import Problem

# Statistics that differ by less are the same: of models that fit any data, they are rounding.
_SAME = 1e-6


@dataclass(frozen=True)
class Toys:
    """Results of pseudo-experiments, for those whose fit converged (t).

    Attributes:
        truth: parameters that the data were thrown from, (p).
        parameters: best fits, (t, p).
        uncertainties: from the Hessian, zero where a parameter is fixed or at a bound, (t, p).
        statistics: of the goodness of fit, (t).
        failures: why the others failed, by number of the pseudo-experiment.
    """

    truth: Array
    parameters: Array
    uncertainties: Array
    statistics: Array
    failures: dict[int, str]

    def pulls(self, position: int) -> Array:
        """Deviations of a parameter from the truth in units of its uncertainty, where it has one.

        (at most t)
        """
        widths = self.uncertainties[:, position]
        deviations = self.parameters[:, position] - self.truth[position]
        pulls: Array = deviations[widths > 0] / widths[widths > 0]
        return pulls

    def as_large(self, statistic: float) -> Mask:
        """Whether the statistics are as large as another one, (t)."""
        as_large: Mask = self.statistics >= statistic - _SAME
        return as_large

    def at_bounds(self, position: int, bounds: Array) -> int:
        """Number of best fits in which a parameter is at one of its bounds."""
        return int(np.isin(self.parameters[:, position], bounds).sum())


def throw(problem: Problem, best: Minimum, *, count: int, seed: int) -> Toys:
    """Fit pseudo-experiments.

    Each has a random stream of its own, so that it does not depend on how many there are.

    Args:
        problem: the fit.
        best: its minimum, from which data and auxiliary measurements are thrown.
        count: number of pseudo-experiments.
        seed: of the random numbers.
    """
    parameters, uncertainties, statistics = [], [], []
    failures = {}
    for number in range(count):
        random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, number]))
        toy = thrown(problem, best.parameters, random)
        try:
            minimum = toy.lowest([best.parameters]).minimum
        except ModelError as error:
            failures[number] = error.problem
        else:
            parameters.append(minimum.parameters)
            uncertainties.append(np.sqrt(np.diag(minimum.covariance)))
            statistics.append(minimum.expansion.value)
    shape = (len(statistics), len(best.parameters))
    return Toys(
        truth=best.parameters,
        parameters=np.array(parameters).reshape(shape),
        uncertainties=np.array(uncertainties).reshape(shape),
        statistics=np.array(statistics),
        failures=failures,
    )


def thrown(problem: Problem, truth: Array, random: np.random.Generator) -> Problem:
    """The fit of data thrown at some parameters; fixed ones keep their auxiliary measurements."""
    measured = problem.likelihood.constraints
    varied = ~problem.fixed
    # On the border of a rate of zero, rounding may be below it.
    rates = np.maximum(problem.likelihood.rates(truth), 0.0)
    data = random.poisson(rates).astype(np.float64)
    gaussian = varied & (measured.weight > 0)
    noise = random.normal(size=len(truth)) * measured.widths()
    poisson = varied & (measured.rate > 0)
    counts = random.poisson(np.where(poisson, measured.rate * truth, 0.0)).astype(np.float64)
    constraints = Constraints(
        centre=np.where(gaussian, truth + noise, measured.centre),
        weight=measured.weight,
        counts=np.where(poisson, counts, measured.counts),
        rate=measured.rate,
    )
    return problem.with_data(data, constraints)
