"""Figure of the selected fractions of generated events beside the published ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.declaration import Region
from agc_pipeline.report import spots
from agc_pipeline.report.figures.panels import margins, mark_outside, reach
from agc_pipeline.report.style import COLOURS, INK, canvas
from agc_pipeline.report.yields import Floats

_COLUMNS = 3


@dataclass(frozen=True)
class Acceptance:
    """Fraction of the generated events that is selected in each bin.

    Attributes:
        fraction: ``bins``.
        uncertainty: ``bins``, statistical.
    """

    fraction: Floats
    uncertainty: Floats


def acceptance(region: Region, panels: Mapping[str, tuple[Acceptance, Acceptance]]) -> Figure:
    """Selected fractions of each process, with the ratio of this run to the published ones.

    Args:
        region: which region.
        panels: by title of the process: in this run, and published.
    """
    rows = -(-len(panels) // _COLUMNS)
    with canvas(9.8, 3.1 * rows) as figure:
        borders = margins(figure, left=0.65, bottom=0.5, top=0.5)
        grid = figure.add_gridspec(rows, _COLUMNS, wspace=0.24, hspace=0.34, **borders)
        for number, (title, (run, published)) in enumerate(panels.items()):
            row, column = divmod(number, _COLUMNS)
            pair = grid[row, column].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.12)
            upper = figure.add_subplot(pair[0])
            lower = figure.add_subplot(pair[1], sharex=upper)
            _distributions(upper, region, run, published)
            _ratio(lower, region, run, published)
            upper.set_title(title, size=9.5, loc="right")
            upper.tick_params(labelbottom=False)
            lower.set_xlabel(region.label)
            if column == 0:
                upper.set_ylabel("fraction of generated")
                lower.set_ylabel("ratio")
        first = figure.axes[0].get_legend_handles_labels()
        figure.legend(*first, loc="upper right", ncols=2)
    return figure


def _distributions(axes: Axes, region: Region, run: Acceptance, published: Acceptance) -> None:
    edges = np.array(region.edges)
    values, errors = published.fraction, published.uncertainty
    axes.stairs(values, edges, color=COLOURS[4], linewidth=1.3, label="published")
    axes.stairs(
        values + errors, edges, baseline=values - errors, fill=True, color=COLOURS[4], alpha=0.3
    )
    centres = (edges[:-1] + edges[1:]) / 2
    axes.errorbar(
        centres,
        run.fraction,
        yerr=run.uncertainty,
        fmt="o",
        color=INK,
        markersize=3,
        label="this run",
    )
    spots.columns(
        axes,
        edges,
        [
            f"{low:g} to {high:g}\n"
            f"this run: {run.fraction[place]:.3g} \u00b1 {run.uncertainty[place]:.2g}\n"
            f"published: {values[place]:.3g} \u00b1 {errors[place]:.2g}"
            for place, (low, high) in enumerate(pairwise(edges))
        ],
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.3 * max(np.max(values + errors), np.max(run.fraction + run.uncertainty)))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)


def _ratio(axes: Axes, region: Region, run: Acceptance, published: Acceptance) -> None:
    edges = np.array(region.edges)
    values, errors = published.fraction, published.uncertainty
    shown = (values > 0) & (run.fraction > 0)
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
        (run.fraction / scale)[shown],
        yerr=(run.uncertainty / scale)[shown],
        fmt="o",
        color=INK,
        markersize=3,
    )
    axes.axhline(1, color=INK, linewidth=0.7)
    ratio = np.where(shown, run.fraction / scale, np.nan)
    half = reach(ratio - 1, smallest=0.5, largest=1.0)
    axes.set_ylim(1 - half, 1 + half)
    mark_outside(
        axes, (edges[:-1] + edges[1:]) / 2, ratio, (1 - half, 1 + half), colour=INK, size=3.5
    )
