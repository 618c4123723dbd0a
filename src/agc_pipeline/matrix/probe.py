"""Runs inside an environment: imports every stage, and says which import fails and why.

It must run where nothing else does: this package and the standard library only.
"""

import importlib
import json
import pkgutil
import sys
import time
import traceback

from agc_pipeline import code


def main() -> None:
    """Import the stages and write a JSON object to standard output; status 1 if one fails."""
    start = time.process_time()
    name = "agc_pipeline.stages"
    try:
        for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
            # The stages of the matrix itself run outside.
            if not module.name.startswith("matrix"):
                importlib.import_module(f"{name}.{module.name}")
                # What it computes with is imported where it runs.
                code.load(f"{name}.{module.name}")
    except BaseException as error:  # whatever a package under test raises is the answer
        traceback.print_exc()
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"}))
        sys.exit(1)
    print(json.dumps({"cpu_seconds": time.process_time() - start}))


if __name__ == "__main__":
    main()
