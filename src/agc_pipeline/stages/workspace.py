"""Build the statistical model from the histograms."""

import argparse
import logging
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.columnar import closure
from agc_pipeline.files import write_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference.fit_records import CheckRecord, ModelRecord, of_workspace
from agc_pipeline.inference.model import build_workspace
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.inference.workspace import quieten
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> None:
    """Write the workspace, and beside it what has no room in it.

    Raises:
        PipelineError: if it cannot be built, or the checks find an error.
    """
    quieten()
    settings = command.settings(ModelStage, arguments.settings)
    model = build_workspace(
        analyses.load(settings.analysis),
        read_root(arguments.histograms),
        settings.model,
        partial=closure.read(arguments.closure).partial,
        place=str(arguments.histograms),
    )
    about = of_workspace(
        model.workspace,
        provenance(
            "workspace",
            packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
            settings=settings.model_dump(),
            inputs=(arguments.histograms, arguments.closure),
        ),
    )
    write_json(arguments.output, model.workspace)
    write_json(arguments.model, ModelRecord(**about, **dict(model.description)).model_dump())
    write_json(arguments.checks, CheckRecord(**about, **dict(model.checks)).model_dump())
    for channel in model.workspace["channels"]:
        log.info("%s: %s", channel["name"], ", ".join(s["name"] for s in channel["samples"]))
    for entry in model.description.left_out:
        log.info("left out: %s", entry.describe())
    for finding in model.checks.findings:
        if finding.severity == "warning":
            log.info("%s: %s", finding.where, finding.message)
    if model.checks.pruned:
        log.info("pruned: %d modifiers", len(model.checks.pruned))


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
