"""Runs inside an environment: imports what stages need, or repeats stages on demand.

Each repetition runs in a fork, which has everything imported but nothing read or cached, so that
only the stage is measured. Requests and responses are lines of JSON. Only the standard library is
used, since any other package may be broken.
"""

import gc
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import sys
import time
import traceback
from collections.abc import Sequence


def main() -> None:
    """Import what stages need with ``--import``, else answer requests."""
    if sys.argv[1:] == ["--import"]:
        import_stages()
    else:
        answer_requests()


def import_stages() -> None:
    """Import the stages and write a JSON object to standard output; status 1 if one fails.

    Then all that this package imports of others, as far as they are installed: much of it stands
    in functions, which the run of a cell may not come to.
    """
    start = time.process_time()
    name = "agc_pipeline.stages"
    try:
        for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
            # The stages of the matrix itself run outside.
            if not module.name.startswith("matrix"):
                importlib.import_module(f"{name}.{module.name}")
        stages_imported = time.process_time()
        for other in importlib.import_module("agc_pipeline.code").others():
            if _is_installed(other):
                importlib.import_module(other)
    except BaseException as error:  # whatever a package under test raises is the result
        traceback.print_exc()
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"}))
        sys.exit(1)
    print(json.dumps({"cpu_seconds": stages_imported - start}))


def _is_installed(module: str) -> bool:
    """Whether the package of a module is installed, if not all of it."""
    root = importlib.util.find_spec(module.partition(".")[0])
    if root is None:
        return False
    # Packages without a file of their own are shared by others.
    return root.origin is not None or importlib.util.find_spec(module) is not None


def answer_requests() -> None:
    """Answer requests ``{"module": ..., "arguments": [...]}`` until the input ends."""
    responses = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # What stages print is not a response.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        importlib.import_module(request["module"])
        # A collection in the child would copy the parent's memory.
        gc.collect()
        gc.freeze()
        print(json.dumps(repeat(**request)), file=responses, flush=True)


def repeat(module: str, arguments: Sequence[str]) -> dict[str, float | int]:
    """Run a stage in a fork; its exit status, and CPU and wall-clock time in seconds.

    The CPU time is that of the fork and of all processes that it waited for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        _stage(module, arguments)
    _, status, used = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.perf_counter() - started,
    }


def _stage(module: str, arguments: Sequence[str]) -> None:
    """In the fork: run the stage and end."""
    code = 1
    try:
        sys.argv = [module, *arguments]
        # The requests are not the input of the stage.
        sys.stdin = io.StringIO()
        sys.modules[module].main()
        code = 0
    except SystemExit as error:
        print(error.code, file=sys.stderr)
        code = 0 if error.code in (0, None) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the exit handlers of the parent.
        os._exit(code)


if __name__ == "__main__":
    main()
