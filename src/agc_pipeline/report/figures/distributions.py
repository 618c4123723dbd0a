"""Figures of the distributions: stacked expectation, data, and their ratio."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from agc_pipeline.declaration import Analysis
from agc_pipeline.formatting import number, rounded_like
from agc_pipeline.inference.fit_records import unit
from agc_pipeline.report import spots
from agc_pipeline.report.figures import panels
from agc_pipeline.report.style import COLOURS, NO_LABEL, SOFT, Label, canvas, stamp
from agc_pipeline.report.yields import (
    ChannelRecord,
    Expectation,
    Floats,
    Moment,
    expectation,
    expectations,
    poisson_interval,
)

_OVERVIEW_COLUMNS = 2
# Inches, about, of the panel of the stack.
_UPPER = 2.85


def stack(
    analysis: Analysis,
    record: ChannelRecord,
    channel: str,
    moment: Moment = "post-fit",
    *,
    label: Label = NO_LABEL,
    data_label: str = "Data",
    highest: float | None = None,
) -> Figure:
    """One channel: stacked processes and data, with their ratio below.

    Args:
        analysis: gives the order of the processes, and each its colour.
        record: a fit, or its propagation to other distributions.
        channel: title of the channel.
        moment: before or after the fit.
        label: above the figure.
        data_label: name of the data in the legend.
        highest: largest bin, for figures with a common axis; events. None is that of this figure.
    """
    shown = expectation(analysis, record, channel, moment)
    with canvas(5.2, 4.7, ConstrainedLayoutEngine(hspace=0, h_pad=0.02)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        draw_stack(upper, shown, analysis, data_label)
        handles, labels = upper.get_legend_handles_labels()
        columns = panels.legend_columns(labels)
        room = panels.headroom(len(labels), columns, _UPPER)
        upper.set_ylim(0, room * ((shown.largest if highest is None else highest) or 1.0))
        upper.set_ylabel(_events_label(shown))
        # Powers of ten would stand where the label does.
        upper.ticklabel_format(axis="y", style="plain", useOffset=False)
        upper.minorticks_on()
        upper.text(0.03, 0.96, channel, transform=upper.transAxes, va="top", weight="bold", size=11)
        upper.text(0.03, 0.885, moment, transform=upper.transAxes, va="top", color=SOFT)
        stamp(upper, label)
        # Data first, then from the top of the stack to its bottom.
        order = [len(labels) - 1, *range(len(labels) - 3, -1, -1), len(labels) - 2]
        upper.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            loc="upper right",
            ncols=columns,
            columnspacing=1.0,
            handlelength=1.4,
            fontsize=9,
        )
        _ratio(lower, shown)
        lower.set_xlabel(shown.label)
        lower.set_xlim(shown.edges[0], shown.edges[-1])
        figure.align_ylabels()
    return figure


def _events_label(shown: Expectation) -> str:
    widths = np.diff(shown.edges)
    name = unit(shown.label)
    if name is None or not np.allclose(widths, widths[0]):
        return "Events / bin"
    return f"Events / {widths[0]:g} {name}"


def draw_stack(
    axes: Axes,
    entry: Expectation,
    analysis: Analysis,
    data_label: str,
    *,
    markersize: float = 3.6,
) -> None:
    """Stacked samples with their uncertainty, and the data."""
    titles = [process.title for process in analysis.processes]
    base = np.zeros_like(entry.total)
    for title, events in entry.samples.items():
        axes.stairs(
            base + events,
            entry.edges,
            baseline=base,
            fill=True,
            color=COLOURS[titles.index(title) % len(COLOURS)],
            label=title,
            linewidth=0,
        )
        base = base + events
    axes.stairs(base, entry.edges, color="black", linewidth=0.8)
    _band(axes, entry, np.ones_like(base))
    shade_blinded(axes, entry)
    _data(axes, entry, np.ones_like(base), data_label, markersize)
    spots.columns(axes, entry.edges, _bin_texts(entry, data_label))


def _bin_texts(entry: Expectation, data_label: str) -> list[str]:
    """What each bin has, in lines."""
    texts = []
    for place, (total, width, data) in enumerate(
        zip(entry.total, entry.uncertainty, entry.data, strict=True)
    ):
        expected = (
            f"{rounded_like(total, width, 2)} \u00b1 {number(width, 2)}" if width else number(total)
        )
        parts = [f"{title}: {number(n[place])}" for title, n in reversed(entry.samples.items())]
        observed = "blinded" if np.isnan(data) else number(data, 6)
        lines = (
            entry.bin_names[place],
            f"{data_label}: {observed}",
            f"expected: {expected}",
            *parts,
        )
        texts.append("\n".join(lines))
    return texts


def _ratio_texts(*entries: Expectation) -> list[str]:
    """Ratio of the data to the expectation in each bin, at each moment."""
    texts = []
    for place in range(len(entries[0].total)):
        lines = [entries[0].bin_names[place]]
        for entry in entries:
            ratio, band = (
                over(values, entry.total)[place] for values in (entry.data, entry.uncertainty)
            )
            if np.isfinite(ratio):
                lines.append(f"{entry.moment}: {ratio:.3f}, uncertainty of 1: {band:.3f}")
        texts.append("\n".join(lines))
    return texts


def _band(axes: Axes, entry: Expectation, scale: Floats) -> None:
    total = entry.total
    axes.stairs(
        (total + entry.uncertainty) / scale,
        entry.edges,
        baseline=(total - entry.uncertainty) / scale,
        fill=True,
        facecolor="none",
        edgecolor="black",
        alpha=0.55,
        linewidth=0,
        hatch="//////",
        label="uncertainty",
    )


def shade_blinded(axes: Axes, entry: Expectation) -> None:
    """Mark the bins whose data are blinded."""
    hidden = np.flatnonzero(np.isnan(entry.data))
    if not hidden.size:
        return
    low, high = entry.edges[hidden[0]], entry.edges[hidden[-1] + 1]
    axes.axvspan(low, high, color="0.55", alpha=0.3, linewidth=0, zorder=9)
    axes.text(
        (low + high) / 2,
        0.04,
        "blinded",
        transform=axes.get_xaxis_transform(),
        rotation=90,
        ha="center",
        va="bottom",
        color="black",
        zorder=11,
    )


def _data(
    axes: Axes, entry: Expectation, scale: Floats, label: str | None, size: float = 3.6
) -> None:
    # Bins without data have no point and no ratio.
    shown = (entry.data > 0) & (scale > 0)
    data = entry.data[shown]
    # Central intervals of a Poisson distribution: those of few events are not symmetric.
    interval = poisson_interval(data)
    axes.errorbar(
        entry.centres[shown],
        data / scale[shown],
        yerr=np.abs(interval - data) / scale[shown],
        fmt="o",
        color="black",
        markersize=size,
        linewidth=1,
        label=label,
        zorder=10,
    )


def _ratio(axes: Axes, entry: Expectation) -> None:
    total = entry.total
    scale = np.where(total > 0, total, np.nan)
    _band(axes, entry, scale)
    shade_blinded(axes, entry)
    _data(axes, entry, np.where(total > 0, total, 0), None)
    axes.axhline(1, color="black", linewidth=0.8)
    _ratio_range(axes, [entry], smallest=0.01)
    axes.set_ylabel("Data / exp.")
    spots.columns(axes, entry.edges, _ratio_texts(entry))


def ratios(analysis: Analysis, record: ChannelRecord) -> Figure:
    """Data over expectation in every channel, before and after the fit.

    Args:
        analysis: gives the order of the channels.
        record: a fit, or its propagation to other distributions.
    """
    entries = expectations(analysis, record)
    before = {entry.title: entry for entry in entries if entry.moment == "pre-fit"}
    after = {entry.title: entry for entry in entries if entry.moment == "post-fit"}
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
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def draw_ratio(
    axes: Axes, before: Expectation, after: Expectation, *, markersize: float = 4
) -> None:
    """Data over expectation of a region, before and after the fit."""
    _overlay(axes, before, COLOURS[0], alpha=0.35, marker="o", size=markersize)
    _overlay(axes, after, COLOURS[4], alpha=0.45, marker="s", size=markersize)
    shade_blinded(axes, after)
    axes.axhline(1, color="black", linewidth=0.8)
    _ratio_range(axes, [before, after], smallest=0.02, size=markersize)
    spots.columns(axes, before.edges, _ratio_texts(before, after))


def _ratio_range(
    axes: Axes, entries: Sequence[Expectation], *, smallest: float, size: float = 4.0
) -> None:
    """Range of a ratio, in which no single bin makes all others flat; what is beyond has arrows.

    Args:
        axes: of the ratio.
        entries: whose ratios are in there.
        smallest: half of the range at least.
        size: of the arrows, points.
    """
    ratios = [over(entry.data, entry.total) for entry in entries]
    bands = [over(entry.uncertainty, entry.total) for entry in entries]
    sizes = np.fmax.reduce([*bands, *(np.abs(ratio - 1) for ratio in ratios)])
    half = panels.reach(sizes, smallest=smallest, largest=1.0)
    axes.set_ylim(1 - half, 1 + half)
    for entry, ratio in zip(entries, ratios, strict=True):
        panels.mark_outside(axes, entry.centres, ratio, (1 - half, 1 + half), size=size)


def _overlay(
    axes: Axes, entry: Expectation, colour: str, *, alpha: float, marker: str, size: float
) -> None:
    band = over(entry.uncertainty, entry.total)
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
        entry.centres,
        over(entry.data, entry.total),
        marker,
        color=colour,
        markeredgecolor="black",
        markersize=size,
        label=entry.moment,
    )


def over(values: Floats, total: Floats) -> Floats:
    """Ratio to the expectation, NaN where nothing is expected."""
    return np.asarray(values / np.where(total > 0, total, np.nan))
