"""Figures of a measurement: curves over the ladder, where the time went, workers in time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    Locator,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from agc_pipeline.columnar.traces import Task
from agc_pipeline.facility import measures
from agc_pipeline.facility.limits import LIMITS, by_limit
from agc_pipeline.facility.measures import Measures
from agc_pipeline.facility.predictions import Prediction
from agc_pipeline.facility.records import PointRecord
from agc_pipeline.facility.summary import Series
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas

_SERIES = (COLOURS[4], COLOURS[2], COLOURS[3], COLOURS[1], COLOURS[7], COLOURS[5], COLOURS[6])
_LIMITS = dict(
    zip(
        LIMITS,
        (
            COLOURS[0],
            COLOURS[4],
            COLOURS[6],
            COLOURS[3],
            INK,
            COLOURS[2],
            COLOURS[1],
            COLOURS[7],
            COLOURS[5],
        ),
        strict=True,
    )
)
# Workers that have a row of their own, and how many names of them there is room for.
ROWS, _NAMES = 64, 32
# Workers beyond which speed-ups are on a logarithmic axis.
_MANY = 8
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
_IDEAL: dict[str, Any] = {"color": SOFT, "linestyle": "--", "linewidth": 0.9, "label": "ideal"}
# Range of times beyond which labels are powers of ten, and below which the steps between are even.
_DECADES, _TWICE = 300, 4
# Size of legends, letters of it in an inch, and those that a line beside a label takes.
_LEGEND, _LETTERS, _KEY = 8, 15, 7


def curves(series: Sequence[Series]) -> Figure:
    """Speed-up, throughput and efficiency over the number of workers, of the same files."""
    with canvas(8.6, 3.4) as figure:
        speedup, rate, efficiency = figure.subplots(1, 3)
        largest = 1
        for number, one in enumerate(series):
            colour = _SERIES[number % len(_SERIES)]
            rungs = one.measured("strong")
            if not rungs:
                continue
            workers = np.array(list(rungs))
            largest = max(largest, int(workers.max()))
            walls = [[m.wall_seconds for m in rung] for rung in rungs.values()]
            first = workers[0] * float(np.median(walls[0]))
            _bars(
                speedup,
                workers,
                [[first / t for t in rung] for rung in walls],
                colour,
                one.name,
                # The median of ratios is not the ratio of medians.
                middle=[first / float(np.median(rung)) for rung in walls],
            )
            _bars(
                rate,
                workers,
                [[m.events_per_second / 1e3 for m in rung] for rung in rungs.values()],
                colour,
                one.name,
            )
            _bars(
                efficiency,
                workers,
                [[m.core_efficiency for m in rung] for rung in rungs.values()],
                colour,
                one.name,
            )
            if one.amdahl is not None:
                grid = _grid(int(workers[0]), int(workers[-1]))
                times = np.array([one.amdahl.seconds(n) for n in grid])
                style = ":" if one.amdahl.describes is False else "-"
                speedup.plot(grid, first / times, style, color=colour, linewidth=0.9)
        speedup.plot(_grid(1, largest), _grid(1, largest), **_IDEAL)
        _workers_axis((speedup, rate, efficiency), largest)
        if largest > _MANY:
            # From zero, the ideal would press all points onto the axis.
            speedup.set_yscale("log", base=2)
            speedup.yaxis.set_major_formatter(_PLAIN)
            speedup.yaxis.set_minor_locator(NullLocator())
        else:
            _from_zero(speedup)
        speedup.set_ylabel("speed-up")
        rate.set_ylabel("thousand events per second")
        efficiency.set_ylabel("core efficiency")
        _from_zero(efficiency, least=1.0)
        _from_zero(rate)
        _legend_above(figure, speedup)
    return figure


def _bars(
    axes: Axes,
    workers: np.ndarray,
    values: Sequence[Sequence[float]],
    colour: str,
    label: str,
    *,
    middle: Sequence[float] | None = None,
) -> None:
    """Medians, or what stands for them, with the smallest and largest of the repetitions."""
    shown = np.array([np.median(rung) for rung in values] if middle is None else middle)
    low, high = (np.array([pick(rung) for rung in values]) for pick in (min, max))
    axes.errorbar(
        workers,
        shown,
        yerr=np.stack([shown - low, high - shown]),
        fmt="o",
        color=colour,
        markersize=4,
        linewidth=1.1,
        label=label,
    )


def _grid(first: int, last: int) -> np.ndarray:
    """Numbers of workers of a curve: what is straight is not, where one axis is logarithmic."""
    return np.geomspace(first, last, 100)


def _from_zero(axes: Axes, least: float = 0.0) -> None:
    """Begin at zero, and end above the highest point with its marker.

    matplotlib leaves a part of what lies between the points, which may be nothing.

    Args:
        axes: with all of its points.
        least: value that is shown, too.
    """
    axes.set_ylim(0, 1.08 * max(axes.dataLim.y1, least) or None)


def _workers_axis(panels: Sequence[Axes], largest: int) -> None:
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.set_xlim(0.8, 1.25 * largest)
        axes.xaxis.set_major_formatter(_PLAIN)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("workers")


def _legend_above(figure: Figure, axes: Axes) -> None:
    """The legend of one panel for all, where it lies on no points."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        # As many in a row as there is room for the longest.
        room = int(_LETTERS * figure.get_figwidth() / (_KEY + max(map(len, labels))))
        columns = min(max(1, room), len(labels))
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=_LEGEND)


