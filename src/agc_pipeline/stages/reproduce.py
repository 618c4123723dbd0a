"""Take a workspace that was given in place of histograms."""

import argparse
import logging
from pathlib import Path

from agc_pipeline.files import write_json
from agc_pipeline.inference import checks, declaration, given, groups, workspace
from agc_pipeline.inference.outcomes import CheckRecord
from agc_pipeline.inference.records import ModelRecord
from agc_pipeline.inputs import WorkspaceInput
from agc_pipeline.provenance import digest, provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class ReproduceStage(Settings):
    """What the stage needs of the configuration."""

    input: WorkspaceInput


def stage(arguments: argparse.Namespace) -> None:
    """Write the workspace, what is known of it, and what its checks find.

    Raises:
        PipelineError: if it cannot be read, or the checks find an error.
    """
    workspace.quieten()
    settings = command.settings(ReproduceStage, arguments.settings)
    source = settings.input
    content = given.read(source)
    workspace.load(content, place=source.path)
    findings = checks.check(content)
    checks.refuse(findings, place=source.path)
    names = given.systematics(content)
    known = groups.matched(names, source.groups)
    record = ModelRecord(
        workspace_digest=digest(content),
        analysis=content["measurements"][0]["name"],
        data="observed",
        partial=False,
        left_out=(),
        channels=declaration.channels(content),
        groups={name: known.get(name, groups.OTHER) for name in names},
        provenance=dict(
            provenance(
                "reproduce",
                packages=("pyhf",),
                settings=settings.model_dump(),
                inputs=(Path(source.path),),
            )
        ),
    )
    checked = CheckRecord(
        workspace_digest=record.workspace_digest,
        findings=findings,
        pruned=(),
        origins=(),
        provenance=record.provenance,
    )
    write_json(arguments.output, content)
    write_json(arguments.model, record.model_dump())
    write_json(arguments.checks, checked.model_dump())
    log.info("%d channels, %d systematics", len(record.channels), len(names))


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="pyhf workspace to write")
    options.add_argument("--model", type=Path, required=True, help="record of the model to write")
    options.add_argument("--checks", type=Path, required=True, help="record of checks to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
