"""Figures of an optimisation: the way of the searches, bins and thresholds, and templates."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from agc_pipeline.declaration.features import LABEL
from agc_pipeline.inference.optimisation_record import Candidate
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas

_COLOURS = {"gradient": COLOURS[4], "evolution": COLOURS[3]}


def searches(candidates: Sequence[Candidate]) -> Figure:
    """What is minimised, step by step; the declared bins beside it."""
    with canvas(6.4, 3.6) as figure:
        axes = figure.subplots()
        axes.axhline(candidates[0].uncertainty, color=SOFT, linestyle="--", label="declared")
        for entry in candidates:
            if entry.losses:
                steps = np.arange(1, len(entry.losses) + 1)
                axes.plot(steps, entry.losses, color=_COLOURS[entry.method], label=entry.method)
        axes.set_xlabel("step")
        axes.set_ylabel("expected uncertainty")
        axes.legend()
    return figure


def edges(candidates: Sequence[Candidate], regions: Mapping[str, str]) -> Figure:
    """The bins of all candidates.

    Args:
        candidates: the first on top.
        regions: axis label of each.
    """
    with canvas(7.2, 1.2 + 0.35 * len(candidates) * len(regions)) as figure:
        panels = np.atleast_1d(figure.subplots(len(regions), 1))
        for axes, (region, label) in zip(panels, regions.items(), strict=True):
            for row, entry in enumerate(candidates):
                values = entry.edges[region]
                axes.hlines(row, values[0], values[-1], color=SOFT, linewidth=0.8)
                axes.plot(values, np.full(len(values), row), "|", color=INK, markersize=9)
            axes.set_yticks(range(len(candidates)), [entry.method for entry in candidates])
            axes.set_ylim(len(candidates) - 0.5, -0.5)
            axes.tick_params(axis="y", which="both", length=0)
            axes.set_xlabel(label)
    return figure


def templates(
    before: Candidate, after: Candidate, regions: Mapping[str, str], titles: Mapping[str, str]
) -> Figure:
    """Expected events of both, in each bin.

    Args:
        before: with the declared bins.
        after: with the best ones.
        regions: axis label of each.
        titles: of the processes.
    """
    with canvas(7.2, 2.6 * len(regions)) as figure:
        panels = figure.subplots(len(regions), 2, squeeze=False)
        for row, (region, label) in zip(panels, regions.items(), strict=True):
            for axes, entry in zip(row, (before, after), strict=True):
                bounds = np.array(entry.edges[region])
                below = np.zeros(len(bounds) - 1)
                for number, (process, values) in enumerate(entry.contents[region].items()):
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
                axes.set_xlabel(LABEL if entry.features else label)
                axes.set_ylim(bottom=0)
            row[0].set_ylabel("expected events / unit")
            limit = max(axes.get_ylim()[1] for axes in row)
            for axes in row:
                axes.set_ylim(0, limit)
        panels[0][0].set_title("declared", fontsize=9)
        panels[0][1].set_title(after.method, fontsize=9)
        panels[0][1].legend(fontsize=7)
    return figure