def delivery(series: Sequence[Series]) -> Figure:
    """Events and bytes per second over the number of workers that deliver."""
    with canvas(6.4, 3.1) as figure:
        rate, read = figure.subplots(1, 2)
        largest = 1
        for number, one in enumerate(series):
            rungs = one.delivered()
            if not rungs:
                continue
            workers = np.array(list(rungs))
            largest = max(largest, int(workers.max()))
            for axes, key, scale in (
                (rate, "events_per_second", 1e-3),
                (read, "gigabits_per_second", 1.0),
            ):
                values = [[scale * getattr(m, key) for m in rung] for rung in rungs.values()]
                _bars(axes, workers, values, _SERIES[number % len(_SERIES)], one.name)
        _workers_axis((rate, read), largest)
        rate.set_ylabel("thousand events per second")
        read.set_ylabel("Gbps read")
        for axes in (rate, read):
            _from_zero(axes)
        _legend_above(figure, rate)
    return figure


def weak(series: Sequence[Series]) -> Figure:
    """Throughput over the number of workers, with as many files for each."""
    with canvas(4.9, 3.4) as figure:
        axes = figure.subplots()
        largest = 1
        for number, one in enumerate(series):
            rungs = one.measured("weak")
            if not rungs:
                continue
            colour = _SERIES[number % len(_SERIES)]
            workers = np.array(list(rungs))
            largest = max(largest, int(workers.max()))
            rates = [[m.events_per_second / 1e3 for m in rung] for rung in rungs.values()]
            _bars(axes, workers, rates, colour, one.name)
            each = float(np.median(rates[0])) / workers[0]
            grid = _grid(int(workers[0]), int(workers[-1]))
            axes.plot(grid, each * grid, **_IDEAL | {"color": colour, "label": None})
        _workers_axis((axes,), largest)
        _from_zero(axes)
        axes.set_ylabel("thousand events per second")
        _legend_above(figure, axes)
    return figure


