"""Functions of analyses that fail: the line of the analysis, in one message.

Importing this is cheap: every stage does.
"""

import errno
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agc_pipeline.code import near
from agc_pipeline.errors import AnalysisError, PipelineError

# Of the analyses that this process has loaded.
FOLDERS: set[Path] = set()
# What is the disk's fault, wherever it is written to.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_PACKAGE = Path(__file__).parent
# Where the columns are read that a function asks for.
_READERS = _PACKAGE / "readers"
# awkward's place of an error in code of its own.
_COMPILED = re.compile(r" \(in compiled code: [^)]*\)")


@contextmanager
def told_by_line(unread: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """A block that calls functions of a loaded analysis: what they raise says where.

    Args:
        unread: what readers raise for files that they cannot read; that is no fault of a function
            which asks for a column.

    Raises:
        AnalysisError: with the innermost line of the analysis that was being run, or, if it is an
            error of those types, with the line that the analysis has from elsewhere.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = next((n for n in reversed(range(len(frames))) if _is_own(frames[n])), None)
        if last is None and isinstance(error, unread) and not is_of_reader(error):
            last = _called(frames)
        if last is None or (isinstance(error, OSError) and error.errno in _DISK):
            raise
        if isinstance(error, unread) and any(map(_of_reader, frames[last + 1 :])):
            raise
        raise AnalysisError(
            told(error),
            place=line(frames[last]),
            remedy=f"correct `{frames[last].name}`; the log has the whole traceback",
        ) from error


def is_of_reader(error: Exception) -> bool:
    """Whether an error arose while a file was read."""
    return any(map(_of_reader, traceback.extract_tb(error.__traceback__)))


def _of_reader(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(_READERS)


def _called(frames: Sequence[traceback.FrameSummary]) -> int | None:
    """Number of the frame that this package called, outside of it; None if it failed itself."""
    inside = [Path(frame.filename).is_relative_to(_PACKAGE) for frame in frames]
    number = len(inside) - inside[::-1].index(True) if True in inside else 0
    return number if number < len(frames) else None


def _is_own(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename).resolve()
    return any(path.is_relative_to(folder) for folder in FOLDERS)


def place_of(function: object) -> str:
    """A function of an analysis, as the place of an error."""
    return f"function {getattr(function, '__qualname__', function)}"


def line(frame: traceback.FrameSummary) -> str:
    """A place in the code, for a person."""
    function = "" if frame.name == "<module>" else f", in {frame.name}"
    return f"{near(Path(frame.filename))}, line {frame.lineno}{function}"


def told(error: Exception) -> str:
    """Type and first line of an error; others, as of awkward, are about the call."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next(iter(_COMPILED.sub("", message).strip().splitlines()), "")
    return ": ".join(filter(None, (type(error).__name__, first)))
