"""Style of the figures, and the files that they are saved as."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine, LayoutEngine

from agc_pipeline.attempts import Missing, attempt
from agc_pipeline.files import atomic_path, write_json, write_text
from agc_pipeline.lettering import draw_as_it_stands
from agc_pipeline.report import spots, svg
from agc_pipeline.report.spots import PIXELS, PointedFigure, Spot

# M. A. Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270.
COLOURS = ("#9c9ca1", "#964a8b", "#e42536", "#f89c20", "#5790fc", "#7a21dd", "#92dadd", "#a96b59")
INK = "#1d2530"
SOFT = "#5c6773"

# Fonts and places of labels of publications; sizes are those of a page.
_PUBLICATION = ("font.family", "font.sans-serif", "mathtext.", "xaxis.", "yaxis.")

_STYLE: dict[Any, Any] = {
    **{key: value for key, value in mplhep.style.CMS.items() if key.startswith(_PUBLICATION)},
    # For letters that the font does not have.
    "font.sans-serif": [*mplhep.style.CMS["font.sans-serif"], "DejaVu Sans"],
    "font.size": 10.5,
    # Titles do not look for what they could touch, which is slow.
    "axes.titley": 1.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    # Every tick is an object of its own, drawn on both sides of every panel in every format.
    "xtick.minor.ndivs": 2,
    "ytick.minor.ndivs": 2,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    # Text as shapes: looks the same everywhere, and needs no font from outside.
    "svg.fonttype": "path",
    # Layouts are found with the widths that text has in these shapes, not those of whole pixels.
    "text.hinting": "none",
    "svg.hashsalt": "agc-pipeline",
}


@dataclass(frozen=True)
class Label:
    """What stands above a figure.

    Attributes:
        experiment: that took the data; empty for none.
        status: of the data or the figure: "Open Data", "Simulation".
        beam: luminosity and energy.
    """

    experiment: str = ""
    status: str = ""
    beam: str = ""

    @property
    def text(self) -> str:
        """All of it in one line."""
        source = " ".join(filter(None, (self.experiment, self.status)))
        return ", ".join(filter(None, (source, self.beam)))


NO_LABEL = Label()


def stamp(axes: Axes, label: Label) -> None:
    """Write a label above axes, as in publications.

    The status follows the experiment wherever the layout moves the axes; mplhep's own labels keep
    the distance of the moment at which they are made.
    """
    italic: dict[str, Any] = {"size": 10, "style": "italic", "va": "bottom"}
    above: dict[str, Any] = {"transform": axes.transAxes}
    if label.experiment:
        experiment = axes.text(
            0, 1.01, label.experiment, weight="bold", size=11.5, va="bottom", **above
        )
        axes.annotate(
            label.status,
            (1, 0),
            (4, 0),
            xycoords=experiment,
            textcoords="offset points",
            **italic,
        )
    elif label.status:
        axes.text(0, 1.01, label.status, **italic, **above)
    axes.set_title(label.beam, loc="right", size=9.5, pad=3)


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in the page.

    Attributes:
        name: of its files, without suffix.
        caption: below the figure.
        alternative: what it shows, for those who cannot see it.
        source: data URI of the SVG; empty if it could not be drawn.
        width: natural width in CSS pixels.
        height: natural height in CSS pixels.
        spots: parts of it that tell their values.
        chart: numbers to draw it anew with; None if it cannot be.
    """

    name: str
    caption: str
    alternative: str
    source: str
    width: int
    height: int
    spots: tuple[Spot, ...] = ()
    chart: Mapping[str, Any] | None = None


class StyledFigure(PointedFigure):
    """A figure that keeps the style of the report wherever it is drawn or saved.

    Attributes:
        final: its layout is fixed and its texts are looked through, which is slow.
    """

    final = False

    def draw(self, renderer: Any) -> None:
        """Draw the figure: matplotlib makes ticks only now, in the style of this moment."""
        with mpl.rc_context(_STYLE):
            if not self.final:
                draw_as_it_stands(self)
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """The figure in a notebook."""
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=110)
        return image.getvalue()


@contextmanager
def canvas(
    width: float, height: float, layout: LayoutEngine | None = None
) -> Iterator[StyledFigure]:
    """An empty figure in the style of the report, which holds within the block.

    Args:
        width: inches.
        height: inches.
        layout: how to space what is in it; None is matplotlib's constrained layout.
    """
    with mpl.rc_context(_STYLE):
        yield StyledFigure(figsize=(width, height), layout=layout or ConstrainedLayoutEngine())


