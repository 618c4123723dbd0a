"""What a probe found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from time import monotonic
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

State = Literal["ok", "missing", "failed", "unused"]


@dataclass(frozen=True)
class Finding:
    """One thing that a run may need.

    Attributes:
        name: of the thing.
        state: there; not there; there but not as it should be; or not asked for.
        detail: what was found. Never holds a secret.
        remedy: how to get what is missing; empty if nothing is.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Probe:
    """A question that may take long.

    Attributes:
        name: of what is probed.
        ask: gives the finding; its errors are findings, too.
        remedy: for when it does not answer in time.
    """

    name: str
    ask: Callable[[], Finding]
    remedy: str


def ask(probes: Sequence[Probe], *, timeout: float) -> list[Finding]:
    """Ask all at the same time; what does not answer in time has failed.

    Args:
        probes: the questions.
        timeout: seconds for all of them together.
    """
    answers: dict[int, Finding] = {}

    def answer(number: int, probe: Probe) -> None:
        answers[number] = probe.ask()

    # Name servers cannot be given a time-out: a thread that hangs must not keep the process.
    threads = [
        Thread(target=answer, args=(number, probe), daemon=True)
        for number, probe in enumerate(probes)
    ]
    end = monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - monotonic()))
    return [
        answers.get(
            number,
            Finding(probe.name, "failed", f"no answer within {timeout:g} s", probe.remedy),
        )
        for number, probe in enumerate(probes)
    ]


def plain_address(url: str) -> str:
    """An address without user, password, query and fragment, where tokens may stand."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
