"""Style of the figures, and the files that they are saved as."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine, LayoutEngine
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from agc_pipeline.attempts import Missing, attempt
from agc_pipeline.files import atomic_path, write_json, write_text
from agc_pipeline.report import spots, svg
from agc_pipeline.report.spots import PIXELS, PointedFigure, Spot

# M. A. Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270.
COLOURS = ("#9c9ca1", "#964a8b", "#e42536", "#f89c20", "#5790fc", "#7a21dd", "#92dadd", "#a96b59")
INK = "#1d2530"
SOFT = "#5c6773"

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
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
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    # Text as shapes: looks the same everywhere, and needs no font from outside.
    "svg.fonttype": "path",
    "svg.hashsalt": "agc-pipeline",
}


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
                _draw_as_it_stands(self)
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
        missing: figures that could not be drawn.
    """

    folder: Path
    partial: bool
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
        """
        write_json(self.folder / f"{name}.json", plain(numbers))
        empty = Picture(
            *(name, caption, alternative), source="", width=0, height=0, chart=plain(chart)
        )
        with attempt(f"figure {name}", self.missing):
            return self._saved(empty, draw())
        return empty

    def _saved(self, picture: Picture, figure: Figure) -> Picture:
        name = picture.name
        with mpl.rc_context(_STYLE):
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
    _draw_as_it_stands(figure)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    if isinstance(figure, StyledFigure):
        figure.final = True


def _draw_as_it_stands(figure: Figure) -> None:
    """Let text that looks like mathematics, but is none for matplotlib, be drawn as it stands.

    Names of somebody else's samples and systematics have macros that only their LaTeX knows.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            # Labels of ticks have their text only once they were asked for.
            axis.get_ticklabels(which="both")
    for text in figure.findobj(Text):
        content = text.get_text()
        if "$" in content and not _is_mathematics(content):
            text.set_parse_math(False)


@lru_cache(maxsize=1000)
def _is_mathematics(content: str) -> bool:
    try:
        MathTextParser("path").parse(content)
    except (ValueError, RecursionError):
        return False
    return True


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
