"""Build the statistical model from the histograms."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages.description import Options, Stage, always, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class WorkspaceOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = reads(lambda plan: plan.histograms_of_model(), "`histograms.root`")
    closure: Path = reads("closure.json", "closure record of the merge")
    output: Path = writes("workspace.json", "pyhf workspace to write")
    model: Path = writes("model.json", "record of the model to write")
    checks: Path = writes("checks.json", "record of checks to write")


def configure(plan: "Plan") -> ModelStage:
    """The model."""
    return ModelStage(
        analysis=plan.config.analysis,
        model=plan.config.fit.model,
        selection=plan.config.selection,
        blinded=plan.blinded,
        pseudodata=plan.config.pseudodata,
    )


def run(settings: ModelStage, options: WorkspaceOptions) -> None:
    """Write the workspace, and beside it what has no room in it.

    Raises:
        PipelineError: if it cannot be built, or the checks find an error.
    """
    from agc_pipeline.columnar import closure
    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference.fit_records import CheckRecord, ModelRecord, of_workspace
    from agc_pipeline.inference.model import build_workspace
    from agc_pipeline.inference.workspace import quieten

    quieten()
    histograms = read_root(options.histograms)
    accounts = closure.read(options.closure)
    model = build_workspace(
        analyses.load(settings.analysis).with_selection(settings.selection),
        histograms,
        settings.model,
        partial=accounts.partial,
        blinded=settings.blinded,
        pseudodata=settings.pseudodata,
        subsets=accounts.subsets,
        place=str(options.histograms),
    )
    about = of_workspace(
        model.workspace,
        provenance(
            "workspace",
            packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
            settings=settings.model_dump(),
            inputs=(options.histograms, options.closure),
        ),
    )
    write_json(options.output, model.workspace)
    write_json(options.model, ModelRecord(**about, **dict(model.description)).model_dump())
    write_json(options.checks, CheckRecord(**about, **dict(model.checks)).model_dump())
    for channel in model.workspace["channels"]:
        log.info("%s: %s", channel["name"], ", ".join(s["name"] for s in channel["samples"]))
    for entry in model.description.left_out:
        log.info("left out: %s", entry.describe())
    for finding in model.checks.findings:
        if finding.severity == "warning":
            log.info("%s: %s", finding.where, finding.message)
    if model.checks.pruned:
        log.info("pruned: %d modifiers", len(model.checks.pruned))


STAGE = Stage(
    name="workspace",
    settings=ModelStage,
    options=WorkspaceOptions,
    configure=configure,
    run=run,
    when=lambda plan: not plan.external,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
