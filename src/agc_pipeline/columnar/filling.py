"""Histograms whose sums do not depend on their order.

Weights and their squares are rounded to 26 significant bits, 1.5e-8 of each at most, and to
multiples of 2^-48 of a unit. Each is added in two parts, a multiple of 2^-24 and the remainder:
float64 adds the first ones exactly up to 5e8 units in a bin, and the second ones of up to 1e9
entries, so chunks, files and executors in any order give the same bits. The unit is a power of two
near the typical weight of a dataset's events, the same for all of its files, and 1 where events are
counted; weights that it does not suit are an error. The parts are put together, and cross sections
applied, once, after all sums.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from operator import methodcaller
from typing import Any, NamedTuple, Self

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.columnar.exactness import FINE_GRID, GRID
from agc_pipeline.compiling import kernel
from agc_pipeline.errors import AnalysisError

Array = npt.NDArray[Any]

# Times this, float64 leaves half of its bits of a number.
_HALF = 2.0**27 + 1.0


def empty(edges: Sequence[float], variations: Sequence[str]) -> hist.Hist:
    """A histogram of variation and observable, with under- and overflow of the observable."""
    return hist.Hist(
        hist.axis.StrCategory(variations, name="variation"),
        hist.axis.Variable(edges, name="observable"),
        storage=hist.storage.Weight(),
    )


def empty_migrations(edges: Sequence[float], variations: Sequence[str]) -> hist.Hist:
    """A histogram of variation, unvaried and varied observable, with under- and overflow."""
    return hist.Hist(
        hist.axis.StrCategory(variations, name="variation"),
        hist.axis.Variable(edges, name="nominal"),
        hist.axis.Variable(edges, name="varied"),
        storage=hist.storage.Double(),
    )


class Entries(NamedTuple):
    """Entries in the bins of a region.

    Attributes:
        events: positions in the range of events, ascending.
        bins: that they are in; 0 is the underflow.
        weights: of the entries; None is 1 for each.
    """

    events: Array
    bins: Array
    weights: Array | None


class _Sums:
    """Sums in bins, of which each quantity is added in two parts.

    Their arrays are by part, variation and bins: multiples of the grid, and remainders. Both are
    exact, so that any order of additions gives the same bits; what the parts give together is not.
    """

    _quantities: tuple[str, ...]

    def __add__(self, other: Self) -> Self:
        total = copy(self)
        for name in self._quantities:
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.parts() == other.parts()

    __hash__ = None  # type: ignore[assignment] # they are filled

    def histogram(self) -> hist.Hist:
        """What both parts give together, once all is added."""
        return whole(*self.parts())

    def parts(self) -> tuple[hist.Hist, hist.Hist]:
        """Each part as a histogram."""
        return self._part(0), self._part(1)

    def _part(self, number: int) -> hist.Hist:
        raise NotImplementedError


class Sums(_Sums):
    """Sums of weights in bins.

    Args:
        edges: of the bins; under- and overflow are kept as well.
        variations: each has sums of its own.
        unit: of the weights, a power of two.
        place: dataset, process and region, for messages.
    """

    _quantities = ("_values", "_variances", "_sizes", "_entries")

    def __init__(
        self,
        edges: Sequence[float],
        variations: Sequence[str],
        unit: float = 1.0,
        place: str = "weights and observables of events",
    ) -> None:
        self._edges = np.array(edges)
        self._variations = tuple(variations)
        self._unit = unit
        self._place = place
        shape = (len(self._variations), len(edges) + 1)
        # Of weights and of squares, in units.
        self._values = np.zeros((2, *shape))
        self._variances = np.zeros((2, *shape))
        self._sizes = np.zeros(shape)
        self._entries = np.zeros(shape)

    def fill(self, values: Array, weights: Mapping[str, Array | None]) -> Array:
        """Add entries to some variations.

        Args:
            values: ``events`` numbers, in the unit of the edges.
            weights: variation to weights, ``events``; None is 1 for each. The first is the
                variation of the selection that the values are of.

        Returns:
            The bins of the entries, ``events``; 0 is the underflow.

        Raises:
            AnalysisError: if a value is NaN, or a weight is NaN or infinite.
        """
        require_numbers(values, next(iter(weights), None), self._place)
        bins: Array = bins_of(self._edges, values)
        for variation, factors in weights.items():
            row = self._variations.index(variation)
            if factors is None:
                counts = np.bincount(bins, minlength=len(self._edges) + 1)
                self._values[0, row] += counts / self._unit
                self._variances[0, row] += counts / self._unit**2
            else:
                _add(
                    bins,
                    factors,
                    1.0 / self._unit,
                    self._values[:, row],
                    self._variances[:, row],
                    self._sizes[row],
                    self._entries[row],
                )
                # Sums tell at once, and finite weights may have too large a sum.
                if not (np.isfinite(self._sizes[row]).all() or np.isfinite(factors).all()):
                    raise not_finite(factors, variation, self._place)
        return bins

    def _part(self, number: int) -> hist.Hist:
        histogram = empty(self._edges.tolist(), self._variations)
        view = histogram.view(flow=True)
        rows = slice(len(self._variations))
        view["value"][rows] = self._values[number] * self._unit
        view["variance"][rows] = self._variances[number] * self._unit**2
        return histogram

    @property
    def scale(self) -> dict[str, Array]:
        """What tells whether the unit suits the weights, see ``check_scale``."""
        return {"entries": self._entries, "sizes": self._sizes, "squares": self._squares}

    @property
    def _squares(self) -> Array:
        return np.where(self._entries > 0, self._variances.sum(axis=0), 0.0)


class Migrations(_Sums):
    """Sums of the products of unvaried and varied weights of events that are selected in both.

    By the bin that an event is in without and with a variation: the statistical covariance of the
    contents of these two bins. No product is larger than the mean of the two squares, so that
    weights that suit ``Sums`` suit these.

    Args:
        edges: of the bins; under- and overflow are kept as well.
        variations: those that redo the selection.
        unit: of the weights, a power of two.
    """

    _quantities = ("_products",)

    def __init__(
        self, edges: Sequence[float], variations: Sequence[str], unit: float = 1.0
    ) -> None:
        self._edges = tuple(edges)
        self._variations = tuple(variations)
        self._unit = unit
        self._n = len(edges) + 1
        self._products = np.zeros((2, len(self._variations), self._n, self._n))

    def fill(self, variation: str, nominal: Entries, varied: Entries) -> None:
        """Add the events that have an entry both without and with a variation."""
        _, unvaried, moved = np.intersect1d(
            nominal.events, varied.events, assume_unique=True, return_indices=True
        )
        products = product(_at(nominal.weights, unvaried), _at(varied.weights, moved))
        cells = nominal.bins[unvaried] * self._n + varied.bins[moved]
        parts: tuple[Array | None, ...] = (None,)
        if products is not None:
            parts = _parts(products / self._unit**2)
        scale = 1.0 if products is None else self._unit**2
        row = self._variations.index(variation)
        for part, sums in zip(parts, self._products, strict=False):
            counts = np.bincount(cells, part, minlength=self._n**2)
            sums[row] += counts.reshape(self._n, self._n) * scale

    def _part(self, number: int) -> hist.Hist:
        histogram = empty_migrations(self._edges, self._variations)
        histogram.view(flow=True)[: len(self._variations)] = self._products[number]
        return histogram


def _at(weights: Array | None, positions: Array) -> Array | None:
    return None if weights is None else weights[positions]


def product(one: Array | None, other: Array | None) -> Array | None:
    """The product of weights of events, of which None is 1 for each."""
    if one is None or other is None:
        return other if one is None else one
    return one * other


def require_numbers(values: Array, variation: str | None, place: str) -> None:
    """Refuse observables that are NaN: an event with one is in no bin.

    Args:
        values: of the observable, ``events``.
        variation: of the selection; None is unknown.
        place: where the observable is filled.

    Raises:
        AnalysisError: if there are some.
    """
    if n := int(np.count_nonzero(np.isnan(values))):
        raise AnalysisError(
            f"the observable is NaN for {n} of {len(values)} selected events of a chunk",
            place=place + (f", variation {variation}" if variation else ""),
            remedy="leave such events out by the mask of the region, or let its function `values` "
            "return a number for each event; infinite ones are in the under- and overflow",
        )


def by_region(
    function: Callable[..., Any], *contents: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What a function gives for each process and region.

    Args:
        function: of what each of the contents has there.
        contents: by process and region, of which all have those of the first.
    """
    first, *others = contents
    return {
        process: {
            region: function(part, *(other[process][region] for other in others))
            for region, part in regions.items()
        }
        for process, regions in first.items()
    }


