"""Histograms whose sums do not depend on their order.

Weights relative to the nominal and their squares are rounded to multiples of 2^-24, about 6e-8:
float64 adds such numbers exactly up to 5e8 in a bin, so chunks, files and executors in any order
give the same bits. Cross-section weights are applied once, after all sums.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.columnar.compiling import kernel
from agc_pipeline.columnar.performance import Clock

Array = npt.NDArray[Any]

_GRID = 2.0**24

_CLOCK: ContextVar[Clock] = ContextVar("clock")


def on_grid(values: Any) -> Any:
    """Values rounded to the nearest multiple of 2^-24."""
    return np.round(np.asarray(values, dtype=np.float64) * _GRID) / _GRID


def empty(edges: Sequence[float], variations: Sequence[str]) -> hist.Hist:
    """A histogram of variation and observable, with under- and overflow of the observable."""
    return hist.Hist(
        hist.axis.StrCategory(variations, name="variation"),
        hist.axis.Variable(edges, name="observable"),
        storage=hist.storage.Weight(),
    )


def fill(histogram: hist.Hist, variation: str, values: Any, weights: Any = 1.0) -> None:
    """Add entries to one variation, in place.

    Args:
        histogram: as ``empty`` makes it.
        variation: one of its variations.
        values: ``events`` numbers, in the unit of the edges.
        weights: relative weights, one for each value or one for all.
    """
    with _CLOCK.get(Clock()).part("fill"):
        _fill(histogram, variation, values, weights)


def _fill(histogram: hist.Hist, variation: str, values: Any, weights: Any) -> None:
    numbers = np.asarray(values, dtype=np.float64)
    weights = np.broadcast_to(np.asarray(weights, dtype=np.float64), numbers.shape)
    observable = histogram.axes["observable"]
    row = histogram.view(flow=True)[histogram.axes["variation"].index(variation)]
    # The library's own fill would square the rounded weights, which leaves the grid.
    bins = observable.index(numbers) + 1
    row["value"] += np.bincount(bins, weights=on_grid(weights), minlength=observable.extent)
    row["variance"] += np.bincount(bins, weights=on_grid(weights**2), minlength=observable.extent)


@contextmanager
def timed(clock: Clock) -> Iterator[None]:
    """Until the block ends, count the time of ``fill`` to its part of a clock."""
    token = _CLOCK.set(clock)
    try:
        yield
    finally:
        _CLOCK.reset(token)


class Sums:
    """Sums of weights in bins, filled by a compiled loop; ``fill`` gives the same bits.

    Args:
        edges: of the bins; under- and overflow are kept as well.
        variations: each has sums of its own.
    """

    def __init__(self, edges: Sequence[float], variations: Sequence[str]) -> None:
        self._edges = np.array(edges)
        self._variations = tuple(variations)
        shape = (len(self._variations), len(edges) + 1)
        self._values = np.zeros(shape)
        self._variances = np.zeros(shape)

    def fill(self, values: Array, weights: Mapping[str, Array | None]) -> None:
        """Add entries to some variations.

        Args:
            values: ``events`` numbers, in the unit of the edges.
            weights: variation to relative weights, ``events``; None is 1 for each.
        """
        bins = _bins(self._edges, values)
        for variation, factors in weights.items():
            row = self._variations.index(variation)
            if factors is None:
                counts = np.bincount(bins, minlength=len(self._edges) + 1)
                self._values[row] += counts
                self._variances[row] += counts
            else:
                _add(bins, factors, self._values[row], self._variances[row])

    def histogram(self) -> hist.Hist:
        """The sums as ``empty`` makes histograms."""
        made = empty(self._edges.tolist(), self._variations)
        view = made.view(flow=True)
        rows = slice(len(self._variations))
        view["value"][rows] = self._values
        view["variance"][rows] = self._variances
        return made


@kernel
def _bins(edges: Array, values: Array) -> Array:
    """Number of edges that are not above each value: ``int64``; NaN goes to the overflow."""
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
def _add(bins: Array, weights: Array, sums: Array, squares: Array) -> None:
    """Add weights and their squares on the grid to bins."""
    for i in range(len(bins)):
        weight = weights[i]
        sums[bins[i]] += np.rint(weight * _GRID) / _GRID
        squares[bins[i]] += np.rint(weight * weight * _GRID) / _GRID
