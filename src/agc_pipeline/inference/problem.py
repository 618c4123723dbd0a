"""A fit that can be repeated: from other starts, with parameters held, for other data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.constraints import Constraints
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.likelihood import Likelihood
from agc_pipeline.inference.minimum import Mask, Minimum, minimise
from agc_pipeline.inference.modifiers import model_likelihood
from agc_pipeline.inference.settings import MinimiserSettings

if TYPE_CHECKING:
    import pyhf

NO_INTEREST = "the model has no parameter of interest"

# Fewer expected events are none.
NO_EVENTS = 1e-9

# Minima that differ by less in -2 ln L are the same.
_SAME = 1e-6
# Width of the distribution of the logarithm of free factors in random starts.
_SPREAD = 0.3
# Pull from which on there may be another minimum, and places to look for it: so many pulls
# reversed, and so many at random.
_STRAINED = 2.0
# Likewise, value of the statistic relative to the number of bins.
_MISFIT = 2.0
# And where, with bins without data, there may be one that describes the data better by far.
_HOPELESS = 10.0
_REVERSED, _DISTANT = 6, 16
# Rounds of them at most, each around the lowest minimum of the one before.
_ROUNDS = 4
# A start that the data exclude comes nearer to the model's own so many times.
_HALVINGS = 8


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
        bins: names, (b).
        poi: position of the parameter of interest; None if the model has none.
        idle: parameters that change nothing, wherever the others are; they are fixed, (p).
        settings: when a fit has converged.
    """

    likelihood: Likelihood
    start: Array
    bounds: Array
    fixed: Mask
    names: tuple[str, ...]
    bins: tuple[str, ...]
    poi: int | None
    idle: Mask
    settings: MinimiserSettings

    @property
    def without_effect(self) -> Mask:
        """Parameters that change nothing, those with auxiliary measurements included, (p)."""
        return self.idle | (~self.fixed & ~self.likelihood.effective(len(self.fixed)))

    def named(self, mask: Mask) -> tuple[str, ...]:
        """Names of some parameters."""
        return tuple(name for name, is_in in zip(self.names, mask, strict=True) if is_in)

    def impossible_bins(self, held: Mapping[int, float]) -> tuple[str, ...]:
        """Names of bins with data in which nothing is expected at the start.

        Args:
            held: values of parameters, by position, in place of their start.
        """
        # A free factor that starts at zero may grow.
        free = self.likelihood.constraints.widths() == 0
        start = np.where(free & (self.start == 0), 1e-3, self.start)
        for position, value in held.items():
            start[position] = value
        excluded = np.flatnonzero(self.likelihood.excluded(self.likelihood.rates(start)))
        return tuple(self.bins[number] for number in excluded)

    def lowest(self, starts: Iterable[Array], held: Mapping[int, float] | None = None) -> Search:
        """The lowest minimum that is reached from several starts.

        Args:
            starts: parameters (p); those of fixed parameters do not matter.
            held: values of parameters, by position, that are fixed in addition.

        Raises:
            ModelError: why the first start failed, if all of them fail.
        """
        return _lowest(self._minima(starts, held or {}))

    def search(self) -> Search:
        """The lowest minimum of all parameters.

        Where other minima are to be expected, it starts from more places: if there are several
        already, if rates are zero at the lowest, if it describes the data badly, if parameters are
        far from their measurements, or if a shape can double a bin or empty it. It goes on around
        the lowest minimum while it finds lower ones, or none that describes the data.

        Raises:
            ModelError: why the first start failed, if all of them fail.
        """
        return self._search(self.starts(), {})

    def _search(self, starts: Iterable[Array], held: Mapping[int, float]) -> Search:
        ends = self._minima(starts, held)
        if _height(ends) < np.inf and not self._is_strained(_lowest(ends)):
            return _lowest(ends)
        # Bins without data, whose rates must not be negative, can part the parameters' space.
        borders = bool(np.any(self.likelihood.data == 0))
        middle = self.start
        for number in range(_ROUNDS):
            height = _height(ends)
            best = _lowest(ends).minimum.parameters if height < np.inf else self.start
            ends += self._minima(self._distant(best, middle, number), held)
            lower = _height(ends) < height - _SAME
            if not (lower or (borders and _height(ends) > _HOPELESS * len(self.bins))):
                break
            middle = _lowest(ends).minimum.parameters if lower else self.start
        return _lowest(ends)

    def _is_strained(self, search: Search) -> bool:
        best = search.minimum
        return (
            search.minima > 1
            or bool(best.zero_rates)
            or best.expansion.value > _MISFIT * len(self.bins)
            or self.likelihood.largest_shift(self.start) > 1
            or bool(np.any(np.abs(self._pulls(best.parameters)) > _STRAINED))
        )

    def _pulls(self, parameters: Array) -> Array:
        """Distance of the parameters from their start, in units of their width; zero without."""
        widths = np.where(self.fixed, 0.0, self.likelihood.constraints.widths())
        pulls: Array = (parameters - self.start) / np.where(widths > 0, widths, np.inf)
        return pulls

    def _distant(self, best: Array, middle: Array, number: int) -> list[Array]:
        """Places to start from that are far away: the pulls of a minimum reversed, and others.

        Args:
            best: the minimum, (p).
            middle: of the others, (p).
            number: of the round, for the random numbers.
        """
        pulls = self._pulls(best)
        starts = []
        for position in np.argsort(-np.abs(pulls))[:_REVERSED]:
            if abs(pulls[position]) > 1:
                there = best.copy()
                there[position] = 2 * self.start[position] - best[position]
                starts.append(there)
        random = np.random.Generator(np.random.Philox(key=1 + number))
        widths = self.likelihood.constraints.widths()
        interpolated = np.zeros(len(best), dtype=np.bool_)
        interpolated[self.likelihood.shifts.parameter] = True
        interpolated[self.likelihood.norms.parameter] = True
        for trial in range(_DISTANT):
            draw = random.normal(size=len(best))
            turned = (self.bounds[:, 0] < 0) & (random.random(len(best)) < 0.5)
            free = np.where(turned, -1, 1) * middle * np.exp(3 * _SPREAD * draw)
            # Every other one is far away in shapes and normalisations; factors of bins follow.
            reach = 4 * widths * interpolated if trial % 2 else 2 * widths
            starts.append(np.where(widths > 0, middle + reach * draw, free))
        return starts

    def _minima(
        self, starts: Iterable[Array], held: Mapping[int, float]
    ) -> list[Minimum | ModelError]:
        """Where fits end that start from these places, or why they fail."""
        fixed, values = self.fixed.copy(), self.start.copy()
        for position, value in held.items():
            fixed[position], values[position] = True, value
        ends: list[Minimum | ModelError] = []
        for start in starts:
            try:
                minimum = minimise(
                    self.likelihood,
                    self._allowed(np.where(fixed, values, start), fixed),
                    bounds=self.bounds,
                    fixed=fixed,
                    settings=self.settings,
                )
            except ModelError as error:
                ends.append(error)
            else:
                ends.append(minimum)
        return ends

    def _allowed(self, start: Array, fixed: Mask) -> Array:
        """A place to start from that the data do not exclude: nearer to the model's own start."""
        # Values that are held may be beyond the bounds.
        at: Array = np.where(fixed, start, np.clip(start, *self.bounds.T))
        own = np.where(fixed, start, np.clip(self.start, *self.bounds.T))
        for _ in range(_HALVINGS):
            if self.likelihood.allows(at):
                return at
            at = (at + own) / 2
        return own

    def conditional(
        self, best: Minimum, held: Mapping[int, float], *near: Array, far: bool = False
    ) -> Minimum:
        """The lowest minimum with some parameters held.

        Two minima may compete: it starts from the best fit, from where the others are expected to
        be if the likelihood were Gaussian, and as the model says.

        Args:
            best: minimum without holding them.
            held: position to value.
            near: further starts.
            far: start from more places where other minima are to be expected, as ``search`` does:
                strengths that the data exclude strain the other parameters.

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
        find = self._search if far else self.lowest
        return find([*starts, self.start], held).minimum

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

    def asimov(self, parameters: Array) -> "Problem":
        """The same for the data, auxiliary ones included, that the model expects, (p)."""
        measured = self.likelihood.constraints
        constraints = Constraints(
            centre=np.where(measured.weight > 0, parameters, measured.centre),
            weight=measured.weight,
            counts=measured.rate * parameters,
            rate=measured.rate,
        )
        rates = self.likelihood.rates(parameters)
        # On the border of a rate of zero, rounding would be events that another model cannot
        # expect.
        return self.with_data(np.where(rates > NO_EVENTS, rates, 0.0), constraints)


def no_interest() -> ModelError:
    """The reason why something does not exist in a model without a parameter of interest."""
    return ModelError(
        NO_INTEREST,
        place="measurement of the workspace",
        remedy="name one with `input.poi`, or add a signal with `input.patch`",
    )


def _height(ends: Sequence[Minimum | ModelError]) -> float:
    """Value at the lowest of the minima; infinite if there are none."""
    heights = (end.expansion.value for end in ends if isinstance(end, Minimum))
    return min(heights, default=np.inf)


def _lowest(ends: Sequence[Minimum | ModelError]) -> Search:
    """The lowest of the minima.

    Raises:
        ModelError: the first, if there are no minima.
    """
    minima = [end for end in ends if isinstance(end, Minimum)]
    if not minima:
        raise next(end for end in ends if isinstance(end, ModelError))
    heights = np.array([minimum.expansion.value for minimum in minima])
    # Of starts that reach the same minimum the first counts, not the one with luckier rounding.
    same = [minima[number] for number in np.flatnonzero(heights <= heights.min() + _SAME)]
    # One in which all parameters are determined is better, though.
    first = next((minimum for minimum in same if not minimum.undetermined.any()), same[0])
    return Search(
        first,
        starts=len(ends),
        minima=1 + int(np.count_nonzero(np.diff(np.sort(heights)) > _SAME)),
    )


def problem(model: "pyhf.Model", data: list[float], settings: MinimiserSettings) -> Problem:
    """The fit of a model.

    Args:
        model: from ``workspace.load``.
        data: observed events and auxiliary data, in pyhf's order.
        settings: when a fit has converged.

    Raises:
        ModelError: if the model is not supported, or expects no events in a bin with data.
    """
    config = model.config
    likelihood = model_likelihood(model, data)
    bounds = np.array(config.suggested_bounds(), dtype=np.float64)
    fixed = np.array(config.suggested_fixed(), dtype=np.bool_) | likelihood.constraints.exact()
    # Bounds without room between them hold a parameter as well.
    held = ~fixed & (bounds[:, 0] == bounds[:, 1])
    start = np.array(config.suggested_init(), dtype=np.float64)
    start[held] = bounds[held, 0]
    fixed |= held
    idle = ~fixed & (likelihood.constraints.widths() == 0) & ~likelihood.effective(len(fixed))
    task = Problem(
        likelihood=likelihood,
        start=start,
        bounds=bounds,
        fixed=fixed | idle,
        names=tuple(config.par_names),
        bins=_bins(model),
        poi=config.poi_index,
        idle=idle,
        settings=settings,
    )
    _require_prediction(task)
    return task


def _bins(model: "pyhf.Model") -> tuple[str, ...]:
    """Names of the bins, which are counted from 0, in their order."""
    slices = model.config.channel_slices
    names = [
        f"{channel} bin {number}"
        for channel in sorted(slices, key=lambda channel: int(slices[channel].start))
        for number in range(slices[channel].stop - slices[channel].start)
    ]
    return tuple(names)


def _require_prediction(task: Problem) -> None:
    """Refuse data in a bin in which the model expects nothing: no parameter could explain them."""
    bins = task.impossible_bins({})
    if bins:
        raise ModelError(
            f"data but zero expected yield in {', '.join(bins)} (counted from 0)",
            place="workspace",
            remedy="use more simulated events, or merge bins with `fit.model.edges`",
        )
