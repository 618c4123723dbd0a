"""The facility: order of points, measures, scaling laws, limits, simulation, page and history."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

import browser
from agc_pipeline import config
from agc_pipeline.columnar.traces import JobTrace, Task
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.facility import (
    figures,
    limits,
    measures,
    page,
    predictions,
    queueing,
    scaling,
    summary,
)
from agc_pipeline.facility import plan as facility_plan
from agc_pipeline.facility import point as facility_points
from agc_pipeline.facility.plan import FacilityPlan
from agc_pipeline.facility.queueing import Size, Workload
from agc_pipeline.facility.records import (
    Delivered,
    InputRecord,
    Machine,
    PointRecord,
)
from agc_pipeline.facility.scaling import Range
from agc_pipeline.facility.settings import (
    Elsewhere,
    FacilitySettings,
    Mode,
    SimulatedSettings,
    TaskSize,
)
from agc_pipeline.layers import Layer, Values
from agc_pipeline.matrix.settings import MatrixSettings
from agc_pipeline.measuring.commands import count_failure
from agc_pipeline.readers.clock import Seconds
from agc_pipeline.report.page import write
from agc_pipeline.settings import models_in, with_limits
from agc_pipeline.stages import facility_input, facility_page, facility_point, facility_verdict
from conftest import ROOT, read_config

# Snakemake reads the options of all executors, and imports them.
pytestmark = pytest.mark.filterwarnings("ignore:The environment variable CONDOR_CONFIG is unset")

MACHINE = Machine(host="node1", processor="a processor", cores=4, load=0.5, software={"numpy": "2"})
SIMULATED = SimulatedSettings.model_validate(
    {
        "workers": [1, 10],
        "tasks": {"task": {"files": 100, "events": 100_000_000, "chunks": 1}},
        "seed": 1,
    }
)


def seconds(wall: float, cpu: float | None = None) -> Seconds:
    return Seconds(cpu=wall if cpu is None else cpu, wall=wall)


def task(
    start: float,
    parts: dict[str, Seconds],
    *,
    process: int = 1,
    path: str = "/data/a.root",
    host: str = "node1",
    kind: Any = "events",
    **changes: Any,
) -> Task:
    """A chunk of a thousand events, and of a thousand bytes, whose time is that of its parts."""
    whole = sum(parts.values(), Seconds())
    return Task(
        kind=kind,
        path=path,
        url=changes.pop("url", path),
        host=host,
        process=process,
        started=start,
        seconds=whole,
        parts=parts if kind == "events" else {},
        events=1000 if kind == "events" else 0,
        bytes=1000 if kind == "events" else 0,
        process_launched=changes.pop("process_launched", 0.0),
        process_cpu_before=changes.pop("process_cpu_before", 0.0),
        process_cpu=changes.pop("process_cpu", whole.cpu),
        peak_mb=changes.pop("peak_mb", 100.0),
        **changes,
    )


def point(
    tasks: list[Task],
    *,
    workers: int = 2,
    launched: float = 0.0,
    stopped: float = 10.0,
    mode: Mode = "strong",
    repeat: int = 0,
    executor: str = "processes",
    elsewhere: Elsewhere | None = None,
) -> PointRecord:
    """A point with one job, in process 99."""
    return PointRecord(
        name=f"{executor}+local+{mode}+{workers:05d}+{repeat}",
        site="here",
        executor=executor,
        input="local",
        mode=mode,
        workers=workers,
        repeat=repeat,
        split=False,
        kind="work",
        datasets=("ttbar__nominal",),
        n_files=1,
        input_events=sum(t.events for t in tasks),
        file_bytes={"/data/a.root": 100_000},
        launched=launched,
        stopped=stopped,
        cpu_seconds=7.5,
        elsewhere=elsewhere,
        machine=MACHINE,
        jobs=(
            JobTrace(
                dataset="ttbar__nominal",
                executor="futures",
                workers=workers,
                host="node1",
                process=99,
                launched=launched + 0.5,
                stopped=stopped,
                cpu=1.0,
                peak_mb=80,
                tasks=tuple(tasks),
            ),
        ),
        attempts=1,
        log="output.log",
    )


def test_every_core_second_is_in_one_share() -> None:
    chunk = {
        "open": seconds(0.5, 0.25),
        "read": seconds(1.0, 0.5),
        "decompress": seconds(0.5),
        "physics": seconds(0.75, 0.5),
        "fill": seconds(0.25),
    }
    found = measures.of(
        point(
            [
                task(1.0, {"open": seconds(0.5, 0.25)}, kind="header"),
                task(1.5, chunk, failed_attempts=2),
                task(5.0, chunk, process_cpu=4.5),
                task(2.0, chunk, process=2, peak_mb=300),
            ]
        )
    )
    # Of 20 core seconds; half a second each until the job is there.
    assert {name: 20 * share for name, share in found.shares.items()} == pytest.approx(
        {
            "start": 1.0 + 0.5 + 1.5,
            "open": 0.25 + 3 * 0.25,
            "read": 1.5,
            "decompress": 1.5,
            "physics": 1.5,
            "fill": 0.75,
            "data": 0.25 + 3 * 0.75,
            "retry": 0.0,
            "stalled": 0.75,
            "other": 0.0,
            "merge": 2 * 2.0,
            # While the last chunk runs from 5 to 8, the other worker has none.
            "tail": 3.0,
            # Between 4.5 and 5, of the first.
            "queue": 0.5,
        }
    )
    # That of the command and all its processes.
    assert found.cpu_seconds == pytest.approx(7.5)
    assert found.core_efficiency == pytest.approx(7.5 / 20)
    assert found.events_per_second == 300
    assert found.khz_per_core == pytest.approx(0.15)
    assert found.gigabits_per_second == pytest.approx(8 * 3000 / 10 / 1e9)
    assert found.bytes_per_event == 1
    assert found.share_of_files == pytest.approx(0.03)
    assert (found.chunk_seconds.median, found.chunk_seconds.highest) == (3, 3)
    assert found.tail_seconds == pytest.approx(3.0)
    assert (found.peak_mb, found.failed_attempts, found.failed_jobs) == (300, 2, 0)
    first, second = found.workers
    assert (first.name, first.tasks, second.events) == ("node1:1", 2, 1000)
    # Reading, and what got no CPU.
    assert first.waiting_seconds == pytest.approx(2 * 1.0)


def test_datasets_that_follow_each_other_have_tails_of_their_own() -> None:
    def two_datasets(workers: int) -> PointRecord:
        """Each dataset is a job, whose workers are processes of their own."""
        jobs = []
        for number in range(2):
            start = 1.0 + 4 * number
            chunks = [
                task(start + n, {"physics": seconds(1.0 + n * (workers - 1))}, process=one)
                for n in range(2)
                for one in (10 * number + 1 + (n if workers > 1 else 0),)
            ]
            (job,) = point(chunks, workers=workers, launched=start - 1).jobs
            stopped = max(chunk.stopped for chunk in chunks)
            jobs.append(job.model_copy(update={"launched": start - 0.5, "stopped": stopped}))
        whole = point([], workers=workers, stopped=jobs[-1].stopped)
        return whole.model_copy(update={"jobs": tuple(jobs)})

    one = measures.of(two_datasets(1))
    assert (one.tail_seconds, one.shares["tail"]) == (0, 0)
    # The first worker ends at 2 and 6, the second, which starts a second later, at 4 and 8.
    two = measures.of(two_datasets(2))
    assert two.tail_seconds == pytest.approx(4.0)
    assert two.shares["tail"] == pytest.approx(4.0 / 16)
    assert sum(two.shares.values()) == pytest.approx(1)


def test_workers_for_which_there_is_nothing_to_do() -> None:
    chunks = [task(1.0, {"physics": seconds(8.0)}, process=n + 1) for n in range(2)]
    few = point(chunks, workers=8, stopped=9.0)
    shares = measures.of(few).shares
    # Half a second until the job is there, and half until its two workers are.
    assert shares["start"] == pytest.approx((8 * 0.5 + 2 * 0.5) / 72)
    assert shares["tail"] == pytest.approx(6 * 8.5 / 72)
    assert sum(shares.values()) == pytest.approx(1)
    told = limits.verdict([few], None)
    assert told.limit == "stragglers"
    assert "There are 2 chunks: 6 of the 8 workers have none." in told.text
    assert "have none" not in limits.verdict([point(chunks, workers=2)], None).text
    # Files without events have headers, and no chunks.
    header = task(1.0, {"open": seconds(0.5)}, kind="header")
    assert "have none" not in limits.verdict([point([header])], None).text


def test_a_slow_round_makes_no_worker_slow() -> None:
    """Its processes are none of the other rounds."""
    numbers = np.random.default_rng(2)

    def of_round(repeat: int, factor: float, slow: float = 1.0) -> PointRecord:
        chunks = [
            task(
                1.0 + 3 * n,
                {"physics": seconds((slow if w else 1.0) * factor * numbers.uniform(0.9, 1.1))},
                process=10 * repeat + w + 1,
            )
            for w in range(2)
            for n in range(12)
        ]
        return point(chunks, repeat=repeat, stopped=60.0)

    assert limits.slow_things([of_round(0, 2.0), of_round(1, 1.0), of_round(2, 1.0)]) == ()
    # One that is slow in its round is named, and what it costs is counted there.
    (slow,) = limits.slow_things([of_round(0, 2.0, slow=3.0), of_round(1, 1.0)])
    assert (slow.kind, slow.name) == ("worker", "node1:2")


def test_failed_attempts_are_no_computing() -> None:
    chunk = {"read": seconds(1.0, 0.5), "physics": seconds(1.0)}
    late = [
        task(1.0, {"open": seconds(2.5, 0.5)}, kind="header", failed_attempts=1),
        task(3.5, chunk | {"pauses": seconds(4.0, 0.25)}, failed_attempts=2),
    ]
    # The parts are those of the attempt that gave the file.
    tasks = [
        late[0].model_copy(update={"failed": seconds(2.0, 0.25)}),
        late[1].model_copy(update={"parts": chunk, "failed": seconds(4.0, 0.25)}),
    ]
    record = point(tasks, workers=1)
    found = measures.of(record).shares
    spent = {name: 10 * share for name, share in found.items()}
    assert spent["retry"] == pytest.approx(2.0 + 4.0)
    assert (spent["other"], spent["physics"]) == pytest.approx((0.0, 1.0))
    # CPU time of failed attempts is none of the header's.
    assert (spent["open"], spent["data"]) == pytest.approx((0.25, 0.25 + 0.5))
    verdict = limits.verdict([record], None)
    assert (verdict.limit, verdict.lasting) == ("failed reads", "failed reads")
    assert verdict.text.startswith("Failed attempts to read and the pauses after them took 60%")
    assert "3 attempts to read failed in 1 repetition, which took 60% of the time." in verdict.text


def test_cpu_time_of_a_point_is_none_of_earlier_ones() -> None:
    chunk = {"physics": seconds(1.0)}
    # It ran before the command was started at 10, two tasks of its at a time.
    stays = [
        task(11.0, chunk, process_launched=2.0, process_cpu_before=50.0, process_cpu=51.5),
        task(11.5, chunk, process_launched=2.0, process_cpu_before=50.5, process_cpu=52.0),
    ]
    # That of another name space has the same number.
    other = task(12.0, chunk, process_launched=10.75, process_cpu_before=3.0, process_cpu=4.0)
    tasks = [*stays, other]
    # The job is a process of the command, or one that a batch system runs.
    cpu: dict[Elsewhere | None, float] = {None: 0.0, "workers": 2.0 + 4.0, "jobs": 2.0 + 4.0 + 1.0}
    for elsewhere, others in cpu.items():
        record = point(tasks, launched=10.0, stopped=20.0, elsewhere=elsewhere)
        assert measures.of(record).cpu_seconds == pytest.approx(7.5 + others)


def test_more_tasks_at_a_time_than_workers() -> None:
    chunk = {"physics": seconds(2.5)}
    for start, sum_of_shares in ((4.0, None), (1.5, "1.25")):
        record = point([task(1.5, chunk), task(start, chunk)], workers=1)
        problem = facility_points.too_much_time(record)
        if sum_of_shares is None:
            assert problem is None
        else:
            assert problem is not None
            assert problem.startswith(f"the shares of the time add up to {sum_of_shares}: ")


def test_doors_are_servers_or_folders() -> None:
    chunk = {"physics": seconds(1)}
    assert measures.door(task(0, chunk)) == "/data"
    mirror = task(0, chunk, url="root://eos.example.org:1094//a.root")
    assert measures.door(mirror) == "root://eos.example.org:1094"


def test_laws_of_what_follows_them() -> None:
    law = scaling.amdahl({n: [2 + 12 / n] * 3 for n in (1, 2, 4)})
    assert law is not None
    assert law.serial_seconds is not None
    assert law.useful_workers is not None
    assert law.serial_seconds.value == pytest.approx(2)
    assert law.serial_share.value == pytest.approx(2 / 14)
    assert law.seconds(24) == pytest.approx(2.5)
    # Without scatter there is no uncertainty.
    assert law.serial_share.low == pytest.approx(law.serial_share.high)
    # Twice as many workers than that shorten the time by a tenth.
    useful = law.useful_workers.value
    assert (2 + 12 / (2 * useful)) / (2 + 12 / useful) == pytest.approx(0.9)
    assert law.largest_deviation < 1e-9
    perfect = scaling.amdahl({1: [8.0], 2: [4.0]})
    assert perfect is not None
    assert perfect.useful_workers is None
    # As much for each worker: the speed-up N - a (N - 1).
    weak = scaling.gustafson({n: [10 * n / (n - 0.2 * (n - 1))] for n in (1, 2, 4)})
    assert weak is not None
    assert weak.serial_share.value == pytest.approx(0.2)
    assert scaling.amdahl({2: [1.0]}) is None
    assert scaling.gustafson({2: [1.0], 4: [1.0]}) is None


def scattered(ladder: dict[int, float], scatter: float = 0.02) -> dict[int, list[float]]:
    """Three repetitions of each rung, whose median is as given."""
    return {n: [(1 - scatter) * t, t, (1 + scatter) * t] for n, t in ladder.items()}


SLOWER = scattered({1: 10.0, 2: 12.0})
NO_FASTER = scattered({1: 12.0, 2: 7.0, 4: 7.05})
SLOWER_AGAIN = scattered({1: 12.0, 2: 7.0, 4: 5.0, 8: 9.0})
ODD = scattered({1: 10.0, 2: 9.5, 4: 3.0, 8: 1.2})
HOLDING = scattered({n: 2 + 12 / n for n in (1, 2, 4)})


@pytest.mark.parametrize(
    ("ladder", "told", "number"),
    [
        (
            SLOWER,
            [
                "2 workers took 1.20 times as long as 1 (1.15 to 1.25)",
                "no more than 1 worker is of use",
            ],
            False,
        ),
        ({1: [10.0], 2: [12.0]}, ["2 workers took 1.20 times as long as 1.", "lengthen"], False),
        # Repetitions that say nothing beyond chance, and one of each, less than a tenth apart.
        (
            scattered({1: 10.0, 2: 9.8}, 0.05),
            ["not measurably faster", "more than 1 worker is seen"],
            False,
        ),
        ({1: [10.0], 2: [9.8]}, ["not measurably faster", "more than 1 worker is seen"], False),
        (
            NO_FASTER,
            ["4 workers took 1.01 times as long as 2", "more than 2 workers are seen"],
            False,
        ),
        (
            SLOWER_AGAIN,
            ["lengthen", "8 workers took 1.80 times as long as 4", "than 4 workers are of use"],
            False,
        ),
        (ODD, ["law does not tell", "misses the points by up to", "scatter of 2.0%"], False),
        # What a middle rung lost is told beside the law, which still misses it.
        (
            scattered({1: 10.0, 2: 14.0, 4: 3.0}),
            ["2 workers took 1.40 times as long as 1", "law does not tell"],
            False,
        ),
        (scattered({1: 8.0, 2: 4.0}), ["No serial part was seen up to 2 workers"], False),
        (HOLDING, ["By Amdahl's law, extrapolated from 4 workers, beyond 24 workers ("], True),
        (scattered({1: 10.0, 2: 6.0, 4: 4.2, 8: 3.1, 32: 2.3}), ["Beyond 15 workers ("], True),
    ],
)
def test_more_workers_are_of_use_only_where_they_were(
    ladder: dict[int, list[float]], told: list[str], number: bool
) -> None:
    law = scaling.amdahl(ladder)
    assert law is not None
    points = [
        point([task(1.0, {"physics": seconds(1.0)})], workers=n, stopped=time, repeat=repeat)
        for n, times in ladder.items()
        for repeat, time in enumerate(times)
    ]
    text = limits.verdict(points, law).text
    for sentence in told:
        assert sentence in text
    assert ("twice as many" in text) == number == (law.useful_workers is not None)


def test_a_law_says_how_well_it_describes_the_points() -> None:
    holding = scaling.amdahl(HOLDING)
    assert holding is not None
    assert holding.describes is True
    assert holding.scatter == pytest.approx(0.02)
    assert holding.remark == f"within {holding.largest_deviation:.1%}, with a scatter of 2.0%"
    odd = scaling.amdahl(ODD)
    assert odd is not None
    assert odd.describes is False
    assert odd.largest_deviation > 10 * (odd.scatter or 0)
    # Two rungs have a law of two parameters whatever they are, if it has no negative part.
    two = scaling.amdahl(scattered({1: 10.0, 2: 6.0}))
    assert two is not None
    assert two.describes is None
    assert two.remark.startswith("not tested by 2 rungs: within ")
    lost = scaling.amdahl(SLOWER)
    assert lost is not None
    assert lost.describes is False
    # Without repetitions a tenth counts.
    once = {n: times[:1] for n, times in ODD.items()}
    for ladder, describes in ((once, False), ({n: t[1:2] for n, t in HOLDING.items()}, None)):
        law = scaling.amdahl(ladder)
        assert law is not None
        assert law.describes is describes
        assert law.remark.endswith("without repetitions their scatter is not known")
    weak = {n: 10 * n / (n - 0.2 * (n - 1)) for n in (1, 2, 4)}
    for times, describes in ((weak, True), ({1: 10.0, 2: 10.0, 4: 30.0, 8: 10.0}, False)):
        law = scaling.gustafson(scattered(times))
        assert law is not None
        assert law.describes is describes


def test_scattered_times_of_a_law_are_rarely_called_others() -> None:
    numbers = np.random.default_rng(3)
    missed = 0
    for _ in range(40):
        law = scaling.amdahl(
            {n: [(3 + 24 / n) * numbers.normal(1, 0.05) for _ in range(3)] for n in (1, 2, 4, 8)}
        )
        assert law is not None
        missed += not law.describes
    assert missed <= 3


def test_a_reach_without_an_end_has_none() -> None:
    """Where some of the repetitions have no serial part at all."""
    law = scaling.amdahl({1: [10.0, 10.6, 9.4], 2: [5.1, 5.5, 4.7], 4: [2.6, 2.9, 2.4]})
    assert law is not None
    assert law.useful_workers is not None
    assert law.useful_workers.high is None
    verdict = limits.verdict([point([task(1.0, {"physics": seconds(1.0)})])], law)
    assert f"({law.useful_workers.low:.0f} or more)" in verdict.text


@pytest.mark.parametrize("repetitions", [2, 3, 10])
@pytest.mark.parametrize("rungs", [(1, 2), (1, 2, 4), (1, 2, 4, 8, 16)])
def test_intervals_hold_the_law_behind_scattered_times(
    rungs: tuple[int, ...], repetitions: int
) -> None:
    """In 68 % of 600 ladders, whose number varies by 2 %."""
    numbers = np.random.default_rng(2)

    def scattered(seconds: dict[int, float]) -> dict[int, list[float]]:
        return {
            n: (time * numbers.normal(1, 0.05, repetitions)).tolist() for n, time in seconds.items()
        }

    inside = dict.fromkeys(("serial", "parallel", "share", "useful", "weak"), 0)
    told = 0
    for _ in range(600):
        law = scaling.amdahl(scattered({n: 5 + 20 / n for n in rungs}))
        weak = scaling.gustafson(scattered({n: 10 * n / (n - 0.2 * (n - 1)) for n in rungs}))
        assert law is not None
        assert weak is not None
        inside["serial"] += holds(law.serial_seconds, 5)
        inside["parallel"] += holds(law.parallel_seconds, 20)
        inside["share"] += holds(law.serial_share, 0.2)
        inside["weak"] += holds(weak.serial_share, 0.2)
        # It is not told of all of them.
        if law.useful_workers is not None:
            told += 1
            inside["useful"] += holds(law.useful_workers, 16)
    assert told > 300
    for name, number in inside.items():
        assert number / (told if name == "useful" else 600) == pytest.approx(0.68, abs=0.08), name


def holds(interval: Range | scaling.Reach | None, value: float) -> bool:
    assert interval is not None
    assert interval.low is not None
    return interval.low <= value <= (np.inf if interval.high is None else interval.high)


def test_intervals_at_a_bound_are_intervals() -> None:
    serial = scaling.amdahl({1: [10.0, 10.4], 2: [10.6, 11.0], 4: [10.2, 11.0]})
    assert serial is not None
    assert serial.serial_share.value == serial.serial_share.high == 1
    assert serial.serial_share.low is not None
    assert 0.5 < serial.serial_share.low < 0.99
    assert serial.parallel_seconds is not None
    assert serial.parallel_seconds.low == serial.parallel_seconds.value == 0
    assert (serial.parallel_seconds.high or 0) > 0.1
    parallel = scaling.amdahl({1: [10.0, 10.4], 2: [4.8, 5.0]})
    assert parallel is not None
    assert parallel.serial_share.low == parallel.serial_share.value == 0
    assert 0.01 < (parallel.serial_share.high or 0) < 0.5
    weak = scaling.gustafson({1: [10.0, 10.4], 2: [9.8, 10.0]})
    assert weak is not None
    assert weak.serial_share.low == weak.serial_share.value == 0
    assert 0.01 < (weak.serial_share.high or 0) < 0.5


def series(parts: dict[str, Seconds], workers: int, **changes: Any) -> PointRecord:
    """A point whose workers do ten chunks each, without a break."""
    wall = sum(parts.values(), Seconds()).wall
    tasks = [
        task(1 + i * wall, parts, process=n + 1, path=f"/data/{n}.root")
        for n in range(workers)
        for i in range(10)
    ]
    return point(tasks, workers=workers, stopped=1 + 10 * wall + 0.1, **changes)


@pytest.mark.parametrize(
    ("parts", "limit"),
    [
        ({"decompress": seconds(0.8), "physics": seconds(0.2)}, "decompression"),
        ({"decompress": seconds(0.2), "physics": seconds(0.8)}, "computing"),
        ({"read": seconds(0.9, 0.1), "physics": seconds(0.2)}, "data"),
        ({"decompress": seconds(0.2), "physics": seconds(0.9, 0.1)}, "cores"),
        ({"physics": seconds(0.01)}, "start-up"),
    ],
)
def test_the_largest_share_limits(parts: dict[str, Seconds], limit: str) -> None:
    points = [series(parts, 2, repeat=n) for n in range(3)]
    found = limits.verdict(points, None)
    assert (found.limit, found.certainty) == (limit, "clear")
    assert found.share.low == found.share.high > 0.3
    assert found.slow == ()
    assert f"of the time of 2 workers: {found.certainty}" in found.text


def test_what_is_slower_than_its_like_is_named() -> None:
    numbers = np.random.default_rng(1)

    def tasks(slow: Any) -> list[Task]:
        made = []
        for worker in range(4):
            start = 1.0
            for n in range(8):
                path = f"/data/{(worker + n) % 5}.root"
                host = f"node{worker % 2}"
                factor = 3.0 if slow(worker, host, path) else 1.0
                parts = {"physics": seconds(factor * numbers.uniform(0.9, 1.1))}
                made.append(task(start, parts, process=worker + 1, path=path, host=host))
                start = made[-1].stopped
        return made

    def found(slow: Any) -> limits.Verdict:
        return limits.verdict([point(tasks(slow), workers=4, stopped=30)], None)

    assert found(lambda *_: False).slow == ()
    one = found(lambda worker, *_: worker == 2)
    assert [(item.kind, item.name) for item in one.slow] == [("worker", "node0:3")]
    assert one.lasting == "worker"
    assert one.slow[0].ratio == pytest.approx(3, rel=0.15)
    # Two thirds of its time, which is half of all.
    assert one.slow[0].lost == pytest.approx(1 / 3, abs=0.05)
    assert "The worker node0:3 is " in one.text
    # All workers of a host: the host.
    host = found(lambda _, host, __: host == "node1")
    assert [(item.kind, item.name) for item in host.slow] == [("host", "node1")]
    file = found(lambda _, __, path: path == "/data/3.root")
    assert [(item.kind, item.name) for item in file.slow] == [("file", "/data/3.root")]


@pytest.mark.parametrize(("wall", "expected"), [(2.0, "rate"), (1.0, "latency")])
def test_data_by_rate_or_latency(wall: float, expected: str) -> None:
    """With a common rate, twice as many workers wait twice as long."""
    points = [
        series({"read": seconds(0.9, 0.0), "physics": seconds(0.1)}, 1),
        series({"read": seconds(wall - 0.1, 0.0), "physics": seconds(0.1)}, 2),
    ]
    assert limits.verdict(points, None).data == expected
    assert limits.verdict(points[1:], None).data is None


@pytest.mark.parametrize(
    ("workload", "size", "workers", "expected"),
    [
        # Equal chunks: as many rounds as it takes.
        (Workload(costs=[(0.5, 0.0)]), Size(7, 1, 2.0), 3, 3.0),
        (Workload(costs=[(0.5, 0.0)]), Size(7, 1, 2.0), 7, 1.0),
        (Workload(costs=[(0.5, 0.0)]), Size(7, 1, 2.0), 10, 1.0),
        # Headers first, then chunks; start and end.
        (Workload((4.0,), (1.0,), [(0.5, 0.0)], merging=2.0), Size(4, 3, 2.0), 2, 4 + 2 + 6 + 2),
        # A common rate: all transfers share it. A rate of each: they do not.
        (Workload(costs=[(0.0, 1.0)]), Size(8, 1, 5.0, rate=10.0), 8, 4.0),
        (Workload(costs=[(0.0, 1.0)], stream=2.5), Size(8, 1, 5.0, rate=1e9), 8, 2.0),
        # Data, then computing: while one computes, the other has the whole rate only at the end.
        (Workload(costs=[(0.2, 2.0)]), Size(2, 1, 5.0, rate=10.0), 2, 3.0),
        # Tasks are handed out one after another: headers, then chunks.
        (Workload(costs=[(3.0, 0.0)], dispatch=0.1), Size(10, 1, 1.0), 100, 1 + 1 + 3.0),
        # A job is handed out once, with headers and chunks of its files; the last has what is left.
        (
            Workload((4.0,), (1.0,), [(0.5, 0.0)], dispatch=0.1, job=1, merging=2.0),
            *(Size(3, 2, 2.0), 1, 4 + 3 * (0.1 + 1 + 2) + 2),
        ),
        (
            Workload((0.0,), (1.0,), [(0.5, 0.0)], dispatch=0.5, job=2),
            Size(5, 1, 2.0),
            9,
            1 + 2 * (1 + 1),
        ),
        # Nobody takes chunks of the file of another's job.
        (Workload(costs=[(0.5, 0.0)], job=1), Size(2, 6, 2.0), 12, 6.0),
        # Waiting beside the rate.
        (Workload(costs=[(0.5, 0.0)], waits=(2.0,)), Size(2, 1, 2.0), 1, 6.0),
    ],
)
def test_simulation_of_what_has_a_closed_form(
    workload: Workload, size: Size, workers: int, expected: float
) -> None:
    assert queueing.seconds(workload, size, workers, seed=1) == pytest.approx(expected, rel=1e-9)


def test_a_very_large_stage_is_extrapolated_exactly() -> None:
    load = Workload((3.0,), (0.5,), [(0.01, 0.0)], merging=1.0)
    size = Size(files=200_000, chunks=2, events=100)
    assert queueing.seconds(load, size, 4, 1) == pytest.approx(3 + 25_000 + 100_000 + 1)
    # Nothing of it is as fast as the workers that come first.
    late = Workload(starts=(0.0, 5000.0), costs=[(0.01, 0.0)])
    assert queueing.seconds(late, Size(100_000, 1, 100), 2, 1) == pytest.approx(52_500)
    # Chunks of very different times, whose mean is 1 s; and the door, which only their bytes pass.
    uneven = Workload(costs=[(0.001, 1.0)] * 9 + [(9.991, 11.0)])
    assert queueing.seconds(uneven, Size(300_000, 1, 1), 10, 1) == pytest.approx(30_000, rel=0.01)
    by_door = queueing.seconds(uneven, Size(300_000, 1, 1, rate=10), 100, 1)
    assert by_door == pytest.approx(60_000, rel=0.01)


@pytest.mark.parametrize("files", [787, 78_700])
@pytest.mark.parametrize(
    ("job", "chunks"), [(None, 3), (1, 1), (1, 3), (2, 3), (8, 3), (16, 1), (64, 3), (100, 3)]
)
def test_equal_chunks_take_as_many_rounds_as_there_are(
    files: int, chunks: int, job: int | None
) -> None:
    load = Workload(costs=[(1e-6, 0.0)], job=job)
    size = Size(files, chunks, 4e5)
    one = queueing.seconds(load, size, 1, seed=1)
    # As with a door that nobody has to wait for, which jobs pass step by step.
    wide = Workload(costs=[(1e-6, 1.0)], job=job)
    for workers in (1, 3, 10, 100, 1000):
        pieces, each = (size.tasks, 1) if job is None else (-(-files // job), job * chunks)
        # The last job has what is left, and is a round of its own where there is no other.
        rest = (
            (files - (pieces - 1) * job) * chunks
            if job and pieces % workers == 1 % workers
            else each
        )
        rounds = -(-pieces // workers) - 1
        took = queueing.seconds(load, size, workers, seed=1)
        assert took == pytest.approx(0.4 * (rounds * each + rest))
        assert took >= one / workers * (1 - 1e-9)
        if workers == 100:
            passed = queueing.seconds(wide, Size(files, chunks, 4e5, rate=1e15), workers, seed=1)
            assert passed == pytest.approx(took, rel=1e-4)


@pytest.mark.parametrize("job", [None, 8, 64])
def test_many_workers_are_never_more_efficient_than_one(job: int | None) -> None:
    costs = [(0.2e-6, 50.0), (0.3e-6, 100.0), (1.6e-6, 400.0)]
    load = Workload((3.0, 4.0), (0.1, 0.3), costs, reading=(1e-7,) * 3, job=job, merging=1.0)
    task = TaskSize(files=78_700, events=94_000_000_000, chunks=3, bytes=94 * 10**11)
    (curve,) = predictions.predictions(load, {"task": task}, [1, 7, 100, 1000], seed=1).values()
    assert curve[0].efficiency == pytest.approx(1)
    assert curve[-1].efficiency > 0.5
    for fewer, more in pairwise(curve):
        assert 0 < more.seconds < fewer.seconds
        assert 0 < more.efficiency <= 1


def test_many_jobs_share_the_rate_of_the_door() -> None:
    """Whatever each worker does, a billion bytes a second pass."""
    load = Workload(headers=(0.1,), costs=[(1e-9, 1000.0)], job=16)
    for workers in (100, 1000):
        took = queueing.seconds(load, Size(78_700, 3, 4e5, rate=1e9), workers, seed=1)
        assert took == pytest.approx(78_700 * 3 * 0.4, rel=0.01)


def test_failed_reads_are_part_of_what_was_measured() -> None:
    """Each chunk took two seconds that failed, with their pause, and two that did not."""
    chunks = [
        task(1.0 + 4 * i, {"physics": seconds(2.0)}).model_copy(
            update={"seconds": seconds(4.0), "failed_attempts": 1, "failed": seconds(2.0)}
        )
        for i in range(60)
    ]
    measured = point(chunks, workers=1, stopped=242.0)
    (rung,) = predictions.check([measured], dispatch=0.0, seed=1)
    assert rung.simulated.value == pytest.approx(242.0)
    # Chunks of ten times the events fail as often, and compute ten times as long.
    load = predictions.workload([measured], dispatch=0.0)
    assert queueing.seconds(load, Size(1, 60, 10_000), 1, seed=1) == pytest.approx(
        1 + 60 * (2 + 20) + 1
    )


def test_predictions_follow_from_what_was_measured() -> None:
    # A second of computing and a thousand bytes for a thousand events, a second of start.
    points = [series({"physics": seconds(1.0)}, n, repeat=r) for n in (1, 2) for r in range(2)]
    load = predictions.workload(points, dispatch=0.0)
    assert load.costs == [(pytest.approx(1e-3), 1.0)] * 60
    curves = predictions.predictions(load, SIMULATED.tasks, SIMULATED.workers, seed=1)
    one, ten = curves["task"]
    assert one.seconds == pytest.approx(1 + 100_000 + 0.1)
    assert ten.seconds == pytest.approx(1 + 10_000 + 0.1)
    assert ten.efficiency == pytest.approx(1, abs=1e-3)
    assert ten.gigabits_per_second == pytest.approx(8e-9 * 1e8 / 10_001.1)
    assert predictions.needed(curves["task"], events_per_second=5500) == pytest.approx(
        5.5, rel=1e-2
    )
    assert predictions.needed(curves["task"], events_per_second=1e9) is None
    # Three times the bytes: what reads them takes three times as long, and all of it a common door.
    parts = {"decompress": seconds(0.5), "physics": seconds(0.5)}
    load = predictions.workload([series(parts, 1)], dispatch=0.0)
    larger = SIMULATED.tasks["task"].model_copy(update={"bytes": 300_000_000})
    (one,) = predictions.predictions(load, {"larger": larger}, [1], seed=1)["larger"]
    assert one.seconds == pytest.approx(1 + 200_000 + 0.1)
    # A tenth of them: a tenth of each chunk's own reading, of which some have none.
    mixed = [
        task(1.0 + i, {"decompress": seconds(0.9 * (i % 2)), "physics": seconds(1 - 0.9 * (i % 2))})
        for i in range(10)
    ]
    uneven = predictions.workload([point(mixed, workers=1, stopped=11.0)], dispatch=0.0)
    fewer = SIMULATED.tasks["task"].model_copy(update={"bytes": 10_000_000})
    (one,) = predictions.predictions(uneven, {"fewer": fewer}, [1], seed=1)["fewer"]
    assert one.seconds == pytest.approx(1 + 50_000 * (1 + 0.1 + 0.09))
    # Where no bytes were counted, those of the task still have to pass.
    silent = predictions.workload(
        [point([each.model_copy(update={"bytes": 0}) for each in mixed], workers=1)], dispatch=0.0
    )
    slow = larger.model_copy(update={"gigabits_per_second": 8e-6})
    (many,) = predictions.predictions(silent, {"slow": slow}, [100], seed=1)["slow"]
    assert many.seconds == pytest.approx(300_000, rel=0.01)
    (many,) = predictions.predictions(load, {"slow": slow}, [100], seed=1)["slow"]
    assert many.seconds == pytest.approx(300_000, rel=0.01)
    for rung in predictions.check(points, dispatch=0.0, seed=1):
        assert rung.agreement == "within the spread"
        assert rung.simulated.value == pytest.approx(rung.measured.value)


def jobs_of_one_file() -> PointRecord:
    """Four jobs in turn: half a second until each starts, a quarter before and behind its tasks."""
    jobs = []
    for number in range(4):
        launched = 1 + 0.5 + 11.0 * number
        chunks = [
            task(
                launched + 0.25 + i,
                {"physics": seconds(1.0)},
                process=number + 1,
                path=f"/data/{number}.root",
            )
            for i in range(10)
        ]
        (job,) = point(chunks, workers=1).jobs
        stopped = launched + 0.25 + 10 + 0.25
        jobs.append(job.model_copy(update={"launched": launched, "stopped": stopped}))
    tasks = [each for job in jobs for each in job.tasks]
    whole = point(tasks, workers=1, stopped=1 + 4 * (0.5 + 0.25 + 10.25))
    return whole.model_copy(update={"jobs": tuple(jobs), "split": True})


def test_the_end_of_the_command_and_workers_without_a_job_are_no_queue() -> None:
    # One worker has one job after the other, whose start is not that of the next task.
    found = measures.of(jobs_of_one_file())
    assert (found.shares["tail"], found.tail_seconds) == (0, 0)
    assert found.shares["queue"] == pytest.approx(3 * 0.5 / 45)
    # Six workers have no job, and from the launch of the last one nobody will give them any.
    one = jobs_of_one_file()
    many = one.model_copy(update={"workers": 6, "stopped": one.stopped + 2})
    found = measures.of(many)
    total = 6 * 47.0
    assert found.shares["merge"] == pytest.approx((6 * 2 + 4 * 0.25) / total)
    assert found.shares["tail"] == pytest.approx(5 * 10.5 / total)
    assert found.tail_seconds == pytest.approx(33.0)
    assert sum(found.shares.values()) == pytest.approx(1)


def test_the_first_chunk_of_a_process_says_nothing_of_its_file() -> None:
    def points(n_rounds: int) -> list[PointRecord]:
        """Each process needs two seconds more for its first chunk, which is of the same file."""
        return [
            point(
                [
                    task(
                        1.0 + 2 * i + 2 * (i > 0),
                        {"physics": seconds(1.0 + 2 * (i == 0))},
                        process=10 * r + 1,
                        path=f"/data/{i // 2}.root",
                    )
                    for i in range(8)
                ],
                workers=1,
                repeat=r,
                stopped=20.0,
            )
            for r in range(n_rounds)
        ]

    assert limits.slow_things(points(5)) == ()
    files = measures.grouped(measures.tasks_of(points(5)), lambda task: task.path)
    assert {file.nanoseconds_per_event for file in files} == {1e6}
    # Where each process has one chunk, there is nothing else to go by.
    alone = [task(1.0, {"physics": seconds(3.0)}, process=n) for n in range(1, 4)]
    (file,) = measures.grouped(alone, lambda task: task.path)
    assert file.nanoseconds_per_event == 3e6


def test_predictions_of_skims_count_events_of_the_inputs() -> None:
    """The tasks of a point read a twentieth of its events: the skims."""
    read = [series({"physics": seconds(1.0)}, n) for n in (1, 2)]
    points = [p.model_copy(update={"input_events": 20 * p.input_events}) for p in read]
    load = predictions.workload(points, dispatch=0.0)
    assert load.costs[0] == (pytest.approx(1e-3 / 20), pytest.approx(1 / 20))
    curves = predictions.predictions(load, SIMULATED.tasks, [1], seed=1)
    assert curves["task"][0].seconds == pytest.approx(1 + 100_000 / 20 + 0.1)
    for rung in predictions.check(points, dispatch=0.0, seed=1):
        assert rung.simulated.value == pytest.approx(rung.measured.value)


def streamed(wait: Callable[[int], float], n_events: Sequence[int]) -> PointRecord:
    """A point of one worker, whose chunks have as many bytes as events and wait for them."""
    start, chunks = 1.0, []
    for number in n_events:
        parts = {"read": seconds(wait(number), 0.0), "physics": seconds(1e-4 * number)}
        chunk = task(start, parts).model_copy(update={"events": number, "bytes": number})
        chunks.append(chunk)
        start = chunk.stopped
    return point(chunks, workers=1, stopped=start)


@pytest.mark.parametrize(
    ("wait", "n_events", "rate", "seconds_of_large"),
    [
        # A tenth of a second, and a rate of ten thousand bytes a second: of two chunks of 100,000.
        (lambda n: 0.1 + n / 1e4, [1000, 2000, 3000, 4000] * 5, 1e4, 2 * (0.1 + 10 + 10)),
        (lambda _: 0.1, [1000, 2000, 3000, 4000] * 5, None, 2 * (0.1 + 10)),
        # Chunks that are alike do not say what others would wait, nor do a few.
        (lambda n: 0.1 + n / 1e4, [1000] * 20, None, 2 * (0.2 + 10)),
        (lambda n: 0.1 + n / 1e4, [1000, 4000, 1000, 4000], None, 2 * (0.35 + 10)),
    ],
)
def test_waiting_grows_with_the_bytes_of_a_chunk_where_it_was_measured(
    wait: Callable[[int], float],
    n_events: list[int],
    rate: float | None,
    seconds_of_large: float,
) -> None:
    measured = streamed(wait, n_events)
    load = predictions.workload([measured], dispatch=0.0)
    assert load.stream == (None if rate is None else pytest.approx(rate))
    large = queueing.seconds(load, Size(1, 2, 100_000), 1, seed=1)
    assert large == pytest.approx(1 + seconds_of_large)
    # What was measured stays as it was.
    (rung,) = predictions.check([measured], dispatch=0.0, seed=1)
    assert rung.simulated.value == pytest.approx(measured.wall)


def test_waiting_that_has_nothing_to_do_with_bytes_has_no_rate() -> None:
    numbers = np.random.default_rng(5)
    n_events = numbers.integers(1000, 4000, 60).tolist()
    found = 0
    for _ in range(20):
        waits = iter(numbers.exponential(0.1, 60).tolist())
        measured = streamed(lambda _, waits=waits: next(waits), n_events)
        found += predictions.workload([measured], dispatch=0.0).stream is not None
    assert found <= 1


def test_times_of_chunks_are_drawn_as_often_as_each_was_measured() -> None:
    load = Workload(costs=[(1.0, 0.0), (4.0, 0.0)])
    for seed in range(5):
        assert queueing.seconds(load, Size(5, 2, 1.0), 1, seed) == pytest.approx(5 * 5.0)


def test_jobs_are_handed_out_once_each() -> None:
    load = predictions.workload([jobs_of_one_file()], dispatch=0.5)
    assert load.job == 1
    # Each has ten tasks: to hand out every one of them would take 20 s more.
    (rung,) = predictions.check([jobs_of_one_file()], dispatch=0.5, seed=1)
    assert rung.simulated.value == pytest.approx(rung.measured.value)


@pytest.mark.parametrize(
    ("measured", "simulated", "expected"),
    [
        ((11.0, 10.0, 12.0), (9.5, 9.0, 10.0), "within the spread"),
        ((11.0, 10.0, 12.0), (20.0, 12.0, 30.0), "within the spread"),
        ((11.0, 10.9, 11.1), (11.9, 11.8, 12.0), "within a tenth"),
        ((11.0, 10.9, 11.1), (10.1, 10.0, 10.2), "within a tenth"),
        ((11.0, 10.9, 11.1), (9.9, 9.8, 10.0), "different"),
        # Ends that are close, of medians that are not.
        ((7.2, 4.0, 10.3), (12.0, 10.8, 21.5), "different"),
        ((11.0, None, None), (12.0, 11.0, 13.0), "within a tenth"),
        ((11.0, None, None), (13.0, 10.0, 16.0), "different"),
    ],
)
def test_agreement_says_how_close_measured_and_simulated_times_are(
    measured: tuple[float, float | None, float | None],
    simulated: tuple[float, float, float],
    expected: str,
) -> None:
    ranges = [Range(value=value, low=low, high=high) for value, low, high in (measured, simulated)]
    rung = predictions.Rung(workers=1, measured=ranges[0], simulated=ranges[1])
    assert rung.agreement == expected
    assert rung.ratio == pytest.approx(simulated[0] / measured[0])
    # Both stand in the record; what another file says is made anew.
    content = rung.model_dump()
    assert content["agreement"] == expected
    assert content["ratio"] == rung.ratio
    assert predictions.Rung.model_validate(content | {"agreement": "something else"}) == rung


PROCESSES = {"histograms": {"executor": "futures"}}


def plan(**changes: Any) -> FacilityPlan:
    values = yaml.safe_load((ROOT / "config" / "facility.yaml").read_text())
    values |= {"workers": [1, 2, 4]} | changes
    settings = FacilitySettings.model_validate(values)
    return FacilityPlan(settings, Values(Layer(values)), config.load(read_config()), ROOT)


def written(path: Path, **changes: Any) -> FacilityPlan:
    """The plan of a file."""
    values = yaml.safe_load((ROOT / "config" / "facility.yaml").read_text())
    path.write_text(yaml.safe_dump(values | {"workers": [1, 2]} | changes, sort_keys=False))
    return FacilityPlan(*facility_plan.read(path), config.load(read_config()), ROOT)


def test_a_copy_of_the_file_measures_the_same(tmp_path: Path) -> None:
    settings, values = facility_plan.read(ROOT / "config" / "facility.yaml")
    copies = ({"facility": "config/facility.yaml"}, {"facility": str(tmp_path / "mine.yaml")})
    one, other = (
        FacilityPlan(settings, values, config.load({**read_config(), **copy}), ROOT)
        for copy in copies
    )
    assert one.inner("local", "processes") == other.inner("local", "processes")


def test_rounds_have_every_rung_once() -> None:
    made = plan(repeats=2, executors={"a": PROCESSES, "b": PROCESSES | {"workers": [3]}})
    names = list(made.points)
    first = [
        *("a+local+cold+00004+0", "a+local+strong+00001+0", "a+local+weak+00001+0"),
        *("a+local+strong+00002+0", "a+local+weak+00002+0"),
        *("a+local+strong+00004+0", "a+local+weak+00004+0"),
        *("b+local+cold+00003+0", "b+local+strong+00003+0", "b+local+weak+00003+0"),
    ]
    assert names[:10] == first
    # The next round goes the other way.
    assert names[10:] == [name[:-1] + "1" for name in reversed(first)]
    priorities = [made.priority(name) for name in names]
    assert priorities == sorted(priorities, reverse=True)
    assert made.n_files == 16
    assert made.points["a+local+weak+00004+0"].n_files == 16
    assert made.points["a+local+strong+00004+0"].n_files == 8
    assert len(made.sample_files) == 4
    assert plan(inputs={"own": {"input": {"kind": "fileset", "path": "x"}}}).sample_files == []
    inner = made.inner("local", "a")
    assert inner["histograms"]["trace"] is True
    assert inner["input"]["path"].endswith("results/facility/inputs/local/sample.json")
    sizes = {"strong": 2, "weak": None, "cold": False, "delivery": 2}
    ladder = plan(
        sizes=sizes,
        repeats=1,
        executors={"a": PROCESSES, "b": {"snakemake": ["--cores", "{workers}"]}},
    )
    assert [name for name in ladder.points if "+delivery+" in name] == [
        f"b+local+delivery+0000{n}+0" for n in (1, 2, 4)
    ]
    with pytest.raises(ConfigurationError, match="no delivery to measure"):
        facility_point.configure(ladder, "b+local+delivery+00001+0")


def test_datasets_are_those_of_the_inputs(tmp_path: Path) -> None:
    plan().check_files("local")
    listed = tmp_path / "eos.json"
    files = {f"root://eos.example.org//{n}.root": {"num_entries": 10} for n in range(3)}
    listed.write_text(json.dumps({"wjets__nominal": {"files": files}}))
    inputs = {"eos": {"input": {"kind": "fileset", "path": str(listed)}}}
    own = plan(inputs=inputs, datasets=["wjets__nominal"])
    with pytest.raises(ConfigurationError, match="has 3 files, the largest point reads 16"):
        facility_input.configure(own, "eos")
    # A dataset of the analysis that the input does not have, and one that nobody has.
    for changed, source, it_has in (
        (plan(inputs=inputs), "eos", "'ttbar__nominal': it has wjets__nominal"),
        (plan(datasets=["wjets__nominal"]), "local", "'wjets__nominal': it has ttbar__nominal"),
        (plan(datasets=["ttbar"]), "local", "'ttbar': it has ttbar__nominal"),
    ):
        with pytest.raises(ConfigurationError, match=f"{source} has no dataset {it_has}"):
            facility_input.configure(changed, source)
    sample = plan().settings.sample.model_dump() | {"dataset": "ttbar_nominal"}
    with pytest.raises(ConfigurationError, match=r"'ttbar_nominal' in `sample.dataset` .did you"):
        facility_input.configure(plan(sample=sample, datasets=["ttbar_nominal"]), "local")


def test_a_wrong_value_is_told_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    slip = {"histograms": {"executor": "dask", "dask": {"cluster": "local", "timeuot": 3}}}
    wrong = {"delivery": {"backend": "none"}, "histograms": {"chunk_size": -1}}
    for changes, point, key in (
        ({"executors": {"dask": slip}}, "dask", "executors.dask.histograms.dask.timeuot"),
        ({"run": wrong}, "processes", "run.histograms.chunk_size"),
        ({"inputs": {"local": wrong}}, "processes", "inputs.local.histograms.chunk_size"),
    ):
        made = written(path, **changes)
        with pytest.raises(ConfigurationError) as caught:
            facility_point.configure(made, f"{point}+local+strong+00001+0")
        (line,) = [
            number
            for number, text in enumerate(path.read_text().splitlines(), 1)
            if key.rpartition(".")[2] in text
        ]
        assert caught.value.place == f"`{key}` in {path}, line {line}"
    # What a run is refused for when its jobs are made.
    listed = {"input": {"kind": "fileset", "path": str(tmp_path / "none.json")}}
    with pytest.raises(InputError, match="file not found") as missing:
        facility_input.configure(written(path, inputs={"eos": listed}), "eos")
    assert missing.value.place.startswith(f"{tmp_path}/none.json, of `inputs.eos` in {path}, line")


def test_files_that_are_not_there_are_told_before_any_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = tmp_path / "lists" / "eos.json"
    listed.parent.mkdir()
    files = {f"data/{n}.root": {"num_entries": 10} for n in range(9)}
    listed.write_text(json.dumps({"ttbar__nominal": {"files": files}}))

    def made() -> FacilityPlan:
        return written(
            tmp_path / "mine.yaml",
            inputs={"eos": {"input": {"kind": "fileset", "path": "lists/eos.json"}}},
            sizes={"strong": 8, "weak": None, "cold": False},
        )

    (listed.parent / "data").mkdir()
    for number in range(7):
        (listed.parent / f"data/{number}.root").write_bytes(b"root")
    with pytest.raises(ConfigurationError) as caught:
        facility_input.configure(made(), "eos")
    # Of the eight that are read: relative to the list, wherever the command is given.
    place = listed.parent / "data/7.root"
    assert caught.value.problem == f"1 of 8 input files cannot be found: {place}"
    assert caught.value.place.startswith(f"{listed}, of `inputs.eos` in mine.yaml")
    (listed.parent / "data/7.root").write_bytes(b"root")
    values = facility_input.configure(made(), "eos").configuration
    # A point runs in another folder.
    assert values["input"]["path"] == str(listed)
    assert Path(values["results"]).is_absolute()


def test_a_scheduler_that_does_not_answer_is_told_before_any_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_name = "site+local+strong+00001+0"
    for scheme in ("tcp", "tls"):
        address = f"{scheme}://127.0.0.1:{port}"
        site = {"executor": "dask", "dask": {"cluster": "scheduler", "address": address}}
        path = tmp_path / "mine.yaml"
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} does not ans") as caught:
            facility_point.configure(
                written(path, executors={"site": {"histograms": site}}), point_name
            )
        key = "executors.site.histograms.dask.address"
        assert caught.value.place.startswith(f"`{key}` in {path.name}, line")
    # Nobody needs it for a point that has a result.
    made = written(path, executors={"site": {"histograms": site}})
    record = tmp_path / made.folder / "points" / f"{point_name}.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"problem": null}')
    assert facility_point.configure(made, point_name).executor == "site"
    count_failure(tmp_path / made.folder / "failures" / point_name, 0)
    assert not made.pending(point_name)
    record.write_text('{"problem": "lost"}')
    assert made.pending(point_name)


@pytest.mark.parametrize(
    "executor",
    [
        {"snakemake": ["--profile", "profiles/slurm", "--jobs", "{workers}"]},
        {"snakemake": ["--executor=slurm", "--jobs={workers}"]},
        {"snakemake": ["-e", "slurm", "-j", "{workers}"]},
        {"histograms": {"executor": "dask", "dask": {"cluster": "slurm"}}},
    ],
)
def test_a_batch_system_that_is_not_there_is_told_before_any_point(
    executor: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    sinfo = programs / "sinfo"
    sinfo.write_text("#!/bin/sh\necho no configuration >&2\nexit 1\n")
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    path = tmp_path / "mine.yaml"
    with pytest.raises(ConfigurationError, match=r"Slurm cannot .*no config") as error:
        facility_point.configure(
            written(path, executors={"slurm": executor}), "slurm+local+strong+00001+0"
        )
    assert error.value.place.startswith("`executors.slurm.")
    assert "submit node" in error.value.remedy
    sinfo.write_text("#!/bin/sh\necho slurm 26.05\n")
    made = written(path, executors={"slurm": executor})
    job = facility_point.configure(made, "slurm+local+strong+00001+0")
    assert job.executor == "slurm"
    # What the command does not have below it, and so not in its CPU time.
    assert job.elsewhere == ("jobs" if "snakemake" in executor else "workers")
    here = written(path, executors={"here": {"snakemake": ["--cores", "{workers}"]}})
    assert facility_point.configure(here, "here+local+strong+00001+0").elsewhere is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--coress", "{workers}"], r"unknown option '--coress' \(did you mean --cores\?\)"),
        (["--coress={workers}"], r"unknown option '--coress' \(did you mean --cores\?\)"),
        (["--cores", "all of {workers}"], "Error parsing number of cores"),
        (["--cores", "{workers}", "and", "more"], "`and more` belongs to no option"),
        (["--cores", "{workers}", "--executor", "slum"], "invalid choice: 'slum'"),
        (["--cores", "{workers}", "--jobs"], "--jobs/-j: expected one argument"),
        (["--profile", "profiles/slum", "--jobs", "{workers}"], "no profile `profiles/slum`"),
        (["--profile=profiles/slurm", "--jobs", "{workers}"], "are not two texts"),
    ],
)
def test_options_that_snakemake_does_not_take_are_told_before_any_point(
    options: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    made = written(path, executors={"jobs": {"snakemake": options}})
    with pytest.raises(ConfigurationError, match=problem) as error:
        facility_point.configure(made, "jobs+local+strong+00001+0")
    assert error.value.place.startswith(f"`executors.jobs.snakemake` in {path.name}, line")
    assert "snakemake --help" in error.value.remedy
    made = written(
        path, executors={"jobs": {"snakemake": ["--cores", "{workers}", "--keep-going"]}}
    )
    assert facility_point.configure(made, "jobs+local+strong+00001+0").executor == "jobs"


def test_jobs_that_a_killed_point_left_in_the_queue_are_removed(tmp_path: Path) -> None:
    profile, folder = tmp_path / "profile", tmp_path / "inputs"
    profile.mkdir()
    folder.mkdir()
    options = ["--profile", str(profile), "--jobs", "2"]
    facility_points.cancel_jobs(options, folder, tmp_path / "output.log")
    (profile / "cancel").write_text("#!/bin/sh\npwd > cancelled\n")
    (profile / "cancel").chmod(0o755)
    facility_points.cancel_jobs(["--cores", "2"], folder, tmp_path / "output.log")
    assert not (folder / "cancelled").exists()
    # Profiles know the jobs by the folder that Snakemake ran in.
    facility_points.cancel_jobs(options, folder, tmp_path / "output.log")
    assert (folder / "cancelled").read_text() == f"{folder}\n"


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"workers": "all"}, "set `workers` to `auto`; for example `workers: [1, 2, 4]`"),
        (
            {"executors": {"p": None}},
            "correct `executors.p`; for example `executors: {processes: {histograms: {executor: "
            "futures}}, jobs: {snakemake: [--cores, '{workers}'], workers: [1, 2]}}`",
        ),
        (
            {"executors": {"p": {"snakemake": "--cores 2"}}},
            "make `executors.p.snakemake` a list; for example `executors.p.snakemake: [--profile, "
            "profiles/slurm, --jobs, '{workers}']`",
        ),
        ({"sizes": {"strong": 0, "weak": None, "cold": False}}, "for example `sizes.strong: 8`"),
    ],
)
def test_remedies_have_an_example(changes: dict[str, Any], remedy: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path / "mine.yaml", **changes)
    assert remedy in caught.value.remedy


def fields_with_examples(model: type[BaseModel]) -> Iterator[FieldInfo]:
    """Those of a model, and of the models in it."""
    for field in model.model_fields.values():
        if field.examples:
            yield field
        for inner in models_in(field.annotation):
            yield from fields_with_examples(inner)


@pytest.mark.parametrize("model", [FacilitySettings, MatrixSettings])
def test_examples_are_valid(model: type[BaseModel]) -> None:
    fields = list(fields_with_examples(model))
    assert len(fields) > 5
    for field in fields:
        for example in field.examples or ():
            TypeAdapter(with_limits(field)).validate_python(example)


@pytest.mark.parametrize("content", ["{", '{"entries": [{}]}', "[]"])
def test_a_damaged_history_is_told_before_any_point(content: str, tmp_path: Path) -> None:
    made = plan(folder=str(tmp_path))
    path = tmp_path / "history.json"
    assert facility_page.configure(made).history == str(path)
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        facility_page.configure(made)
    assert caught.value.place == str(path)
    assert "move it away" in caught.value.remedy


def test_what_failed_is_another_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake takes jobs again whose parameters changed; those of others stay."""
    monkeypatch.chdir(tmp_path)
    made = plan()
    names = ("processes+local+strong+00001+0", "processes+local+strong+00002+0")
    first, other = (facility_point.configure(made, name) for name in names)
    count_failure(Path(made.folder) / "failures" / names[0], first.failures)
    again = facility_point.configure(made, names[0])
    assert again == first.model_copy(update={"failures": 1})
    assert facility_point.configure(made, names[1]) == other
    count_failure(Path(made.folder) / "failures" / names[0], again.failures)
    assert facility_point.configure(made, names[0]).failures == 2
    assert facility_input.configure(made, "local").failures == 0
    count_failure(Path(made.folder) / "failures" / "local", 0)
    assert facility_input.configure(made, "local").failures == 1


