"""Numbers, sizes and durations as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline.formatting import (
    byte_size,
    decimals,
    duration,
    fixed,
    number,
    rounded_like,
    scientific,
)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1 kB"),
        (1234, "1.23 kB"),
        (850.4e6, "850 MB"),
        (1430e6, "1.43 GB"),
        (1.78e12, "1.78 TB"),
    ],
)
def test_byte_sizes(n_bytes: float, text: str) -> None:
    assert byte_size(n_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7260, "2 h 01 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.24, "8.2 s"), (59.94, "59.9 s"), (200, "3 min 20 s"), (7500.2, "2 h 05 min")],
)
def test_durations_with_a_decimal(seconds: float, text: str) -> None:
    assert duration(seconds, decimals=1) == text


def ascii_number(text: str) -> float:
    return float(text.replace("\u2009", "").replace("\u2212", "-"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (729.84, "730"),
        (0.0919386, "0.0919"),
        (67.1, "67.1"),
        (-1234.5, "\u22121\u2009230"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (0.95331, 0.091938, "0.9533"),
        (695.77, 67.1, "695.8"),
        (695.77, 0.0999951, "695.770"),
        (12345.6, 1234.0, "12\u2009346"),
        (-0.02, 0.5, "\u22120.020"),
    ],
)
def test_rounded_like(value: float, uncertainty: float, text: str) -> None:
    assert rounded_like(value, uncertainty) == text


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e6))
def test_shown_numbers_are_the_numbers(value: float, uncertainty: float) -> None:
    # Three digits of the uncertainty keep the rounding under a two-hundredth of it.
    shown = ascii_number(rounded_like(value, uncertainty))
    assert abs(shown - value) <= 0.0051 * uncertainty + 1e-12 * abs(value)
    assert ascii_number(number(uncertainty)) == pytest.approx(uncertainty, rel=0.0051)


@pytest.mark.parametrize(
    ("values", "decimals_", "texts"),
    [
        # The largest has two significant digits, and none is shown as zero if one more will do.
        ([0.0833, 0.0333, 0.0027], 3, ["0.083", "0.033", "0.003"]),
        ([0.154, 0.0271, 0.0123], 2, ["0.15", "0.03", "0.01"]),
        ([0.154, 0.0041], 3, ["0.154", "0.004"]),
        ([7926.1, 1.9, None, 0.0, float("nan")], 0, ["7\u2009926", "2"]),
        ([99.6, 0.3], 1, ["99.6", "0.3"]),
        ([-0.5, 0.25], 2, ["\u22120.50", "0.25"]),
        ([], 0, []),
    ],
)
def test_a_column_has_one_number_of_decimals(
    values: list[float | None], decimals_: int, texts: list[str]
) -> None:
    assert decimals(values) == decimals_
    shown = [fixed(value, decimals_) for value in values if value and math.isfinite(value)]
    assert shown == texts


def test_zero_has_no_sign() -> None:
    assert fixed(-0.0004, 3) == "0.000"
    assert fixed(-0.0006, 3) == "\u22120.001"
    assert scientific(-1.5e-7) == "\u22121.5e\u221207"
