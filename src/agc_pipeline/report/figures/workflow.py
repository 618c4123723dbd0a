"""Figures of the run itself: when its jobs ran, and which stages hand files to which."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import NullLocator

from agc_pipeline.formatting import duration, plural
from agc_pipeline.report import spots
from agc_pipeline.report.runtimes import Job, Runtime
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas

Edges = Sequence[tuple[str, str]]

# Seconds without any job after which the axis of the time is cut: a run that was continued.
_PAUSE = 120.0
# What remains of a pause, as a part of the rest.
_CUT = 0.04
# Jobs of which each tells its times; of more, the page would be large.
_POINTED = 1000
# Rounds in which the stages of a column are sorted by the places of their neighbours.
_ROUNDS = 4
# Inches from one column or row of stages to the next, and sizes of their boxes.
_COLUMN, _ROW, _WIDTH, _HEIGHT = 1.22, 0.48, 0.98, 0.36


def pauses(jobs: Sequence[Job]) -> list[tuple[float, float]]:
    """Times without any job that are long enough to be cut out of the figure.

    Args:
        jobs: in the order in which they started.
    """
    gaps = []
    end = jobs[0].end if jobs else 0.0
    for job in jobs:
        if job.start - end > _PAUSE:
            gaps.append((end, job.start))
        end = max(end, job.end)
    return gaps


def timeline(jobs: Sequence[Job]) -> Figure:
    """When the jobs of each stage ran: one row for each, jobs at the same time below each other.

    Args:
        jobs: in the order in which they started, one or more.
    """
    rules = list(dict.fromkeys(job.rule for job in jobs))
    gaps = pauses(jobs)
    first = jobs[0].start
    working = max(job.end for job in jobs) - first - sum(high - low for low, high in gaps)
    kept = _CUT * working

    def at(time: float) -> float:
        return time - first - sum(max(min(time, high) - low - kept, 0.0) for low, high in gaps)

    with canvas(9.8, 0.75 + 0.24 * len(rules)) as figure:
        axes = figure.subplots()
        shortest = working / 400
        for row, rule in enumerate(rules):
            lanes = list(_lanes([job for job in jobs if job.rule == rule]))
            height = 0.8 / len(lanes)
            for lane, members in enumerate(lanes):
                bars = [(at(job.start), max(job.end - job.start, shortest)) for job in members]
                low, texts = row - 0.4 + lane * height, [_job_text(job, first) for job in members]
                if len(jobs) <= _POINTED:
                    spots.boxes(
                        axes,
                        [((start, start + size), (low, low + height)) for start, size in bars],
                        texts,
                    )
                axes.broken_barh(
                    bars,
                    (low, height),
                    facecolor=COLOURS[4],
                    edgecolor="white",
                    linewidth=0.4 if len(lanes) < 8 else 0,
                )
        for low, high in gaps:
            axes.axvspan(at(low), at(high), color="0.85", linewidth=0, zorder=0)
            axes.text(
                (at(low) + at(high)) / 2,
                -0.75,
                duration(high - low),
                size=7,
                color=SOFT,
                ha="center",
                va="bottom",
            )
        axes.set_yticks(range(len(rules)), rules)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.set_ylim(len(rules) - 0.4, -0.8)
        axes.set_xlim(0, at(max(job.end for job in jobs)) * 1.01)
        axes.set_xlabel("time since the start of the first job [s]")
    return figure


def _job_text(job: Job, first: float) -> str:
    start = duration(job.start - first)
    return f"{job.rule}: {duration(job.end - job.start, decimals=1)}, from {start} on"


def _lanes(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs that do not overlap together, in as few lists as possible."""
    lanes: list[list[Job]] = []
    for job in jobs:
        free = next((lane for lane in lanes if lane[-1].end <= job.start), None)
        if free is None:
            lanes.append([job])
        else:
            free.append(job)
    yield from lanes


def columns(edges: Edges) -> list[list[str]]:
    """Stages in columns, each behind all whose files it reads.

    Args:
        edges: writer and reader.
    """
    return [[name for name in column if isinstance(name, str)] for column in _layers(edges)[0]]


# A stage, or where an arrow crosses the column of others: writer, reader, and number of the column.
_Node = str | tuple[str, str, int]


