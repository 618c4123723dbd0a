"""Build this package once, for all environments of the matrix."""

import argparse
from pathlib import Path

from pydantic import PositiveFloat

from agc_pipeline.files import write_json
from agc_pipeline.matrix import package
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


def stage(arguments: argparse.Namespace) -> None:
    """Build, and write the record of what was built."""
    settings = command.settings(PackageStage, arguments.settings)
    made = package.make(
        Path(settings.project),
        Path(settings.folder) / "package",
        arguments.output.with_suffix(".log"),
        timeout=settings.timeout,
    )
    write_json(arguments.output, made.model_dump())


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
