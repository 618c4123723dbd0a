"""Sizes and durations as text."""

import pytest

from agc_pipeline.formatting import byte_size, duration


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
