"""Sums that do not depend on their order."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import histograms
from agc_pipeline.columnar import filling
from agc_pipeline.errors import InputError

EDGES = (0.0, 10.0, 20.0, 40.0)
ENTRIES = st.lists(st.tuples(st.floats(-5, 50), st.floats(0.25, 4)), min_size=1, max_size=40)


def filled(entries: list[tuple[float, float]]) -> object:
    values, weights = zip(*entries, strict=True)
    sums = filling.Sums(EDGES, ["nominal", "up"])
    sums.fill(np.array(values), {"up": np.array(weights)})
    return sums.histogram()


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
    histogram: Any = filled(entries)
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
    sums = filling.Sums(EDGES, ["nominal"])
    for _ in range(3):
        sums.fill(np.array([-1.0, 0.0, 9.999, 10.0, 39.9, 40.0]), {"nominal": None})
    histogram = sums.histogram()
    assert histogram.view(flow=True)[0]["value"].tolist() == [3, 6, 3, 3, 3]
    assert histogram.view(flow=True)[0]["variance"].tolist() == [3, 6, 3, 3, 3]


@given(ENTRIES)
def test_json_keeps_every_bit(entries: list[tuple[float, float]]) -> None:
    histogram = filled(entries)
    assert histograms.from_json(histograms.to_json(histogram)) == histogram  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1.7e-5, 3e4, 1e12])
def test_sums_of_small_and_large_weights_are_exact_in_their_unit(scale: float) -> None:
    rng = np.random.default_rng(1)
    weights = scale * rng.choice([-1.0, 1.0, 1.0, 1.0], 1000) * rng.uniform(0.5, 2.0, 1000)
    unit = filling.unit_of(float(weights.sum()), len(weights))
    assert math.log2(unit) == round(math.log2(unit))
    values = rng.uniform(0, 40, 1000)

    def histogram(order: Any, cut: int) -> Any:
        parts = []
        for part in (order[:cut], order[cut:]):
            sums = filling.Sums(EDGES, ["nominal"], unit)
            sums.fill(values[part], {"nominal": weights[part]})
            filling.check_scale(*sums.scale)
            parts.append(sums.histogram())
        return parts[0] + parts[1]

    whole = histogram(np.arange(1000), 1000)
    assert histogram(rng.permutation(1000), 300) == whole
    cell = whole.view(flow=True)[0]
    assert cell["value"].sum() == pytest.approx(math.fsum(weights), rel=1e-6)
    assert cell["variance"].sum() == pytest.approx(math.fsum(weights**2), rel=1e-6)


def test_weights_that_do_not_suit_their_unit_are_refused() -> None:
    sums = filling.Sums(EDGES, ["nominal"])
    sums.fill(np.full(100, 5.0), {"nominal": np.full(100, 1.7e-5)})
    with pytest.raises(InputError, match="too small for their unit"):
        filling.check_scale(*sums.scale)
    for weight, problem in ((1e10, "too large"), (np.inf, "not finite"), (np.nan, "not finite")):
        sums = filling.Sums(EDGES, ["nominal"])
        sums.fill(np.array([5.0]), {"nominal": np.array([weight])})
        with pytest.raises(InputError, match=problem):
            sums.histogram()
