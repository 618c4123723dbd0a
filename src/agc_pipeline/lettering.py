"""Text of figures that looks like mathematics, and may be none."""

from functools import lru_cache

from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter


def draw_as_it_stands(figure: Figure) -> None:
    """Let text that looks like mathematics, but is none for matplotlib, be drawn as it stands.

    Names of somebody else's samples and systematics have macros that only their LaTeX knows.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            # Labels of ticks have their text only once they were asked for, which is slow; those of
            # numbers are none of somebody else's.
            if isinstance(axis.get_major_formatter(), (FixedFormatter, FuncFormatter)):
                axis.get_ticklabels()
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
