"""Figures of the distributions: stacked expectation, data, and their ratio."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from agc_pipeline.declaration import Analysis
from agc_pipeline.report.prediction import Expectation
from agc_pipeline.report.style import COLOURS, SOFT, Picture, canvas, publish

_OVERVIEW_COLUMNS = 2


def draw(
    expectation: Expectation,
    analysis: Analysis,
    folder: Path,
    *,
    label: str,
    data_label: str,
    highest: float,
    partial: bool,
    name: str | None = None,
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
        name: of its files; None is that of region and moment.
    """
    with canvas(5.2, 4.7, ConstrainedLayoutEngine(hspace=0, h_pad=0.02)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        draw_stack(upper, expectation, analysis, data_label)
        widths = np.diff(expectation.edges)
        upper.set_ylim(0, 1.42 * highest)
        in_gev = "[GeV]" in expectation.label
        upper.set_ylabel(f"Events / {widths[0]:g} GeV" if in_gev else "Events / bin")
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
            name or f"{expectation.region}_{moment}",
            caption=f"{expectation.title}, {expectation.moment}. Bands: total uncertainty of the "
            "expectation.",
            alternative=f"Distribution of {expectation.observable} in {expectation.title}, "
            f"{expectation.moment}: {observed:.0f} events of {data_label}, {total:.0f} "
            "expected, as a stack of processes with the ratio of the two below.",
            partial=partial,
            numbers={
                "edges": expectation.edges,
                "samples": expectation.samples,
                "expected": expectation.total,
                "uncertainty": expectation.uncertainty,
                "data": expectation.data,
            },
        )


def draw_stack(
    axes: Axes,
    expectation: Expectation,
    analysis: Analysis,
    data_label: str,
    *,
    markersize: float = 3.6,
) -> None:
    """Stacked samples with their uncertainty, and the data."""
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
    _data(axes, expectation, np.ones_like(base), data_label, markersize)


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


def _data(
    axes: Axes, expectation: Expectation, scale: np.ndarray, label: str | None, size: float = 3.6
) -> None:
    edges = expectation.edges
    # Without data there is nothing to see, and no ratio either.
    shown = (expectation.data > 0) & (scale > 0)
    axes.errorbar(
        ((edges[:-1] + edges[1:]) / 2)[shown],
        expectation.data[shown] / scale[shown],
        yerr=np.sqrt(expectation.data[shown]) / scale[shown],
        fmt="o",
        color="black",
        markersize=size,
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


def draw_overview(found: list[Expectation], folder: Path, *, partial: bool) -> Picture:
    """Data over expectation in every region, before and after the fit.

    Args:
        found: expectations of each region before and after the fit.
        folder: where the files go.
        partial: mark the figure as partial.
    """
    before = {entry.title: entry for entry in found if entry.moment == "pre-fit"}
    after = {entry.title: entry for entry in found if entry.moment == "post-fit"}
    columns = min(len(before), _OVERVIEW_COLUMNS)
    rows = -(-len(before) // columns)
    with canvas(9.8, 0.5 + 2.3 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, title in zip(grid.flat, before, strict=False):
            first, second = before[title], after[title]
            draw_ratio(axes, first, second)
            axes.set_title(title, size=9.5, loc="left")
            axes.set_xlabel(first.label)
            axes.set_xlim(first.edges[0], first.edges[-1])
        for axes in grid.flat[len(before) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("Data / exp.")
        grid[0, -1].legend(loc="upper right", ncols=2)
        return publish(
            figure,
            folder,
            "overview",
            caption="Data over expectation in the bins of the fit, before (grey) and after it "
            "(blue). Bands: total uncertainty of the expectation.",
            alternative=f"Ratios of data to expectation before and after the fit in "
            f"{', '.join(before)}.",
            partial=partial,
            numbers={
                title: {
                    entry.moment: {
                        "ratio": _over(entry.data, entry.total),
                        "uncertainty": _over(entry.uncertainty, entry.total),
                    }
                    for entry in (before[title], after[title])
                }
                for title in before
            },
        )


def draw_ratio(
    axes: Axes, before: Expectation, after: Expectation, *, markersize: float = 4
) -> None:
    """Data over expectation of a region, before and after the fit."""
    _overlay(axes, before, COLOURS[0], alpha=0.35, marker="o", size=markersize)
    _overlay(axes, after, COLOURS[4], alpha=0.45, marker="s", size=markersize)
    axes.axhline(1, color="black", linewidth=0.8)
    ratios = np.concatenate(
        [_over(entry.data, entry.total) for entry in (before, after)]
        + [_over(before.uncertainty, before.total) + 1]
    )
    reach = min(max(1.15 * float(np.nanmax(np.abs(ratios - 1), initial=0)), 0.02), 1)
    axes.set_ylim(1 - reach, 1 + reach)


def _overlay(
    axes: Axes, entry: Expectation, colour: str, *, alpha: float, marker: str, size: float
) -> None:
    band = _over(entry.uncertainty, entry.total)
    axes.stairs(
        np.nan_to_num(1 + band, nan=1),
        entry.edges,
        baseline=np.nan_to_num(1 - band, nan=1),
        fill=True,
        color=colour,
        alpha=alpha,
        linewidth=0,
    )
    axes.plot(
        (entry.edges[:-1] + entry.edges[1:]) / 2,
        _over(entry.data, entry.total),
        marker,
        color=colour,
        markeredgecolor="black",
        markersize=size,
        label=entry.moment,
    )


def _over(values: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Ratio to the expectation, NaN where nothing is expected."""
    return values / np.where(total > 0, total, np.nan)