def predicted(**changes: Any) -> dict[str, Any]:
    """A prediction of ten files, otherwise than it would be right."""
    task = {"files": 10, "events": 10**6, "chunks": 3}
    return {"simulated": {"workers": [1], "tasks": {"t": task | changes}, "seed": 1}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": {"strong": None, "weak": None, "cold": False}}, "nothing to measure"),
        ({"sizes": {"strong": None, "weak": 1, "cold": True}}, "which is not set"),
        ({"executors": {"x": {"snakemake": ["--cores", "2"]}}}, "has `{workers}` in it"),
        (
            {"executors": {"x": {"histograms": {"workers": 2}}}},
            "`executors.x.histograms.workers` would have no effect: set `workers`",
        ),
        (
            {"executors": {"x": PROCESSES}, "run": {"results": "mine"}},
            "`run.results` would have no effect: points have a folder of their own",
        ),
        (
            {"run": {"histograms": {"executor": "futures"}}},
            "`run.histograms.executor` would have no effect: set it in `executors`",
        ),
        (
            {"inputs": {"eos": {"n_files_max_per_sample": 2}}},
            "`inputs.eos.n_files_max_per_sample` would have no effect: set `sizes`",
        ),
        (
            {"executors": {"one": {}}, "workers": [1, 2]},
            "`executors.one` works in one process .*, and its ladder goes to 2 workers",
        ),
        (
            {"executors": {"one": {"histograms": {"executor": "iterative"}, "workers": [3]}}},
            "ladder goes to 3 workers: set `executors.one.workers` to",
        ),
        (
            {
                "sizes": {"strong": 8, "weak": None, "cold": False, "delivery": 2},
                "executors": {"x": {"histograms": {"executor": "futures"}}},
            },
            "needs an executor with `snakemake`",
        ),
        ({"files_per_job": 3}, "`sizes.strong` is 8, which is no multiple of `files_per_job`, 3"),
        ({"files_per_job": 0}, "`files_per_job` cannot be 0: a job reads one file at least"),
        ({"sizes": {"strong": 0, "weak": None, "cold": False}}, "0: no files are no measurement;"),
        ({"sizes": {"strong": 1, "weak": 0, "cold": False}}, "`sizes.weak` cannot be 0: no files"),
        ({"workers": [1, 2, 2]}, "`workers` is wrong: 2 is listed twice"),
        ({"workers": []}, "`workers` is wrong: it is empty"),
        ({"workers": [0, 1]}, "^`workers.0` cannot be 0"),
        ({"workers": 4}, r"it should be a list\n.*\n.* write `workers: \[4\]`"),
        (
            {"executors": {"x": PROCESSES | {"workers": []}}},
            "`executors.x.workers` is wrong: it is empty",
        ),
        ({"executors": {"x": {"workers": [2, 2]}}}, "`executors.x.workers` is wrong: 2 is listed"),
        ({"simulated": {"workers": [5, 1, 5], "tasks": {}, "seed": 1}}, "5 is listed twice"),
        (
            {
                "simulated": {
                    "workers": [1],
                    "tasks": {"t": {"files": 10, "events": 29, "chunks": 3}},
                    "seed": 1,
                }
            },
            "29 events are not enough for 10 files of 3 chunks",
        ),
        (
            {"datasets": ["ttbar__nominal"] * 2},
            "`datasets` is wrong: ttbar__nominal is listed twice",
        ),
        ({"workers": [1, 10**9]}, "`workers.1` cannot be 1000000000: .* at most 100000: no site"),
        (
            {"executors": {"x": PROCESSES | {"workers": [1, 4097]}}},
            "`executors.x` has all workers in one job, .* at most 4096 .* goes to 4097: set",
        ),
        (
            {"executors": {"x": PROCESSES | {"dispatch_seconds": 1e300}}},
            r"`executors.x.dispatch_seconds` cannot be 1e\+300: it must be at most 3600",
        ),
        ({"site": ""}, "`site` cannot be ''"),
        ({"files_per_job": 10**12}, "`files_per_job` cannot be 1000000000000: .* nobody has"),
        (predicted(events=10**41), "`simulated.tasks.t.events` cannot be 1000.*: no experiment"),
        (predicted(chunks=10**6), "`simulated.tasks.t.chunks` cannot be 1000000: .* 10000: no"),
        (predicted(bytes=10**30), "`simulated.tasks.t.bytes` cannot be 1000.*: no experiment has"),
        (
            predicted(gigabits_per_second=1e300),
            r"gigabits_per_second` cannot be 1e\+300: .* no net",
        ),
        (predicted(gigabits_per_second=1e-300), "gigabits_per_second` cannot be 1e-300: it should"),
        ({"worker": [1]}, "did you mean `workers`"),
        ({"inputs": {"a b": {}}}, "inputs"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    values = yaml.safe_load((ROOT / "config" / "facility.yaml").read_text()) | changes
    path = tmp_path / "facility.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigurationError, match=message.replace("{", r"\{")) as caught:
        facility_plan.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smoke", "this is a run configuration, which `--configfile` takes, and not a facility"),
        ("matrix", "this is a matrix file, which `--config matrix=FILE` takes, and not a facility"),
    ],
)
def test_another_kind_of_file_is_told_in_one_sentence(name: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        facility_plan.read(ROOT / "config" / f"{name}.yaml")
    assert caught.value.problem == f"{told} file"
    assert caught.value.place == f"config/{name}.yaml"
    assert "a copy of config/facility.yaml" in caught.value.remedy


def test_a_file_with_a_few_keys_is_told_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("site: T2\nexecutors: {processes: {}}\n")
    with pytest.raises(ConfigurationError, match="or not the whole of one: it has no `folder`, "):
        facility_plan.read(path)


def check_compared(path: Path) -> None:
    """What a measurement is compared with is looked at before the first point."""
    assert facility_page.compared(plan(compare=[str(path)])) == [str(path)]
    other = path.with_name("other.json")
    other.write_text("{}")
    changed = {
        path.with_name(f"{key}.json"): (key, value)
        for key, value in {
            "khz_per_core": -3.0,
            "core_efficiency": 37.0,
            "events_per_second": 5e5,
            "wall_seconds": 0.0,
        }.items()
    }
    for file, (key, value) in changed.items():
        content = json.loads(path.read_text())
        measured = next(p for p in content["series"][1]["points"] if p["measures"])
        measured["measures"][key] = value
        file.write_text(json.dumps(content))
    measured_at = r"cannot be compared: .* `series\.1\.points\.0\.measures"
    for wrong, problem in (
        *(
            (
                [str(file)],
                rf"{measured_at}(.{key}` is {value}: |`: .*`{key}` is {value:g}, and foll)",
            )
            for file, (key, value) in changed.items()
        ),
        ([str(path), str(path)], "is named twice"),
        ([str(path), f"{path.parent}/../{path.parent.name}/{path.name}"], "is named twice"),
        ([str(path.with_name("none.json"))], "cannot be compared: file not found"),
        ([str(other)], "cannot be compared: not a measurement of a facility"),
        (["results/facility/facility.json"], "is what this measurement writes itself"),
    ):
        with pytest.raises(ConfigurationError, match=f"`compare`: {wrong[0]} {problem}"):
            facility_page.compared(plan(compare=wrong))


@pytest.mark.parametrize("ladder", [(1, 2), (1, 8, 128)])
def test_labels_of_figures_are_whole_and_beside_the_points(ladder: tuple[int, ...]) -> None:
    parts = {"decompress": seconds(0.5), "physics": seconds(0.2)}
    points = [
        series(parts, n, mode=mode, executor=executor)
        for executor in ("processes", "dask-with-a-long-name", "snakemake", "slurm", "htcondor")
        for mode in ("strong", "weak")
        for n in ladder
    ]
    dispatch = dict.fromkeys((one.executor for one in points), 0.0)
    record = summary.summarise(points, [], SIMULATED, dispatch)
    tasks = {one.executor: measures.tasks_of([one]) for one in points}
    for figure in (
        figures.curves(record.series),
        figures.weak(record.series),
        figures.distributions(tasks),
        figures.predicted(record.series[0].predictions, summary.EXERCISE),
        figures.timeline(points[len(ladder) - 1]),
    ):
        figure.draw_without_rendering()
        texts = [text for legend in figure.legends for text in legend.get_texts()]
        for axes in figure.axes:
            texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        # Letters may be a little higher than the layout takes them for.
        whole = figure.bbox.padded(2)
        for box in (text.get_window_extent() for text in texts if text.get_text()):
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1
            assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        for axes in figure.axes:
            assert not axes.texts
            assert axes.get_legend() is None
            for legend in figure.legends:
                assert not legend.get_window_extent().overlaps(axes.bbox)


@pytest.mark.parametrize("ladder", [(1, 2, 8), (1, 2, 8, 64)])
def test_ideal_curves_are_ideal_between_their_ends(ladder: tuple[int, ...]) -> None:
    """Also where the axis of workers is logarithmic, and that of speed-ups or rates is not."""
    parts = {"physics": seconds(1.0)}
    points = [series(parts, n, mode=mode) for mode in ("strong", "weak") for n in ladder]
    (one,) = summary.summarise(points, [], SIMULATED, DISPATCH).series
    rate = one.measured("weak")[1][0].events_per_second / 1e3
    for figure, slope in ((figures.curves([one]), 1.0), (figures.weak([one]), rate)):
        figure.draw_without_rendering()
        axes = figure.axes[0]
        (ideal,) = (line for line in axes.lines if line.get_linestyle() == "--")
        shown = axes.transData.transform(ideal.get_xydata())
        for workers in (1.4, 3.0, 5.7, 8.0):
            at, height = axes.transData.transform((workers, slope * workers))
            drawn = float(np.interp(at, *shown.T))
            # In units of dots.
            assert drawn == pytest.approx(height, abs=1)


def test_the_speed_up_of_the_first_rung_is_one() -> None:
    """Of two repetitions, too, which are far apart."""
    points = [
        point([task(1.0, {"physics": seconds(1.0)})], workers=n, stopped=stopped, repeat=repeat)
        for n, times in {1: (10.0, 30.0), 2: (6.0, 14.0)}.items()
        for repeat, stopped in enumerate(times)
    ]
    (one,) = summary.summarise(points, [], SIMULATED, DISPATCH).series
    (bars,) = figures.curves([one]).axes[0].containers
    assert bars[0].get_ydata() == pytest.approx([1.0, 2.0])
    ends = np.array(bars[2][0].get_segments())[:, :, 1]
    assert ends == pytest.approx(np.array([[20 / 30, 2.0], [20 / 14, 20 / 6]]))


DISPATCH = {"processes": 0.0, "dask": 0.001}


def later(points: Iterable[PointRecord], days: int = 1) -> list[PointRecord]:
    """The same points, taken some days later."""

    def shifted(one: Any, *names: str, **more: Any) -> Any:
        times = {name: getattr(one, name) + 86400.0 * days for name in names}
        return one.model_copy(update=times | more)

    def of_job(job: JobTrace) -> Any:
        tasks = tuple(shifted(task, "started") for task in job.tasks)
        return shifted(job, "launched", "stopped", tasks=tasks)

    return [
        shifted(one, "launched", "stopped", jobs=tuple(map(of_job, one.jobs))) for one in points
    ]


def test_the_history_has_each_point_once_and_compares_only_the_same_work() -> None:
    parts = {"decompress": seconds(0.5), "physics": seconds(0.2)}

    def measured(points: list[PointRecord]) -> summary.FacilityRecord:
        return summary.summarise(points, [], SIMULATED, DISPATCH)

    points = [series(parts, n, repeat=r) for n in (1, 2) for r in range(2)]
    first = measured(points)
    (one,) = first.series
    past = summary.add(summary.History(), first)
    # A repetition more, and another that was taken again: the same measurement, of more points.
    more = [*points[:3], *later([points[3], series(parts, 2, repeat=2)])]
    past = summary.add(past, measured(more))
    (entry,) = past.entries
    assert len(entry.points) == 3
    # A day later, more files, other events, other settings, one worker more: none is like another.
    size = {"file_bytes": {"/data/a.root": 100_000, "/data/b.root": 100_000}, "n_files": 2}
    others = [
        [one.model_copy(update=size) for one in points],
        [one.model_copy(update={"input_events": one.input_events + 1}) for one in points],
        [one.model_copy(update={"kind": "other"}) for one in points],
        [*points, series(parts, 3)],
    ]
    for number, other in enumerate(others, 2):
        past = summary.add(past, measured(later(other, number)))
    past = summary.add(past, measured(later(points, 10)))
    assert len(past.of("here", one)) == 6
    alike = past.alike("here", one)
    assert [entry.finished[:10] for entry in alike] == ["1970-01-02", "1970-01-11"]
    # An entry of an earlier version does not say what it did.
    old = entry.model_dump() | {"work": None, "points": (), "finished": "1969-01-01"}
    past = summary.History.model_validate({"entries": [old, *past.model_dump()["entries"]]})
    assert past.alike("here", one) == alike
    # Of repetitions that did different work, nothing can be said.
    mixed = [*points[:-1], points[-1].model_copy(update={"n_files": 3})]
    (mixed_series,) = measured(mixed).series
    assert mixed_series.work is None
    assert past.alike("here", mixed_series) == ()
    unknown = first.model_dump()
    for item in unknown["series"][0]["points"]:
        item["work"] = None
    (unknown_series,) = summary.FacilityRecord.model_validate(unknown).series
    assert past.alike("here", unknown_series) == ()


def test_only_the_same_work_stands_together_in_the_comparison(tmp_path: Path) -> None:
    parts = {"decompress": seconds(0.5), "physics": seconds(0.2)}
    points = [series(parts, 2, repeat=r, executor=name) for name in DISPATCH for r in range(2)]

    def measured(points: list[PointRecord], site: str) -> summary.FacilityRecord:
        record = summary.summarise(points, [], SIMULATED, DISPATCH)
        return record.model_copy(update={"site": site})

    record = measured(points, "here")
    other = [one.model_copy(update={"kind": "other-settings"}) for one in later(points)]
    large = [one.model_copy(update={"n_files": 9}) for one in later(points)]
    others = [
        measured(later(points), "same"),
        measured(other, "set otherwise"),
        measured(large, "larger"),
        measured([*points[:1], *later(points[1:])], "copied"),
    ]
    values = page.values(record, points, others, summary.History(), tmp_path)
    groups = values["groups"]
    assert [[row.site for row in group.rows] for group in groups] == [
        ["here", "here", "same", "same", "copied", "copied"],
        ["set otherwise"] * 2,
        ["larger"] * 2,
    ]
    assert [group.title for group in groups] == [
        "1 file of ttbar__nominal, 100 kB, 20,000 events, work",
        "1 file of ttbar__nominal, 100 kB, 20,000 events, other-se",
        "9 files of ttbar__nominal, 20,000 events",
    ]
    assert [row.shared for row in groups[0].rows] == [0, 0, 0, 0, 1, 0]
    write(tmp_path / "index.html", "facility.html.j2", values, tmp_path / "tables")
    table = (tmp_path / "tables" / "comparison.csv").read_text()
    assert "1 of its rounds is of this measurement" in table
    assert table.count("9 files of ttbar__nominal") == 2


def test_points_stand_in_the_order_of_workers_and_rounds() -> None:
    parts = {"physics": seconds(0.5)}
    points = [
        series(parts, workers, mode=mode, repeat=repeat)
        for repeat in (1, 0)
        for mode in ("weak", "cold", "strong")
        for workers in (2, 10, 1)
    ]
    record = summary.summarise(points, [], SIMULATED, DISPATCH)
    (one,) = record.series
    assert [(p.mode, p.workers, p.repeat) for p in one.points] == [
        (mode, workers, repeat)
        for mode in ("strong", "weak", "cold")
        for workers in (1, 2, 10)
        for repeat in (0, 1)
    ]


def test_cold_points_are_no_part_of_predictions() -> None:
    parts = {"read": seconds(0.1), "physics": seconds(0.5)}
    warm = [series(parts, n, repeat=repeat) for n in (1, 2) for repeat in (0, 1)]
    cold = [series(parts | {"read": seconds(5.0, 0.1)}, 2, mode="cold")]
    (one,) = summary.summarise(warm, [], SIMULATED, DISPATCH).series
    (both,) = summary.summarise([*warm, *cold], [], SIMULATED, DISPATCH).series
    assert both.predictions == one.predictions
    assert both.workers_for_exercise == one.workers_for_exercise
    assert (one.cold, both.cold) == (None, pytest.approx(cold[0].wall / warm[-1].wall))
    # Where nothing else was measured, they are what there is.
    (alone,) = summary.summarise(cold, [], SIMULATED, DISPATCH).series
    assert alone.predictions.keys() == one.predictions.keys()


def test_nothing_is_known_of_the_spread_of_one_repetition(tmp_path: Path) -> None:
    parts = {"decompress": seconds(0.8), "physics": seconds(0.2)}
    points = [series(parts, n) for n in (1, 2)]
    record = summary.summarise(points, [], SIMULATED, DISPATCH)
    (one,) = record.series
    assert one.verdict is not None
    assert one.amdahl is not None
    assert (
        "of the time of 2 workers: in one repetition, so that nothing is known of the spread."
        in (one.verdict.text)
    )
    assert one.verdict.text.endswith("One repetition does not tell what of all this is chance.")
    told = json.loads(record.model_dump_json())["series"][0]
    assert told["verdict"]["certainty"] == "unknown"
    assert told["verdict"]["repetitions"] == 1
    intervals = [told["verdict"]["share"], told["check"][0]["measured"]]
    intervals += [told["amdahl"]["serial_share"], told["amdahl"]["steps"][0]["ratio"]]
    for interval in intervals:
        assert interval["low"] is interval["high"] is None
    assert [rung.agreement for rung in one.check] == ["within a tenth"] * 2
    values = page.values(record, points, [], summary.History(), tmp_path)
    write(tmp_path / "index.html", "facility.html.j2", values, tmp_path / "tables")
    html = (tmp_path / "index.html").read_text()
    assert "decompression: one repetition</span>" in html
    assert "spread not known" in html
    # With two it is.
    twice = summary.summarise([*points, *later(points)], [], SIMULATED, DISPATCH)
    (one,) = twice.series
    assert one.verdict is not None
    assert (one.verdict.certainty, one.verdict.repetitions) == ("clear", 2)
    assert one.verdict.share.low == pytest.approx(one.verdict.share.high)


@pytest.mark.parametrize(
    ("ladder", "pieces", "number"),
    [
        # The law alone says 24 and 15 workers, and the third that more are always of use.
        (HOLDING, 8, 8),
        (HOLDING, 30, None),
        (scattered({1: 10.0, 2: 6.0, 4: 4.2, 8: 3.1, 32: 2.3}), 12, 12),
        (scattered({1: 8.0, 2: 4.0}), 2, 2),
        (SLOWER, 2, None),
    ],
)
def test_no_more_workers_are_of_use_than_there_are_pieces_of_work(
    ladder: dict[int, list[float]], pieces: int, number: int | None
) -> None:
    law = scaling.amdahl(ladder, scaling.Pieces(number=pieces, kind="job"))
    assert law is not None
    text = limits.verdict([series({"physics": seconds(1.0)}, 2)], law).text
    told = f"More than {pieces} workers are of no use for this amount of work, which has {pieces}"
    if number is None:
        assert law.bound is None
        assert told not in text
        return
    assert law.useful_workers is not None
    assert law.useful_workers.value == law.useful_workers.high == number
    assert law.bound == scaling.Pieces(number=pieces, kind="job")
    assert told in text


def test_pieces_of_work_are_chunks_of_a_dataset_or_jobs() -> None:
    one = series({"physics": seconds(1.0)}, 2)
    assert measures.pieces(one) == scaling.Pieces(number=20, kind="chunk")
    # Another dataset follows, with as many.
    again = one.model_copy(update={"jobs": one.jobs * 2})
    assert measures.pieces(again) == scaling.Pieces(number=20, kind="chunk")
    assert measures.pieces(jobs_of_one_file()) == scaling.Pieces(number=4, kind="job")
    assert measures.pieces(one.model_copy(update={"jobs": ()})) is None
    delivered = Delivered(events=1, bytes_read=1, bytes_written=1)
    delivery = one.model_copy(update={"delivered": delivered, "n_files": 3})
    assert measures.pieces(delivery) == scaling.Pieces(number=3, kind="file")


def check_drawn(path: Path, one: summary.Series) -> None:
    """What the picture shows of a series: each limit as the sum of its parts."""
    drawn = json.loads(path.read_text())[f"{one.name}, strong, 1"]
    shares = measures.middle(one.measured("strong")[1]).shares
    assert list(drawn) == list(limits.LIMITS)
    assert drawn["decompression"] == shares["decompress"] > 0
    assert drawn["computing"] == pytest.approx(
        sum(shares[part] for part in ("open", "read", "physics", "fill", "other"))
    )
    assert sum(drawn.values()) == pytest.approx(1)


def test_page_record_and_history(tmp_path: Path) -> None:
    parts = {"read": seconds(0.3, 0.1), "decompress": seconds(0.5), "physics": seconds(0.2)}
    points = [
        series(parts, n, repeat=r, mode=mode, executor=executor)
        for executor in ("processes", "dask")
        for mode in ("strong", "weak", "cold")
        for n in (1, 2)
        for r in range(2)
    ]
    broken = points[-1].model_copy(update={"problem": "the disk <b>burned</b>", "jobs": ()})
    delivered = Delivered(events=1000, bytes_read=5_000_000, bytes_written=2_000_000)
    # Amdahl's law with 2 s in series and 8 s in parallel.
    deliveries = [
        point([], workers=n, mode="delivery", stopped=stopped, executor="dask").model_copy(
            update={"jobs": (), "delivered": delivered, "input_events": 1000}
        )
        for n, stopped in ((1, 10.0), (2, 6.0))
    ]
    points = [*deliveries, *points]
    inputs = [
        InputRecord(name="local", folder="inputs/local", log="delivery.log", delivered=delivered),
        # A million times a millionth of these is another number.
        InputRecord(
            name="far",
            folder="inputs/far",
            log="delivery.log",
            delivered=Delivered(events=1, bytes_read=258_310_144, bytes_written=1),
        ),
    ]
    record = summary.summarise([*points[:-1], broken], inputs, SIMULATED, DISPATCH)
    assert [one.name for one in record.series] == ["dask, local", "processes, local"]
    second, first = record.series
    assert first.delivery is None
    assert second.delivery is not None
    assert second.delivery.serial_share.value == pytest.approx(0.2)
    ((one,), (two,)) = second.delivered().values()
    assert (one.events_per_second, one.khz_per_core) == pytest.approx((100, 0.1))
    assert (two.gigabits_per_second, two.megabytes_per_second_written) == pytest.approx(
        (8 * 5e6 / 6 / 1e9, 2 / 6)
    )
    assert two.khz_per_core == pytest.approx(1 / 6 / 2)
    assert first.amdahl is not None
    assert first.gustafson is not None
    assert first.verdict is not None
    assert first.verdict.limit == "decompression"
    assert first.cold == pytest.approx(1.0)
    assert {name: door.events for name, door in zip(["/data"], first.doors, strict=True)} == {
        "/data": 180_000
    }
    assert len(first.files) == 2
    # Written and read, it is the same.
    path = tmp_path / "facility.json"
    path.write_text(record.model_dump_json())
    assert summary.read(path) == record
    check_compared(path)
    past = summary.add(summary.History(), record)
    assert summary.add(past, record) == past
    past = summary.add(past, summary.summarise(later(points), inputs, SIMULATED, DISPATCH))
    assert [entry.limit for entry in past.of("here", first)] == ["decompression"] * 2
    other = record.model_copy(update={"site": "elsewhere"})
    values = page.values(record, [*points[:-1], broken], [other], past, tmp_path)
    assert values["missing"] == []
    write(tmp_path / "index.html", "facility.html.j2", values, tmp_path / "tables")
    check_drawn(tmp_path / "figures" / "shares.json", first)
    html = (tmp_path / "index.html").read_text()
    assert "the disk &lt;b&gt;burned" in html
    assert "Decompression took" in html
    assert "elsewhere" in html
    # A millisecond for each of Dask's tasks, which the points were made without.
    assert html.count(">within the spread<") == html.count(">within a tenth<") == 2
    # Two workers were no faster here.
    assert html.count("<td>none beyond 1</td>") == 2
    assert html.count("not tested by 2 rungs: within 0.0%, with a scatter of 0.0%") == 4
    assert (tmp_path / "tables" / "comparison.csv").read_text().count("decompression") == 4
    assert ",258310144," in (tmp_path / "tables" / "inputs.csv").read_text()
    assert (tmp_path / "tables" / "deliveries.csv").read_text().count("dask, local") == 2
    names = {picture.stem for picture in (tmp_path / "figures").glob("*.svg")}
    assert {"delivery", "scaling", "weak", "chunks", "shares", "timeline_dask_local"} <= names
    browser.check_tables(tmp_path / "index.html")


def test_the_verdict_says_when_and_with_what_it_was_measured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    installed = version("numpy")
    caplog.set_level(logging.INFO)
    for used, told in ((installed, False), ("1.0", True)):
        machine = MACHINE.model_copy(update={"software": {"numpy": used}})
        points = [series({"physics": seconds(1.0)}, n) for n in (1, 2)]
        record = summary.FacilityRecord(
            site="here",
            finished="2026-05-06T07:08:09+00:00",
            machine=machine,
            inputs=(),
            series=(summary._series(points, SIMULATED, 0.0),),
        )
        path = tmp_path / "facility.json"
        path.write_text(record.model_dump_json())
        caplog.clear()
        facility_verdict.run(
            facility_verdict.VerdictStage(), facility_verdict.VerdictOptions(record=path)
        )
        assert "ended at 2026-05-06T07:08:09+00:00" in caplog.text
        assert (f"numpy 1.0 (now {installed})" in caplog.text) is told


@pytest.mark.parametrize("rates", [(5e4, 1e5), (9.99e4, 1e5), (0.0, 0.0)])
def test_the_highest_point_has_room_below_the_axis(rates: tuple[float, float]) -> None:
    delivered = {
        workers: (
            measures.DeliveryMeasures(
                wall_seconds=1,
                events=1,
                bytes_read=1,
                bytes_written=1,
                events_per_second=rate,
                khz_per_core=1,
                gigabits_per_second=1e-6 * rate,
                megabytes_per_second_written=1,
            ),
        )
        for workers, rate in zip((1, 2), rates, strict=True)
    }
    series = SimpleNamespace(name="jobs, local", delivered=lambda: delivered)
    figure = figures.delivery([cast(summary.Series, series)])
    figure.draw_without_rendering()
    for axes in figure.axes:
        # Half of a marker of four points, in pixels.
        radius = 2 * figure.dpi / 72
        highest = axes.transData.transform((2, axes.dataLim.y1))[1]
        assert axes.get_ylim()[0] == 0
        assert highest + radius < axes.bbox.y1


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 1.01), (1.02, 1.5), (0.21, 0.85), (0.9, 3.7), (0.02, 0.9), (0.003, 12), (4e-4, 80)],
)
def test_labels_of_times_of_chunks_stay_apart(low: float, high: float) -> None:
    times = np.geomspace(low, high, 40).tolist()
    chunks = [task(0.0, {"physics": seconds(time)}) for time in times]
    figure = figures.distributions({"processes": chunks})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    first, last = axes.get_xlim()
    shown = [
        label
        for label in axes.get_xticklabels(which="both")
        if label.get_text() and first <= label.get_position()[0] <= last
    ]
    assert len(shown) >= 2
    boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)
    for one, other in pairwise(boxes):
        assert one.x1 + 2 < other.x0
