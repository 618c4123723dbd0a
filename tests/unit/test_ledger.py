"""Closure of event accounts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.columnar.ledger import LedgerEntry, close
from agc_pipeline.errors import ClosureError


def entry(source: str = "a.root", **changes: object) -> LedgerEntry:
    values = {
        "source": source,
        "expected": 10,
        "before": 10,
        "after": 4,
        "processed": 4,
        "generated": 10,
        "error": None,
    }
    return LedgerEntry.model_validate(values | changes)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_closed_means_all_events_are_accounted_for(
    expected: int, before: int, after: int, processed: int
) -> None:
    made = entry(expected=expected, before=before, after=after, processed=processed)
    assert made.closed == (expected == before and after == processed)


def test_complete_files_close() -> None:
    entries = [entry("a.root"), entry("b.root", expected=None)]
    assert close(entries, 2, "ttbar__nominal", allow_partial=False) == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"processed": 3}, "4 delivered, 3 processed"),
        ({"before": 9}, "10 events expected, 9 found"),
        ({"error": "cut off\n  where: b.root"}, "b.root: cut off"),
    ],
)
def test_a_mismatch_names_the_file(change: dict[str, object], text: str) -> None:
    entries = [entry("a.root"), entry("b.root", **change)]
    with pytest.raises(ClosureError, match=text) as caught:
        close(entries, 2, "ttbar__nominal", allow_partial=False)
    assert "a.root" not in str(caught.value)
    assert "ttbar__nominal" in caught.value.place
    assert "allow_partial" in caught.value.remedy
    left_out = close(entries, 2, "ttbar__nominal", allow_partial=True)
    assert [file.source for file in left_out] == ["b.root"]


@pytest.mark.parametrize("allow_partial", [True, False])
def test_missing_and_doubled_files_are_never_accepted(allow_partial: bool) -> None:
    with pytest.raises(ClosureError, match="2 files are configured, the ledger has 1"):
        close([entry()], 2, "x", allow_partial=allow_partial)
    with pytest.raises(ClosureError, match=r"the ledger has 2 \(1 different"):
        close([entry(), entry()], 2, "x", allow_partial=allow_partial)


def test_nothing_at_all_is_no_partial_result() -> None:
    with pytest.raises(ClosureError, match="no file is complete"):
        close([entry(error="gone")], 1, "x", allow_partial=True)
