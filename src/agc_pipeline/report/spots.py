"""Parts of a figure that tell their values when a reader points at them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Pixels of the page for an inch of a figure.
PIXELS = 96


@dataclass(frozen=True)
class Spot:
    """A rectangle with a text, from the top left corner of the figure.

    Attributes:
        left: CSS pixels.
        top: CSS pixels.
        width: CSS pixels.
        height: CSS pixels.
        text: its values; may have several lines.
    """

    left: float
    top: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class _Place:
    """A rectangle in the coordinates of its axes; None is the whole of them."""

    axes: Axes
    x: tuple[float, float] | None
    y: tuple[float, float] | None
    text: str


class PointedFigure(Figure):
    """A figure with parts that can be pointed at."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.places: list[_Place] = []


def columns(axes: Axes, edges: Sequence[float] | Any, texts: Sequence[str]) -> None:
    """Bins along the horizontal axis tell their values.

    Args:
        axes: of the bins.
        edges: in the units of the axis, one more than texts.
        texts: for each bin.
    """
    _add(
        _Place(axes, (float(low), float(high)), None, text)
        for low, high, text in zip(edges, edges[1:], texts, strict=False)
    )


def rows(axes: Axes, centres: Sequence[float] | Any, texts: Sequence[str]) -> None:
    """Rows of height one along the vertical axis tell their values."""
    _add(
        _Place(axes, None, (centre - 0.5, centre + 0.5), text)
        for centre, text in zip(centres, texts, strict=True)
    )


def boxes(
    axes: Axes,
    places: Iterable[tuple[tuple[float, float], tuple[float, float]]],
    texts: Iterable[str],
) -> None:
    """Rectangles anywhere tell their values.

    Args:
        axes: of the rectangles.
        places: ends along the horizontal and along the vertical axis, in their units.
        texts: for each rectangle.
    """
    _add(_Place(axes, x, y, text) for (x, y), text in zip(places, texts, strict=True))


def cells(axes: Axes, texts: Sequence[Sequence[str]]) -> None:
    """Cells of a matrix, as ``imshow`` draws it, tell their values."""
    _add(
        _Place(axes, (column - 0.5, column + 0.5), (row - 0.5, row + 0.5), text)
        for row, line in enumerate(texts)
        for column, text in enumerate(line)
    )


def _add(places: Iterable[_Place]) -> None:
    for place in places:
        figure = place.axes.get_figure()
        if isinstance(figure, PointedFigure):
            figure.places.append(place)


def of(figure: PointedFigure) -> tuple[Spot, ...]:
    """The spots of a figure whose layout is final; those outside of their axes are left out."""
    height = figure.get_size_inches()[1] * PIXELS
    scale = PIXELS / figure.dpi
    shown = []
    for place in figure.places:
        box = place.axes.get_window_extent()
        (low_x, high_x), (low_y, high_y) = box.intervalx, box.intervaly
        if place.x is not None:
            ends = place.axes.transData.transform([(end, 0) for end in place.x])[:, 0]
            low_x, high_x = max(low_x, min(ends)), min(high_x, max(ends))
        if place.y is not None:
            ends = place.axes.transData.transform([(0, end) for end in place.y])[:, 1]
            low_y, high_y = max(low_y, min(ends)), min(high_y, max(ends))
        if high_x > low_x and high_y > low_y:
            shown.append(
                Spot(
                    left=round(float(low_x) * scale, 1),
                    top=round(height - float(high_y) * scale, 1),
                    width=round(float(high_x - low_x) * scale, 1),
                    height=round(float(high_y - low_y) * scale, 1),
                    text=place.text,
                )
            )
    return tuple(shown)