@dataclass(frozen=True)
class Gallery:
    """The folder of a report's figures.

    Attributes:
        folder: where the files go.
        partial: figures are marked as made from a part of the input.
        label: of figures that have none of their own.
        missing: figures that could not be drawn.
    """

    folder: Path
    partial: bool
    label: Label = NO_LABEL
    missing: list[Missing] = field(default_factory=list)

    def picture(
        self,
        name: str,
        draw: Callable[[], Figure],
        *,
        caption: str,
        alternative: str,
        numbers: Any,
        chart: Mapping[str, Any] | None = None,
        labelled: bool = False,
    ) -> Picture:
        """Save a figure as PDF and SVG and its numbers as JSON, and make it part of the page.

        A figure that cannot be drawn leaves its numbers, and its place in the page empty.

        Args:
            name: of the files, without suffix.
            draw: makes the figure, which is changed: marked, if partial, and its layout is fixed.
            caption: below the figure.
            alternative: what it shows, for those who cannot see it.
            numbers: what is drawn; arrays become lists, and what is not finite null.
            chart: numbers for readers who draw it anew in the page.
            labelled: whether the label is written above its first axes.
        """
        write_json(self.folder / f"{name}.json", plain(numbers))
        empty = Picture(
            *(name, caption, alternative), source="", width=0, height=0, chart=plain(chart)
        )
        with attempt(f"figure {name}", self.missing):
            return self._saved(empty, draw(), labelled=labelled)
        return empty

    def _saved(self, picture: Picture, figure: Figure, *, labelled: bool) -> Picture:
        name = picture.name
        with mpl.rc_context(_STYLE):
            if labelled:
                stamp(figure.axes[0], self.label)
            if self.partial:
                _mark(figure)
            _finish(figure)
            # Without time stamps, equal figures are equal files.
            with atomic_path(self.folder / f"{name}.pdf") as path:
                figure.savefig(path, format="pdf", metadata={"CreationDate": None})
            image = io.StringIO()
            figure.savefig(image, format="svg", metadata={"Date": None})
        # What the page has is also a file, which is larger on the screen than in the page.
        text = svg.compact(image.getvalue())
        write_text(self.folder / f"{name}.svg", text)
        width, height = figure.get_size_inches()
        return replace(
            picture,
            source=svg.data_uri(text),
            width=round(PIXELS * width),
            height=round(PIXELS * height),
            spots=spots.of(figure) if isinstance(figure, PointedFigure) else (),
        )


def _finish(figure: Figure) -> None:
    """Fix the layout, which is the same for every format, and slow to find."""
    draw_as_it_stands(figure)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    renderer: RendererAgg = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for axes in figure.axes:
        _fix_labels(axes, renderer)
    if isinstance(figure, StyledFigure):
        figure.final = True


def _fix_labels(axes: Axes, renderer: RendererAgg) -> None:
    """Keep the labels of axes where the layout has put them: to look again is slow."""
    # Colour bars are as narrow as their aspect says only when they are drawn.
    locator: Any = axes.get_axes_locator()
    axes.apply_aspect(None if locator is None else locator(axes, renderer))
    inverse = axes.transAxes.inverted()
    for axis in (axes.xaxis, axes.yaxis):
        if not axis.label.get_text():
            axis.set_label_coords(0, 0)
            continue
        # With the ticks of the final size.
        axis.get_tightbbox(renderer)
        place = axis.label.get_transform().transform(axis.label.get_position())
        axis.set_label_coords(*inverse.transform(place))


def _mark(figure: Figure) -> None:
    figure.text(
        *(0.5, 0.5),
        "PARTIAL",
        rotation=30,
        fontsize=54,
        fontweight="bold",
        color="#b3261e",
        alpha=0.18,
        ha="center",
        va="center",
        zorder=100,
    )


def plain(numbers: Any) -> Any:
    """Numbers as JSON has them: lists for arrays, null for what is not finite."""
    match numbers:
        case dict():
            return {str(key): plain(value) for key, value in numbers.items()}
        case list() | tuple() | np.ndarray():
            return [plain(value) for value in numbers]
        case float() | np.floating():
            return float(numbers) if np.isfinite(numbers) else None
        case np.integer():
            return int(numbers)
        case _:
            return numbers
