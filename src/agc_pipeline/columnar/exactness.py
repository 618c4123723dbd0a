"""Which weights sums are exact of, see ``columnar.filling``."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.errors import InputError

Array = npt.NDArray[Any]

# Weights and their squares are added as multiples of the inverse, in units, and as remainders,
# which are multiples of the inverse of the fine one.
GRID = 2.0**24
FINE_GRID = 2.0**48
# Sums of such numbers, in units, are exact below; and sums of counts.
_LARGEST = 2.0**53 / GRID
_LARGEST_COUNT = 2.0**53
# A square is rounded by 2^-49 at most. Smallest mean of squares of weights, in units, of which that
# is 1 %, by the least number of entries to which it applies: in all bins of a variation together,
# and in each bin. A few entries that happen to be small are no matter of scale.
_SMALLEST = {1: 2.0**-42}
_SMALLEST_IN_BIN = {20: 2.0**-42}


def power_of_two(weight: float) -> float:
    """The power of two next to the size of a weight, which is not zero."""
    return float(2.0 ** round(math.log2(abs(weight))))


def check_scale(
    entries: Array, sizes: Array, squares: Array, *, unit: float, variations: Sequence[str]
) -> None:
    """Refuse weights that their unit does not suit, so that sums would not be exact.

    Args:
        entries: number of entries with weights other than zero, by variation and bin.
        sizes: sums of their absolute weights, in units.
        squares: sums of their squared weights on the grid, in units.
        unit: of the weights.
        variations: names of the rows.

    Raises:
        InputError: if some are not finite, too large or too small.
    """
    if not np.isfinite(sizes).all():
        row = int(np.argwhere(~np.isfinite(sizes))[0][0])
        raise _unsuitable("are not finite", variations[row], unit)
    too_large = np.maximum(sizes, squares) > _LARGEST
    mean = np.divide(squares, entries, out=np.ones_like(squares), where=entries > 0)
    too_small = _below(mean, entries, _SMALLEST_IN_BIN)
    n = entries.sum(axis=1)
    means = np.divide(squares.sum(axis=1), n, out=np.ones_like(n), where=n > 0)
    too_small_on_average = _below(means, n, _SMALLEST)
    unsuitable = too_large.any(axis=1) | too_small_on_average | too_small.any(axis=1)
    for row in np.flatnonzero(unsuitable).tolist():
        variation = variations[row]
        if too_large[row].any():
            bin_ = int(np.argmax(too_large[row]))
            size = unit * float(sizes[row, bin_] / entries[row, bin_])
            raise _unsuitable(f"of {size:.2g} on average are too large", variation, unit)
        if too_small_on_average[row]:
            size = unit * float(sizes[row].sum() / n[row])
            raise _unsuitable(f"of {size:.2g} on average are too small", variation, unit)
        bin_ = int(np.argmax(too_small[row]))
        size = unit * float(sizes[row, bin_] / entries[row, bin_])
        problem = f"of {size:.2g} on average in bin {bin_} (0 is the underflow) are too small"
        raise _unsuitable(problem, variation, unit)


def _below(mean: Array, entries: Array, smallest: Mapping[int, float]) -> Array:
    """Where the mean of squares is smaller than its number of entries allows."""
    below = np.zeros(mean.shape, np.bool_)
    for least, bound in smallest.items():
        below |= (entries >= least) & (mean < bound)
    return below


def check_sum(histogram: hist.Hist, unit: float | None) -> None:
    """Refuse a sum of histograms that is no longer exact.

    Args:
        histogram: the sum of two.
        unit: of their weights; None where all are 1.

    Raises:
        InputError: if contents are too large.
    """
    view = histogram.view(flow=True)
    largest, scale = (_LARGEST_COUNT, 1.0) if unit is None else (_LARGEST, unit)
    content = max(
        np.abs(view["value"]).max(initial=0.0) / scale, view["variance"].max(initial=0.0) / scale**2
    )
    if content > largest:
        raise _unsuitable(f"with a sum of {content * scale:.2g} are too large", None, scale)


def _unsuitable(problem: str, variation: str | None, unit: float) -> InputError:
    return InputError(
        f"weights {problem} for sums in units of {unit:g}: these would not be exact",
        place="weights of events" + (f", variation {variation}" if variation else ""),
        remedy="correct the functions of weights or the sum of weights of the files, or declare "
        "the typical weight of the events as the `unit` of the `Dataset`",
    )
