"""Progress lines: what they count and how they say it."""

import logging

import pytest

from agc_pipeline.delivery.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_files_events_bytes_rate_and_time_left() -> None:
    clock = Clock()
    progress = Progress(4, 1_000_000, clock)
    progress.begin()
    progress.advance(200_000, 5_000_000)
    clock.now += 10
    progress.finish()
    progress.begin()
    progress.advance(50_000, 1_000_000)
    assert str(progress) == (
        "1 of 4 files, 250,000 of 1,000,000 events, 6 MB, 600 kB/s, 25,000 events/s, 30 s left"
    )


def test_events_of_an_attempt_that_failed_do_not_count_and_its_bytes_do() -> None:
    clock = Clock()
    progress = Progress(1, 100, clock)
    progress.begin()
    progress.advance(60, 1000)
    progress.begin()
    progress.advance(100, 2000)
    clock.now += 1
    progress.finish()
    assert str(progress) == "1 of 1 files, 100 of 100 events, 3 kB, 3 kB/s, 100 events/s"


def test_without_a_number_of_events_no_time_is_promised() -> None:
    clock = Clock()
    progress = Progress(2, None, clock)
    progress.begin()
    progress.advance(60, 0)
    clock.now += 2
    assert str(progress) == "0 of 2 files, 60 events, 30 events/s"


def test_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    progress = Progress(1, 1000, clock)
    with caplog.at_level(logging.INFO):
        progress.begin()
        for _ in range(25):
            clock.now += 1
            progress.advance(10, 10)
    assert len(caplog.messages) == 2
