"""Figures of an optimisation: the way of the searches, bins and thresholds, and templates."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.declaration import Region
from agc_pipeline.declaration.features import EDGES, LABEL
from agc_pipeline.inference.edges import beyond, drawn
from agc_pipeline.inference.optimisation_record import Candidate, OptimisationRecord, loss
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas

# What is minimised.
LOSSES = {
    "uncertainty": "expected uncertainty",
    "significance": "1 / expected significance",
}
# Processes in a row of a legend.
_COLUMNS = 5
_COLOURS = {"gradient": COLOURS[4], "evolution": COLOURS[3]}


def searches(record: OptimisationRecord) -> Figure:
    """What is minimised, step by step; the declared bins beside it."""
    with canvas(6.4, 3.6) as figure:
        axes = figure.subplots()
        first = record.candidates[0]
        declared = loss(first, record.objective, noise=record.noise)
        axes.axhline(declared, color=SOFT, linestyle="--", label=first.method)
        for entry in record.candidates:
            if entry.losses:
                steps = np.arange(1, len(entry.losses) + 1)
                axes.plot(steps, entry.losses, color=_COLOURS[entry.method], label=entry.method)
        axes.set_xlabel("step")
        axes.set_ylabel(LOSSES[record.objective])
        axes.legend()
    return figure


def training(curves: Mapping[str, Sequence[float]], declared: float) -> Figure:
    """Expected uncertainty with the trees of both models of a discriminant.

    Args:
        curves: by what they are of: a model, and the events for its training or others.
        declared: expected uncertainty without one.
    """
    with canvas(6.4, 3.6) as figure:
        axes = figure.subplots()
        axes.axhline(declared, color=SOFT, linestyle="--", label="declared")
        for number, (label, values) in enumerate(curves.items()):
            style = ":" if label.endswith("training") else "-"
            axes.plot(
                range(len(values)), values, style, color=COLOURS[3 + number // 2], label=label
            )
        axes.set_xlabel("trees")
        axes.set_ylabel("expected uncertainty")
        axes.legend()
    return figure


def edges(candidates: Sequence[Candidate], regions: Mapping[str, Region]) -> Figure:
    """The bins of all candidates, with arrows at those that have all events beyond.

    Those of discriminants have panels of their own, on the right.

    Args:
        candidates: the first on top.
        regions: by name.
    """
    scored = [entry for entry in candidates if entry.features]
    columns = [[entry for entry in candidates if not entry.features]] + [scored] * bool(scored)
    rows = max(map(len, columns))
    with canvas(7.2 + 3 * bool(scored), (0.7 + 0.24 * rows) * len(regions)) as figure:
        panels = figure.subplots(
            len(regions), len(columns), squeeze=False, width_ratios=(2, 1)[: len(columns)]
        )
        for line, (name, region) in zip(panels, regions.items(), strict=True):
            for axes, shown in zip(line, columns, strict=True):
                for row, entry in enumerate(shown):
                    _edges(axes, row, entry.edges[name], drawn(entry.edges[name], region.edges))
                axes.set_yticks(range(len(shown)), [entry.method for entry in shown])
                axes.set_ylim(rows - 0.5, -0.5)
                axes.tick_params(axis="y", which="both", length=0)
                axes.set_xlabel(LABEL if shown is scored else region.label)
                axes.set_title(region.title, size=9.5, loc="left")
    return figure


def _edges(axes: Axes, row: int, edges: Sequence[float], values: Sequence[float]) -> None:
    """The edges of one candidate.

    Args:
        axes: of the panel.
        row: height in it.
        edges: of the bins.
        values: where they are drawn.
    """
    axes.hlines(row, values[0], values[-1], color=SOFT, linewidth=0.8)
    markers = ["|"] * len(values)
    below, above = beyond(edges)
    markers[0] = "<" if below else "|"
    markers[-1] = ">" if above else "|"
    for value, marker in zip(values, markers, strict=True):
        axes.plot(value, row, marker, color=INK, markersize=9 if marker == "|" else 5)


def templates(
    before: Candidate, after: Candidate, regions: Mapping[str, Region], titles: Mapping[str, str]
) -> Figure:
    """Expected events of both, in each bin.

    Args:
        before: with the declared bins.
        after: with the best ones.
        regions: by name.
        titles: of the processes.
    """
    with canvas(7.2, 0.5 + 2.6 * len(regions)) as figure:
        panels = figure.subplots(len(regions), 2, squeeze=False)
        for row, (name, region) in zip(panels, regions.items(), strict=True):
            for axes, entry in zip(row, (before, after), strict=True):
                bounds = np.array(drawn(entry.edges[name], region.edges))
                # Scores are between 0 and 1: by the width of a bin of their histograms.
                unit = EDGES[1] if entry.features else 1.0
                below = np.zeros(len(bounds) - 1)
                for number, (process, values) in enumerate(entry.contents[name].items()):
                    above = below + np.array(values) * unit / np.diff(bounds)
                    axes.stairs(
                        above,
                        bounds,
                        baseline=below,
                        fill=True,
                        color=COLOURS[number % len(COLOURS)],
                        label=titles.get(process, process),
                    )
                    below = above
                axes.set_xlabel(LABEL if entry.features else region.label)
                axes.set_title(f"{region.title}, {entry.method}", size=9.5, loc="left")
            row[0].set_ylabel("expected events / unit")
            if after.features:
                # Of another observable, whose unit is another.
                row[1].set_ylabel(f"expected events / {EDGES[1]:g}")
            else:
                limit = max(axes.get_ylim()[1] for axes in row)
                low = min(axes.get_xlim()[0] for axes in row)
                high = max(axes.get_xlim()[1] for axes in row)
                for axes in row:
                    axes.set(xlim=(low, high), ylim=(0, limit))
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=min(len(labels), _COLUMNS),
            fontsize=8,
        )
    return figure
