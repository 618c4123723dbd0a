"""Build this package once, for all environments of the matrix."""

import argparse
from pathlib import Path

from pydantic import PositiveFloat

from agc_pipeline.matrix import package
from agc_pipeline.matrix.records import PackageRecord
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command


class PackageStage(Settings):
    """What building needs.

    Attributes:
        project: folder with ``pyproject.toml``.
        folder: of the matrix.
        timeout: seconds.
    """

    project: str
    folder: str
    timeout: PositiveFloat


def stage(arguments: argparse.Namespace) -> PackageRecord:
    """Build, and give the record of what was built."""
    settings = command.settings(PackageStage, arguments.settings)
    return package.build(
        Path(settings.project),
        Path(settings.folder) / "package",
        arguments.output.with_suffix(".log"),
        timeout=settings.timeout,
    )


def main() -> None:
    """Command line of the stage."""
    command.record(stage, command.parser(__doc__))


if __name__ == "__main__":
    main()
