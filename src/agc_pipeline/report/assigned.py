"""Figures of the regions that only some runs have: all at a glance, and beside what they rival."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.report.distributions import draw_ratio, draw_stack
from agc_pipeline.report.prediction import Expectation, Floats
from agc_pipeline.report.style import COLOURS, SOFT, Picture, canvas, publish

_COLUMNS = 4
# Inches of a panel.
_WIDTH, _HEIGHT = 2.75, 2.45


def draw_grid(
    found: Sequence[Expectation],
    analysis: Analysis,
    folder: Path,
    *,
    label: str,
    data_label: str,
    partial: bool,
) -> Picture:
    """All distributions after the fit, with the ratios before and after it.

    Args:
        found: expectations of each region before and after the fit.
        analysis: gives each process its colour.
        folder: where the files go.
        label: luminosity and energy, in the corner.
        data_label: what the data are.
        partial: mark the figure as partial.
    """
    before = [entry for entry in found if entry.moment == "pre-fit"]
    after = [entry for entry in found if entry.moment == "post-fit"]
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
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
        figure.text(0.995, 0.995, label, ha="right", va="top", size=9)
        return publish(
            figure,
            folder,
            "assigned",
            caption="The observables of the assigned jets after the fit, and below each data over "
            "expectation, before (grey) and after it (blue). Bands: total uncertainty of the "
            "expectation.",
            alternative=f"Distributions of {', '.join(entry.observable for entry in after)}: "
            f"{data_label} and the expectation after the fit, with ratios before and after it.",
            partial=partial,
            numbers={
                second.region: {
                    "edges": second.edges,
                    "samples": second.samples,
                    "data": second.data,
                    **{
                        entry.moment: {
                            "expected": entry.total,
                            "uncertainty": entry.uncertainty,
                        }
                        for entry in (first, second)
                    },
                }
                for first, second in zip(before, after, strict=True)
            },
        )


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
    upper.set_ylim(0, 1.15 * max((after.total + after.uncertainty).max(), after.data.max()))
    upper.tick_params(labelbottom=False, labelsize=6.5)
    draw_ratio(lower, before, after, markersize=2.0)
    lower.tick_params(labelsize=6.5)
    lower.locator_params(axis="x", nbins=6)
    lower.set_xlim(after.edges[0], after.edges[-1])
    lower.set_xlabel(after.label, size=8, labelpad=1.5)
    return upper


def draw_rivals(
    region: Region,
    found: Sequence[Expectation],
    measured: str,
    folder: Path,
    *,
    label: str,
    partial: bool,
) -> Picture | None:
    """A quantity as it is found in two ways, both normalised; None if one of them is missing.

    Args:
        region: whose observable is ``region.rival``'s in another way.
        found: expectations of all regions before and after the fit.
        measured: title of the process that is measured.
        folder: where the files go.
        label: luminosity and energy, in the corner.
        partial: mark the figure as partial.
    """
    ways = {
        entry.region: entry
        for name in (region.rival, region.name)
        for entry in found
        if entry.region == name and entry.moment == "post-fit"
    }
    if len(ways) < 2 or any(measured not in entry.samples for entry in ways.values()):
        return None
    names = {region.name: "assigned jets", region.rival: "trijet with the largest $p_T$"}
    with canvas(9.8, 3.6) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, title in ((left, measured), (right, "all processes, after the fit")):
            for (name, entry), colour in zip(ways.items(), (COLOURS[0], COLOURS[4]), strict=True):
                events = entry.samples[measured] if axes is left else entry.total
                axes.stairs(
                    _density(events, entry.edges),
                    entry.edges,
                    color=colour,
                    linewidth=1.6,
                    fill=name == region.rival,
                    alpha=0.55 if name == region.rival else 1,
                    label=names[name],
                )
                if axes is right:
                    _points(axes, entry, colour)
            axes.set_title(title, size=9.5, loc="left")
            axes.set_xlabel(region.label)
            axes.set_xlim(entry.edges[0], entry.edges[-1])
            axes.set_ylim(bottom=0)
        left.set_ylabel("Share of the events / GeV")
        left.legend(loc="upper right")
        right.set_title(label, loc="right", size=9)
        right.text(
            0.97, 0.94, "points: data", transform=right.transAxes, ha="right", va="top", color=SOFT
        )
        return publish(
            figure,
            folder,
            f"{region.name}_ways",
            caption="The mass of the hadronic top by the largest-pt trijet and by the assigned "
            "jets, in the same events; each normalised to its events within the axis.",
            alternative="The mass of three jets, found in two ways, as normalised histograms.",
            partial=partial,
            numbers={
                name: {
                    "edges": entry.edges,
                    measured: entry.samples[measured],
                    "expected": entry.total,
                    "data": entry.data,
                }
                for name, entry in ways.items()
            },
        )


def _density(events: Floats, edges: Floats) -> Floats:
    return np.asarray(events / max(events.sum(), 1e-300) / np.diff(edges))


def _points(axes: Axes, entry: Expectation, colour: str) -> None:
    scale = 1.0 / max(entry.data.sum(), 1e-300) / np.diff(entry.edges)
    axes.errorbar(
        (entry.edges[:-1] + entry.edges[1:]) / 2,
        entry.data * scale,
        yerr=np.sqrt(np.maximum(entry.data, 0)) * scale,
        fmt="o",
        color=colour,
        markeredgecolor="black",
        markeredgewidth=0.5,
        markersize=3.4,
        linewidth=0.8,
    )
