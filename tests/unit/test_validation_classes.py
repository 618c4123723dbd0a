"""Which class a difference to the published histogram falls in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import analyses
from agc_pipeline.validation import published, statistics
from agc_pipeline.validation.compare import Agreement, Comparison, Side, other_events, same_events
from agc_pipeline.validation.settings import OtherEvents, SameEvents

SAME = SameEvents(
    weight_precision=2.4e-7, moved_entries=3, moved_fraction=1e-5, random_variance=0.5
)
OTHER = OtherEvents(cdf_distance_max=0.15, acceptance_max=0.35, entries_min=20)
P_VALUE = 1e-4

counts = st.lists(st.integers(0, 10**6), min_size=5, max_size=27)


def side(contents: object, *, n_generated: float = 1e7, variances: object = None) -> Side:
    values = np.array(contents, dtype=float)
    return Side(values, np.array(variances if variances is not None else values), n_generated)


def same(ours: Side, theirs: Side, *, random: bool = False) -> Comparison:
    return same_events(ours, theirs, random=random, tolerances=SAME, p_value_min=P_VALUE)


def other(ours: Side, theirs: Side) -> Comparison:
    return other_events(ours, theirs, tolerances=OTHER, p_value_min=P_VALUE)


@given(counts)
def test_equal_entries_are_exact(entries: list[int]) -> None:
    assert same(side(entries), side(entries)).agreement is Agreement.EXACT


@given(counts)
def test_rounding_of_weighted_contents_is_exact(entries: list[int]) -> None:
    contents = np.array(entries) * 1.1
    rounded = side(contents * (1 + 1e-7), variances=contents)
    assert same(rounded, side(contents, variances=contents)).agreement is Agreement.EXACT


@given(counts, st.data())
def test_single_entries_in_the_next_bin_are_migration(entries: list[int], data: st.DataObject):
    entries[0] += 3
    moved = np.array(entries)
    number = data.draw(st.integers(1, 3), label="moved")
    sources = st.integers(0, len(entries) - 2)
    for _ in range(number):
        start = data.draw(sources.filter(lambda i: moved[i] > 0))
        moved[start] -= 1
        moved[start + 1] += 1
    result = same(side(moved), side(entries))
    if np.array_equal(moved, entries):  # one moved on what another left
        assert result.agreement is Agreement.EXACT
    else:
        assert result.agreement is Agreement.MIGRATION
        assert result.moved is not None
        assert result.moved <= number
        assert {found.bin for found in result.bins} == set(np.flatnonzero(moved - entries))


@given(st.lists(st.integers(20, 10**6), min_size=5, max_size=27), st.sampled_from([0.9, 1.1]))
def test_ten_per_cent_disagree(entries: list[int], scale: float) -> None:
    result = same(side(np.round(np.array(entries) * scale)), side(entries))
    assert result.agreement is Agreement.DISAGREEMENT


@given(st.lists(st.integers(10, 10**4), min_size=6, max_size=27), st.integers(4, 10))
def test_many_moved_entries_disagree(entries: list[int], number: int) -> None:
    moved = np.array(entries)
    moved[2] -= number
    moved[3] += number
    result = same(side(moved), side(entries))
    assert result.moved == number
    # Of many entries a few more may move, as the tolerances say.
    few = number <= 3 + 1e-5 * sum(entries)
    assert result.agreement is (Agreement.MIGRATION if few else Agreement.DISAGREEMENT)


def test_one_more_entry_may_move_of_a_hundred_thousand() -> None:
    for total, agreement in ((99_999, Agreement.DISAGREEMENT), (100_000, Agreement.MIGRATION)):
        entries = np.array([total - 200, 100, 100])
        result = same(side(entries + np.array([0, -4, 4])), side(entries))
        assert (result.moved, result.agreement) == (4, agreement)


def test_a_swap_over_the_whole_range_is_no_migration() -> None:
    entries = np.full(27, 100)
    moved = entries.copy()
    moved[[3, 20]] += [-4, 4]
    result = same(side(moved), side(entries))
    assert (result.moved, result.unpaired) == (0, 8)
    assert result.agreement is Agreement.DISAGREEMENT


def test_large_histograms_may_move_more() -> None:
    entries = np.full(27, 10**6)
    moved = entries.copy()
    moved[[3, 4]] += [-100, 100]
    assert same(side(moved), side(entries)).agreement is Agreement.MIGRATION


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=30))
def test_moves_account_for_the_whole_difference(difference: list[int]) -> None:
    found = statistics.moves(difference)
    assert 2 * found.moved + found.unpaired == sum(abs(value) for value in difference)
    assert found.unpaired >= abs(sum(difference))
    assert statistics.moves(difference[::-1]) == found


def published_side(name: str, n_files: int) -> Side:
    numbers = published.read(analyses.load("cms_ttbar"), n_files)
    return side(numbers.entries(name), n_generated=numbers.n_generated["single_top_tW__nominal"])


@pytest.mark.parametrize("region", ["4j1b", "4j2b"])
@pytest.mark.parametrize("n_files", [10, 20, 50, 100, 200])
def test_published_smearing_of_the_same_events_is_statistical(region: str, n_files: int) -> None:
    # The three files of single top tW are in all of these.
    name = f"{region}_single_top_tW_pt_res_up"
    ours, theirs = published_side(name, n_files), published_side(name, 5)
    assert same(ours, theirs, random=True).agreement is Agreement.STATISTICAL
    assert same(ours, theirs).agreement is Agreement.DISAGREEMENT


@pytest.mark.parametrize("region", ["4j1b", "4j2b"])
def test_smearing_is_told_from_the_energy_scale(region: str) -> None:
    ours = published_side(f"{region}_single_top_tW_pt_scale_up", 5)
    theirs = published_side(f"{region}_single_top_tW_pt_res_up", 5)
    assert same(ours, theirs, random=True).agreement is Agreement.DISAGREEMENT


@given(st.integers(0, 2**32 - 1))
def test_samples_of_one_distribution_are_statistical(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = np.exp(-0.5 * ((np.arange(27) - 10) / 5.0) ** 2)
    ours = side(generator.poisson(100 * shape), n_generated=1e5)
    theirs = side(generator.poisson(10_000 * shape), n_generated=1e7)
    result = other(ours, theirs)
    # Three standard deviations of the acceptance may be passed: the tolerance then holds.
    assert result.agreement in (Agreement.STATISTICAL, Agreement.SIMILAR)
    assert result.cdf_distance is not None
    assert result.cdf_distance < 0.15


def shifted(by: float) -> Side:
    return side(1e5 * np.exp(-0.5 * ((np.arange(27) - 10 - by) / 5.0) ** 2))


def test_small_shift_is_similar() -> None:
    assert other(shifted(0.5), shifted(0)).agreement is Agreement.SIMILAR


def test_large_shift_disagrees() -> None:
    result = other(shifted(4), shifted(0))
    assert result.agreement is Agreement.DISAGREEMENT
    assert result.cdf_distance == pytest.approx(0.3, abs=0.05)


def test_twice_the_acceptance_disagrees() -> None:
    ours = shifted(0)
    twice = Side(2 * ours.contents, 2 * ours.variances, ours.n_generated)
    result = other(twice, ours)
    assert result.acceptance_ratio == pytest.approx(2)
    assert result.agreement is Agreement.DISAGREEMENT


@pytest.mark.parametrize("entries", [[0] * 27, [0] * 13 + [7] + [0] * 13])
def test_few_entries_are_not_judged(entries: list[int]) -> None:
    assert other(side(entries), shifted(0)).agreement is Agreement.TOO_FEW


def test_chi_square_merges_sparse_bins() -> None:
    entries = np.array([0.0, 5, 5, 5, 5, 30, 1, 1])
    found = statistics.chi_square(np.ones(8), np.ones(8), entries, fixed=0)
    # Bins 0 to 4 and 5 to 7: differences 5 and 3 with variances 5 and 3.
    assert (found.value, found.ndf) == (8.0, 2)
    assert found.p_value == pytest.approx(np.exp(-4))


def test_distance_of_disjoint_histograms_is_one() -> None:
    assert statistics.cdf_distance(np.array([1.0, 0, 0]), np.array([0, 0, 3.0])) == 1
