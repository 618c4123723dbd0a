"""Figures of the histograms beside the published ones."""

from collections.abc import Mapping
from pathlib import Path

import hist
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import NOMINAL, Analysis, Region, Template
from agc_pipeline.report.style import COLOURS, INK, Picture, canvas, publish
from agc_pipeline.validation import published

Floats = NDArray[np.float64]

_COLUMNS = 3


def draw(
    region: Region,
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    closure: Closure,
    folder: Path,
    *,
    n_files: int,
    partial: bool,
) -> Picture | None:
    """The nominal histogram of each process beside the published one.

    Args:
        region: which region.
        analysis: gives the processes.
        histograms: of the run, by name.
        closure: accounts of the run.
        folder: where the files go.
        n_files: files per dataset of the published histograms; -1 is all.
        partial: mark the figure as partial.

    Returns:
        None if the run has none of the histograms.
    """
    names = {
        process.title: (
            Template(region.name, process.name, NOMINAL).name,
            analysis.dataset_name(process.name, NOMINAL),
        )
        for process in reversed(analysis.processes)
    }
    reference = published.load(analysis.name, n_files)
    weights = published.weights(analysis.name, n_files)
    generated = published.read(analysis.name, n_files).n_generated
    panels = [
        (
            title,
            _fractions(
                histograms[name],
                closure.datasets[dataset].weight,
                closure.datasets[dataset].n_generated,
            ),
            _fractions(reference[name], weights[dataset], generated[dataset]),
        )
        for title, (name, dataset) in names.items()
        if name in histograms and dataset in closure.datasets
    ]
    if not panels:
        return None
    rows = -(-len(panels) // _COLUMNS)
    with canvas(9.8, 3.1 * rows) as figure:
        grid = figure.add_gridspec(2 * rows, _COLUMNS, height_ratios=[3, 1] * rows)
        for number, (title, ours, theirs) in enumerate(panels):
            row, column = divmod(number, _COLUMNS)
            upper = figure.add_subplot(grid[2 * row, column])
            lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
            _distributions(upper, region, ours, theirs)
            _ratio(lower, region, ours, theirs)
            upper.set_title(title, size=9.5, loc="right")
            upper.tick_params(labelbottom=False)
            lower.set_xlabel(region.label)
            if column == 0:
                upper.set_ylabel("fraction of generated")
                lower.set_ylabel("ratio")
            if number == 0:
                upper.legend(loc="upper right")
        return publish(
            figure,
            folder,
            f"{region.name}_published",
            caption=f"{region.title}: fraction of the generated events that is selected in each "
            "bin, in this run and in the published histograms, with statistical uncertainties; "
            "below, this run over published.",
            alternative=f"Distributions of {region.observable} in {region.title} in this run and "
            f"as published, for {', '.join(title for title, _, _ in panels)}.",
            partial=partial,
            numbers={
                "edges": region.edges,
                "processes": {
                    title: {
                        name: {"fraction": values, "uncertainty": errors}
                        for name, (values, errors) in (("run", ours), ("published", theirs))
                    }
                    for title, ours, theirs in panels
                },
            },
        )


def _fractions(histogram: hist.Hist, weight: float, n_generated: float) -> tuple[Floats, Floats]:
    """Selected fraction of the generated events in each bin, and its uncertainty."""
    scale = weight * n_generated
    return histogram.values() / scale, np.sqrt(histogram.variances()) / scale


def _distributions(
    axes: Axes, region: Region, ours: tuple[Floats, Floats], theirs: tuple[Floats, Floats]
) -> None:
    edges = np.array(region.edges)
    values, errors = theirs
    axes.stairs(values, edges, color=COLOURS[4], linewidth=1.3, label="published")
    axes.stairs(
        values + errors, edges, baseline=values - errors, fill=True, color=COLOURS[4], alpha=0.3
    )
    centres = (edges[:-1] + edges[1:]) / 2
    axes.errorbar(
        centres, ours[0], yerr=ours[1], fmt="o", color=INK, markersize=3, label="this run"
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.3 * max(np.max(values + errors), np.max(ours[0] + ours[1])))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)


def _ratio(
    axes: Axes, region: Region, ours: tuple[Floats, Floats], theirs: tuple[Floats, Floats]
) -> None:
    edges = np.array(region.edges)
    values, errors = theirs
    shown = (values > 0) & (ours[0] > 0)
    scale = np.where(values > 0, values, 1)
    axes.stairs(
        1 + errors / scale,
        edges,
        baseline=1 - errors / scale,
        fill=True,
        color=COLOURS[4],
        alpha=0.3,
    )
    axes.errorbar(
        ((edges[:-1] + edges[1:]) / 2)[shown],
        (ours[0] / scale)[shown],
        yerr=(ours[1] / scale)[shown],
        fmt="o",
        color=INK,
        markersize=3,
    )
    axes.axhline(1, color=INK, linewidth=0.7)
    # Ratios far off are drawn as far as the others can still be read.
    highest = float(np.max((ours[0] / scale)[shown], initial=1.5))
    axes.set_ylim(0.4 if highest < 2 else 0, min(1.1 * highest, 6))
