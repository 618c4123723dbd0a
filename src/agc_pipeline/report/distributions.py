"""Figures of the distributions: stacked expectation, data, and their ratio."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from agc_pipeline.analyses.base import Analysis
from agc_pipeline.report.prediction import Expectation
from agc_pipeline.report.style import COLOURS, SOFT, Picture, canvas, publish


def draw(
    expectation: Expectation,
    analysis: Analysis,
    folder: Path,
    *,
    label: str,
    data_label: str,
    highest: float,
    partial: bool,
) -> Picture:
    """One region, before or after the fit.

    Args:
        expectation: what to draw.
        analysis: gives each process its colour.
        folder: where the files go.
        label: luminosity and energy, in the corner.
        data_label: what the data are.
        highest: largest bin of this and related figures, which get the same axis; events.
        partial: mark the figure as partial.
    """
    with canvas(5.2, 4.7, ConstrainedLayoutEngine(hspace=0, h_pad=0.02)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _stack(upper, expectation, analysis)
        _data(upper, expectation, np.ones_like(expectation.data), data_label)
        widths = np.diff(expectation.edges)
        upper.set_ylim(0, 1.42 * highest)
        upper.set_ylabel(f"Events / {widths[0]:g} GeV")
        upper.text(
            0.03,
            0.96,
            expectation.title,
            transform=upper.transAxes,
            va="top",
            weight="bold",
            size=11,
        )
        upper.text(0.03, 0.885, expectation.moment, transform=upper.transAxes, va="top", color=SOFT)
        upper.set_title(label, loc="right", size=9)
        handles, labels = upper.get_legend_handles_labels()
        # Data first, then from the top of the stack to its bottom.
        order = [len(labels) - 1, *range(len(labels) - 3, -1, -1), len(labels) - 2]
        upper.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            loc="upper right",
            ncols=2,
            columnspacing=1.0,
            handlelength=1.4,
        )
        _ratio(lower, expectation)
        lower.set_xlabel(expectation.label)
        lower.set_xlim(expectation.edges[0], expectation.edges[-1])
        figure.align_ylabels()
        moment = expectation.moment.replace("-", "")
        observed, total = expectation.data.sum(), expectation.total.sum()
        return publish(
            figure,
            folder,
            f"{expectation.region}_{moment}",
            caption=f"{expectation.title}, {expectation.moment}. Bands: total uncertainty of the "
            "expectation.",
            alternative=f"Distribution of {expectation.observable} in {expectation.title}, "
            f"{expectation.moment}: {observed:.0f} events of {data_label}, {total:.0f} "
            "expected, as a stack of processes with the ratio of the two below.",
            partial=partial,
        )


def _stack(axes: Axes, expectation: Expectation, analysis: Analysis) -> None:
    titles = [process.title for process in analysis.processes]
    base = np.zeros_like(expectation.total)
    for title, events in expectation.samples.items():
        axes.stairs(
            base + events,
            expectation.edges,
            baseline=base,
            fill=True,
            color=COLOURS[titles.index(title) % len(COLOURS)],
            label=title,
            linewidth=0,
        )
        base = base + events
    axes.stairs(base, expectation.edges, color="black", linewidth=0.8)
    _band(axes, expectation, np.ones_like(base))


def _band(axes: Axes, expectation: Expectation, scale: np.ndarray) -> None:
    total = expectation.total
    axes.stairs(
        (total + expectation.uncertainty) / scale,
        expectation.edges,
        baseline=(total - expectation.uncertainty) / scale,
        fill=True,
        facecolor="none",
        edgecolor="black",
        alpha=0.55,
        linewidth=0,
        hatch="//////",
        label="uncertainty",
    )


def _data(axes: Axes, expectation: Expectation, scale: np.ndarray, label: str | None) -> None:
    edges = expectation.edges
    # Without data there is nothing to see, and no ratio either.
    shown = (expectation.data > 0) & (scale > 0)
    axes.errorbar(
        ((edges[:-1] + edges[1:]) / 2)[shown],
        expectation.data[shown] / scale[shown],
        yerr=np.sqrt(expectation.data[shown]) / scale[shown],
        fmt="o",
        color="black",
        markersize=3.6,
        linewidth=1,
        label=label,
        zorder=10,
    )


def _ratio(axes: Axes, expectation: Expectation) -> None:
    total = expectation.total
    scale = np.where(total > 0, total, np.nan)
    _band(axes, expectation, scale)
    _data(axes, expectation, np.where(total > 0, total, 0), None)
    axes.axhline(1, color="black", linewidth=0.8)
    reach = np.nanmax(
        np.abs(np.concatenate([expectation.uncertainty / scale, expectation.data / scale - 1]))
    )
    reach = min(max(1.15 * reach, 0.01), 1)
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_ylabel("Data / exp.")
