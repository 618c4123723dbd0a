"""Build the statistical model from the histograms."""

import argparse
import logging
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.columnar import closure
from agc_pipeline.files import write_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import results, templates, workspace
from agc_pipeline.inference.settings import ModelSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class WorkspaceStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        model: ``fit.model``.
    """

    analysis: str
    model: ModelSettings


def stage(arguments: argparse.Namespace) -> None:
    """Write the workspace, and beside it what has no room in it."""
    workspace.quieten()
    settings = command.settings(WorkspaceStage, arguments.settings)
    analysis = analyses.load(settings.analysis)
    selected = templates.select(analysis, read_root(arguments.histograms), settings.model)
    built = workspace.build(analysis, selected, settings.model.poi)
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
    for channel in built["channels"]:
        log.info("%s: %s", channel["name"], ", ".join(s["name"] for s in channel["samples"]))
    for entry in record.left_out:
        log.info("left out: %s", entry.describe())


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="merged ROOT file")
    options.add_argument("--closure", type=Path, required=True, help="closure record of the merge")
    options.add_argument("--output", type=Path, required=True, help="pyhf workspace to write")
    options.add_argument("--model", type=Path, required=True, help="record of the model to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
