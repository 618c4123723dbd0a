"""Collision data that are in several files, by the identities of their events."""

from functools import reduce
from operator import add
from typing import Any

import numpy as np

from agc_pipeline.columnar.repeats import SIZE, Sample, sample, total


def identity(first: int, n: int, run: int = 1, types: Any = np.uint64) -> list[Any]:
    return [np.full(n, run, np.uint32), np.arange(first, first + n).astype(types)]


def test_few_events_are_compared_one_by_one() -> None:
    one, same, other = (sample(identity(first, 300), "SR") for first in (0, 0, 300))
    assert one.n_repeated == 0
    assert len(one.digests) == 300
    assert (one + same).n_repeated == 300
    assert (one + other).n_repeated == 0
    half = sample(identity(150, 300), "SR")
    assert (one + half).n_repeated == 150
    # The same number in another run or region is another event, or counts there once.
    assert (one + sample(identity(0, 300, run=2), "SR")).n_repeated == 0
    assert (one + sample(identity(0, 300), "CR")).n_repeated == 0
    # Whatever the type of the column.
    assert sample(identity(0, 300, types=np.int32), "SR") == one


def test_many_events_are_compared_in_part() -> None:
    """One per cent of them is noticed, and the size of the sample stays."""
    files = [sample(identity(first, 20_000), "SR") for first in (0, 20_000, 40_000)]
    assert total(files).n_repeated == 0
    assert len(total(files).digests) == SIZE
    again = sample(identity(59_400, 20_000), "SR")
    assert 0 < (total(files) + again).n_repeated < SIZE / 10
    assert total([]) == sample(identity(0, 0), "SR") == Sample()


def test_no_order_matters() -> None:
    parts = [sample(identity(first, 700), "SR") for first in range(0, 7000, 350)]
    whole = total(parts)
    assert whole == reduce(add, reversed(parts)) == total(parts[:7]) + total(parts[7:])
    assert whole.n_repeated > SIZE / 3
