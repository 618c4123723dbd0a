"""Figures of the learned observables: all in one figure, and beside other reconstructions."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.errors import InputError
from agc_pipeline.inference.fit_records import unit
from agc_pipeline.report.figures.distributions import draw_ratio, draw_stack
from agc_pipeline.report.style import COLOURS, NO_LABEL, SOFT, Label, canvas
from agc_pipeline.report.yields import ChannelRecord, Expectation, Floats, expectations

_COLUMNS = 4
# Inches of a panel.
_WIDTH, _HEIGHT = 2.75, 2.45


def observables(
    analysis: Analysis,
    record: ChannelRecord,
    regions: Sequence[str],
    *,
    label: Label = NO_LABEL,
    data_label: str = "Data",
) -> Figure:
    """Distributions of many regions after the fit, with the ratios before and after it.

    Args:
        analysis: gives the regions, and each process its colour.
        record: the fit, propagated to these regions.
        regions: their names.
        label: above the figure.
        data_label: name of the data in the legend.
    """
    entries = [entry for entry in expectations(analysis, record) if entry.region in regions]
    before = [entry for entry in entries if entry.moment == "pre-fit"]
    after = [entry for entry in entries if entry.moment == "post-fit"]
    rows = -(-len(after) // _COLUMNS)
    with canvas(_COLUMNS * _WIDTH, 0.45 + rows * _HEIGHT) as figure:
        grid = figure.add_gridspec(rows, _COLUMNS)
        panels = [
            _panel(
                figure,
                grid[number // _COLUMNS, number % _COLUMNS],
                analysis,
                before=first,
                after=second,
                data_label=data_label,
            )
            for number, (first, second) in enumerate(zip(before, after, strict=True))
        ]
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        # The layout leaves room for a title.
        figure.suptitle(label.text, x=0.995, ha="right", size=9.5)
    return figure


def _panel(
    figure: Figure,
    place: SubplotSpec,
    analysis: Analysis,
    *,
    before: Expectation,
    after: Expectation,
    data_label: str,
) -> Axes:
    inner = place.subgridspec(2, 1, height_ratios=(2.2, 1))
    upper = figure.add_subplot(inner[0])
    lower = figure.add_subplot(inner[1], sharex=upper)
    draw_stack(upper, after, analysis, data_label, markersize=1.8)
    upper.set_ylim(0, 1.15 * after.largest)
    upper.tick_params(labelbottom=False, labelsize=6.5)
    draw_ratio(lower, before, after, markersize=2.0)
    lower.tick_params(labelsize=6.5)
    lower.locator_params(axis="x", nbins=6)
    lower.set_xlim(after.edges[0], after.edges[-1])
    lower.set_xlabel(after.label, size=8, labelpad=1.5)
    return upper


def reconstructions(
    analysis: Analysis, record: ChannelRecord, region: Region
) -> dict[str, Expectation]:
    """Expectations of a quantity reconstructed in two ways, after the fit, by region.

    Args:
        analysis: gives the regions.
        record: the fit, propagated to both regions.
        region: whose observable is that of ``region.rival``, reconstructed in another way.

    Returns:
        The rival first. Empty if one of them, or a process of interest, is missing.
    """
    after = {
        entry.region: entry
        for entry in expectations(analysis, record)
        if entry.moment == "post-fit"
    }
    names = (region.rival, region.name)
    pair = {name: after[name] for name in names if name is not None and name in after}
    signal = signal_titles(analysis)
    complete = all(title in entry.samples for entry in pair.values() for title in signal)
    return pair if len(pair) == len(names) and complete else {}


def signal_titles(analysis: Analysis) -> list[str]:
    """Titles of the processes that the parameter of interest scales."""
    names = analysis.free[0].processes if analysis.free else ()
    return [process.title for process in analysis.processes if process.name in names]


def signal_events(analysis: Analysis, entry: Expectation) -> Floats:
    """``bins``, events of the processes that the parameter of interest scales."""
    events = [entry.samples[title] for title in signal_titles(analysis)]
    return np.asarray(np.sum(events, axis=0)) if events else np.zeros_like(entry.total)


def rivals(
    analysis: Analysis,
    record: ChannelRecord,
    region: Region,
    *,
    names: Mapping[str, str] | None = None,
    label: Label = NO_LABEL,
) -> Figure:
    """A quantity reconstructed in two ways, both normalised.

    Args:
        analysis: gives the regions, and the processes of interest.
        record: the fit, propagated to both regions.
        region: whose observable is that of ``region.rival``, reconstructed in another way.
        names: of the reconstructions, by region; the title of the region where there is none.
        label: above the figure.

    Raises:
        InputError: if the record lacks one of the regions.
    """
    pair = reconstructions(analysis, record, region)
    if not pair:
        raise InputError(
            f"no distributions of {region.name} and {region.rival} to compare",
            place="record of the propagated fit",
            remedy="draw it only where `reconstructions` has entries",
        )
    signal = ", ".join(signal_titles(analysis))
    titles = {entry.region: entry.title for entry in pair.values()} | dict(names or {})
    events_per = unit(region.label)
    with canvas(9.8, 3.6) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, title in ((left, signal), (right, "all processes, after the fit")):
            for (name, entry), colour in zip(pair.items(), (COLOURS[0], COLOURS[4]), strict=True):
                events = signal_events(analysis, entry) if axes is left else entry.total
                axes.stairs(
                    _density(events, entry.edges),
                    entry.edges,
                    color=colour,
                    linewidth=1.6,
                    fill=name == region.rival,
                    alpha=0.55 if name == region.rival else 1,
                    label=titles[name],
                )
                if axes is right:
                    _points(axes, entry, colour)
            axes.set_title(title, size=9.5, loc="left")
            axes.set_xlabel(region.label)
            axes.set_xlim(entry.edges[0], entry.edges[-1])
            axes.set_ylim(bottom=0)
        left.set_ylabel(f"Fraction of events / {events_per}" if events_per else "Density of events")
        left.legend(loc="upper right")
        right.set_title(label.beam, loc="right", size=9)
        right.text(
            0.97, 0.94, "points: data", transform=right.transAxes, ha="right", va="top", color=SOFT
        )
    return figure


def _density(events: Floats, edges: Floats) -> Floats:
    return np.asarray(events / max(events.sum(), 1e-300) / np.diff(edges))


def _points(axes: Axes, entry: Expectation, colour: str) -> None:
    scale = 1.0 / max(entry.observed, 1e-300) / np.diff(entry.edges)
    axes.errorbar(
        entry.centres,
        entry.data * scale,
        yerr=np.sqrt(np.maximum(entry.data, 0)) * scale,
        fmt="o",
        color=colour,
        markeredgecolor="black",
        markeredgewidth=0.5,
        markersize=3.4,
        linewidth=0.8,
    )
