"""CPU time and memory of processes; a stage records its own if a variable names a folder."""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

# Name of the environment variable with the folder.
FOLDER = "AGC_PIPELINE_MEASURE"


@contextmanager
def measured() -> Iterator[None]:
    """Write a record of the stage that runs inside: command line, CPU time, memory.

    Without the environment variable nothing happens. A stage that fails leaves no record.
    """
    folder = os.environ.get(FOLDER)
    start = cpu_seconds()
    yield
    if folder is None:
        return
    spec = sys.modules["__main__"].__spec__
    record = {
        "module": None if spec is None else spec.name,
        "arguments": sys.argv[1:],
        "cpu_seconds": cpu_seconds() - start,
        "start_cpu_seconds": start,
        "memory_mb": _memory_mb(),
    }
    path = Path(folder) / f"{time.time_ns()}-{os.getpid()}.json"
    path.write_text(json.dumps(record), encoding="utf-8")


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and waited for."""
    times = os.times()
    return times.user + times.system + cpu_seconds_of_children()


def cpu_seconds_of_children() -> float:
    """CPU time of the processes that this one started and waited for, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def _memory_mb() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    # Linux counts in KiB.
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024 / 1e6


def launched() -> float:
    """When this process was started, before its interpreter and imports; UNIX time in seconds.

    Always the same time: it tells processes of other name spaces with the same number apart.
    """
    return _launched(os.getpid())


@cache
def _launched(_: int) -> float:
    # Behind the name, which may have blanks and brackets in it; ticks since the machine started.
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def peak_mb() -> float:
    """Most memory that this process held so far, in MB.

    That of ``getrusage`` begins with what the process had that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def lineage(program: str) -> tuple[int, ...]:
    """This process and those above it, up to the first that runs a program or module.

    Returns:
        Their numbers; empty without one.
    """
    numbers = [os.getpid()]
    while (parent := _parent(numbers[-1])) is not None and parent > 0:
        numbers.append(parent)
        if program in _names(parent):
            return tuple(numbers)
    return ()


def is_lineage(numbers: Sequence[int]) -> bool:
    """Whether each process is still the child of the next: others take the place of a lost one."""
    return all(_parent(child) == parent for child, parent in pairwise(numbers))


def _parent(number: int) -> int | None:
    """Number of the parent of a process; None if that is not there."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])


def _names(number: int) -> set[str]:
    """Names of the files and modules in the command line of a process."""
    try:
        text = Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return {argument.rpartition("/")[2] for argument in text.split("\0")}
