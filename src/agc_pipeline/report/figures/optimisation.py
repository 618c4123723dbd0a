"""Figures of an optimisation: the way of the searches, bins and thresholds, and templates."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from agc_pipeline.declaration import Region
from agc_pipeline.declaration.features import LABEL
from agc_pipeline.inference.edges import beyond, drawn
from agc_pipeline.inference.optimisation_record import Candidate, OptimisationRecord, loss
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas

# What is minimised.
LOSSES = {
    "uncertainty": "expected uncertainty",
    "significance": "1 / expected significance",
}
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

    Args:
        candidates: the first on top.
        regions: by name.
    """
    with canvas(7.2, (0.7 + 0.24 * len(candidates)) * len(regions)) as figure:
        panels = np.atleast_1d(figure.subplots(len(regions), 1))
        for axes, (name, region) in zip(panels, regions.items(), strict=True):
            for row, entry in enumerate(candidates):
                values = drawn(entry.edges[name], region.edges)
                axes.hlines(row, values[0], values[-1], color=SOFT, linewidth=0.8)
                markers = ["|"] * len(values)
                below, above = beyond(entry.edges[name])
                markers[0] = "<" if below else "|"
                markers[-1] = ">" if above else "|"
                for value, marker in zip(values, markers, strict=True):
                    axes.plot(value, row, marker, color=INK, markersize=9 if marker == "|" else 5)
            axes.set_yticks(range(len(candidates)), [entry.method for entry in candidates])
            axes.set_ylim(len(candidates) - 0.5, -0.5)
            axes.tick_params(axis="y", which="both", length=0)
            axes.set_xlabel(region.label)
            axes.set_title(region.title, size=9.5, loc="left")
    return figure


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
    with canvas(7.2, 2.6 * len(regions)) as figure:
        panels = figure.subplots(len(regions), 2, squeeze=False)
        for row, (name, region) in zip(panels, regions.items(), strict=True):
            for axes, entry in zip(row, (before, after), strict=True):
                bounds = np.array(drawn(entry.edges[name], region.edges))
                below = np.zeros(len(bounds) - 1)
                for number, (process, values) in enumerate(entry.contents[name].items()):
                    above = below + np.array(values) / np.diff(bounds)
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
            limit = max(axes.get_ylim()[1] for axes in row)
            for axes in row:
                axes.set_ylim(0, limit)
            if not after.features:
                low = min(axes.get_xlim()[0] for axes in row)
                high = max(axes.get_xlim()[1] for axes in row)
                for axes in row:
                    axes.set_xlim(low, high)
        panels[0][1].legend(fontsize=7)
    return figure
