"""Fit the statistical model to its data."""

import argparse
import logging
from pathlib import Path

from agc_pipeline.files import read_json, write_json
from agc_pipeline.inference import fit_records
from agc_pipeline.inference.fit_records import ModelRecord
from agc_pipeline.inference.result import fit_workspace
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.inference.workspace import quieten, validate
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class FitStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        minimiser: ``fit.minimiser``.
        compare: ``fit.compare``.
    """

    minimiser: MinimiserSettings
    compare: bool


def stage(arguments: argparse.Namespace) -> None:
    """Write the fit with everything that figures and tables need."""
    quieten()
    settings = command.settings(FitStage, arguments.settings)
    content = read_json(arguments.workspace)
    validate(content, place=str(arguments.workspace))
    result = fit_workspace(
        content,
        settings.minimiser,
        description=fit_records.read(ModelRecord, arguments.model, content),
        compare=settings.compare,
        place=str(arguments.workspace),
    )
    record = result.record(
        provenance(
            "fit",
            packages=("cabinetry", "numpy", "pyhf", "scipy"),
            settings=settings.model_dump(),
            inputs=(arguments.workspace, arguments.model),
        )
    )
    write_json(arguments.output, record.model_dump())
    poi = record.poi
    log.info("%s = %.4f +- %.4f", poi.name, poi.bestfit, poi.uncertainty)
    log.info("at most %.1g above the minimum of -2 ln L", record.diagnostics.distance)
    for name in record.diagnostics.at_bounds:
        log.info("at its bound: %s", name)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--model", type=Path, required=True, help="record of the model")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