def complete(output: Mapping[str, Any]) -> dict[str, Any]:
    """What all chunks give together, with sums as histograms.

    Args:
        output: with ``Sums`` by process and region as "histograms", and ``Migrations``.
    """
    return {
        **output,
        **{
            content: by_region(methodcaller("histogram"), output[content])
            for content in ("histograms", "migrations")
        },
    }


def whole(histogram: hist.Hist, remainder: hist.Hist) -> hist.Hist:
    """Sums, whose parts were added by themselves: in any order, their sum has the same bits."""
    return histogram + remainder


def not_finite(weights: Array, variation: str, place: str) -> AnalysisError:
    """What to say of weights of which some are NaN or infinite."""
    n_nan = int(np.count_nonzero(np.isnan(weights)))
    n, what = (n_nan, "NaN") if n_nan else (int(np.count_nonzero(np.isinf(weights))), "infinite")
    return AnalysisError(
        f"{n} of {len(weights)} weights of {variation} are {what} in a chunk of events",
        place=f"{place}, variation {variation}",
        remedy="let the function of the weights return a finite number for each selected event "
        "(1 where it has nothing to correct), and look for divisions by zero and undefined columns",
    )


@kernel
def bins_of(edges: Array, values: Array) -> Array:
    """Number of edges that are not above each value, which is not NaN: ``int64``."""
    bins = np.empty(len(values), np.int64)
    for i in range(len(values)):
        low, high = 0, len(edges)
        while low < high:
            middle = (low + high) // 2
            if values[i] < edges[middle]:
                high = middle
            else:
                low = middle + 1
        bins[i] = low
    return bins


