"""Build this package once, for all environments of the matrix."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveFloat

from agc_pipeline.code import data
from agc_pipeline.files import write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, never, writes

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


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


class PackageOptions(Options):
    """What the stage is told beside its settings."""

    output: Path = writes("package.json", "record to write")


def configure(plan: "MatrixPlan") -> PackageStage:
    """Where the project is, and where to build."""
    return PackageStage(
        project=str(plan.project), folder=plan.settings.folder, timeout=plan.settings.timeout
    )


def run(settings: PackageStage, options: PackageOptions) -> None:
    """Build, and write the record of what was built."""
    from agc_pipeline.matrix import package

    record = package.build(
        Path(settings.project),
        Path(settings.folder) / "package",
        options.output.with_suffix(".log"),
        timeout=settings.timeout,
    )
    write_json(options.output, record.model_dump())


STAGE = Stage(
    name="matrix_package",
    settings=PackageStage,
    options=PackageOptions,
    configure=configure,
    run=run,
    when=never,
    watched={
        "package": lambda _: data("**/*.py", "**/*.json", "**/*.j2", "**/*.css"),
        "project": lambda plan: str(plan.project / "pyproject.toml"),
    },
)
main = STAGE.main

if __name__ == "__main__":
    main()
