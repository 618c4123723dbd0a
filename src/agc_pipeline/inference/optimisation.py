"""Bin edges of the fit and thresholds of cuts, chosen by the expected uncertainty.

The loss is the expected variance of ``closed_form``, with every systematic: that of the fit, and
that by the statistics of varied templates. Without the second, noise in these makes fine bins look
good.

- ``gradient``: edges and thresholds move freely, shares of the histograms' bins and of the
  thresholds' values follow from sigmoids around them, and the width of these gets smaller while
  scipy's L-BFGS-B goes downhill, from several starts. Last, thresholds are moved to values that
  have histograms, edges once more downhill, then to the nearest ones of the histograms, and on to
  those beside them as long as one is better.
- ``evolution``: scipy's differential evolution on edges of the histograms and values of thresholds.

All events are used: the first and the last edge are those of the histograms, unless a region says
that what is outside of a window may be left out. A result is judged with an independent simulation,
by the scatter that the same estimator has there; its own claim decides nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import hist
import numpy as np
import scipy.optimize

from agc_pipeline.declaration import Analysis
from agc_pipeline.declaration.thresholds import Trial
from agc_pipeline.errors import ModelError
from agc_pipeline.inference import templates, workspace
from agc_pipeline.inference.closed_form import Bins, ClosedForm
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.limits import Signal
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.optimisation_record import (
    Candidate,
    Edges,
    Judgement,
    Method,
    SoftYields,
    WholeFit,
)
from agc_pipeline.inference.problem import no_interest, problem
from agc_pipeline.inference.sensitivity import expected_fit
from agc_pipeline.inference.settings import (
    MinimiserSettings,
    ModelSettings,
    OptimisationSettings,
)
from agc_pipeline.inference.template_gradients import TemplateGradients, template_gradients
from agc_pipeline.inference.template_noise import contents
from agc_pipeline.inference.threshold_templates import ThresholdTemplates
from agc_pipeline.inference.toys import throw

# Number of the value of each threshold.
Place: TypeAlias = tuple[int, ...]

# Loss of bins without events.
_IMPOSSIBLE = 1e6
# Spread of random starts, and range of the coordinates: logarithms of the widths of bins.
_SPREAD, _RANGE = 0.5, 2.5
# Of downhill steps: relative change of the loss that is none, on the way and last, and slope.
_ON_THE_WAY, _LAST, _SLOPE = 1e-5, 1e-9, 1e-9
# How far a soft cut goes beyond the values that are there, in widths.
_OUTSIDE = 3.0
# Relative difference of losses that is none.
_SAME = 1e-9
# Statistical errors by which a gain must be above zero.
_BEYOND = 2.0
# Models with hard cuts that are remembered.
_REMEMBERED = 64
# Of coordinates, for derivatives.
_STEP = 1e-6
# Width of a step from value to value, in such steps.
_STEEP = 1e-9


def shares(edges: Array, fine: Array, width: float = 0.0, *, window: bool = False) -> Array:
    """Shares of fine bins in others, (fine, bins): averages of sigmoids over them.

    Args:
        edges: of the bins.
        fine: edges of the fine bins.
        width: of the sigmoids, in units of the observable; zero is a step.
        window: whether what is below the first and above the last edge is left out.
    """
    at = fine[:, np.newaxis] - edges
    beyond = np.maximum(at, 0.0) if width == 0 else width * np.logaddexp(0.0, at / width)
    above = np.diff(beyond, axis=0) / np.diff(fine)[:, np.newaxis]
    # An edge of the histogram is none: nothing is lost there.
    if not window or edges[0] <= fine[0]:
        above[:, 0] = 1.0
    if not window or edges[-1] >= fine[-1]:
        above[:, -1] = 0.0
    return above[:, :-1] - above[:, 1:]


def hard(model: ClosedForm, edges: Mapping[str, Sequence[float]]) -> Bins:
    """Bins with edges of the histograms; what is below the first and above the last is dropped."""
    result = {}
    for name, values in edges.items():
        fine = model.regions[name].drawn
        places = np.searchsorted(values, (fine[:-1] + fine[1:]) / 2) - 1
        result[name] = (places[:, np.newaxis] == np.arange(len(values) - 1)).astype(np.float64)
    return result


class Result(NamedTuple):
    """The end of a search.

    Attributes:
        loss: with hard cuts and bins.
        edges: by region.
        place: number of the value of each threshold.
        soft: loss before, None where there is no such.
        yields: there, by region; None likewise.
        losses: of all steps.
    """

    loss: float
    edges: Edges
    place: Place
    soft: float | None = None
    yields: dict[str, SoftYields] | None = None
    losses: tuple[float, ...] = ()


def candidate(
    model: ClosedForm,
    method: Method,
    edges: Edges,
    *,
    trials: Sequence[Trial] = (),
    place: Place = (),
    reference: Place | None = None,
    result: Result | None = None,
    seconds: float = 0.0,
) -> Candidate:
    """What bins and thresholds promise.

    Args:
        model: with the thresholds.
        method: that they are from.
        edges: by region.
        trials: the thresholds.
        place: number of the value of each.
        reference: the same of what it is compared with; None is that of the run.
        result: of the search, if there was one.
        seconds: of CPU that it took.
    """
    bins = hard(model, edges)
    estimate = model.estimate(bins)
    pairs = list(zip(trials, place, strict=True))
    others = np.not_equal(place, reference or (0,) * len(trials)).tolist()
    return Candidate(
        method=method,
        edges=edges,
        contents={
            name: {
                process: tuple(values)
                for process, values in zip(
                    of.processes, (of.nominal @ bins[name]).tolist(), strict=False
                )
            }
            for name, of in model.regions.items()
        },
        thresholds={trial.threshold.name: float(trial.values[at]) for trial, at in pairs},
        unknown=tuple(
            trial.threshold.name
            for trial, other in zip(trials, others, strict=True)
            if other and not trial.threshold.parameters
        ),
        uncertainty=float(np.sqrt(estimate.variance)),
        fit=float(np.sqrt(estimate.fit)),
        templates=float(np.sqrt(estimate.noise)),
        significance=model.significance(bins) or None,
        seconds=seconds,
        soft=None if result is None or result.soft is None else float(np.sqrt(result.soft)),
        yields=None if result is None else result.yields,
        losses=() if result is None else tuple(np.sqrt(result.losses).tolist()),
    )


def untuned(model: ClosedForm, edges: Edges) -> Edges:
    """The same bins with one more on either side, as far as the histograms go."""
    return {
        name: tuple(sorted({*values, *model.regions[name].edges[[0, -1]].tolist()}))
        for name, values in edges.items()
    }


def optimise(
    model: ThresholdTemplates,
    method: Method,
    settings: OptimisationSettings,
    windows: Sequence[str] = (),
) -> Result:
    """The best bins and thresholds that a method gives, of all wished numbers of bins.

    Args:
        model: of the run.
        method: "gradient" or "evolution".
        settings: of the configuration.
        windows: names of regions where bins on either side may be left out.

    Raises:
        ModelError: if nothing that was tried determines the parameter of interest.
    """
    search = _gradient if method == "gradient" else _evolution
    results = [search(_Search(model, n, settings, windows)) for n in sorted(settings.bins)]
    lowest = min(result.loss for result in results)
    if lowest >= _IMPOSSIBLE:
        raise ModelError(
            "no bins and thresholds that were tried determine the parameter of interest",
            place="optimise.bins",
            remedy="try more bins, or fewer thresholds",
        )
    # Of bins that are as good, the fewest.
    return next(result for result in results if result.loss <= lowest * (1 + _SAME))


class _Search:
    """Edges and thresholds as coordinates within bounds, and the loss of them.

    Args:
        model: of the run.
        number: of bins in each region.
        settings: of the configuration.
        windows: names of regions where bins on either side may be left out.
    """

    def __init__(
        self,
        model: ThresholdTemplates,
        number: int,
        settings: OptimisationSettings,
        windows: Sequence[str],
    ) -> None:
        self.model, self.settings = model, settings
        regions = model.model.regions
        self._windows = frozenset(windows)
        # On either side of a window there is one more width.
        self._numbers = {
            name: min(number, len(of.edges) - 1) + 2 * (name in self._windows)
            for name, of in regions.items()
        }
        self._first = sum(self._numbers.values())
        self.size = self._first + len(model.sizes)
        self.random = np.random.Generator(np.random.Philox(key=settings.seed, counter=number))
        self.bounds = [(-_RANGE, _RANGE)] * self._first + [(0.0, n - 1.0) for n in model.sizes]
        # Where all events pass a soft cut, or those of the tightest value do.
        self._outside = np.where(np.arange(self.size) < self._first, 0.0, _OUTSIDE)
        self._hard = lru_cache(_REMEMBERED)(model.at)

    def start(self, number: int) -> Array:
        """Coordinates of a start: the first has equal bins and the cuts of the run."""
        low, high = np.transpose(self.bounds)
        at = np.zeros(self.size)
        if number:
            at[: self._first] = _SPREAD * self.random.normal(size=self._first)
            at[self._first :] = self.random.uniform(low[self._first :], high[self._first :])
        return np.clip(at, low, high)

    def edges(self, at: Array) -> dict[str, Array]:
        """Edges of the coordinates: logarithms of widths, up to a factor."""
        result, first = {}, 0
        for name, n in self._numbers.items():
            widths = np.exp(at[first : first + n])
            low, high = self.model.model.regions[name].drawn[[0, -1]]
            steps = np.concatenate([[0.0], np.cumsum(widths) / widths.sum()])
            edges = low + (high - low) * steps
            result[name] = edges[1:-1] if name in self._windows else edges
            first += n
        return result

    def shares(self, at: Array, width: float) -> Bins:
        """Soft bins, with sigmoids of a width in steps of the histograms."""
        bins = {}
        for name, edges in self.edges(at).items():
            fine = self.model.model.regions[name].drawn
            size = width * (fine[-1] - fine[0]) / (len(fine) - 1)
            bins[name] = shares(edges, fine, size, window=name in self._windows)
        return bins

    def soft(self, at: Array, width: float) -> tuple[float, Array]:
        """Loss with sigmoids of a width, in steps of histograms and values, and its derivatives.

        Templates are differentiated by thresholds; the step of the differences is one of the
        templates along these derivatives, or of an edge.
        """
        numbers, slopes = self.model.soft(at[self._first :], width)
        loss, gradient = self._soft_bins(self.model.of(numbers), at, width)
        bins = self.shares(at, width)
        for axis, slope in enumerate(slopes, self._first):
            gradient[axis] = (
                self.loss(self.model.of(numbers + _STEP * slope), bins) - loss
            ) / _STEP
        return loss, gradient

    def soft_bins(self, at: Array, width: float) -> tuple[float, Array]:
        """The same with hard cuts, whose derivatives are zero."""
        return self._soft_bins(self._hard(self.place(at)), at, width)

    def _soft_bins(self, model: ClosedForm, at: Array, width: float) -> tuple[float, Array]:
        loss = self.loss(model, self.shares(at, width))
        gradient = np.zeros(self.size)
        for axis in range(self._first):
            moved = at.copy()
            moved[axis] += _STEP
            gradient[axis] = (self.loss(model, self.shares(moved, width)) - loss) / _STEP
        return loss, gradient

    def place(self, at: Array) -> Place:
        """The nearest values of thresholds."""
        highest = np.array(self.model.sizes, dtype=int) - 1
        return tuple(np.clip(np.rint(at[self._first :]), 0, highest).astype(int).tolist())

    def with_place(self, at: Array, place: Place) -> Array:
        """The same coordinates with values of thresholds."""
        return np.concatenate([at[: self._first], place])

    def snapped(self, at: Array) -> Edges:
        """The nearest edges of the histograms, each once."""
        result = {}
        for name, edges in self.edges(at).items():
            fine = self.model.model.regions[name].drawn
            places = np.abs(fine[:, np.newaxis] - edges).argmin(axis=0)
            if name not in self._windows:
                places[0], places[-1] = 0, len(fine) - 1
            elif places[0] == places[-1]:
                places[0], places[-1] = max(places[0] - 1, 0), max(places[0], 1)
            result[name] = tuple(self.model.model.regions[name].edges[np.unique(places)].tolist())
        return result

    def hard(self, at: Array) -> float:
        """Loss with edges of the histograms and values of thresholds."""
        model = self._hard(self.place(at))
        return self.loss(model, hard(model, self.snapped(at)))

    def loss(self, model: ClosedForm, bins: Bins) -> float:
        """What is minimised: a variance of the parameter of interest."""
        estimate = model.estimate(bins)
        loss = estimate.fit
        if self.settings.objective == "significance" and np.isfinite(loss):
            loss = 1 / max(model.significance(bins) ** 2, 1 / _IMPOSSIBLE)
        if self.settings.noise:
            loss += estimate.noise
        return loss if np.isfinite(loss) and loss > 0 else _IMPOSSIBLE

    def neighbours(self, edges: Edges) -> Iterator[Edges]:
        """Edges of which one is moved to the next one of its histogram."""
        for name, values in edges.items():
            fine = self.model.model.regions[name].edges
            places = np.searchsorted(fine, values)
            outer = 0 if name in self._windows else 1
            for number in range(outer, len(places) - outer):
                for step in (-1, 1):
                    moved = places.copy()
                    moved[number] += step
                    if 0 <= moved[number] < len(fine) and np.all(np.diff(moved) > 0):
                        yield {**edges, name: tuple(fine[moved].tolist())}

    def settled(self, at: Array) -> tuple[float, Edges]:
        """Loss and edges where none of the histograms beside them is better."""
        model, edges = self._hard(self.place(at)), self.snapped(at)
        loss = self.loss(model, hard(model, edges))
        moved = True
        while moved:
            moved = False
            for others in self.neighbours(edges):
                there = self.loss(model, hard(model, others))
                if there < loss * (1 - _SAME):
                    loss, edges, moved = there, others, True
                    break
        return loss, self.fewest(model, edges)

    def fewest(self, model: ClosedForm, edges: Edges) -> Edges:
        """The edges without those that make no difference, as beside bins without events."""
        loss = self.loss(model, hard(model, edges))
        for name in edges if loss < _IMPOSSIBLE else ():
            outer = 0 if name in self._windows else 1
            for edge in edges[name][outer : len(edges[name]) - outer]:
                others = {**edges, name: tuple(other for other in edges[name] if other != edge)}
                if len(others[name]) > 1 and (
                    self.loss(model, hard(model, others)) <= loss * (1 + _SAME)
                ):
                    edges = others
        return edges

    def yields(self, at: Array, width: float) -> dict[str, SoftYields]:
        """Expected events where a search downhill ended, and with hard bins and cuts near to it.

        Args:
            at: where it ended.
            width: of its sigmoids.
        """
        low, high = np.transpose(self.bounds)
        ends = [
            (self.model.of(self.model.soft(where[self._first :], size)[0]), self.shares(at, share))
            for where, size, share in ((at, width, width), (np.clip(at, low, high), _STEEP, 0.0))
        ]
        last = self._hard(self.place(at))
        ends.append((last, hard(last, self.snapped(at))))
        return {
            name: SoftYields(
                edges=tuple(values.tolist()),
                **{
                    key: tuple((model.regions[name].nominal.sum(axis=0) @ bins[name]).tolist())
                    for key, (model, bins) in zip(("soft", "steps", "rounded"), ends, strict=True)
                },
            )
            for name, values in self.edges(at).items()
        }

    def downhill(
        self, at: Array, width: float, losses: list[float], *, precision: float, cuts: bool = True
    ) -> Array:
        """Where L-BFGS-B ends.

        Args:
            at: where it starts.
            width: of the sigmoids.
            losses: of all steps, which are added.
            precision: relative change of the loss in a step that is none.
            cuts: whether thresholds move, too; else they are hard.
        """
        n = self.size if cuts else self._first
        low, high = np.transpose(self.bounds)
        bounds = np.stack([low - width * self._outside, high + width * self._outside], axis=1)[:n]

        def soft(part: Array) -> tuple[float, Array]:
            whole = np.concatenate([part, at[n:]])
            loss, gradient = self.soft(whole, width) if cuts else self.soft_bins(whole, width)
            return loss, gradient[:n]

        def followed(intermediate_result: scipy.optimize.OptimizeResult) -> None:
            losses.append(float(intermediate_result.fun))

        result = scipy.optimize.minimize(
            soft,
            np.clip(at[:n], bounds[:, 0], bounds[:, 1]),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": precision, "gtol": _SLOPE},
            callback=followed,
        )
        return np.concatenate([result.x, at[n:]])


def _gradient(search: _Search) -> Result:
    ends = []
    widths = search.settings.widths
    for number in range(search.settings.starts):
        at = search.start(number)
        losses: list[float] = []
        for width in widths[:-1]:
            at = search.downhill(at, width, losses, precision=_ON_THE_WAY)
        at = search.downhill(at, widths[-1], losses, precision=_LAST)
        soft, _ = search.soft(at, widths[-1])
        end = _nearest(search, at)
        if search.model.sizes:
            # Edges for the values that are there.
            again = search.downhill(end, widths[-1], losses, precision=_LAST, cuts=False)
            end = min((end, again), key=search.hard)
        loss, edges = search.settled(end)
        losses.append(loss)
        yields = search.yields(at, widths[-1])
        ends.append(Result(loss, edges, search.place(end), soft, yields, tuple(losses)))
    return min(ends, key=lambda end: end.loss)


def _nearest(search: _Search, at: Array) -> Array:
    """Coordinates with values of thresholds: the nearest ones, or neighbours that are better."""
    at = search.with_place(at, search.place(at))
    loss = search.hard(at)
    while True:
        place = search.place(at)
        neighbours = [
            search.with_place(at, (*place[:axis], value, *place[axis + 1 :]))
            for axis, size in enumerate(search.model.sizes)
            for value in (place[axis] - 1, place[axis] + 1)
            if 0 <= value < size
        ]
        if not neighbours:
            return at
        best = min(neighbours, key=search.hard)
        if search.hard(best) >= loss * (1 - _SAME):
            return at
        at, loss = best, search.hard(best)


def _evolution(search: _Search) -> Result:
    settings = search.settings
    losses: list[float] = []

    def followed(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        losses.append(float(intermediate_result.fun))

    result = scipy.optimize.differential_evolution(
        search.hard,
        search.bounds,
        popsize=settings.population,
        maxiter=settings.generations,
        polish=False,
        x0=search.start(0),
        # Losses are nearly the same long before the best is there.
        tol=_SAME,
        rng=search.random,
        callback=followed,
    )
    place = search.place(result.x)
    edges = search.fewest(search.model.at(place), search.snapped(result.x))
    return Result(float(result.fun), edges, place, losses=tuple(losses))


def judged(
    candidates: list[Candidate],
    model: Callable[[Candidate], ClosedForm],
    judge: Callable[[Candidate], ClosedForm],
    *,
    throws: int,
    seed: int,
    within: ClosedForm | None = None,
) -> list[Candidate]:
    """Candidates with their scatter in an independent simulation.

    Args:
        candidates: the first is what the others are compared with.
        model: of the run with the cuts of a candidate, which gives the estimators.
        judge: the same of the independent simulation.
        throws: of its statistics, for errors.
        seed: of these.
        within: the independent simulation with the loosest cuts, which has the events of all
            candidates; None where all have the same cuts.
    """
    scatters = []
    for entry in candidates:
        ours, truth = model(entry), judge(entry)
        bins = hard(ours, entry.edges)
        weights = ours.estimate(bins).weights
        # The same events for all, as far as they have the same.
        common = np.random.Generator(np.random.Philox(key=seed))
        own = np.random.Generator(np.random.Philox(key=seed, counter=1 << 64))
        truths = [truth, *(truth.thrown(common, within, own) for _ in range(throws))]
        scatters.append([each.scatter(bins, weights) for each in truths])
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


def gradients(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    settings: ModelSettings,
    minimiser: MinimiserSettings,
    *,
    subsets: Mapping[str, str],
) -> TemplateGradients:
    """Exact derivatives of the expected uncertainty by all templates.

    Args:
        analysis: the declaration.
        histograms: of the run.
        settings: of the model, with the bins.
        minimiser: how the minimum is found.
        subsets: datasets of which all events are in another one, which is named.

    Raises:
        ModelError: if the model cannot be built or fitted.
    """
    asimov = settings.model_copy(update={"data": "asimov"})
    built = build_workspace(analysis, histograms, asimov, subsets=subsets)
    model, data = workspace.load(built.workspace, place="optimised bins")
    task = problem(model, data, minimiser)
    selection = templates.select(analysis, histograms, asimov)
    samples = contents(analysis, selection, asimov.treatments, subsets)
    return template_gradients(model, task, expected_fit(task), samples, signal=None, limit=None)


def whole_fit(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    settings: ModelSettings,
    minimiser: MinimiserSettings,
    *,
    subsets: Mapping[str, str],
    toys: int,
    seed: int,
    signal: bool = False,
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
        signal: whether the hypothesis without signal is tested.

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
        significance=Signal(task).expected_significance() if signal else None,
        toys=len(pulls),
        bias=None if few else float(np.mean(misses) / (np.std(misses) / np.sqrt(len(misses)))),
        coverage=None if few else float(np.mean(np.abs(pulls) < 1)),
    )
