"""Content of the page of a measurement."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agc_pipeline.facility import figures, measures
from agc_pipeline.facility.limits import by_limit
from agc_pipeline.facility.measures import SHARES, Facts, Measures
from agc_pipeline.facility.records import PointRecord, Work
from agc_pipeline.facility.summary import (
    EXERCISE,
    Entry,
    FacilityRecord,
    History,
    PointSummary,
    Series,
)
from agc_pipeline.formatting import byte_size, name_list, plural
from agc_pipeline.measuring.trends import line
from agc_pipeline.report.style import Gallery, Picture

_RUNS_SHOWN = 30
_FILES_SHOWN = 20
# Bars of one figure.
_BARS = 40
# Datasets that the title of a group names.
_NAMES = 3


@dataclass(frozen=True)
class Trend:
    """Earlier measurements of a series.

    Attributes:
        name: of the series.
        entries: the last ones of the same work on as many workers, oldest first.
        others: how many did other work, or had other workers.
        points: of the line of events per second, see ``trends.line``.
    """

    name: str
    entries: tuple[Entry, ...]
    others: int
    points: str


@dataclass(frozen=True)
class Row:
    """The largest rung of a series of this or another measurement.

    Attributes:
        site: name of the place.
        finished: of the measurement.
        processor: of the machine that started the points.
        series: with its verdict.
        measures: of the rung.
        repetitions: of it.
        shared: how many of these are repetitions of this measurement, too.
    """

    site: str
    finished: str
    processor: str
    series: Series
    measures: Measures
    repetitions: int
    shared: int


@dataclass(frozen=True)
class Group:
    """Rows of the same work.

    Attributes:
        title: what it is.
        rows: that did it.
    """

    title: str
    rows: list[Row]


def values(
    record: FacilityRecord,
    points: Sequence[PointRecord],
    others: Sequence[FacilityRecord],
    past: History,
    folder: Path,
) -> dict[str, Any]:
    """Values of the template; draws the figures.

    Args:
        record: of the measurement.
        points: of it, with their tasks.
        others: measurements to compare with.
        past: all measurements, with this one.
        folder: of the page.
    """
    gallery = Gallery(folder / "figures", partial=False)
    n_points = sum(len(series.points) for series in record.series)
    machine = record.machine
    return {
        "title": f"The facility {record.site}",
        "subtitle": f"{n_points} {plural('point', n_points)} of the histogram stage, "
        f"{machine.processor}, {machine.cores} {plural('core', machine.cores)}",
        "partial": False,
        "left_out": (),
        "record": record,
        "pictures": _pictures(gallery, record, points),
        "timelines": _timelines(gallery, record, points),
        "groups": _groups(record, others),
        "deliveries": [
            (series.name, point)
            for series in record.series
            for point in series.points
            if point.delivery is not None
        ],
        "failed": [point for series in record.series for point in series.points if point.problem],
        "trends": [_trend(past, record.site, series) for series in record.series],
        "slowest": _slowest,
        "shares": SHARES,
        "exercise": EXERCISE,
        "missing": gallery.missing,
        # The folder may be published elsewhere.
        "link": lambda log: os.path.relpath(log, folder),
    }


def _groups(record: FacilityRecord, others: Sequence[FacilityRecord]) -> list[Group]:
    """The largest rungs, those together that did the same work, which only can be compared."""
    own = {_identity(point) for series in record.series for point in series.top()}
    rows = _rows(record, set()) + [row for other in others for row in _rows(other, own)]
    works = list(dict.fromkeys(row.series.work for row in rows))
    titles = list(map(_work, works))
    return [
        Group(
            # Of the same files with other settings.
            title if work is None or titles.count(title) == 1 else f"{title}, {work.kind[:8]}",
            [row for row in rows if row.series.work == work],
        )
        for work, title in zip(works, titles, strict=True)
    ]


def _identity(point: PointSummary) -> tuple[str, str]:
    return point.name, point.finished


def _rows(record: FacilityRecord, own: Collection[tuple[str, str]]) -> list[Row]:
    rows = []
    for series in record.series:
        best = series.best()
        if best is not None and series.verdict is not None:
            top = series.top()
            shared = sum(_identity(point) in own for point in top)
            rows.append(
                Row(
                    site=record.site,
                    finished=record.finished,
                    processor=record.machine.processor,
                    series=series,
                    measures=best,
                    repetitions=len(top),
                    shared=shared,
                )
            )
    return rows


def _work(work: Work | None) -> str:
    """What a rung did, for people."""
    if work is None:
        return "work that was not recorded, or differs between rounds: it cannot be compared"
    size = "" if work.file_bytes is None else f", {byte_size(work.file_bytes)}"
    files = f"{work.n_files} {plural('file', work.n_files)} of {name_list(work.datasets, _NAMES)}"
    return f"{files}{size}, {work.events:,} events"


def _trend(past: History, site: str, series: Series) -> Trend:
    alike = past.alike(site, series)
    entries = alike[-_RUNS_SHOWN:]
    rates = [(number, entry.events_per_second) for number, entry in enumerate(entries)]
    others = len(past.of(site, series)) - len(alike)
    return Trend(series.name, entries, others, line(rates, len(entries)))


def _slowest(facts: Sequence[Facts]) -> list[Facts]:
    """The files that took longest for an event."""
    return sorted(facts, key=lambda item: -item.nanoseconds_per_event)[:_FILES_SHOWN]


def _pictures(
    gallery: Gallery, record: FacilityRecord, points: Sequence[PointRecord]
) -> list[Picture]:
    pictures = []
    series = [one for one in record.series if any(not p.problem for p in one.points)]
    numbers = {one.name: _numbers(one) for one in series}
    if any(one.measured("strong") for one in series):
        pictures.append(
            gallery.picture(
                "scaling",
                lambda: figures.curves(series),
                caption="The same files on more and more workers. Points: medians, with the "
                "smallest and largest of the repetitions; dashed: ideal; lines: Amdahl's law with "
                "the serial part that fits best, dotted where it misses the points.",
                alternative="Speed-up, events per second and core efficiency over the workers",
                numbers=numbers,
            )
        )
    if any(one.measured("weak") for one in series):
        pictures.append(
            gallery.picture(
                "weak",
                lambda: figures.weak(series),
                caption="As many files for each worker. Dashed: ideal.",
                alternative="Events per second over the workers, with as many files for each",
                numbers=numbers,
            )
        )
    if any(one.delivered() for one in series):
        pictures.append(
            gallery.picture(
                "delivery",
                lambda: figures.delivery(series),
                caption="The same files delivered by more and more jobs at a time.",
                alternative="Events and bytes per second of deliveries over the workers",
                numbers={
                    one.name: {
                        workers: [m.model_dump() for m in rung]
                        for workers, rung in one.delivered().items()
                    }
                    for one in series
                },
            )
        )
    chunks = {
        one.name: [
            task
            for task in measures.tasks_of(
                p for p in points if p.series == (one.executor, one.input) and not p.problem
            )
            if task.kind == "events"
        ]
        for one in series
    }
    chunks = {name: tasks for name, tasks in chunks.items() if tasks}
    if chunks:
        pictures.append(
            gallery.picture(
                "chunks",
                lambda: figures.distributions(chunks),
                caption="Wall time of single chunks, of all points.",
                alternative="Distribution of the wall time of chunks",
                numbers={name: [t.seconds.wall for t in tasks] for name, tasks in chunks.items()},
            )
        )
    return [*pictures, *_bars(gallery, series), *_predicted(gallery, series)]


def _bars(gallery: Gallery, series: Sequence[Series]) -> list[Picture]:
    bars = {}
    for one in series:
        for mode in ("strong", "weak", "cold"):
            for workers, rung in one.measured(mode).items():
                bars[f"{one.name}, {mode}, {workers}"] = measures.middle(rung)
    if not bars:
        return []
    shown = dict(list(bars.items())[:_BARS])
    part = "" if len(shown) == len(bars) else f" The first {len(shown)} of {len(bars)} rungs."
    return [
        gallery.picture(
            "shares",
            lambda: figures.shares(shown),
            caption="Where the time of all workers went; of repetitions, the one with the median "
            f"time.{part}",
            alternative="Shares of the core seconds of each point",
            numbers={name: by_limit(one.shares) for name, one in bars.items()},
        )
    ]


def _predicted(gallery: Gallery, series: Sequence[Series]) -> list[Picture]:
    return [
        gallery.picture(
            f"predicted_{one.executor}_{one.input}",
            lambda one=one: figures.predicted(one.predictions, EXERCISE),  # type: ignore[misc]
            caption=f"What larger tasks would reach, simulated with the times of chunks of "
            f"{one.name}. Dashed: 30 million events a second.",
            alternative="Simulated rates over the number of workers",
            numbers={
                name: [point.model_dump() for point in curve]
                for name, curve in one.predictions.items()
            },
        )
        for one in series
        if one.predictions
    ]


def _timelines(
    gallery: Gallery, record: FacilityRecord, points: Sequence[PointRecord]
) -> list[Picture]:
    """The last repetition of the largest rung of each series."""
    pictures = []
    for series in record.series:
        name = (series.executor, series.input)
        own = [p for p in points if p.series == name and not p.problem and p.delivered is None]
        if not own:
            continue
        largest = max(
            own, key=lambda p: (p.mode != "cold", p.workers, p.mode == "strong", p.repeat)
        )
        tasks = measures.tasks_of([largest])
        n_workers = len({task.worker for task in tasks})
        part = "" if n_workers <= figures.ROWS else f" {figures.ROWS} of {n_workers} are shown."
        pictures.append(
            gallery.picture(
                f"timeline_{series.executor}_{series.input}",
                lambda largest=largest: figures.timeline(largest),  # type: ignore[misc]
                caption=f"Workers of {series.name} in time: headers of files (orange), chunks "
                f"(blue), and how many have a task.{part}",
                alternative=f"Tasks of {largest.workers} workers over {largest.wall:.0f} seconds",
                numbers=[
                    {
                        "worker": task.worker,
                        "kind": task.kind,
                        "start": task.started - largest.launched,
                        "seconds": task.seconds.wall,
                    }
                    for task in tasks
                ],
            )
        )
    return pictures


def _numbers(series: Series) -> dict[str, Any]:
    return {
        mode: {
            workers: [m.model_dump(exclude={"workers"}) for m in rung]
            for workers, rung in series.measured(mode).items()
        }
        for mode in ("strong", "weak")
    }
