"""Histograms whose sums do not depend on their order.

Weights and their squares are rounded to multiples of 2^-24 of a unit, about 6e-8: float64 adds such
numbers exactly up to 5e8 units in a bin, so chunks, files and executors in any order give the same
bits. The unit is a power of two near the typical weight of a dataset's events, the same for all of
its files, and 1 where events are counted; weights that it does not suit are an error. Cross
sections are applied once, after all sums.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.columnar.exactness import GRID
from agc_pipeline.compiling import kernel

Array = npt.NDArray[Any]


def empty(edges: Sequence[float], variations: Sequence[str]) -> hist.Hist:
    """A histogram of variation and observable, with under- and overflow of the observable."""
    return hist.Hist(
        hist.axis.StrCategory(variations, name="variation"),
        hist.axis.Variable(edges, name="observable"),
        storage=hist.storage.Weight(),
    )


class Sums:
    """Sums of weights in bins.

    Args:
        edges: of the bins; under- and overflow are kept as well.
        variations: each has sums of its own.
        unit: of the weights, a power of two.
    """

    def __init__(
        self, edges: Sequence[float], variations: Sequence[str], unit: float = 1.0
    ) -> None:
        self._edges = np.array(edges)
        self._variations = tuple(variations)
        self._unit = unit
        shape = (len(self._variations), len(edges) + 1)
        self._values = np.zeros(shape)
        self._variances = np.zeros(shape)
        self._sizes = np.zeros(shape)
        self._entries = np.zeros(shape)

    def fill(self, values: Array, weights: Mapping[str, Array | None]) -> None:
        """Add entries to some variations.

        Args:
            values: ``events`` numbers, in the unit of the edges.
            weights: variation to weights, ``events``; None is 1 for each.
        """
        bins = _bins(self._edges, values)
        for variation, factors in weights.items():
            row = self._variations.index(variation)
            if factors is None:
                counts = np.bincount(bins, minlength=len(self._edges) + 1)
                self._values[row] += counts
                self._variances[row] += counts
            else:
                _add(
                    bins,
                    factors,
                    1.0 / self._unit,
                    self._values[row],
                    self._variances[row],
                    self._sizes[row],
                    self._entries[row],
                )

    def histogram(self) -> hist.Hist:
        """The sums as ``empty`` makes histograms."""
        histogram = empty(self._edges.tolist(), self._variations)
        view = histogram.view(flow=True)
        rows = slice(len(self._variations))
        weighted = np.any(self._entries > 0, axis=1)
        scale = np.where(weighted, self._unit, 1.0)[:, np.newaxis]
        view["value"][rows] = self._values * scale
        view["variance"][rows] = self._variances * scale**2
        return histogram

    @property
    def scale(self) -> dict[str, Array]:
        """What tells whether the unit suits the weights, see ``check_scale``."""
        return {"entries": self._entries, "sizes": self._sizes, "squares": self._squares}

    @property
    def _squares(self) -> Array:
        return np.where(self._entries > 0, self._variances, 0.0)


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
def _add(
    bins: Array,
    weights: Array,
    inverse_unit: float,
    sums: Array,
    squares: Array,
    sizes: Array,
    entries: Array,
) -> None:
    """Add weights and their squares on the grid to bins, with their sizes, and count them."""
    for i in range(len(bins)):
        weight = weights[i] * inverse_unit
        sums[bins[i]] += np.rint(weight * GRID) / GRID
        squares[bins[i]] += np.rint(weight * weight * GRID) / GRID
        sizes[bins[i]] += abs(weight)
        entries[bins[i]] += weight != 0.0
