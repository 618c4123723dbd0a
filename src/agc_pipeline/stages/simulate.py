"""Make one file of simulated events, with a record of what it stands for."""

import argparse
import logging
from pathlib import Path
from typing import Any

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.simulation import part
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class SimulateStage(Settings):
    """What one simulation job needs.

    Attributes:
        analysis: its name.
        job: everything that the file follows from, the analysis' own.
    """

    analysis: str
    job: dict[str, Any]


def stage(arguments: argparse.Namespace) -> None:
    """Write the file, then its record."""
    settings = command.settings(SimulateStage, arguments.settings)
    module = part.module(analyses.load(settings.analysis))
    record = module.write(module.JOB.model_validate(settings.job), arguments.output)
    made_by = provenance("simulate", packages=module.PACKAGES, settings=settings.job)
    write_json(arguments.record, {**record, "provenance": made_by})
    log.info("%d events, standing for %d", record["n_events"], record["n_generated"])


def main() -> None:
    """Entry point of ``python -m agc_pipeline.stages.simulate``."""
    options = command.parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="ROOT file to write")
    options.add_argument("--record", type=Path, required=True, help="JSON file to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
