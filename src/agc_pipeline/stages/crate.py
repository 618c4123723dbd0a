"""Describe a finished run as RO-Crate, with what made each of its files."""

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline.files import write_json
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, never, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class CrateStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        title: of the report.
        description: of the report.
        license: of the results.
        configuration: all values, without those that may hold credentials.
        workflow: folder of the rules.
    """

    title: str
    description: str
    license: str
    configuration: dict[str, Any]
    workflow: str


class CrateOptions(Options):
    """What the stage is told beside its settings."""

    report: Path = reads("report.html", "page of the run")
    preservation: Path = reads("preservation.json", "record of the formats for others")
    output: Path = writes("ro-crate-metadata.json", "metadata to write")
    workflow: Path = writes("workflow/Snakefile", "copy of the workflow to write")


def configure(plan: "Plan") -> CrateStage:
    """Texts, configuration and rules."""
    from agc_pipeline.places import root_folder

    report = plan.config.report
    return CrateStage(
        title=report.title,
        description=report.description,
        license=report.license,
        configuration=plan.config.shown(),
        workflow=str(root_folder() / "workflow"),
    )


def run(settings: CrateStage, options: CrateOptions) -> None:
    """Copy the workflow beside the results, and describe all of them."""
    from importlib.metadata import version

    from agc_pipeline.preservation import crate

    folder = options.output.parent
    shutil.copytree(
        settings.workflow,
        options.workflow.parent,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", ".*"),
    )
    packages = ("agc-pipeline", "cabinetry", "coffea", "pyhf", "snakemake", "uproot")
    content = crate.metadata(
        folder,
        name=settings.title,
        description=settings.description,
        license_name=settings.license,
        versions={name: version(name) for name in packages},
        configuration=json.dumps(settings.configuration, sort_keys=True),
    )
    write_json(options.output, content)
    log.info("%d files described", len(content["@graph"][1]["hasPart"]))


STAGE = Stage(
    name="crate",
    settings=CrateStage,
    options=CrateOptions,
    configure=configure,
    run=run,
    when=never,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
