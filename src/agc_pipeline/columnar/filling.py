"""Histograms whose sums do not depend on their order.

Weights relative to the nominal and their squares are rounded to multiples of 2^-24, about 6e-8:
float64 adds such numbers exactly up to 5e8 in a bin, so chunks, files and executors in any order
give the same bits. Cross-section weights are applied once, after all sums.
"""

from collections.abc import Sequence
from typing import Any

import hist
import numpy as np

_GRID = 2.0**24


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
    numbers = np.asarray(values, dtype=np.float64)
    weights = np.broadcast_to(np.asarray(weights, dtype=np.float64), numbers.shape)
    observable = histogram.axes["observable"]
    row = histogram.view(flow=True)[histogram.axes["variation"].index(variation)]
    # The library's own fill would square the rounded weights, which leaves the grid.
    bins = observable.index(numbers) + 1
    row["value"] += np.bincount(bins, weights=on_grid(weights), minlength=observable.extent)
    row["variance"] += np.bincount(bins, weights=on_grid(weights**2), minlength=observable.extent)
