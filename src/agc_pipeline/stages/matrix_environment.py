"""Resolve and build an environment of the matrix; that it cannot be had is a result."""

import argparse
import logging
from pathlib import Path

from pydantic import PositiveFloat

from agc_pipeline.matrix import environments
from agc_pipeline.matrix.records import EnvironmentRecord
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class EnvironmentStage(Settings):
    """What building needs; see ``environments.EnvironmentRequest``.

    Attributes:
        contents: digests of wheels and checkouts, so that the rule runs again if they change.
        lock: path of the lock file.
        folder: of the matrix.
        timeout: seconds for each command.
    """

    name: str
    needs: tuple[str, ...]
    requirements: tuple[str, ...]
    contents: dict[str, str]
    lock: str
    python: str
    prerelease: bool
    folder: str
    timeout: PositiveFloat


def stage(arguments: argparse.Namespace) -> EnvironmentRecord:
    """Build, and give the record of the environment."""
    settings = command.settings(EnvironmentStage, arguments.settings)
    environment = environments.build(
        environments.EnvironmentRequest(
            name=settings.name,
            needs=settings.needs,
            requirements=settings.requirements,
            lock=Path(settings.lock).read_text(encoding="utf-8"),
            python=settings.python,
            prerelease=settings.prerelease,
        ),
        Path(settings.folder) / "environments",
        arguments.output.with_suffix(""),
        timeout=settings.timeout,
    )
    log.info("%s: %s", settings.name, environments.describe(environment))
    return environment


def main() -> None:
    """Command line of the stage."""
    command.record(stage, command.parser(__doc__))


if __name__ == "__main__":
    main()
