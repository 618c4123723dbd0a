"""This package for the environments of a matrix: the content of its wheel."""

import logging
import shutil
import sys
import zipfile
from pathlib import Path

from agc_pipeline import extras
from agc_pipeline.errors import PipelineError
from agc_pipeline.matrix.records import PackageRecord
from agc_pipeline.measuring.commands import locked, run
from agc_pipeline.provenance import file_digest

log = logging.getLogger(__name__)


def build(project: Path, folder: Path, logfile: Path, *, timeout: float) -> PackageRecord:
    """Build the wheel and unpack it, unless this was done for the same code before.

    The unpacked wheel is used beside any environment, which then need not be rebuilt for each
    change of the code. No package index is needed.

    Args:
        project: folder with ``pyproject.toml``.
        folder: of wheels and their content.
        logfile: for the output of the build.
        timeout: seconds.

    Raises:
        PipelineError: if the wheel cannot be built.
    """
    with locked(folder / ".lock"):
        wheels = folder / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
        command += ["--directory", str(wheels.absolute())]
        result = run(command, logfile, timeout=timeout, folder=project)
        files = sorted(wheels.glob("*.whl"))
        if not result.succeeded or len(files) != 1:
            raise PipelineError(
                "the wheel of this package cannot be built: "
                + " ".join(result.output.split())[-300:],
                place=str(project / "pyproject.toml"),
                remedy=f"correct it; for hatchling, {extras.remedy('matrix')}",
            )
        digest = file_digest(files[0])
        content = folder / digest[:16]
        if not content.exists():
            draft = folder / f"{digest[:16]}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            with zipfile.ZipFile(files[0]) as wheel:
                wheel.extractall(draft)
            draft.rename(content)
    log.info("%s: %s", files[0].name, content)
    return PackageRecord(digest=digest, path=str(content.absolute()))