def shares(named: Mapping[str, Measures]) -> Figure:
    """Where the core seconds went, one bar for each point."""
    with canvas(8.6, 1.5 + 0.3 * len(named)) as figure:
        axes = figure.subplots()
        for row, one in enumerate(named.values()):
            left = 0.0
            for name, width in by_limit(one.shares).items():
                label = name if row == 0 else None
                axes.barh(row, width, left=left, height=0.7, color=_LIMITS[name], label=label)
                left += width
        axes.set_yticks(range(len(named)), list(named))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.set_ylim(len(named) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the core seconds")
        figure.legend(loc="outside upper center", ncols=-(-len(LIMITS) // 2), fontsize=_LEGEND)
    return figure


def timeline(point: PointRecord) -> Figure:
    """Tasks of each worker, and the number of workers with one, since the command was started."""
    tasks = measures.tasks_of([point])
    workers = sorted({task.worker for task in tasks})
    shown = workers[:ROWS]
    height = min(max(0.22 * len(shown), 0.5), 6)
    with canvas(8.6, 2.0 + height) as figure:
        rows, number = figure.subplots(2, 1, sharex=True, height_ratios=(height, 1.2))
        for row, worker in enumerate(shown):
            own = [task for task in tasks if task.worker == worker]
            for kind, colour in (("header", COLOURS[3]), ("events", COLOURS[4])):
                rows.broken_barh(
                    [
                        (task.started - point.launched, task.seconds.wall)
                        for task in own
                        if task.kind == kind
                    ],
                    (row - 0.4, 0.8),
                    facecolor=colour,
                    edgecolor="white",
                    linewidth=0.3,
                )
        every = math.ceil(len(shown) / _NAMES)
        rows.set_yticks(range(0, len(shown), every), shown[::every])
        rows.yaxis.set_minor_locator(NullLocator())
        rows.tick_params(axis="y", which="both", left=False, right=False, labelsize=7)
        rows.set_ylim(len(shown) - 0.5, -0.5)
        times, busy = busy_workers(tasks, point.launched)
        number.step(times, busy, where="post", color=INK, linewidth=0.9)
        number.axhline(point.workers, color=SOFT, linestyle="--", linewidth=0.8)
        number.set_ylim(0, 1.15 * point.workers)
        number.set_xlim(0, point.wall)
        number.set_ylabel("with a task")
        number.set_xlabel("time since the start of the command [s]")
    return figure


def busy_workers(tasks: Sequence[Task], start: float) -> tuple[list[float], list[int]]:
    """Number of tasks that run, from each time on.

    Args:
        tasks: any.
        start: UNIX time that times are counted from.
    """
    changes = sorted(
        [(task.started - start, 1) for task in tasks]
        + [(task.stopped - start, -1) for task in tasks]
    )
    times, busy = [0.0], [0]
    for time, change in changes:
        times.append(time)
        busy.append(busy[-1] + change)
    return times, busy


def distributions(points: Mapping[str, Sequence[Task]]) -> Figure:
    """Wall time of chunks, of several series."""
    with canvas(4.9, 3.1) as figure:
        axes = figure.subplots()
        everything = [task.seconds.wall for tasks in points.values() for task in tasks]
        edges = np.geomspace(0.9 * min(everything), 1.1 * max(everything), 31).tolist()
        for number, (name, tasks) in enumerate(points.items()):
            axes.hist(
                [task.seconds.wall for task in tasks],
                edges,
                histtype="step",
                color=_SERIES[number % len(_SERIES)],
                label=name,
                linewidth=1.2,
            )
        axes.set_xscale("log")
        _time_labels(axes, edges[-1] / edges[0])
        axes.set_xlabel("wall time of a chunk [s]")
        axes.set_ylabel("chunks")
        _legend_above(figure, axes)
    return figure


def _time_labels(axes: Axes, ratio: float) -> None:
    """So many labels on a logarithmic axis of times that they stay apart.

    Args:
        axes: whose x axis it is.
        ratio: of its last to its first value.
    """
    locator: Locator = MaxNLocator(5)
    if ratio > _DECADES:
        locator = LogLocator()
    elif ratio > _TWICE:
        locator = LogLocator(subs=(1, 2, 5))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_PLAIN)
    # Those between have lines only.
    axes.xaxis.set_minor_formatter(NullFormatter())


def predicted(tasks: Mapping[str, Sequence[Prediction]], exercise: float) -> Figure:
    """Rates over the number of workers, as the simulation has them.

    Args:
        tasks: curve of each.
        exercise: events per second to compare with.
    """
    with canvas(8.6, 3.4) as figure:
        rate, bits = figure.subplots(1, 2)
        for number, (name, curve) in enumerate(tasks.items()):
            colour = _SERIES[number % len(_SERIES)]
            workers = [point.workers for point in curve]
            rate.plot(
                workers,
                [point.events_per_second / 1e6 for point in curve],
                marker="o",
                markersize=3,
                color=colour,
                label=name,
            )
            bits.plot(
                workers,
                [point.gigabits_per_second for point in curve],
                marker="o",
                markersize=3,
                color=colour,
            )
        rate.axhline(exercise / 1e6, color=SOFT, linestyle="--", linewidth=0.8)
        for axes in (rate, bits):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("workers")
        rate.set_ylabel("million events per second")
        bits.set_ylabel("gigabits per second")
        _legend_above(figure, rate)
    return figure
