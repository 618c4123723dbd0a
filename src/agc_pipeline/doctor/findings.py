"""Findings about a machine, and probes that run at the same time with a time-out."""

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
        state: available; missing; unusable; or not needed.
        detail: versions, sizes, or the problem. Never holds a secret.
        remedy: what to do about a problem; empty if there is none.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Probe:
    """A check that may take long.

    Attributes:
        name: of what is probed.
        run: returns the finding; its errors are findings, too.
        remedy: if it exceeds its time.
    """

    name: str
    run: Callable[[], Finding]
    remedy: str


def run_probes(probes: Sequence[Probe], *, timeout: float) -> list[Finding]:
    """Run all probes at the same time; one that exceeds the time has failed.

    Args:
        probes: the checks.
        timeout: seconds for all of them together.
    """
    findings: dict[int, Finding] = {}

    def run(number: int, probe: Probe) -> None:
        findings[number] = probe.run()

    # Name servers accept no time-out: a thread that hangs must not keep the process alive.
    threads = [
        Thread(target=run, args=(number, probe), daemon=True) for number, probe in enumerate(probes)
    ]
    deadline = monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return [
        findings.get(
            number,
            Finding(probe.name, "failed", f"no answer within {timeout:g} s", probe.remedy),
        )
        for number, probe in enumerate(probes)
    ]


def plain_address(url: str) -> str:
    """An address without user, password, query and fragment, which may hold tokens."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