@kernel
def _rounded(number: float) -> float:
    """A number in units, to 26 significant bits and a multiple of the fine grid."""
    # Dekker's way to half of the bits.
    large = number * _HALF
    rounded: float = np.rint((large - (large - number)) * FINE_GRID) / FINE_GRID
    return rounded


@kernel
def _multiple(number: float) -> float:
    """The multiple of the grid that is next to a number in units."""
    multiple: float = np.rint(number * GRID) / GRID
    return multiple


@kernel
def _parts(numbers: Array) -> tuple[Array, Array]:
    """Multiples of the grid next to numbers in units, and remainders."""
    multiples, remainders = np.empty(len(numbers)), np.empty(len(numbers))
    for i in range(len(numbers)):
        number = _rounded(numbers[i])
        multiples[i] = _multiple(number)
        remainders[i] = number - multiples[i]
    return multiples, remainders


@kernel
def _add(
    bins: Array,
    weights: Array,
    inverse_unit: float,
    sums: Array,
    squares: Array,
    sizes: Array,
    entries: Array,
) -> None:
    """Add weights and their squares, each in two parts, to bins, with their sizes; count them."""
    for i in range(len(bins)):
        weight = weights[i] * inverse_unit
        number, square = _rounded(weight), _rounded(weight * weight)
        multiple, square_multiple = _multiple(number), _multiple(square)
        sums[0, bins[i]] += multiple
        sums[1, bins[i]] += number - multiple
        squares[0, bins[i]] += square_multiple
        squares[1, bins[i]] += square - square_multiple
        sizes[bins[i]] += abs(weight)
        entries[bins[i]] += weight != 0.0
