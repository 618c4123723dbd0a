"""Figures of what each systematic does to the expected events."""

from collections.abc import Mapping
from pathlib import Path

import hist
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from agc_pipeline.declaration import NOMINAL, Analysis, Region, Systematic, Template
from agc_pipeline.report.style import COLOURS, INK, Picture, canvas, publish

Floats = NDArray[np.float64]
Histograms = Mapping[str, hist.Hist]

_COLUMNS = 5
_UP, _DOWN = COLOURS[2], COLOURS[4]


def draw(
    region: Region, analysis: Analysis, histograms: Histograms, folder: Path, *, partial: bool
) -> Picture | None:
    """Relative change of the expected events by each systematic with histograms of its own.

    Args:
        region: which region.
        analysis: gives processes and systematics.
        histograms: of the run, by name.
        folder: where the files go.
        partial: mark the figure as partial.

    Returns:
        None if the run has no such systematic.
    """
    changes = {
        systematic.name: found
        for systematic in analysis.systematics
        if (found := _changes(region, analysis, histograms, systematic))
    }
    if not changes:
        return None
    # A few bins with a handful of events must not hide all the others.
    sizes = np.abs(np.concatenate([change for found in changes.values() for change in found]))
    reach = max(1.3 * float(np.quantile(sizes, 0.98)), 0.01)
    rows = -(-len(changes) // _COLUMNS)
    with canvas(9.8, 1.7 * rows + 0.5) as figure:
        grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes, (name, found) in zip(grid.flat, changes.items(), strict=False):
            _panel(axes, region, name, found)
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
        return publish(
            figure,
            folder,
            f"{region.name}_systematics",
            caption=f"{region.title}: change of the sum of all processes by each systematic, up "
            "(red) and down (blue). Where only one is drawn, the model mirrors it.",
            alternative=f"Relative change of {region.observable} in {region.title} by "
            f"{', '.join(changes)}.",
            partial=partial,
            numbers={"edges": region.edges, "relative_changes": changes},
        )


def _panel(axes: Axes, region: Region, name: str, changes: list[Floats]) -> None:
    for change, colour in zip(changes, (_UP, _DOWN), strict=False):
        axes.stairs(100 * change, region.edges, baseline=None, color=colour, linewidth=1.3)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.set_title(name, size=8.5, loc="left")


def _changes(
    region: Region, analysis: Analysis, histograms: Histograms, systematic: Systematic
) -> list[Floats]:
    """Relative change of the sum of processes by each shift; none if a histogram is missing.

    A systematic that changes nothing, as its process has no events, is none either.
    """
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
