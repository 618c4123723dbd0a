"""Start from an external workspace in place of histograms."""

import argparse
import logging
from pathlib import Path

from agc_pipeline.files import write_json
from agc_pipeline.inference import checks, external, workspace
from agc_pipeline.inference.fit_records import CheckRecord, ModelRecord, of_workspace
from agc_pipeline.inputs import WorkspaceInput
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class ReproduceStage(Settings):
    """What the stage needs of the configuration."""

    input: WorkspaceInput


def stage(arguments: argparse.Namespace) -> None:
    """Write the workspace, its description, and the results of its checks.

    Raises:
        PipelineError: if it cannot be read, or the checks find an error.
    """
    workspace.quieten()
    settings = command.settings(ReproduceStage, arguments.settings)
    source = settings.input
    content = external.read(source)
    workspace.load(content, place=source.path)
    findings = checks.check(content)
    checks.refuse(findings, place=source.path)
    description = external.describe(content, source.groups)
    about = of_workspace(
        content,
        provenance(
            "reproduce",
            packages=("pyhf",),
            settings=settings.model_dump(),
            inputs=(Path(source.path),),
        ),
    )
    checked = CheckRecord(**about, findings=findings, pruned=(), origins=())
    write_json(arguments.output, content)
    write_json(arguments.model, ModelRecord(**about, **dict(description)).model_dump())
    write_json(arguments.checks, checked.model_dump())
    log.info("%d channels, %d systematics", len(description.channels), len(description.groups))


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="pyhf workspace to write")
    options.add_argument("--model", type=Path, required=True, help="record of the model to write")
    options.add_argument("--checks", type=Path, required=True, help="record of checks to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
