"""Where more simulated events help: the expected uncertainty for other numbers of them.

Of k times the events of a dataset, sums of squared weights are 1/k as large, and contents are
expected to be the same. With them, the statistical factors of the bins are narrower, which gives
another expected variance of the fit (``sensitivity``), and so are the statistics of varied
templates (``template_noise``), for which the fit has no term. Both are computed again for every
number, by a single Newton step: nothing is extrapolated.

Datasets that fill a template together have only its sum: they count as one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
import pyhf
import scipy.optimize

from agc_pipeline.inference.derivatives import Places, Positions
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.inference.settings import SpendingSettings
from agc_pipeline.inference.template_noise import Contents, SampleContents, expected_noise
from agc_pipeline.settings import Settings

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
        datasets: names; several that only their sum is known of.
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
        self, model: pyhf.Model, problem: Problem, samples: Sequence[SampleContents]
    ) -> None:
        self._model, self._problem, self._samples = model, problem, samples
        self._places = Places(model, problem.likelihood)
        self._unit_of = _units(contents.datasets for contents in _all(samples))
        self.datasets = tuple(dict.fromkeys(self._unit_of.values()))
        # Of each statistical factor, sums of contents, and of squared weights by datasets, (p).
        self._sums = np.zeros(len(problem.start))
        self._squares: dict[Datasets, Array] = {}
        if self.datasets:
            for unit, parameters, contents, squares in self._statistics():
                self._sums[parameters] += contents
                self._squares.setdefault(unit, np.zeros_like(self._sums))[parameters] += squares

    def parts(self, factors: Mapping[Datasets, float]) -> Parts:
        """Expected variances of the fit, and by varied templates.

        Args:
            factors: on the number of events; 1 for others.

        Raises:
            ModelError: if there is no expected uncertainty.
        """
        measured = self._problem.likelihood.constraints
        weight = measured.weight.copy()
        variances = {
            unit: squares / factors.get(unit, 1.0) for unit, squares in self._squares.items()
        }
        total = np.sum(list(variances.values()), axis=0)
        known = (total > 0) & ~self._problem.fixed
        weight[known] = self._sums[known] ** 2 / total[known]
        likelihood = self._problem.likelihood
        changed = replace(
            self._problem,
            likelihood=likelihood.with_data(likelihood.data, replace(measured, weight=weight)),
        )
        best = expected_fit(changed)
        samples = [self._with_more(sample, factors) for sample in self._samples]
        asimov = changed.asimov(changed.start)
        noise: dict[Datasets, float] = {}
        of_all = expected_noise(self._model, asimov, best, samples, self._places)
        for datasets, part in of_all.items():
            unit = self._unit_of[datasets[0]]
            noise[unit] = noise.get(unit, 0.0) + part
        return Parts(float(best.covariance[self._problem.poi, self._problem.poi]), noise)

    def uncertainty(self, factors: Mapping[Datasets, float]) -> float:
        """The expected uncertainty, with that by varied templates."""
        return float(np.sqrt(self.parts(factors).total))

    def _statistics(self) -> Iterator[tuple[Datasets, Positions, Array, Array]]:
        """Datasets of each sample, parameters of its statistical factors, contents and squares."""
        by_name = {(sample.channel, sample.sample): sample for sample in self._samples}
        for place in self._places.all:
            if place.statistical is not None and place.uncertainties is not None:
                nominal = by_name[place.channel, place.sample].nominal
                yield (
                    self._unit(nominal),
                    place.statistical,
                    place.contents,
                    place.uncertainties**2,
                )

    def _unit(self, contents: Contents) -> Datasets:
        return self._unit_of[contents.datasets[0]]

    def _with_more(
        self, sample: SampleContents, factors: Mapping[Datasets, float]
    ) -> SampleContents:
        def more(contents: Contents) -> Contents:
            factor = factors.get(self._unit(contents), 1.0)
            if factor == 1.0:
                return contents
            shared = contents.shared
            return contents.model_copy(
                update={
                    "variances": tuple(value / factor for value in contents.variances),
                    "shared": None
                    if shared is None
                    else tuple(tuple(value / factor for value in row) for row in shared),
                }
            )

        shifts = tuple(
            shift.model_copy(
                update={
                    "up": more(shift.up),
                    "down": None if shift.down is None else more(shift.down),
                }
            )
            for shift in sample.shifts
        )
        return sample.model_copy(update={"nominal": more(sample.nominal), "shifts": shifts})


def spending(
    model: pyhf.Model,
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
    counts = {
        unit: sum(events[name] for name in unit) if all(name in events for name in unit) else None
        for unit in expectation.datasets
    }
    parts = expectation.parts({})
    now = float(np.sqrt(parts.total))

    def all_with(factor: float) -> float:
        return expectation.uncertainty(dict.fromkeys(expectation.datasets, factor))

    gains = [
        DatasetGain(
            datasets=unit,
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
    units = [gain.datasets for gain in gains]
    known = all(gain.events for gain in gains)
    costs = np.array([float(gain.events or 1) if known else 1.0 for gain in gains])
    costs /= costs.sum()

    def lacking(logarithms: Array) -> float:
        factors = np.exp(logarithms).tolist()
        return expectation.parts(dict(zip(units, factors, strict=True))).total / target**2 - 1

    def cost(logarithms: Array) -> float:
        return float(costs @ np.exp(logarithms))

    most = np.log(_INFINITE)
    same = scipy.optimize.brentq(lambda x: lacking(np.full(len(units), x)), 0.0, most)
    start = np.full(len(units), same)
    lowest = scipy.optimize.minimize(
        lambda x: np.log(cost(x)),
        start,
        method="SLSQP",
        bounds=[(0.0, most)] * len(units),
        constraints={"type": "ineq", "fun": lambda x: -lacking(x)},
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


def _all(samples: Iterable[SampleContents]) -> Iterable[Contents]:
    for sample in samples:
        yield sample.nominal
        for shift in sample.shifts:
            yield shift.up
            if shift.down is not None:
                yield shift.down


def _units(groups: Iterable[Datasets]) -> dict[str, Datasets]:
    """Of each dataset those that are counted together with it."""
    units: dict[str, set[str]] = {}
    for group in groups:
        together = set(group).union(*(units.get(name, set()) for name in group))
        for name in together:
            units[name] = together
    return {name: tuple(sorted(unit)) for name, unit in units.items()}
