"""Commands that may fail or hang: run with a time-out and a log; and locks between processes."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agc_pipeline.files import write_text
from agc_pipeline.measuring import process

_REPORTED = re.compile(
    r"^(?:\S+: )?error: (?P<problem>.+)(?:\n\s+where: (?P<place>.+))?", re.MULTILINE
)
# A command begins when it is told that somebody watches: nobody would end it before.
_ONCE_WATCHED = 'read -r _ && exec "$@" < /dev/null'
# Seconds between looks at whether the workflow still runs.
_LOOK = 1.0
_RAISED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*$", re.MULTILINE)


@dataclass(frozen=True)
class CommandResult:
    """Result of a command.

    Attributes:
        code: exit status; None after a time-out.
        output: both streams.
        seconds: wall-clock time.
        cpu_seconds: CPU time of it and all processes below it that were waited for.
    """

    code: int | None
    output: str
    seconds: float
    cpu_seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the command ended without an error."""
        return self.code == 0

    @property
    def error(self) -> str | None:
        """The first error in the output, with its place, of a stage or of a command line.

        Else that of the first traceback; None without either.
        """
        reported = _REPORTED.search(self.output)
        if reported is not None:
            place = reported["place"]
            return reported["problem"] + (f" ({place})" if place else "")
        raised = _RAISED.search(self.output)
        return None if raised is None else raised[0]


def run(
    arguments: Sequence[str],
    log: Path,
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> CommandResult:
    """Run a command; after a time-out, or if this process ends, all its processes are killed.

    Also if this process is killed, or the Snakemake that runs it as a job: what is left of a run
    would go on beside the next one.

    Args:
        arguments: program and arguments.
        log: file that its output is written to.
        timeout: seconds.
        environment: variables, instead of those of this process.
        folder: working directory.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started, lineage = time.monotonic(), process.lineage("snakemake")
    cpu = process.cpu_seconds_of_children()
    # Batch systems end jobs this way, and without a handler nothing below would run.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with log.open("wb") as output:
        command = subprocess.Popen(  # noqa: S603 - the commands are ours
            ("/bin/sh", "-c", _ONCE_WATCHED, "sh", *arguments),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            with _ends_with_this_process(command.pid):
                _begin(command)
                code = _wait(command, started + timeout, lineage)
        finally:
            # Also processes that outlive their parent.
            _kill(command)
            signal.signal(signal.SIGTERM, before)
    text = log.read_text(encoding="utf-8", errors="replace")
    return CommandResult(
        code,
        text,
        seconds=time.monotonic() - started,
        cpu_seconds=process.cpu_seconds_of_children() - cpu,
    )


def _begin(command: "subprocess.Popen[bytes]") -> None:
    if command.stdin is not None:
        # It may have been killed already.
        with suppress(BrokenPipeError), command.stdin:
            command.stdin.write(b"\n")


def _wait(
    command: "subprocess.Popen[bytes]", deadline: float, lineage: Sequence[int]
) -> int | None:
    """Exit status of a command; None if it does not end in time."""
    while True:
        left = deadline - time.monotonic()
        try:
            return command.wait(timeout=max(0.0, min(left, _LOOK)))
        except subprocess.TimeoutExpired:
            if left <= _LOOK:
                return None
            if not process.is_lineage(lineage):
                sys.exit("the workflow was killed")


@contextmanager
def _ends_with_this_process(group: int) -> Iterator[None]:
    """Kill a group of processes if this process ends inside, in whatever way."""
    end, held = os.pipe()
    # The end of the pipe that this process holds is closed with it.
    watcher = subprocess.Popen(  # noqa: S603 - ours
        ("/bin/sh", "-c", 'read -r _; kill -s KILL -- "-$1"', "sh", str(group)),
        stdin=end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(end)
    try:
        yield
    finally:
        watcher.kill()
        watcher.wait()
        os.close(held)


def _kill(command: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(command.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    command.wait()


# Threads of a job beside which none may run: Snakemake gives it no more cores than it has.
ALL_CORES = 65_536


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file; it is released when the process ends in any way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def failures(path: Path) -> int:
    """How often something was taken without a result; 0 without a file.

    It is kept beside the record, which may be large, and is looked at before every run: a job with
    another number is another job, which is not done yet.
    """
    return int(path.read_text(encoding="utf-8")) if path.exists() else 0


def count_failure(path: Path, before: int) -> None:
    """Write that there was one failure more than before."""
    write_text(path, str(before + 1))
