"""Propagate the fit to other distributions: the bins of the histograms, and regions not fitted."""

import argparse
import logging
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.files import read_json, write_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import fit_records, workspace
from agc_pipeline.inference.derived_records import PropagationRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.propagation import propagate
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class PropagateStage(ModelStage):
    """What the stage needs of the configuration.

    Attributes:
        learned: whether the run has learned observables.
    """

    learned: bool = False


def stage(arguments: argparse.Namespace) -> None:
    """Write the expected events in all bins of all regions, before and after the fit."""
    workspace.quieten()
    settings = command.settings(PropagateStage, arguments.settings)
    fit = fit_records.read(FitRecord, arguments.fit, read_json(arguments.workspace))
    analysis = analyses.load(settings.analysis)
    if settings.learned:
        analysis = analysis.with_learned()
    channels, yields = propagate(analysis, read_root(arguments.histograms), settings.model, fit)
    for region in analysis.regions:
        if region.title not in channels:
            log.info("no events of the measured processes in %s", region.name)
    record = PropagationRecord(
        workspace_digest=fit.workspace_digest,
        channels=channels,
        yields=yields,
        provenance=dict(
            provenance(
                "propagate",
                packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
                settings=settings.model_dump(),
                inputs=(arguments.histograms, arguments.fit),
            )
        ),
    )
    write_json(arguments.output, record.model_dump())
    log.info("%d distributions", len(record.channels))


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="merged ROOT file")
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--fit", type=Path, required=True, help="record of the fit")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
