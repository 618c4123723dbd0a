"""Resolve and build an environment of the matrix; that it cannot be had is a result."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveFloat

from agc_pipeline import locks
from agc_pipeline.files import write_json
from agc_pipeline.matrix import requirements
from agc_pipeline.matrix.settings import Versions
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


log = logging.getLogger(__name__)


class EnvironmentStage(Settings):
    """What building needs; see ``environments.EnvironmentRequest``.

    Attributes:
        failures: how often it could not be had, see ``CellJob``.
        contents: digests of wheels and checkouts, so that the rule runs again if they change.
        lock: path of the lock file.
        folder: of the matrix.
        timeout: seconds for each command.
    """

    name: str
    failures: int
    needs: tuple[str, ...]
    requirements: tuple[str, ...]
    contents: dict[str, str]
    lock: str
    python: str
    prerelease: bool
    versions: Versions
    folder: str
    timeout: PositiveFloat


class EnvironmentOptions(Options):
    """What the stage is told beside its settings."""

    failures: Path = uses(
        "failures/environments/{environment}", "file that counts how often it could not be had"
    )
    output: Path = writes("environments/{environment}.json", "record to write")


def configure(plan: "MatrixPlan", environment: str) -> EnvironmentStage:
    """What the environment must have.

    Raises:
        ConfigurationError: for a requirement that cannot be read, or whose file is not there.
    """
    request = plan.settings.environments[environment]
    place = plan.values.place("environments", environment, "requirements")
    lock = plan.project / locks.DEVELOPMENT
    if request.requirements:
        lines = locks.pins(lock.read_text(encoding="utf-8"))
        requirements.check(request.requirements, lines, place=place)
    return EnvironmentStage(
        name=environment,
        failures=plan.failures("environments", environment, environment),
        needs=requirements.direct(
            plan.project / "pyproject.toml",
            plan.settings.extras,
            place=plan.values.place("extras"),
            bounds=request.versions == "lowest",
        ),
        requirements=request.requirements,
        # A wheel or checkout that changed makes another environment.
        contents=requirements.contents(request.requirements),
        lock=str(lock),
        python=request.python or plan.python,
        prerelease=request.prerelease,
        versions=request.versions,
        folder=plan.settings.folder,
        timeout=plan.settings.timeout,
    )


def run(settings: EnvironmentStage, options: EnvironmentOptions) -> None:
    """Build, and write the record of the environment."""
    from agc_pipeline.matrix import environments
    from agc_pipeline.measuring.commands import count_failure

    environment = environments.build(
        environments.EnvironmentRequest(
            name=settings.name,
            needs=settings.needs,
            requirements=settings.requirements,
            lock="\n".join(locks.pins(Path(settings.lock).read_text(encoding="utf-8"))),
            python=settings.python,
            prerelease=settings.prerelease,
            versions=settings.versions,
        ),
        Path(settings.folder) / "environments",
        options.output.with_suffix(""),
        timeout=settings.timeout,
    )
    log.info("%s: %s", settings.name, environments.describe(environment))
    if environment.interpreter is None:
        count_failure(options.failures, settings.failures)
    write_json(options.output, environment.model_dump())


STAGE = Stage(
    name="matrix_environment",
    settings=EnvironmentStage,
    options=EnvironmentOptions,
    configure=configure,
    run=run,
    when=never,
    watched={"lock": lambda plan: str(plan.project / locks.DEVELOPMENT)},
)
main = STAGE.main

if __name__ == "__main__":
    main()
