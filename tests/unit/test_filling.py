"""Sums that do not depend on their order."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import histograms
from agc_pipeline.columnar import filling

EDGES = (0.0, 10.0, 20.0, 40.0)
ENTRIES = st.lists(st.tuples(st.floats(-5, 50), st.floats(0.25, 4)), min_size=1, max_size=40)


def filled(entries: list[tuple[float, float]]) -> object:
    histogram = filling.empty(EDGES, ["nominal", "up"])
    values, weights = zip(*entries, strict=True)
    filling.fill(histogram, "up", values, weights)
    return histogram


@given(ENTRIES, st.integers(1, 39), st.randoms())
def test_order_and_grouping_change_no_bit(
    entries: list[tuple[float, float]], cut: int, random: object
) -> None:
    whole = filled(entries)
    shuffled = entries[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    total = sum((filled(part) for part in parts[1:]), filled(parts[0]))  # type: ignore[call-overload]
    assert total == whole


@given(ENTRIES)
def test_contents_are_the_sums_of_weights_and_squares(entries: list[tuple[float, float]]) -> None:
    histogram = filling.empty(EDGES, ["nominal", "up"])
    filling.fill(histogram, "up", *zip(*entries, strict=True))
    bounds = [-math.inf, *EDGES, math.inf]
    for i, (low, high) in enumerate(itertools.pairwise(bounds)):
        weights = [w for value, w in entries if low <= value < high]
        cell = histogram.view(flow=True)[1, i]
        assert cell["value"] == pytest.approx(math.fsum(weights), abs=1e-7 * len(entries))
        assert cell["variance"] == pytest.approx(
            math.fsum(w * w for w in weights), abs=1e-7 * len(entries)
        )
    assert np.all(histogram.view(flow=True)[0]["value"] == 0)


def test_unit_weights_are_exact_counts() -> None:
    histogram = filling.empty(EDGES, ["nominal"])
    for _ in range(3):
        filling.fill(histogram, "nominal", [-1.0, 0.0, 9.999, 10.0, 39.9, 40.0])
    assert histogram.view(flow=True)[0]["value"].tolist() == [3, 6, 3, 3, 3]
    assert histogram.view(flow=True)[0]["variance"].tolist() == [3, 6, 3, 3, 3]


@given(ENTRIES)
def test_json_keeps_every_bit(entries: list[tuple[float, float]]) -> None:
    histogram = filled(entries)
    assert histograms.from_json(histograms.to_json(histogram)) == histogram  # type: ignore[arg-type]
