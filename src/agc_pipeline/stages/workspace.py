"""Build the statistical model from the histograms."""

import argparse
import logging
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.columnar import closure
from agc_pipeline.files import write_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import audit, checks, results, templates, workspace
from agc_pipeline.inference.outcomes import CheckRecord
from agc_pipeline.inference.pruning import prune
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> None:
    """Write the workspace, and beside it what has no room in it.

    Raises:
        PipelineError: if it cannot be built, or the checks find an error.
    """
    workspace.quieten()
    settings = command.settings(ModelStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    histograms = read_root(arguments.histograms)
    selected = templates.select(analysis, histograms, settings.model)
    full = workspace.build(analysis, selected, settings.model.poi)
    origins = audit.audit(full, analysis, histograms, settings.model.rebinning)
    mirrored = {known.name for known in analysis.systematics if known.down is None}
    findings = (*checks.check(full, mirrored), *audit.findings(origins))
    checks.refuse(findings, place=str(arguments.histograms))
    built, pruned = prune(full, settings.model.pruning)
    record = results.describe_model(
        analysis,
        selected,
        built,
        data=settings.model.data,
        partial=closure.read(arguments.closure).partial,
        made_by=provenance(
            "workspace",
            packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
            settings=settings.model_dump(),
            inputs=(arguments.histograms, arguments.closure),
        ),
    )
    write_json(arguments.output, built)
    write_json(arguments.model, record.model_dump())
    checked = CheckRecord(
        workspace_digest=record.workspace_digest,
        findings=findings,
        pruned=pruned,
        origins=origins,
        provenance=record.provenance,
    )
    write_json(arguments.checks, checked.model_dump())
    for channel in built["channels"]:
        log.info("%s: %s", channel["name"], ", ".join(s["name"] for s in channel["samples"]))
    for entry in record.left_out:
        log.info("left out: %s", entry.describe())
    for finding in findings:
        if finding.severity == "warning":
            log.info("%s: %s", finding.where, finding.message)
    if pruned:
        log.info("pruned: %d modifiers", len(pruned))


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="merged ROOT file")
    options.add_argument("--closure", type=Path, required=True, help="closure record of the merge")
    options.add_argument("--output", type=Path, required=True, help="pyhf workspace to write")
    options.add_argument("--model", type=Path, required=True, help="record of the model to write")
    options.add_argument("--checks", type=Path, required=True, help="record of checks to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
