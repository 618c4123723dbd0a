"""Commands that may fail or hang: run with a time-out and a log; and locks between processes."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_REPORTED = re.compile(
    r"^(?:\S+: )?error: (?P<problem>.+)(?:\n\s+where: (?P<place>.+))?", re.MULTILINE
)
_RAISED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*$", re.MULTILINE)


@dataclass(frozen=True)
class CommandResult:
    """Result of a command.

    Attributes:
        code: exit status; None after a time-out.
        output: both streams.
        seconds: wall-clock time.
    """

    code: int | None
    output: str
    seconds: float

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

    Args:
        arguments: program and arguments.
        log: file that its output is written to.
        timeout: seconds.
        environment: variables, instead of those of this process.
        folder: working directory.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    # Batch systems end jobs this way, and without a handler nothing below would run.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the commands are ours
            list(arguments),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Also processes that outlive their parent.
            _kill(process)
            signal.signal(signal.SIGTERM, before)
    text = log.read_text(encoding="utf-8", errors="replace")
    return CommandResult(code, text, time.monotonic() - started)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file; it is released when the process ends in any way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
