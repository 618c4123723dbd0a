"""Exact derivatives of numbers that a fit gives by what its model is made of.

What follows from a fit (a best fit, its variance, a test statistic) depends on the templates t
through the rates of the bins at some points, and through their slopes along some directions. Its
derivative by t is a sum of terms

    d/dt sum_b (w_b rate_b(x) + w'_b v . grad rate_b(x)),

whose weights w, w', points x and directions v are known after the fit: no fit is repeated.
``sensitivity`` has them. In a cell, contents and changes are linear, and factors are what their
logarithm multiplies, so that all derivatives follow from the product of its factors, its events,
and functions of one parameter each.

Auxiliary measurements depend on templates, too: the widths of the statistical factors of bins do on
contents and sums of squared weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agc_pipeline.inference.interpolation import Array, by_ends, factors_by_ends
from agc_pipeline.inference.likelihood import Likelihood

if TYPE_CHECKING:
    import pyhf

Positions = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Term:
    """One term of a derivative.

    Attributes:
        at: the point, (p).
        weights: of the rates, (b).
        along: the direction, (p); None without slopes.
        slope_weights: of the slopes along it, (b); None without.
    """

    at: Array
    weights: Array
    along: Array | None = None
    slope_weights: Array | None = None


class Sides(NamedTuple):
    """Derivatives by what cells have of a systematic, up and down, (c) each."""

    up: Array
    down: Array


@dataclass(frozen=True)
class Gradient:
    """The derivative of a number by all that a model is made of.

    Attributes:
        likelihood: the model.
        terms: whose sum it is.
        by_weight: derivative by the inverse squared widths of Gaussian auxiliary measurements, (p).
        by_rate: derivative by the rates of Poisson ones, whose counts go with them, (p).
    """

    likelihood: Likelihood
    terms: tuple[Term, ...]
    by_weight: Array
    by_rate: Array

    def scaled(self, factor: float) -> "Gradient":
        """That of a multiple."""
        terms = tuple(
            Term(
                term.at,
                factor * term.weights,
                term.along,
                None if term.slope_weights is None else factor * term.slope_weights,
            )
            for term in self.terms
        )
        return Gradient(self.likelihood, terms, factor * self.by_weight, factor * self.by_rate)

    @cached_property
    def contents(self) -> Array:
        """By the nominal contents of cells, with the changes of systematics as they are, (c)."""
        contents: Array = sum(
            (each.of_contents for each in self._parts), start=np.zeros(len(self.likelihood.nominal))
        )
        return contents

    def shape(self, parameter: int, cells: Positions) -> Sides:
        """By the changes of cells at one standard deviation of a parameter up and down."""
        sides = np.zeros((2, len(cells)))
        for part in self._parts:
            for side, ends in enumerate(part.shapes):
                value, slope = ends[:, parameter]
                sides[side] += value * part.of_contents[cells] + slope * part.of_slopes[cells]
        return Sides(*sides)

    def factor(self, norm: int, cells: Positions) -> Sides:
        """By the factors on cells at one standard deviation of a parameter up and down.

        Args:
            norm: number of the interpolated normalisation.
            cells: that it acts on.
        """
        sides = np.zeros((2, len(cells)))
        for part in self._parts:
            for side, ends in enumerate(part.factors):
                value, slope = ends[:, norm]
                sides[side] += value * part.of_events[cells] + slope * part.of_moved[cells]
        return Sides(*sides)

    @cached_property
    def _parts(self) -> list["_Part"]:
        return [_part(self.likelihood, term) for term in self.terms]


class _Part(NamedTuple):
    """What the derivatives of a term are made of.

    Attributes:
        of_contents: derivative by the contents of cells, (c).
        of_slopes: what counts of a content that changes along the direction, (c).
        of_events: the first for the logarithms of factors, (c).
        of_moved: the second, likewise.
        shapes: what is added to a cell for a change of one, up and down, and how that changes along
            the direction, (2, p) each.
        factors: the same for the logarithms of the interpolated normalisations, (2, m) each.
    """

    of_contents: Array
    of_slopes: Array
    of_events: Array
    of_moved: Array
    shapes: tuple[Array, Array]
    factors: tuple[Array, Array]


def _part(likelihood: Likelihood, term: Term) -> _Part:
    along = np.zeros_like(term.at) if term.along is None else term.along
    slopes = np.zeros_like(term.weights) if term.slope_weights is None else term.slope_weights
    w, s = term.weights[likelihood.bin], slopes[likelihood.bin]
    cells = likelihood.cells(term.at, along)
    norms = likelihood.norms
    factors = factors_by_ends(
        term.at[norms.parameter], np.exp(norms.factors.rate_up), np.exp(-norms.factors.rate_down)
    )
    moved = np.stack([np.ones(len(norms.parameter)), along[norms.parameter]])
    up, down = by_ends(term.at)
    return _Part(
        w * cells.product + s * cells.product_slope,
        s * cells.product,
        w * cells.events + s * cells.events_slope,
        s * cells.events,
        (np.stack([up.value, along * up.first]), np.stack([down.value, along * down.first])),
        (factors[0] * moved, factors[1] * moved),
    )


class Change(NamedTuple):
    """A systematic of a sample, as a model has it.

    Attributes:
        parameter: its position.
        norm: number of the normsys in the likelihood; None without one.
        factors: on the yield, up and down; None likewise.
        shape: contents up and down; None without a histosys.
    """

    parameter: int
    norm: int | None = None
    factors: tuple[float, float] | None = None
    shape: tuple[tuple[float, ...], tuple[float, ...]] | None = None


@dataclass(frozen=True)
class Place:
    """A sample of a channel in a likelihood.

    Attributes:
        channel: its name.
        sample: its name.
        cells: its cells, in the order of the bins, (bins).
        contents: nominal, (bins).
        changes: its systematics, by name of the parameter.
        statistical: positions of the parameters of staterror that multiply it, (bins), or None.
        uncertainties: statistical ones of its contents, (bins); None likewise.
        poisson: the same for shapesys.
        poisson_uncertainties: likewise.
    """

    channel: str
    sample: str
    cells: Positions
    contents: Array
    changes: dict[str, Change]
    statistical: Positions | None = None
    uncertainties: Array | None = None
    poisson: Positions | None = None
    poisson_uncertainties: Array | None = None


class Statistics(NamedTuple):
    """Derivatives of a number through the statistical factors of the bins of a sample, (bins) each.

    Attributes:
        contents: by its contents.
        squared_weights: by its sums of squared weights; zero without such a factor.
    """

    contents: Array
    squared_weights: Array


class Places:
    """The samples of a model in its likelihood.

    Args:
        model: from ``workspace.load``.
        likelihood: of it.
    """

    def __init__(self, model: "pyhf.Model", likelihood: Likelihood) -> None:
        self._config = model.config
        self._likelihood = likelihood
        self._norms = 0
        self.all = tuple(self._walk(model))
        self._by_name = {(place.channel, place.sample): place for place in self.all}
        self._sums: dict[int, list[float]] = {}
        for place in self.all:
            if place.statistical is not None and place.uncertainties is not None:
                entries = zip(place.statistical, place.contents, place.uncertainties, strict=True)
                for parameter, content, uncertainty in entries:
                    sums = self._sums.setdefault(int(parameter), [0.0, 0.0])
                    sums[0] += float(content)
                    sums[1] += float(uncertainty) ** 2

    def __getitem__(self, name: tuple[str, str]) -> Place:
        """A sample of a channel."""
        return self._by_name[name]

    def statistics(self, gradient: Gradient, place: Place) -> Statistics:
        """Derivatives through the widths of the statistical factors of a sample."""
        contents, squares = (np.zeros(len(place.cells)) for _ in range(2))
        if place.statistical is not None:
            for b, parameter in enumerate(place.statistical):
                content, square = self._sums[int(parameter)]
                if square > 0:
                    by_weight = gradient.by_weight[parameter]
                    contents[b] += 2 * content / square * by_weight
                    squares[b] -= (content / square) ** 2 * by_weight
        if place.poisson is not None and place.poisson_uncertainties is not None:
            variance = place.poisson_uncertainties**2
            known = (variance > 0) & (place.contents > 0)
            by_rate = np.where(known, gradient.by_rate[place.poisson], 0.0)
            variance = np.where(known, variance, 1.0)
            contents += 2 * place.contents / variance * by_rate
            squares -= (place.contents / variance) ** 2 * by_rate
        return Statistics(contents, squares)

    def _walk(self, model: "pyhf.Model") -> Iterator[Place]:
        config = self._config
        before: dict[str, int] = {}
        # As pyhf counts the parameters of a staterror: one channel after the other.
        channels = sorted(
            model.spec["channels"], key=lambda channel: config.channel_slices[channel["name"]].start
        )
        for channel in channels:
            name = channel["name"]
            bins = np.arange(*config.channel_slices[name].indices(config.nmaindata))
            names: set[str] = set()
            for sample in channel["samples"]:
                yield self._place(name, sample, bins, before)
                names |= {m["name"] for m in sample["modifiers"] if m["type"] == "staterror"}
            for modifier in names:
                before[modifier] = before.get(modifier, 0) + len(bins)

    def _place(self, channel: str, sample: Any, bins: Positions, before: dict[str, int]) -> Place:
        config, likelihood = self._config, self._likelihood
        of_sample = np.flatnonzero(likelihood.sample == config.samples.index(sample["name"]))
        cells = of_sample[np.isin(likelihood.bin[of_sample], bins)]
        changes: dict[str, Change] = {}
        extra: dict[str, Any] = {}
        for modifier in sample["modifiers"]:
            name, values = modifier["name"], modifier["data"]
            start = config.par_slice(name).start
            change = changes.get(name, Change(start))
            match modifier["type"]:
                case "normsys":
                    changes[name] = change._replace(
                        norm=self._norms, factors=(values["hi"], values["lo"])
                    )
                    self._norms += 1
                case "histosys":
                    shape = tuple(values["hi_data"]), tuple(values["lo_data"])
                    changes[name] = change._replace(shape=shape)
                case "staterror":
                    extra["statistical"] = start + before.get(name, 0) + np.arange(len(bins))
                    extra["uncertainties"] = np.array(values, dtype=np.float64)
                case "shapesys":
                    extra["poisson"] = start + np.arange(len(bins))
                    extra["poisson_uncertainties"] = np.array(values, dtype=np.float64)
                case _:
                    pass
        return Place(
            channel=channel,
            sample=sample["name"],
            cells=cells,
            contents=np.array(sample["data"], dtype=np.float64),
            changes=changes,
            **extra,
        )


class Partials(NamedTuple):
    """Derivatives by what a model has of a systematic in a sample.

    Attributes:
        high, low: by the factors on the yield; zero without a normsys. One number, or an axis of
            several, as the changes have it before their bins.
        up, down: by the changes of the bins; zero without a histosys.
    """

    high: float | Array
    low: float | Array
    up: Array
    down: Array


def partials(gradient: Gradient, place: Place, parameter: str) -> Partials:
    """Derivatives by what a model has of a systematic in a sample."""
    change = place.changes.get(parameter)
    high = low = 0.0
    up = down = np.zeros(len(place.cells))
    if change is not None and change.norm is not None:
        high, low = (float(side.sum()) for side in gradient.factor(change.norm, place.cells))
    if change is not None and change.shape is not None:
        up, down = gradient.shape(change.parameter, place.cells)
    return Partials(high, low, up, down)
