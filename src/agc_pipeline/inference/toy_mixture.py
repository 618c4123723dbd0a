"""Pseudo-experiments of several hypotheses at once, each of which stands for all of them.

Data that are probable under one hypothesis can be rare under another. Pseudo-experiments are thrown
in equal shares under several hypotheses, and count for any other by the ratio of the probability of
their data, auxiliary measurements included, under it to that in the mixture (importance sampling;
for its use in particle physics see M. Woodroofe and X. Yang, Proc. PHYSTAT2011, CERN-2011-006). A
few hundred of them then reach far into the tails.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, xlogy

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.settings import ToyTestSettings
from agc_pipeline.inference.toys import thrown


class Toy(NamedTuple):
    """A pseudo-experiment.

    Attributes:
        problem: its fit.
        parameters: where its statistic is lowest, (p).
        value: of the statistic there.
    """

    problem: Problem
    parameters: Array
    value: float


class Mixture:
    """Pseudo-experiments (t) that are thrown in equal shares under several hypotheses (h).

    Args:
        problem: the fit of the data.
        truths: parameters (p) of each hypothesis.
        settings: number of pseudo-experiments in all, and their seed.
        stream: of the random numbers.

    Attributes:
        toys: those whose fit converged.
        n_failed: number of the others.
    """

    def __init__(
        self,
        problem: Problem,
        truths: Sequence[Array],
        settings: ToyTestSettings,
        stream: int,
    ) -> None:
        self._problem, self._truths = problem, truths
        toys, shares = [], []
        for number in range(settings.count):
            share = number % len(truths)
            random = np.random.Generator(
                np.random.Philox(key=settings.seed, counter=[0, 0, stream, number])
            )
            toy = thrown(problem, truths[share], random)
            try:
                best = toy.lowest([truths[share]]).minimum
            except ModelError:
                continue
            toys.append(Toy(toy, best.parameters, best.expansion.value))
            shares.append(share)
        self.toys = tuple(toys)
        self.n_failed = settings.count - len(toys)
        self._shares = np.array(shares, dtype=np.int64)
        likelihoods = [toy.problem.likelihood for toy in toys]
        n_bins, n_parameters = len(problem.bins), len(problem.names)
        self._data = np.reshape([one.data for one in likelihoods], (-1, n_bins))
        measured = [one.constraints for one in likelihoods]
        self._centres = np.reshape([one.centre for one in measured], (-1, n_parameters))
        self._counts = np.reshape([one.counts for one in measured], (-1, n_parameters))

    def weights(self, truth: Array) -> Array:
        """Probability of each under a hypothesis relative to that in the mixture, (t)."""
        logs = np.array([self._logs(one) for one in self._truths])
        weights: Array = np.exp(
            self._logs(truth) - logsumexp(logs, axis=0) + np.log(len(self._truths))
        )
        return weights

    def error(self, values: Array) -> float:
        """Standard deviation of the mean of values (t), which those of each hypothesis share."""
        variance = 0.0
        for share in range(len(self._truths)):
            own = values[self._shares == share]
            if len(own) > 1:
                variance += len(own) * float(own.var(ddof=1))
        return float(np.sqrt(variance)) / len(values)

    def _logs(self, truth: Array) -> Array:
        """Logarithm of their probability under a hypothesis, up to a constant of each, (t)."""
        rates = np.maximum(self._problem.likelihood.rates(truth), 0.0)
        measured, varied = self._problem.likelihood.constraints, ~self._problem.fixed
        gaussian, poisson = varied & (measured.weight > 0), varied & (measured.rate > 0)
        pulls = (self._centres - truth)[:, gaussian] * np.sqrt(measured.weight[gaussian])
        auxiliary = measured.rate[poisson] * truth[poisson]
        logs: Array = -(pulls**2).sum(axis=1) / 2
        return logs + _poisson(self._data, rates) + _poisson(self._counts[:, poisson], auxiliary)


def _poisson(counts: Array, rates: Array) -> Array:
    """Logarithm of the probability of counts (t, n) for rates (n), up to a constant, (t)."""
    logs: Array = (xlogy(counts, rates) - rates).sum(axis=1)
    return logs