def _layers(edges: Edges) -> tuple[list[list[_Node]], list[tuple[_Node, _Node]]]:
    """Columns with the crossings of long arrows in them, sorted, and arrows in short pieces.

    The columns are sorted so that few arrows cross: K. Sugiyama et al., IEEE Trans. Syst. Man
    Cybern. 11 (1981) 109.
    """
    names = list(dict.fromkeys(name for pair in edges for name in pair))
    depth = dict.fromkeys(names, 0)
    # As many rounds as the longest way can have stages.
    for _ in names:
        for writer, reader in edges:
            depth[reader] = max(depth[reader], depth[writer] + 1)
    layers: list[list[_Node]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    pieces: list[tuple[_Node, _Node]] = []
    for writer, reader in edges:
        crossings: list[_Node] = [
            (writer, reader, number) for number in range(depth[writer] + 1, depth[reader])
        ]
        for number, crossing in enumerate(crossings, depth[writer] + 1):
            layers[number].append(crossing)
        way: list[_Node] = [writer, *crossings, reader]
        pieces += pairwise(way)
    neighbours: dict[_Node, list[_Node]] = {node: [] for layer in layers for node in layer}
    for first, second in pieces:
        neighbours[first].append(second)
        neighbours[second].append(first)
    for _ in range(_ROUNDS):
        for layer in layers:
            places = _places(layers)
            layer.sort(key=lambda node: float(np.mean([places[n][1] for n in neighbours[node]])))
    return layers, pieces


def _places(layers: Sequence[Sequence[_Node]]) -> dict[_Node, tuple[float, float]]:
    """Column of each node, and its row from the middle."""
    return {
        node: (float(number), row - (len(layer) - 1) / 2)
        for number, layer in enumerate(layers)
        for row, node in enumerate(layer)
    }


def runtime_text(runtime: Runtime) -> str:
    """Number and time of the jobs of a stage."""
    return f"{runtime.jobs} {plural('job', runtime.jobs)}, {duration(runtime.wall)}"


def stage_graph(edges: Edges, texts: Mapping[str, str]) -> Figure:
    """The stages of a run and the files between them, from left to right.

    Args:
        edges: writer and reader, one or more.
        texts: a line below the name of a stage, short enough for its box.
    """
    layers, pieces = _layers(edges)
    places = _places(layers)
    width = _COLUMN * len(layers)
    height = _ROW * max(len(layer) for layer in layers) + 0.1
    with canvas(width, height) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        # In inches.
        axes.set_xlim(-_COLUMN / 2, width - _COLUMN / 2)
        axes.set_ylim(height / 2, -height / 2)
        for first, second in pieces:
            (column, row), (next_column, next_row) = places[first], places[second]
            # Through the column of a crossing the line goes straight.
            start, end = column * _COLUMN + _WIDTH / 2, next_column * _COLUMN - _WIDTH / 2
            if not isinstance(first, str):
                axes.plot([start - _WIDTH, start], [row * _ROW] * 2, color=SOFT, linewidth=0.8)
            axes.annotate(
                "",
                (end, next_row * _ROW),
                (start, row * _ROW),
                arrowprops={
                    "arrowstyle": "-|>" if isinstance(second, str) else "-",
                    "mutation_scale": 7,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "color": SOFT,
                    "linewidth": 0.8,
                },
            )
        for name, (column, row) in places.items():
            if not isinstance(name, str):
                continue
            axes.add_patch(
                FancyBboxPatch(
                    (column * _COLUMN - _WIDTH / 2, row * _ROW - _HEIGHT / 2),
                    _WIDTH,
                    _HEIGHT,
                    boxstyle="round,pad=0,rounding_size=0.06",
                    facecolor="#e8eefb",
                    edgecolor=COLOURS[4],
                    linewidth=0.9,
                    zorder=2,
                )
            )
            text = texts.get(name)
            lift = 0.0 if text is None else 0.06
            axes.text(column * _COLUMN, row * _ROW - lift, name, ha="center", va="center", size=8)
            if text is not None:
                axes.text(
                    column * _COLUMN,
                    row * _ROW + 0.085,
                    text,
                    ha="center",
                    va="center",
                    size=6,
                    color=INK,
                )
    return figure
