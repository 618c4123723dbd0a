"""Functions of analyses that fail: the line of the analysis, in one message.

Importing this is cheap: every stage does.
"""

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agc_pipeline.code import near
from agc_pipeline.errors import AnalysisError, PipelineError

# Of the analyses that this process has loaded.
FOLDERS: set[Path] = set()
# What is the disk's fault, wherever it is written to.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# Where the columns are read that a function asks for.
_READERS = Path(__file__).parent / "readers"
# awkward's place of an error in code of its own.
_COMPILED = re.compile(r" \(in compiled code: [^)]*\)")


@contextmanager
def told_by_line(unread: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """A block that calls functions of a loaded analysis: what they raise says where.

    Args:
        unread: what readers raise for files that they cannot read; that is no fault of a function
            which asks for a column.

    Raises:
        AnalysisError: with the innermost line of the analysis that was being run.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = next((n for n in reversed(range(len(frames))) if _is_own(frames[n])), None)
        if last is None or (isinstance(error, OSError) and error.errno in _DISK):
            raise
        deeper = (Path(frame.filename) for frame in frames[last + 1 :])
        if isinstance(error, unread) and any(path.is_relative_to(_READERS) for path in deeper):
            raise
        raise AnalysisError(
            told(error),
            place=line(frames[last]),
            remedy=f"correct `{frames[last].name}`; the log has the whole traceback",
        ) from error


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
