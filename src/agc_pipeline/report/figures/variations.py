"""Figures of the templates: effects of the systematics on the expected events."""

from collections.abc import Mapping
from itertools import pairwise

import hist
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.declaration import NOMINAL, Analysis, Region, Systematic, Template
from agc_pipeline.errors import InputError
from agc_pipeline.report import spots
from agc_pipeline.report.figures import panels
from agc_pipeline.report.style import COLOURS, INK, canvas
from agc_pipeline.report.yields import Floats

Histograms = Mapping[str, hist.Hist]

_COLUMNS = 5
_UP, _DOWN = COLOURS[2], COLOURS[4]


def effects(analysis: Analysis, region: Region, histograms: Histograms) -> dict[str, list[Floats]]:
    """Relative change of the expected events in each bin by each shift of each systematic.

    Args:
        analysis: gives processes and systematics.
        region: which region.
        histograms: of the run, by name.

    Returns:
        Up, and down if it has one, by systematic; only those with histograms of their own.
    """
    return {
        systematic.name: changes
        for systematic in analysis.systematics
        if (changes := _effect(region, analysis, histograms, systematic))
    }


def templates(analysis: Analysis, region: Region, histograms: Histograms) -> Figure:
    """Relative change of the expected events by each systematic with histograms of its own.

    Args:
        analysis: gives processes and systematics.
        region: which region.
        histograms: of the run, by name.

    Raises:
        InputError: if no systematic changes the histograms of the region.
    """
    changes = effects(analysis, region, histograms)
    if not changes:
        raise InputError(
            f"no systematic changes the templates of the region {region.name}",
            place="histograms",
            remedy="draw it only where `effects` has entries",
        )
    # Bins with few events do not set the scale of all others.
    sizes = np.abs(np.concatenate([shift for shifts in changes.values() for shift in shifts]))
    reach = max(1.3 * float(np.quantile(sizes, 0.98)), 0.01)
    columns = min(len(changes), _COLUMNS)
    rows = -(-len(changes) // columns)
    with canvas(0.8 + 1.8 * columns, 1.7 * rows + 0.5) as figure:
        borders = panels.margins(figure, left=0.65, bottom=0.5, top=0.25)
        grid = figure.subplots(
            rows,
            columns,
            sharex=True,
            sharey=True,
            squeeze=False,
            gridspec_kw={"wspace": 0.06, "hspace": 0.22} | borders,
        )
        for axes, (name, shifts) in zip(grid.flat, changes.items(), strict=False):
            _panel(axes, region, name, shifts, reach)
        for axes in grid.flat[len(changes) :]:
            axes.set_visible(False)
        for column in grid.T:
            lowest = [axes for axes in column if axes.get_visible()]
            for axes in lowest[-1:]:
                axes.set_xlabel(region.label)
                axes.tick_params(labelbottom=True)
        for axes in grid[:, 0]:
            axes.set_ylabel("change [%]")
        grid[0, 0].set_xlim(region.edges[0], region.edges[-1])
        grid[0, 0].set_ylim(-100 * reach, 100 * reach)
    return figure


def _panel(axes: Axes, region: Region, name: str, changes: list[Floats], reach: float) -> None:
    for change, colour in zip(changes, (_UP, _DOWN), strict=False):
        axes.stairs(100 * change, region.edges, baseline=None, color=colour, linewidth=1.3)
        centres = (np.array(region.edges[:-1]) + np.array(region.edges[1:])) / 2
        limits = (-100 * reach, 100 * reach)
        panels.mark_outside(axes, centres, 100 * change, limits, colour=colour, size=3)
    spots.columns(
        axes,
        region.edges,
        [
            f"{name}, {low:g} to {high:g}: "
            + ", ".join(
                f"{shift} {100 * change[place]:+.2f} %"
                for shift, change in zip(("up", "down"), changes, strict=False)
            )
            for place, (low, high) in enumerate(pairwise(region.edges))
        ],
    )
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.set_title(name, size=8.5, loc="left")


def _effect(
    region: Region, analysis: Analysis, histograms: Histograms, systematic: Systematic
) -> list[Floats]:
    """Relative change of the sum of processes by each shift.

    Empty if a histogram is missing, or if nothing changes as the processes have no events.
    """
    if not systematic.in_region(region.name):
        return []
    nominal: Floats = np.zeros(len(region.edges) - 1)
    shifts: list[Floats] = [np.zeros_like(nominal) for _ in systematic.variations]
    for process in analysis.processes:
        central = Template(region.name, process.name, NOMINAL).name
        if central not in histograms:
            continue
        nominal = nominal + histograms[central].values()
        if process.name not in systematic.processes:
            continue
        for number, variation in enumerate(systematic.variations):
            name = Template(region.name, process.name, variation).name
            if name not in histograms:
                return []
            difference = histograms[name].values() - histograms[central].values()
            shifts[number] = shifts[number] + difference
    if not any(shift.any() for shift in shifts):
        return []
    scale = np.where(nominal > 0, nominal, 1)
    return [np.where(nominal > 0, shift / scale, 0) for shift in shifts]
