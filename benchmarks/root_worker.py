"""ROOT's RDataFrame as a process that answers requests, for ``histograms.py``."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from agc_pipeline.matrix import environments

# Alpha versions are all that the package index has of ROOT, here 6.40. The other gives the random
# numbers of the resolution.
REQUIREMENTS = ("root==0.1a12", f"correctionlib=={version('correctionlib')}")
PROGRAM = Path(__file__).with_name("rdataframe.py")
# Relative difference of a bin's content: single and double precision.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class RootResult:
    """What ROOT gave.

    Attributes:
        cpu: seconds of CPU time.
        histograms: contents with under- and overflow, by region and variation.
    """

    cpu: float
    histograms: dict[str, dict[str, list[float]]]

    def check(self, name: str, plain: Any) -> None:
        """Check that the histograms are those of the textbook's processor.

        Single and double precision differ at the edges of bins.
        """
        for region, variations in self.histograms.items():
            if set(variations) != set(plain[region].axes["variation"]):
                sys.exit(f"error: {name} has other variations in {region}")
            for variation, contents in variations.items():
                expected = plain[region][{"variation": variation}].view(flow=True)["value"]
                if np.abs(np.array(contents) - expected).sum() > 2 + TOLERANCE * expected.sum():
                    sys.exit(f"error: {name} gives other contents in {region}, {variation}")


class RootWorker:
    """The process, which ends with this one.

    Args:
        interpreter: Python with ROOT.
    """

    def __init__(self, interpreter: str) -> None:
        self._process = subprocess.Popen(
            [interpreter, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, paths: list[str], process: str) -> RootResult:
        """Histogram files of a process."""
        assert self._process.stdin is not None  # noqa: S101 - opened as pipes
        assert self._process.stdout is not None  # noqa: S101
        request = {"files": paths, "process": process, "tree": "Events"}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            sys.exit("error: ROOT ended")
        answer = json.loads(line)
        return RootResult(answer["cpu"], answer["histograms"])


def root_worker(folder: Path) -> tuple[RootWorker | None, str]:
    """A worker in an environment of its own, and its versions; or None, and why there is none."""
    request = environments.EnvironmentRequest(
        "root", REQUIREMENTS, (), "", sys.executable, prerelease=False
    )
    built = environments.build(request, folder, folder / "logs", timeout=900)
    if built.unavailable is not None or built.interpreter is None:
        return None, f"left out: {environments.describe(built)}"
    return RootWorker(str(built.interpreter)), ", ".join(REQUIREMENTS)
