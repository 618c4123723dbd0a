"""Histograms whose sums do not depend on their order.

Weights and their squares are rounded to multiples of 2^-24 of a unit, about 6e-8: float64 adds such
numbers exactly up to 5e8 units in a bin, so chunks, files and executors in any order give the same
bits. The unit is a power of two near the typical weight of a file's events, 1 where events are
counted; weights that it does not suit are an error. Cross sections are applied once, after all
sums.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.compiling import kernel
from agc_pipeline.errors import InputError

Array = npt.NDArray[Any]

_GRID = 2.0**24
# Sums of such numbers are exact below.
_LARGEST = 2.0**53 / _GRID
# Smallest mean of nominal weights, in units, whose squares keep a precision of 1e-3, and the number
# of entries from which on the mean says something.
_SMALLEST = 2.0**-8
_ENTRIES = 20


def unit_of(sum_of_weights: float, n_events: int) -> float:
    """The power of two next to the mean absolute weight of a file's events; 1 of no events."""
    if n_events == 0 or sum_of_weights == 0:
        return 1.0
    return float(2.0 ** round(math.log2(abs(sum_of_weights) / n_events)))


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
        self._entries = 0

    def fill(self, values: Array, weights: Mapping[str, Array | None]) -> None:
        """Add entries to some variations.

        Args:
            values: ``events`` numbers, in the unit of the edges.
            weights: variation to weights, ``events``; None is 1 for each.
        """
        bins = _bins(self._edges, values)
        if weights.get(self._variations[0]) is not None:
            self._entries += len(bins)
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
                )

    def histogram(self) -> hist.Hist:
        """The sums as ``empty`` makes histograms.

        Raises:
            InputError: if weights are not finite, or too small or too large for their unit.
        """
        self._check()
        histogram = empty(self._edges.tolist(), self._variations)
        view = histogram.view(flow=True)
        rows = slice(len(self._variations))
        weighted = np.any(self._sizes > 0, axis=1)
        scale = np.where(weighted, self._unit, 1.0)[:, np.newaxis]
        view["value"][rows] = self._values * scale
        view["variance"][rows] = self._variances * scale**2
        return histogram

    def _check(self) -> None:
        problem = ""
        if not np.isfinite(self._sizes).all():
            problem = "are not finite"
        elif max(self._sizes.max(initial=0.0), self._variances.max(initial=0.0)) > _LARGEST:
            problem = f"are too large for sums in units of {self._unit:g}"
        if problem:
            raise _unsuitable(problem)

    @property
    def scale(self) -> tuple[int, float]:
        """Number of entries with nominal weights, and the sum of their sizes in units."""
        return self._entries, float(self._sizes[0].sum()) if self._entries else 0.0


def check_scale(entries: int, sizes: float) -> None:
    """Refuse weights that are much smaller than their unit: rounding would change their squares.

    Args:
        entries: number of entries with weights.
        sizes: sum of their absolute weights, in units.

    Raises:
        InputError: if they are.
    """
    if entries >= _ENTRIES and sizes < _SMALLEST * entries:
        mean = sizes / entries
        raise _unsuitable(f"are too small for their unit, of which they are {mean:.2g} on average")


def _unsuitable(problem: str) -> InputError:
    return InputError(
        f"weights {problem}: their sums would not be exact",
        place="weights of events",
        remedy="correct the sum of weights of the files, from which the unit follows, or the "
        "functions of weights",
    )


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
) -> None:
    """Add weights and their squares on the grid to bins."""
    for i in range(len(bins)):
        weight = weights[i] * inverse_unit
        sums[bins[i]] += np.rint(weight * _GRID) / _GRID
        squares[bins[i]] += np.rint(weight * weight * _GRID) / _GRID
        sizes[bins[i]] += abs(weight)
