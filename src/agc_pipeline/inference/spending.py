"""Where more simulated events help: the expected uncertainty for other numbers of them.

Of k times the events of a dataset, sums of squared weights are 1/k as large, and contents are
expected to be the same. With them, the statistical factors of the bins are narrower, which gives
another expected variance of the fit (``sensitivity``), and so are the statistics of varied
templates (``template_noise``), for which the fit has no term. Both are computed again for every
number, from the Hessian of the fit: nothing is extrapolated.

Datasets that fill a template together have only its sum: they count as one. So does a dataset with
those whose events are parts of its own, which come with them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import scipy.optimize

from agc_pipeline.inference.derivatives import Places, Positions
from agc_pipeline.inference.expected_noise import ExpectedNoise
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.inference.settings import SpendingSettings
from agc_pipeline.inference.template_noise import SampleContents
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyhf

# Names of datasets whose events are counted together.
Datasets: TypeAlias = tuple[str, ...]

# More events than any simulation.
_INFINITE = 1e9
# More events than that, relative, are none.
_NEGLIGIBLE = 1e-3
# Of a plan: iterations, precision of the number of events, and of the variance.
_ROUNDS, _PRECISION, _TOLERANCE = 60, 1e-4, 1e-4


class DatasetGain(Settings):
    """What more events of a dataset give.

    Attributes:
        datasets: names; several that only their sum is known of. Parts of them come with them.
        events: simulated so far; None where it is not known.
        doubled: expected uncertainty with twice as many.
        infinite: the same with infinitely many.
    """

    datasets: Datasets
    events: int | None
    doubled: float
    infinite: float


class Purchase(Settings):
    """Events of a dataset in a plan: so many times those of now."""

    datasets: Datasets
    factor: float
    more_events: int | None


class SpendingPlan(Settings):
    """The fewest additional events for an uncertainty.

    Attributes:
        wished: the uncertainty.
        reached: with the events of the plan; None if no number of them reaches it.
        purchases: what is simulated in addition; none where it is not reached, or is already.
    """

    wished: float
    reached: float | None
    purchases: tuple[Purchase, ...]


class Spending(Settings):
    """The expected uncertainty, and how it depends on simulated events.

    Attributes:
        uncertainty: expected now, with the statistics of varied templates.
        fit: that of the fit.
        templates: that by varied templates.
        all_doubled: with twice the events of all datasets.
        all_infinite: with infinitely many.
        gains: by dataset, the largest first.
        plan: to an uncertainty.
    """

    uncertainty: float
    fit: float
    templates: float
    all_doubled: float
    all_infinite: float
    gains: tuple[DatasetGain, ...]
    plan: SpendingPlan


class Parts(NamedTuple):
    """Parts of the expected variance.

    Attributes:
        fit: that of the fit.
        noise: by varied templates, of each dataset.
    """

    fit: float
    noise: dict[Datasets, float]

    @property
    def total(self) -> float:
        """The variance."""
        return self.fit + sum(self.noise.values())


class Expectation:
    """The expected uncertainty as a function of the numbers of simulated events.

    Args:
        model: that was fitted.
        problem: its fit.
        samples: templates that the model was made of, with their datasets.

    Attributes:
        datasets: that events can be simulated of.
    """

    def __init__(
        self, model: "pyhf.Model", problem: Problem, samples: Sequence[SampleContents]
    ) -> None:
        self._problem, self._samples = problem, samples
        self._places = Places(model, problem.likelihood)
        self._unit_of = _units(samples)
        self.datasets = tuple(dict.fromkeys(self._unit_of.values()))
        # Of each statistical factor, sums of contents, and of squared weights by datasets.
        self._sums = np.zeros(len(problem.start))
        self._squares = np.zeros((len(self.datasets), len(problem.start)))
        if self.datasets:
            for unit, parameters, contents, squares in self._statistics():
                self._sums[parameters] += contents
                self._squares[self.datasets.index(unit), parameters] += squares

    def parts(self, factors: Mapping[Datasets, float]) -> Parts:
        """Expected variances of the fit, and by varied templates.

        Args:
            factors: on the number of events; 1 for others.

        Raises:
            ModelError: if there is no expected uncertainty.
        """
        return self.at(np.array([factors.get(unit, 1.0) for unit in self.datasets]))[0]

    def at(self, factors: Array) -> tuple[Parts, Array]:
        """The same, and the derivatives of their sum.

        Args:
            factors: on the number of events, in the order of ``datasets``, (u).

        Returns:
            Parts, and derivatives of the variance by the logarithms of the factors, (u).

        Raises:
            ModelError: if there is no expected uncertainty.
        """
        task, best = self._problem, self._best
        before = task.likelihood.constraints.weight
        squares = self._squares / factors[:, np.newaxis]
        total = squares.sum(axis=0)
        counts = (total > 0) & ~task.fixed
        total = np.where(counts, total, 1.0)
        weight = np.where(counts, self._sums**2 / total, before)
        # Where data are as expected, widths of auxiliary measurements change nothing else.
        hessian = best.expansion.hessian + 2 * np.diag(weight - before)
        changed = replace(best, expansion=best.expansion._replace(hessian=hessian))
        covariance = changed.covariance
        of_poi = covariance[task.poi]
        noise = self._noise.at(self._moving(-of_poi / 2), factors)
        parts = Parts(
            float(of_poi[task.poi]), dict(zip(self.datasets, noise.of_units.tolist(), strict=True))
        )
        by_weight = np.where(counts, weight * squares / total, 0.0)
        turned = self._moving((by_weight * of_poi) @ covariance / 2)
        return parts, noise.by_events + turned @ noise.by_weights - by_weight @ of_poi**2

    def uncertainty(self, factors: Mapping[Datasets, float]) -> float:
        """The expected uncertainty, with that by varied templates."""
        return float(np.sqrt(self.parts(factors).total))

    @cached_property
    def _best(self) -> Minimum:
        return expected_fit(self._problem)

    @cached_property
    def _noise(self) -> ExpectedNoise:
        units = {name: self.datasets.index(unit) for name, unit in self._unit_of.items()}
        return ExpectedNoise(self._problem, self._places, self._samples, units)

    @cached_property
    def _relative(self) -> Array:
        """Slopes of the rates relative to them, (p, b)."""
        likelihood, start = self._problem.likelihood, self._problem.start
        rates = likelihood.rates(start)
        inverse = np.divide(2.0, rates, out=np.zeros_like(rates), where=rates > 0)
        relative: Array = likelihood.slopes(start) * inverse
        return relative

    def _moving(self, along: Array) -> Array:
        """What the fit makes of an event more in each bin, for directions of the parameters."""
        moving: Array = along @ self._relative
        return moving

    def _statistics(self) -> Iterator[tuple[Datasets, Positions, Array, Array]]:
        """Datasets of each sample, parameters of its statistical factors, contents and squares."""
        by_name = {(sample.channel, sample.sample): sample for sample in self._samples}
        for place in self._places.all:
            if place.statistical is not None and place.uncertainties is not None:
                nominal = by_name[place.channel, place.sample].nominal
                yield (
                    self._unit_of[nominal.datasets[0]],
                    place.statistical,
                    place.contents,
                    place.uncertainties**2,
                )


def spending(
    model: "pyhf.Model",
    problem: Problem,
    samples: Sequence[SampleContents],
    *,
    events: Mapping[str, int],
    settings: SpendingSettings,
) -> Spending | None:
    """What more simulated events give; None without templates of which the datasets are known.

    Args:
        model: that was fitted.
        problem: its fit.
        samples: templates that the model was made of.
        events: simulated of each dataset, by name; empty where they are not known.
        settings: what the plan is for.

    Raises:
        ModelError: if there is no expected uncertainty.
    """
    expectation = Expectation(model, problem, samples)
    if not expectation.datasets:
        return None
    parts_of_others = {
        name
        for sample in samples
        for shift in sample.shifts
        if shift.kind == "subset"
        for contents in (shift.up, shift.down)
        if contents is not None
        for name in contents.datasets
    }
    wholes = {
        unit: tuple(name for name in unit if name not in parts_of_others)
        for unit in expectation.datasets
    }
    counts = {
        unit: sum(events[name] for name in names) if all(name in events for name in names) else None
        for unit, names in wholes.items()
    }
    parts = expectation.parts({})
    now = float(np.sqrt(parts.total))

    def all_with(factor: float) -> float:
        return expectation.uncertainty(dict.fromkeys(expectation.datasets, factor))

    gains = [
        DatasetGain(
            datasets=wholes[unit],
            events=counts[unit],
            doubled=expectation.uncertainty({unit: 2.0}),
            infinite=expectation.uncertainty({unit: _INFINITE}),
        )
        for unit in expectation.datasets
    ]
    floor = all_with(_INFINITE)
    wished = settings.wished
    target = (1 - settings.reduction) * now if wished is None else wished
    return Spending(
        uncertainty=now,
        fit=float(np.sqrt(parts.fit)),
        templates=float(np.sqrt(sum(parts.noise.values()))),
        all_doubled=all_with(2.0),
        all_infinite=floor,
        gains=tuple(sorted(gains, key=lambda gain: gain.doubled)),
        plan=_plan(expectation, gains, now, floor, target),
    )


def _plan(
    expectation: Expectation,
    gains: Sequence[DatasetGain],
    now: float,
    floor: float,
    target: float,
) -> SpendingPlan:
    """The fewest events with which the expected uncertainty is what is wished.

    From as many times the events of all datasets as it takes, SLSQP lowers the number of events.
    """
    if now <= target:
        return SpendingPlan(wished=target, reached=now, purchases=())
    if floor >= target:
        return SpendingPlan(wished=target, reached=None, purchases=())
    known = all(gain.events for gain in gains)
    costs = np.array([float(gain.events or 1) if known else 1.0 for gain in gains])
    costs /= costs.sum()

    def lacking(logarithms: Array) -> float:
        return expectation.at(np.exp(logarithms))[0].total / target**2 - 1

    def slopes(logarithms: Array) -> Array:
        return -expectation.at(np.exp(logarithms))[1] / target**2

    def cost(logarithms: Array) -> float:
        return float(costs @ np.exp(logarithms))

    most = np.log(_INFINITE)
    same = scipy.optimize.brentq(lambda x: lacking(np.full(len(gains), x)), 0.0, most)
    start = np.full(len(gains), same)
    lowest = scipy.optimize.minimize(
        lambda x: np.log(cost(x)),
        start,
        jac=lambda x: costs * np.exp(x) / cost(x),
        method="SLSQP",
        bounds=[(0.0, most)] * len(gains),
        constraints={"type": "ineq", "fun": lambda x: -lacking(x), "jac": slopes},
        options={"ftol": _PRECISION, "maxiter": _ROUNDS},
    )
    logarithms = np.clip(lowest.x, 0.0, most)
    if not lacking(logarithms) < _TOLERANCE or cost(logarithms) > cost(start):
        logarithms = start
    reached = float(target * np.sqrt(lacking(logarithms) + 1))
    purchases = [
        Purchase(
            datasets=gain.datasets,
            factor=float(factor),
            more_events=None if gain.events is None else int(np.ceil((factor - 1) * gain.events)),
        )
        for gain, factor in zip(gains, np.exp(logarithms), strict=True)
        if factor > 1 + _NEGLIGIBLE
    ]
    return SpendingPlan(
        wished=target,
        reached=reached,
        purchases=tuple(sorted(purchases, key=lambda purchase: -purchase.factor)),
    )


def _units(samples: Iterable[SampleContents]) -> dict[str, Datasets]:
    """Of each dataset those that are counted together with it."""
    units: dict[str, set[str]] = {}
    for sample in samples:
        nominal = sample.nominal.datasets
        groups = [nominal]
        for shift in sample.shifts:
            # Variations of the nominal events come with these, also those of a part of them.
            same = nominal if shift.kind in ("weight", "object", "subset") else ()
            groups += [
                (*same, *contents.datasets)
                for contents in (shift.up, shift.down)
                if contents is not None
            ]
        for group in groups:
            together = set(group).union(*(units.get(name, set()) for name in group))
            for name in together:
                units[name] = together
    return {name: tuple(sorted(unit)) for name, unit in units.items()}
