"""Bin edges of the fit, chosen by the expected uncertainty with every systematic in it.

The loss is the expected variance of ``closed_form``: that of the fit, and that by the statistics of
varied templates. Without the second, noise in these makes fine bins look good.

- ``gradient``: edges move freely, shares of the histograms' bins follow from sigmoids around them,
  and the width of these gets smaller while scipy's L-BFGS-B goes downhill, from several starts.
  Last, edges are moved to the nearest ones of the histograms.
- ``evolution``: scipy's differential evolution on edges of the histograms.

All events are used: the first and the last edge are those of the histograms. A result is judged
with an independent simulation, by the scatter that the same estimator has there; its own claim
decides nothing.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import hist
import numpy as np
import scipy.optimize

from agc_pipeline.declaration import Analysis
from agc_pipeline.inference import workspace
from agc_pipeline.inference.closed_form import Bins, ClosedForm
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.problem import no_interest, problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.inference.settings import (
    MinimiserSettings,
    ModelSettings,
    OptimisationSettings,
)
from agc_pipeline.inference.toys import throw
from agc_pipeline.settings import Settings

Method: TypeAlias = Literal["declared", "gradient", "evolution"]
# Edges by region.
Edges: TypeAlias = dict[str, tuple[float, ...]]

# Loss of bins without events.
_IMPOSSIBLE = 1e6
# Spread of random starts, and range of the coordinates: logarithms of the widths of bins.
_SPREAD, _RANGE = 0.5, 2.5
# Of downhill steps: relative change of the loss, and slope, that are none.
_PRECISION = {"ftol": 1e-12, "gtol": 1e-10}
# Relative difference of losses that is none.
_SAME = 1e-9
# Statistical errors by which a gain must be above zero.
_BEYOND = 2.0


class Judgement(Settings):
    """What bins are worth in an independent simulation.

    Attributes:
        scatter: of the estimator there.
        error: of it, by the statistics of that simulation.
        gain: relative to the declared bins.
        gain_error: of it, likewise.
        verdict: "none" where the gain is within two of its errors.
    """

    scatter: float
    error: float
    gain: float
    gain_error: float
    verdict: Literal["better", "none", "worse"]


class Candidate(Settings):
    """Bins, and what they promise.

    Attributes:
        method: that they are from; "declared" are those of a run without it.
        edges: by region.
        uncertainty: expected, with the statistics of varied templates.
        fit: expected, of the fit alone.
        templates: by the statistics of varied templates.
        soft: expected where the edges were before they were moved to those of the histograms; None
            where they were not.
        seconds: of CPU that it took.
        judgement: None without an independent simulation.
    """

    method: Method
    edges: Edges
    uncertainty: float
    fit: float
    templates: float
    soft: float | None = None
    seconds: float = 0.0
    judgement: Judgement | None = None

    @property
    def bins(self) -> dict[str, int]:
        """Number of bins by region."""
        return {name: len(edges) - 1 for name, edges in self.edges.items()}


def shares(edges: Array, fine: Array, width: float = 0.0) -> Array:
    """Shares of fine bins in others, (fine, bins): averages of sigmoids over them.

    Args:
        edges: of the bins.
        fine: edges of the fine bins.
        width: of the sigmoids, in units of the observable; zero is a step.
    """
    at = fine[:, np.newaxis] - edges
    beyond = np.maximum(at, 0.0) if width == 0 else width * np.logaddexp(0.0, at / width)
    above = np.diff(beyond, axis=0) / np.diff(fine)[:, np.newaxis]
    # Nothing is lost on either side of the histogram.
    above[:, 0], above[:, -1] = 1.0, 0.0
    return above[:, :-1] - above[:, 1:]


def hard(model: ClosedForm, edges: Mapping[str, tuple[float, ...]]) -> Bins:
    """Bins with edges of the histograms; what is below the first and above the last is dropped."""
    result = {}
    for name, values in edges.items():
        fine = model.regions[name].edges
        places = np.searchsorted(values, (fine[:-1] + fine[1:]) / 2) - 1
        result[name] = (places[:, np.newaxis] == np.arange(len(values) - 1)).astype(np.float64)
    return result


def candidate(
    model: ClosedForm,
    method: Method,
    edges: Edges,
    *,
    seconds: float = 0.0,
    soft: float | None = None,
) -> Candidate:
    """What bins promise."""
    estimate = model.estimate(hard(model, edges))
    return Candidate(
        method=method,
        edges=edges,
        uncertainty=float(np.sqrt(estimate.variance)),
        fit=float(np.sqrt(estimate.fit)),
        templates=float(np.sqrt(estimate.noise)),
        seconds=seconds,
        soft=soft,
    )


def optimise(model: ClosedForm, method: Method, settings: OptimisationSettings) -> Candidate:
    """The best bins that a method gives, of all wished numbers of bins.

    Args:
        model: of the run.
        method: "gradient" or "evolution".
        settings: of the configuration.
    """
    start = time.process_time()
    search = _gradient if method == "gradient" else _evolution
    ends = [search(_Search(model, number, settings)) for number in sorted(settings.bins)]
    lowest = min(loss for loss, *_ in ends)
    # Of bins that are as good, the fewest.
    _, edges, soft = next(end for end in ends if end[0] <= lowest * (1 + _SAME))
    seconds = time.process_time() - start
    return candidate(model, method, edges, seconds=seconds, soft=soft)


class _Search:
    """Edges as coordinates without bounds, and the loss of them.

    Args:
        model: of the run.
        number: of bins in each region.
        settings: of the configuration.
    """

    def __init__(self, model: ClosedForm, number: int, settings: OptimisationSettings) -> None:
        self.model, self.settings = model, settings
        self._numbers = {name: min(number, len(of.edges) - 1) for name, of in model.regions.items()}
        self.size = sum(self._numbers.values())
        self.random = np.random.Generator(np.random.Philox(key=settings.seed, counter=number))

    def edges(self, at: Array) -> dict[str, Array]:
        """Edges of the coordinates: logarithms of widths, up to a factor."""
        result, first = {}, 0
        for name, n in self._numbers.items():
            widths = np.exp(at[first : first + n])
            low, high = self.model.regions[name].edges[[0, -1]]
            steps = np.concatenate([[0.0], np.cumsum(widths) / widths.sum()])
            result[name] = low + (high - low) * steps
            first += n
        return result

    def soft(self, at: Array, width: float) -> float:
        """Loss with sigmoids of a width, in units of the mean width of fine bins."""
        bins = {}
        for name, edges in self.edges(at).items():
            fine = self.model.regions[name].edges
            bins[name] = shares(edges, fine, width * (fine[-1] - fine[0]) / (len(fine) - 1))
        return self.loss(bins)

    def snapped(self, at: Array) -> Edges:
        """The nearest edges of the histograms, each once."""
        result = {}
        for name, edges in self.edges(at).items():
            fine = self.model.regions[name].edges
            places = np.abs(fine[:, np.newaxis] - edges).argmin(axis=0)
            places[0], places[-1] = 0, len(fine) - 1
            result[name] = tuple(fine[np.unique(places)].tolist())
        return result

    def hard(self, at: Array) -> float:
        """Loss with edges of the histograms."""
        return self.loss(hard(self.model, self.snapped(at)))

    def loss(self, bins: Bins) -> float:
        """The expected variance; without the statistics of varied templates if it is so wished."""
        estimate = self.model.estimate(bins)
        loss = estimate.variance if self.settings.noise else estimate.fit
        return loss if np.isfinite(loss) and loss > 0 else _IMPOSSIBLE


def _gradient(search: _Search) -> tuple[float, Edges, float | None]:
    ends: list[tuple[float, Edges, float | None]] = []
    for number in range(search.settings.starts):
        at = np.zeros(search.size)
        if number:
            at = _SPREAD * search.random.normal(size=search.size)
        soft = np.inf
        for width in search.settings.widths:
            result = scipy.optimize.minimize(
                search.soft,
                at,
                args=(width,),
                method="L-BFGS-B",
                bounds=[(-_RANGE, _RANGE)] * search.size,
                options=_PRECISION,
            )
            at, soft = result.x, float(result.fun)
        ends.append((search.hard(at), search.snapped(at), float(np.sqrt(soft))))
    return min(ends, key=lambda end: end[0])


def _evolution(search: _Search) -> tuple[float, Edges, float | None]:
    settings = search.settings
    result = scipy.optimize.differential_evolution(
        search.hard,
        [(-_RANGE, _RANGE)] * search.size,
        popsize=settings.population,
        maxiter=settings.generations,
        polish=False,
        rng=search.random,
    )
    return float(result.fun), search.snapped(result.x), None


def judged(
    candidates: list[Candidate],
    model: ClosedForm,
    judge: ClosedForm,
    *,
    throws: int,
    seed: int,
) -> list[Candidate]:
    """Candidates with their scatter in an independent simulation.

    Args:
        candidates: the first is what the others are compared with.
        model: of the run, which gives the estimators.
        judge: of the independent simulation.
        throws: of its statistics, for errors.
        seed: of these.
    """
    random = np.random.Generator(np.random.Philox(key=seed))
    truths = [judge, *(judge.thrown(random) for _ in range(throws))]
    scatters = []
    for entry in candidates:
        bins = hard(model, entry.edges)
        weights = model.estimate(bins).weights
        scatters.append([truth.scatter(bins, weights) for truth in truths])
    table = np.array(scatters)
    gains = 1 - table / table[0]
    results = []
    for entry, scatter, gain in zip(candidates, table, gains, strict=True):
        error = float(np.std(gain[1:])) if throws > 1 else 0.0
        verdict: Literal["better", "none", "worse"] = "none"
        if abs(gain[0]) > _BEYOND * error:
            verdict = "better" if gain[0] > 0 else "worse"
        judgement = Judgement(
            scatter=float(scatter[0]),
            error=float(np.std(scatter[1:])) if throws > 1 else 0.0,
            gain=float(gain[0]),
            gain_error=error,
            verdict=verdict,
        )
        results.append(entry.model_copy(update={"judgement": judgement}))
    return results


class WholeFit(Settings):
    """The whole fit with some bins, of the data that the model expects.

    Attributes:
        uncertainty: of the parameter of interest.
        toys: pseudo-experiments that converged.
        bias: mean of the best fits minus the truth, in units of the uncertainty of that mean.
        coverage: share whose interval of one standard deviation has the truth; None without any.
    """

    uncertainty: float
    toys: int
    bias: float | None
    coverage: float | None


class OptimisationRecord(Settings):
    """What `snakemake optimise` gives.

    Attributes:
        candidates: the declared bins, and those of each method.
        best: method with the smallest expected uncertainty.
        fits: the whole fit with the declared bins and the best ones.
        provenance: of the file that holds the record.
    """

    candidates: tuple[Candidate, ...]
    best: Method
    fits: dict[Method, WholeFit]
    provenance: dict[str, Any]


def whole_fit(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    settings: ModelSettings,
    minimiser: MinimiserSettings,
    *,
    subsets: Mapping[str, str],
    toys: int,
    seed: int,
) -> WholeFit:
    """Build the whole model, and fit what it expects.

    Args:
        analysis: the declaration.
        histograms: of the run.
        settings: of the model, with the bins.
        minimiser: how the minimum is found.
        subsets: datasets of which all events are in another one, which is named.
        toys: number of pseudo-experiments.
        seed: of these.

    Raises:
        ModelError: if the model cannot be built or fitted.
    """
    built = build_workspace(
        analysis, histograms, settings.model_copy(update={"data": "asimov"}), subsets=subsets
    )
    model, data = workspace.load(built.workspace, place="optimised bins")
    task = problem(model, data, minimiser)
    best = expected_fit(task)
    poi = task.poi
    if poi is None:
        raise no_interest()
    thrown = throw(task.asimov(task.start), best, count=toys, seed=seed)
    pulls = thrown.pulls(poi)
    misses = thrown.parameters[:, poi] - thrown.truth[poi]
    few = len(pulls) < 2
    return WholeFit(
        uncertainty=float(np.sqrt(best.covariance[poi, poi])),
        toys=len(pulls),
        bias=None if few else float(np.mean(misses) / (np.std(misses) / np.sqrt(len(misses)))),
        coverage=None if few else float(np.mean(np.abs(pulls) < 1)),
    )
