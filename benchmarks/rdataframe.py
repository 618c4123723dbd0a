"""The same analysis by ROOT's RDataFrame, in an environment of its own, for ``histograms.py``.

ROOT comes from the package index, as for the tests. One process of it is kept, so that its
interpreter compiles the analysis once, before what is measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

import hist
import numpy as np

from agc_pipeline.errors import PipelineError
from agc_pipeline.matrix import environments

# Alpha versions are all that the package index has, here 6.40.
REQUIREMENTS = ("root==0.1a12",)
PROGRAM = Path(__file__).with_name("rdataframe_in_root.py")
# Relative: weights of the package are rounded to make their sums exact.
TOLERANCE = 1e-6


class Filled(NamedTuple):
    """Contents of histograms with underflow and overflow, by region and variation.

    Attributes:
        seconds: CPU time that it took.
        contents: ``{"region variation": contents}``.
    """

    seconds: float
    contents: dict[str, list[float]]

    def differences(self, histograms: Mapping[str, hist.Hist]) -> list[str]:
        """Histograms that differ from those of the package, by region: none should."""
        expected = {
            f"{region} {variation}": histogram[{"variation": variation}].view(flow=True)["value"]
            for region, histogram in histograms.items()
            for variation in histogram.axes["variation"]
        }
        return sorted(
            name
            for name in expected.keys() | self.contents.keys()
            if name not in expected
            or name not in self.contents
            or not np.allclose(self.contents[name], expected[name], rtol=TOLERANCE, atol=0)
        )


class InRoot:
    """A process that has ROOT.

    Args:
        interpreter: Python that can import it.

    Attributes:
        version: of ROOT.

    Raises:
        PipelineError: if it cannot be started.
    """

    def __init__(self, interpreter: Path) -> None:
        self._process = subprocess.Popen(
            [str(interpreter), "-W", "ignore", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # The interpreter's default optimises less.
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            | {"EXTRA_CLING_ARGS": "-O3"},
        )
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        self.version = str(self._answer()["version"])

    def fill(self, tree: str, process: str, files: Sequence[str]) -> Filled:
        """Histograms of files of a process."""
        request = {"tree": tree, "process": process, "files": list(files)}
        # Of a process that has ended, the answer tells.
        with suppress(BrokenPipeError):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        return Filled(**self._answer())

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise PipelineError(
                f"the process with ROOT ended (exit {self._process.wait()})",
                place=str(PROGRAM),
                remedy="read what it printed above",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> "InRoot":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()


def interpreter(logs: Path) -> Path | str:
    """A Python with ROOT, from an environment that is built once; or why there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    request = environments.EnvironmentRequest(
        "root", REQUIREMENTS, (), "", sys.executable, prerelease=False
    )
    record = environments.build(request, cache / "agc_pipeline" / "rdataframe", logs, timeout=600)
    if record.unavailable is not None or record.interpreter is None:
        return f"no environment with ROOT: {environments.describe(record)}"
    return Path(record.interpreter)
