"""Where a cell runs: interpreter, environment variables, folders."""

import os
from dataclasses import dataclass
from pathlib import Path

from agc_pipeline import measure
from agc_pipeline.matrix import environments
from agc_pipeline.matrix.records import EnvironmentRecord, PackageRecord


@dataclass(frozen=True)
class Place:
    """Where a cell runs.

    Attributes:
        interpreter: of its environment.
        variables: environment variables.
        folder: working directory.
    """

    interpreter: str
    variables: dict[str, str]
    folder: Path

    @property
    def results(self) -> Path:
        """Folder of the results."""
        return self.folder / "results"

    @property
    def measures(self) -> Path:
        """Folder of the records of stages."""
        return self.folder / "measures"


def place_of(environment: EnvironmentRecord, package: PackageRecord, folder: Path) -> Place:
    """Where a cell runs, with an environment of variables that nothing else leaks into.

    Args:
        environment: that is installed.
        package: this package.
        folder: of the cell.
    """
    interpreter = str(environment.interpreter)
    folder = folder.absolute()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "SNAKEMAKE"))
    }
    return Place(
        interpreter,
        kept
        | {
            "PATH": f"{Path(interpreter).parent}:{os.environ['PATH']}",
            "PYTHONPATH": package.path,
            "PYTHONNOUSERSITE": "1",
            "PYTHONWARNINGS": "default",
            "NUMBA_CACHE_DIR": str(environments.compiled_code(environment)),
            measure.FOLDER: str(folder / "measures"),
        },
        folder,
    )
