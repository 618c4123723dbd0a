"""CPU time and memory of a stage, recorded if an environment variable names a folder."""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    return times.user + times.system + times.children_user + times.children_system


def _memory_mb() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    # Linux counts in KiB.
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024 / 1e6
