"""What the log of a job says: how far it is, and why it failed."""

import errno
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from agc_pipeline.errors import MACHINE_ERRORS

# Of a log, as much is read from its end.
_TAIL = 16_384
# Control characters, and sequences of them that terminals interpret.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_TIME = re.compile(r"^\d\d:\d\d:\d\d ")
# Who has less room than this on a disk has none.
_PROBE_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_MACHINES = {os.strerror(code): remedy for code, remedy in MACHINE_ERRORS.items()}
# Of errors of others, so many last lines are shown.
_LINES = 3
_KILLED = re.compile(r"the job was killed by (\w+)")
# Signals by which a user ends a run, and with it its jobs.
_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
_EXCEPTION = re.compile(r"(\w+\.)*\w*(Error|Exception|Interrupt|Exit)\b")
_HEAD = "Traceback (most recent call last)"
_DAEMON = re.compile(r"(?:slurmstepd\S*|srun): error: (.*)")


@dataclass(frozen=True)
class Reason:
    """Why a job failed.

    Attributes:
        problem: in one line.
        details: further lines, such as the place and the remedy.
        log: file that says more; None if there is none.
        interrupted: whether a signal stopped the job, as for Ctrl-C; that is no fault of the job.
        told: whether anything says why.
    """

    problem: str
    details: tuple[str, ...] = ()
    log: str | None = None
    interrupted: bool = False
    told: bool = True

    @property
    def error(self) -> tuple[str, tuple[str, ...]]:
        """What is the same for all jobs with the same error."""
        return self.problem, self.details

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended the job; None if none did."""
        killed = _KILLED.match(self.problem)
        return None if killed is None else killed[1]

    @property
    def typed(self) -> bool:
        """Whether it was Ctrl-C, which a terminal sends to Snakemake and all its jobs."""
        return self.interrupted and self.problem.endswith(("SIGINT", "KeyboardInterrupt"))


def printable(text: str) -> str:
    """A text without control characters, such as those of progress bars; lines stay."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def progress(path: Path, *, since: float = 0) -> str:
    """The last line of a log, without its time.

    Args:
        path: of the log.
        since: seconds of the epoch: of a log that is older, nothing is told.
    """
    try:
        if path.stat().st_mtime < since:
            return ""
    except OSError:
        return ""
    lines = _tail(path)
    return _TIME.sub("", lines[-1]).strip() if lines else ""


def reason(
    paths: Sequence[str],
    message: str | None = None,
    *,
    signal: str | None = None,
    folder: Path | None = None,
) -> Reason:
    """Why a job failed, from its logs.

    Args:
        paths: of the logs: that of the job before those of a batch system.
        message: of what ran the job.
        signal: name of the one that ended the shell of the job, which then could not say so.
        folder: of the results, where a full disk keeps logs empty; None for that of the log.
    """
    log = next(iter(paths), None)
    contents = [_tail(Path(path)) for path in paths]
    killer = _of_batch_system(contents[1:], message)
    for path, content in zip(paths, contents, strict=True):
        told = _error(content)
        if told is not None:
            problem, details = told
            remedy = _OF_MACHINES.get(problem)
            # A log on a full disk ends where the disk does.
            if remedy is not None and not any(line.startswith("  remedy:") for line in details):
                details = (*details, f"  remedy: {remedy}")
            killed = _KILLED.match(problem)
            if killed is not None and killer is not None:
                details = (*details, f"  batch system: {killer}")
            interrupted = killed is not None and killed[1] in _STOPPING
            return Reason(problem, details, path, interrupted)
    for path, content in zip(paths, contents, strict=True):
        # A fault of a program: the last line of a traceback says most.
        if content and _EXCEPTION.match(content[-1]):
            before = content[-_LINES:-1]
            details = tuple(f"  {line.strip()}" for line in before if _HEAD not in line)
            return Reason(content[-1], details, path, content[-1] == "KeyboardInterrupt")
    if killer is not None:
        return Reason(killer, (), log)
    return _silent(contents[0][-1:] if contents else [], log, signal, folder)


def _silent(last: list[str], log: str | None, signal: str | None, folder: Path | None) -> Reason:
    """Why a job failed whose logs have no error.

    Args:
        last: line of its log, if there is one.
        log: its path.
        signal: see ``reason``.
        folder: likewise.
    """
    full = None if log is None else _full(folder or Path(log).parent)
    if full is not None:
        return full
    progress = tuple(f"  last line: {line}" for line in last)
    if signal is not None:
        killed = f"the job was killed by {signal}"
        return Reason(killed, progress, log, signal in _STOPPING)
    if not last:
        return Reason("its log does not say why", (), log, told=False)
    if _TIME.match(last[0]):
        # Progress of a job that was ended from outside.
        return Reason("it ended without an error", progress, log, told=False)
    return Reason(last[0], (), log)


def _full(folder: Path) -> Reason | None:
    """The reason why nothing can be written to a folder; None if there is room.

    Limits of a user need not show in the free space of the disk: only writing tells.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in _FULL:
            remedy = MACHINE_ERRORS[error.errno]
            return Reason(
                os.strerror(error.errno), (f"  where: {folder}", f"  remedy: {remedy}"), None
            )
    return None


def _error(lines: list[str]) -> tuple[str, tuple[str, ...]] | None:
    """The last error that a stage tells, with its place and remedy."""
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if not starts:
        return None
    problem, *rest = lines[starts[-1] :]
    details = tuple(takewhile(lambda line: line.startswith("  "), rest))
    return problem.removeprefix("error: "), details


def _of_batch_system(contents: list[list[str]], message: str | None) -> str | None:
    """What a batch system says of a job that it ended."""
    for lines in contents:
        told = dict.fromkeys(match[1] for line in lines if (match := _DAEMON.match(line)))
        if told:
            return "; ".join(list(told)[-_LINES:])
    text = printable(message or "").partition("For further error details")[0]
    return " ".join(text.split()) or None


def _tail(path: Path) -> list[str]:
    """The last lines of a file that are not empty; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            content = file.read()
    except OSError:
        return []
    text = printable(content.decode(errors="replace"))
    return [line.rstrip() for line in text.splitlines() if line.strip()]
