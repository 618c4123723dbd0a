"""What went wrong while files were read, in a form that manifests keep."""

import re
from typing import Annotated

from pydantic import AfterValidator, NonNegativeInt, PositiveInt

from agc_pipeline.errors import InputError
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings

OTHER_MIRROR = "use another mirror (`input.mirror_order`)"

_Told = Annotated[str, AfterValidator(without_secrets)]


class Failure(Settings):
    """One thing that went wrong with one address of a file.

    Attributes:
        url: the address.
        events: first entry of the range that was being read, and the entry behind its last; None
            if the file was being opened.
        error: "Type: message", one line.
        attempts: how often it went wrong in this way.
    """

    url: _Told
    events: tuple[NonNegativeInt, NonNegativeInt] | None
    error: _Told
    attempts: PositiveInt


class ReadError(InputError):
    """Reading from one address of a file failed.

    Args:
        problem: what is wrong, with the offending value.
        place: address of the file.
        remedy: what the user can do about it.
        error: what the library raised, "Type: message".
        transient: another attempt at the same address may succeed.
        events: range of entries that was being read; None for opening.
        wait: seconds that the server asks to wait before another attempt; None if it does not.
    """

    def __init__(
        self,
        problem: str,
        *,
        place: str,
        remedy: str,
        error: str,
        transient: bool,
        events: tuple[int, int] | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.error = error
        self.transient = transient
        self.events = events
        self.wait = wait


class HttpError(OSError):
    """A web server does not give what was asked for.

    Args:
        problem: what is wrong, without the address and without secrets.
        remedy: what the user can do about it.
        status: of the answer; None if it is not the status that is wrong.
        again: whether another attempt may succeed.
        wait: seconds after which the server asks to come again; None if it does not say.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        status: int | None = None,
        again: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.remedy = remedy
        self.status = status
        self.again = again
        self.wait = wait


class Unanswered(ConnectionError):  # noqa: N818 - what it is about, not that it is an error
    """A connection to a web server failed, or broke off."""


class ShortAnswer(ConnectionError):  # noqa: N818 - what it is about, not that it is an error
    """A server sent less than it was asked for."""


class DamagedPart(ValueError):  # noqa: N818 - what it is about, not that it is an error
    """A part of a file is not what its description says.

    Args:
        part: what it should be.
        start: its first byte in the file.
        stop: the byte behind its last.
        error: what is wrong with it.
    """

    def __init__(self, part: str, start: int, stop: int, error: BaseException) -> None:
        reason = str(error) if type(error) is ValueError else one_line(error)
        super().__init__(f"{part}, bytes {start} to {stop}: {reason}")


class Disagreement(ValueError):  # noqa: N818 - what it is about, not that it is an error
    """Columns of a file do not fit together: it can be read in more than one way."""


class ImpossibleValue(ValueError):  # noqa: N818 - what it is about, not that it is an error
    """A column of a file has a value that it cannot have, such as an infinite momentum."""


class Undelivered(InputError):  # noqa: N818 - what it is about, not that it is an error
    """No address gives the file.

    Args:
        problem: what is wrong.
        place: address that stands for the file.
        remedy: what the user can do about it.
        failures: all that went wrong.
    """

    def __init__(
        self, problem: str, *, place: str, remedy: str, failures: tuple[Failure, ...]
    ) -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.failures = failures


def one_line(error: BaseException) -> str:
    """Type and message of what a library raised, on one line of bounded length."""
    # Addresses in memory make the same error look like another one.
    text = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
