"""Figure of the selected fractions of generated events beside the published ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.declaration import Region
from agc_pipeline.report import spots
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
        grid = figure.add_gridspec(2 * rows, _COLUMNS, height_ratios=[3, 1] * rows)
        for number, (title, (run, published)) in enumerate(panels.items()):
            row, column = divmod(number, _COLUMNS)
            upper = figure.add_subplot(grid[2 * row, column])
            lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
            _distributions(upper, region, run, published)
            _ratio(lower, region, run, published)
            upper.set_title(title, size=9.5, loc="right")
            upper.tick_params(labelbottom=False)
            lower.set_xlabel(region.label)
            if column == 0:
                upper.set_ylabel("fraction of generated")
                lower.set_ylabel("ratio")
            if number == 0:
                upper.legend(loc="upper right")
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
    # Ratios far off are drawn as far as the others can still be read.
    highest = float(np.max((run.fraction / scale)[shown], initial=1.5))
    axes.set_ylim(0.4 if highest < 2 else 0, min(1.1 * highest, 6))
