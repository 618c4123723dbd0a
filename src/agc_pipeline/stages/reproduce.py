"""Take a workspace that was external in place of histograms."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import write_json
from agc_pipeline.inputs import WorkspaceInput
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class ReproduceStage(Settings):
    """What the stage needs of the configuration."""

    input: WorkspaceInput


class ReproduceOptions(Options):
    """What the stage is told beside its settings."""

    output: Path = writes("workspace.json", "pyhf workspace to write")
    model: Path = writes("model.json", "record of the model to write")
    checks: Path = writes("checks.json", "record of checks to write")


def configure(plan: "Plan") -> ReproduceStage:
    """Where the workspace is."""
    assert isinstance(plan.config.input, WorkspaceInput)  # noqa: S101 - else there is no such rule
    return ReproduceStage(input=plan.config.input)


def run(settings: ReproduceStage, options: ReproduceOptions) -> None:
    """Write the workspace, its description, and the results of its checks.

    Raises:
        PipelineError: if it cannot be read, or the checks find an error.
    """
    from agc_pipeline.inference import checks, consistency, external, workspace
    from agc_pipeline.inference.fit_records import CheckRecord, ModelRecord, of_workspace
    from agc_pipeline.provenance import provenance

    workspace.quieten()
    source = settings.input
    content, changes = external.read(source)
    workspace.load(content, place=source.path)
    findings = (*changes, *consistency.check(content), *checks.check(content))
    checks.refuse(findings, place=source.path)
    description = external.describe(content, source.groups)
    about = of_workspace(
        content,
        provenance(
            "reproduce",
            packages=("pyhf",),
            settings=settings.model_dump(),
            inputs=tuple(map(Path, source.files.values())),
        ),
    )
    checked = CheckRecord(**about, findings=findings, pruned=(), origins=())
    write_json(options.output, content)
    write_json(options.model, ModelRecord(**about, **dict(description)).model_dump())
    write_json(options.checks, checked.model_dump())
    for finding in findings:
        if finding.severity == "warning":
            log.info("%s: %s", finding.where, finding.message)
    log.info("%d channels, %d systematics", len(description.channels), len(description.groups))


STAGE = Stage(
    name="reproduce",
    settings=ReproduceStage,
    options=ReproduceOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.external,
    watched={"external": lambda plan: list(plan.config.input.files.values())},
    external=lambda plan: plan.config.input.files.values(),
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
