"""Sums that do not depend on their order."""

import functools
import itertools
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agc_pipeline import histograms
from agc_pipeline.columnar import exactness, filling
from agc_pipeline.errors import InputError

EDGES = (0.0, 10.0, 20.0, 40.0)
# Weights of samples that are generated with a bias differ by orders of magnitude.
WEIGHTS = st.one_of(st.floats(0.25, 4), st.floats(-5, 0.5).map(lambda power: 10.0**power))
ENTRIES = st.lists(st.tuples(st.floats(-5, 50), WEIGHTS), min_size=1, max_size=40)


def together(parts: Iterable[Any]) -> Any:
    return functools.reduce(operator.add, parts)


def filled(entries: list[tuple[float, float]]) -> filling.Sums:
    values, weights = zip(*entries, strict=True)
    sums = filling.Sums(EDGES, ["nominal", "up"])
    sums.fill(np.array(values), {"up": np.array(weights)})
    return sums


@given(ENTRIES, st.integers(1, 39), st.randoms())
def test_order_and_grouping_change_no_bit(
    entries: list[tuple[float, float]], cut: int, random: object
) -> None:
    whole = filled(entries)
    shuffled = entries[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    total = together(map(filled, parts))
    assert total == whole
    assert total.parts() == whole.parts()
    assert total.histogram() == whole.histogram()


@given(ENTRIES)
def test_contents_are_the_sums_of_weights_and_squares(entries: list[tuple[float, float]]) -> None:
    histogram: Any = filled(entries).histogram()
    bounds = [-math.inf, *EDGES, math.inf]
    for i, (low, high) in enumerate(itertools.pairwise(bounds)):
        weights = [w for value, w in entries if low <= value < high]
        cell = histogram.view(flow=True)[1, i]
        assert cell["value"] == pytest.approx(math.fsum(weights), rel=2**-26)
        # The square of the smallest is 1e-10, and has four digits.
        assert cell["variance"] == pytest.approx(math.fsum(w * w for w in weights), rel=2e-5)
    assert np.all(histogram.view(flow=True)[0]["value"] == 0)


@pytest.mark.parametrize("unit", [1.0, 2.0**-30, 2.0**70])
def test_unit_weights_are_exact_counts(unit: float) -> None:
    sums = filling.Sums(EDGES, ["nominal"], unit)
    for _ in range(3):
        sums.fill(np.array([-1.0, 0.0, 9.999, 10.0, 39.9, 40.0]), {"nominal": None})
    histogram = sums.histogram()
    assert histogram.view(flow=True)[0]["value"].tolist() == [3, 6, 3, 3, 3]
    assert histogram.view(flow=True)[0]["variance"].tolist() == [3, 6, 3, 3, 3]


@given(
    scale=st.floats(-9, 9).map(lambda power: 10.0**power),
    seed=st.integers(0, 1000),
    weighted=st.booleans(),
    cut=st.integers(1, 199),
)
@settings(deadline=None, max_examples=40)
def test_migrations_are_sums_over_the_events_of_both_selections(
    scale: float, seed: int, weighted: bool, cut: int
) -> None:
    rng = np.random.default_rng(seed)
    selections = []
    for _ in range(2):
        events = np.flatnonzero(rng.random(200) < 0.7)
        weights = scale * rng.uniform(0.5, 2.0, 200) * rng.choice([-1, 1, 1], 200)
        selections.append((events, rng.integers(0, 5, 200), weights if weighted else None))
    unit = exactness.power_of_two(scale) if weighted else 1.0

    def filled(first: int, last: int) -> Any:
        migrations = filling.Migrations(EDGES, ["up", "other"], unit)
        entries = []
        for events, bins, weights in selections:
            here = events[(events >= first) & (events < last)]
            theirs = None if weights is None else weights[here]
            entries.append(filling.Entries(here - first, bins[here], theirs))
        migrations.fill("up", *entries)
        return migrations

    sums = filled(0, 200)
    assert together([filled(0, cut), filled(cut, 200)]) == sums
    whole = sums.histogram()
    (before, from_, one), (after, to, other) = selections
    expected = np.zeros((5, 5))
    for event in set(before.tolist()) & set(after.tolist()):
        product = 1.0 if one is None or other is None else one[event] * other[event]
        expected[from_[event], to[event]] += product
    np.testing.assert_allclose(
        whole.view(flow=True)[0], expected, rtol=0, atol=200 * 2**-26 * scale**2
    )
    assert np.all(whole.view(flow=True)[1] == 0)


@given(ENTRIES)
def test_json_keeps_every_bit(entries: list[tuple[float, float]]) -> None:
    for part in filled(entries).parts():
        assert histograms.from_json(histograms.to_json(part)) == part


@given(
    scale=st.floats(-9, 9).map(lambda power: 10.0**power),
    seed=st.integers(0, 1000),
    negative=st.floats(0, 0.4),
    cut=st.integers(1, 199),
)
@settings(deadline=None, max_examples=40)
def test_sums_of_generator_weights_of_any_size_are_right_and_exact(
    scale: float, seed: int, negative: float, cut: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = scale * rng.uniform(0.5, 2.0, 200) * np.where(rng.random(200) < negative, -1, 1)
    values = rng.uniform(-5, 45, 200)
    mean = max(abs(weights.sum()) / 200, 0.03 * scale)
    unit = exactness.power_of_two(mean)
    assert math.log2(unit) == round(math.log2(unit))

    def histogram(order: Any, cut: int) -> Any:
        parts = []
        for part in (order[:cut], order[cut:]):
            sums = filling.Sums(EDGES, ["nominal"], unit)
            sums.fill(values[part], {"nominal": weights[part]})
            exactness.check_scale(**sums.scale, unit=unit, variations=["nominal"])
            parts.append(sums)
        return together(parts)

    sums = histogram(np.arange(200), 200)
    assert histogram(rng.permutation(200), cut) == sums
    whole = sums.histogram()
    exactness.check_sum(whole, unit)
    bounds = [-math.inf, *EDGES, math.inf]
    for i, (low, high) in enumerate(itertools.pairwise(bounds)):
        inside = weights[(values >= low) & (values < high)]
        cell = whole.view(flow=True)[0, i]
        sizes = np.abs(inside).sum()
        assert cell["value"] == pytest.approx(math.fsum(inside), rel=1e-6, abs=1e-6 * sizes)
        assert cell["variance"] == pytest.approx(math.fsum(inside**2), rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        (np.full(100, 1.7e-7), "of 1.7e-07 on average are too small"),
        (np.full(3, 1.7e-7), "of 1.7e-07 on average are too small"),
        (np.array([1e10]), r"of 1e\+10 on average are too large"),
        (np.array([1e308, 1e308]), "not finite"),
    ],
)
def test_weights_that_do_not_suit_their_unit_are_refused(weights: Any, problem: str) -> None:
    sums = filling.Sums(EDGES, ["nominal", "up"])
    sums.fill(np.full(len(weights), 5.0), {"nominal": None, "up": weights})
    with pytest.raises(InputError, match=problem) as error:
        exactness.check_scale(**sums.scale, unit=1.0, variations=["nominal", "up"])
    assert "variation up" in error.value.place
    assert "unit" in error.value.remedy


def test_a_bin_of_small_weights_among_large_ones_is_refused_and_single_ones_are_not() -> None:
    def scale(n_small: int) -> Any:
        sums = filling.Sums(EDGES, ["nominal"])
        values = np.repeat([5.0, 15.0], [1000, n_small])
        sums.fill(values, {"nominal": np.where(values < 10, 1.0, 1e-7)})
        return sums.scale

    exactness.check_scale(**scale(3), unit=1.0, variations=["nominal"])
    with pytest.raises(InputError, match=r"1e-07 on average in bin 2"):
        exactness.check_scale(**scale(30), unit=1.0, variations=["nominal"])
    # Events of weight zero are no small weights.
    sums = filling.Sums(EDGES, ["nominal"])
    sums.fill(np.full(1000, 5.0), {"nominal": np.repeat([0.0, 1.0], [999, 1])})
    exactness.check_scale(**sums.scale, unit=1.0, variations=["nominal"])


@pytest.mark.parametrize("n_small", [1, 16, 30])
def test_small_weights_among_large_ones_keep_their_squares(n_small: int) -> None:
    # As in the tail of a sample that is generated with a bias: 1.76e-4 squared is half of 2^-24.
    sums = filling.Sums(EDGES, ["nominal"])
    values = np.repeat([5.0, 15.0], [1000, n_small])
    sums.fill(values, {"nominal": np.where(values < 10, 1.0, 1.76e-4)})
    exactness.check_scale(**sums.scale, unit=1.0, variations=["nominal"])
    cell = sums.histogram().view(flow=True)[0, 2]
    assert cell["value"] == pytest.approx(n_small * 1.76e-4, rel=1e-7)
    assert cell["variance"] == pytest.approx(n_small * 1.76e-4**2, rel=1e-6)


def test_sums_that_have_become_too_large_are_refused() -> None:
    histogram = filling.empty(EDGES, ["nominal"])
    histogram.view(flow=True)["value"][0, 1] = 2.0**29
    exactness.check_sum(histogram, 1.0)
    with pytest.raises(InputError, match="too large"):
        exactness.check_sum(histogram + histogram, 1.0)
    # Counts are exact further on.
    exactness.check_sum(histogram + histogram, None)
