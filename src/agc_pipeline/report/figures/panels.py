"""What panels of several figures share: ranges that no single bin stretches, and arrows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.report.yields import Floats

# A bin whose size is so many times the median one sets no range.
_OUTLYING = 4.0
# Of fewer bins, all count.
_MANY = 4
# Inches of a row of a legend in the size of text that all have, and of its borders.
_LEGEND_ROW, _LEGEND_BORDERS = 0.185, 0.16
# Between a legend and what is below it, as a part of the panel.
_SPACE = 0.03


def reach(sizes: Floats, *, smallest: float, largest: float) -> float:
    """Half of the range of an axis: of the sizes in its bins, without those that lie far out.

    Args:
        sizes: distances from the middle, NaN where there is none.
        smallest: that it has at least.
        largest: that it has at most.
    """
    finite = np.abs(sizes[np.isfinite(sizes)])
    if finite.size >= _MANY:
        finite = finite[finite <= _OUTLYING * max(float(np.median(finite)), smallest)]
    return float(np.clip(1.15 * np.max(finite, initial=0.0), smallest, largest))


def mark_outside(
    axes: Axes,
    places: Floats,
    values: Floats,
    limits: tuple[float, float],
    *,
    colour: str = "black",
    size: float = 4.0,
) -> None:
    """Arrows at the border where values are beyond it.

    Args:
        axes: with these limits.
        places: of the bins.
        values: in the bins, NaN where there is none.
        limits: of the axis.
        colour: of the arrows.
        size: of the arrows, points.
    """
    low, high = limits
    inset = 0.05 * (high - low)
    sides = ((values > high, high - inset, "^"), (values < low, low + inset, "v"))
    for beyond, at, marker in sides:
        if np.any(beyond):
            axes.plot(
                places[beyond],
                np.full(int(np.sum(beyond)), at),
                marker,
                color=colour,
                markersize=size,
                zorder=12,
                gid="outside",
            )


def margins(
    figure: Figure, *, left: float, bottom: float, top: float, right: float = 0.2
) -> dict[str, float]:
    """Borders of a grid of equal panels: to search for a layout is slow for many.

    Args:
        figure: which loses its layout engine.
        left: inches.
        bottom: inches.
        top: inches.
        right: inches; half of the last label of the ticks is there.
    """
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    return {
        "left": left / width,
        "right": 1 - right / width,
        "bottom": bottom / height,
        "top": 1 - top / height,
    }


def headroom(entries: int, columns: int, height: float) -> float:
    """Factor on the largest bin that leaves room for a legend above all bins.

    Args:
        entries: of the legend.
        columns: of the legend.
        height: of the panel, inches.
    """
    rows = -(-entries // columns)
    legend = (_LEGEND_ROW * rows + _LEGEND_BORDERS) / height
    return 1 / max(1 - legend - _SPACE, 0.2)


def legend_columns(names: Sequence[str]) -> int:
    """Columns of a legend that is not higher than a third of a panel."""
    return 2 if len(names) <= 12 else 3
