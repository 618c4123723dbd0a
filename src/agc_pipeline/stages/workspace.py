"""Build the statistical model from the histograms."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages.description import (
    Options,
    Stage,
    always,
    reads,
    writes,
)

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class WorkspaceOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = reads("histograms.root", "merged ROOT file")
    closure: Path = reads("closure.json", "closure record of the merge")
    output: Path = writes("workspace.json", "pyhf workspace to write")
    model: Path = writes("model.json", "record of the model to write")
    checks: Path = writes("checks.json", "record of checks to write")


def configure(plan: "Plan") -> ModelStage:
    """The model."""
    return ModelStage(analysis=plan.config.analysis, model=plan.config.fit.model)


def run(settings: ModelStage, options: WorkspaceOptions) -> None:
    """Write the workspace, and beside it what has no room in it.

    Raises:
        PipelineError: if it cannot be built, or the checks find an error.
    """
    from agc_pipeline.columnar import closure
    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference import audit, checks, results, templates, workspace
    from agc_pipeline.inference.outcomes import CheckRecord
    from agc_pipeline.inference.pruning import prune

    workspace.quieten()
    analysis = analyses.load(settings.analysis)
    histograms = read_root(options.histograms)
    selected = templates.select(analysis, histograms, settings.model)
    full = workspace.build(analysis, selected, settings.model.poi)
    origins = audit.audit(full, analysis, histograms, settings.model.rebinning)
    mirrored = {known.name for known in analysis.systematics if known.down is None}
    findings = (*checks.check(full, mirrored), *audit.findings(origins))
    checks.refuse(findings, place=str(options.histograms))
    built, pruned = prune(full, settings.model.pruning)
    record = results.describe_model(
        analysis,
        selected,
        built,
        data=settings.model.data,
        partial=closure.read(options.closure).partial,
        made_by=provenance(
            "workspace",
            packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
            settings=settings.model_dump(),
            inputs=(options.histograms, options.closure),
        ),
    )
    write_json(options.output, built)
    write_json(options.model, record.model_dump())
    checked = CheckRecord(
        workspace_digest=record.workspace_digest,
        findings=findings,
        pruned=pruned,
        origins=origins,
        provenance=record.provenance,
    )
    write_json(options.checks, checked.model_dump())
    for channel in built["channels"]:
        log.info("%s: %s", channel["name"], ", ".join(s["name"] for s in channel["samples"]))
    for entry in record.left_out:
        log.info("left out: %s", entry.describe())
    for finding in findings:
        if finding.severity == "warning":
            log.info("%s: %s", finding.where, finding.message)
    if pruned:
        log.info("pruned: %d modifiers", len(pruned))


STAGE = Stage(
    name="workspace",
    settings=ModelStage,
    options=WorkspaceOptions,
    configure=configure,
    run=run,
    when=lambda plan: not plan.given,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
