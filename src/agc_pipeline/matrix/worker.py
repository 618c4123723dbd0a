"""Runs inside an environment: repeats stages on demand, each time in a fork of its own.

The fork has everything imported but nothing read or cached, so that what is measured is the
stage. One line of JSON comes in for each repetition, one goes out. This package and the standard
library only.
"""

import gc
import importlib
import io
import json
import os
import sys
import time
from collections.abc import Sequence

from agc_pipeline import code


def main() -> None:
    """Answer requests ``{"module": ..., "arguments": [...], "given": ...}`` until the input ends.

    ``given`` is what the stage finds on standard input.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # What stages print is not an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        importlib.import_module(request["module"])
        code.load(request["module"])
        # A collection in the child would copy the parent's memory.
        gc.collect()
        gc.freeze()
        print(json.dumps(repeat(**request)), file=answers, flush=True)


def repeat(module: str, arguments: Sequence[str], given: str | None) -> dict[str, float | int]:
    """Run a stage in a fork; its exit status, and CPU and wall-clock time in seconds.

    The CPU time is that of the fork and of all processes that it waited for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        _stage(module, arguments, given or "")
    _, status, used = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.perf_counter() - started,
    }


def _stage(module: str, arguments: Sequence[str], given: str) -> None:
    """In the fork: run the stage and end."""
    code = 1
    try:
        sys.argv = [module, *arguments]
        # The requests are not for the stage.
        sys.stdin = io.StringIO(given)
        sys.modules[module].main()
        code = 0
    except SystemExit as end:
        print(end.code, file=sys.stderr)
        code = 0 if end.code in (0, None) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the exit handlers of the parent.
        os._exit(code)


if __name__ == "__main__":
    main()
