"""Simulate one file of events in NanoAOD's form, with a record of what it stands for."""

import argparse
import logging
from pathlib import Path

from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.simulation import nanoaod, production
from agc_pipeline.simulation.recipes import RECIPES
from agc_pipeline.simulation.settings import SimulationJob, recipe_of
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> None:
    """Write the file, then its record."""
    job = command.settings(SimulationJob, arguments.settings)
    simulated = production.simulate(job, recipe_of(RECIPES, job.dataset))
    nanoaod.write(arguments.output, simulated.events, n_generated=simulated.n_generated)
    write_json(
        arguments.record,
        {
            "n_events": len(simulated.events),
            "n_generated": simulated.n_generated,
            "content_hash": nanoaod.content_hash(simulated.events),
            "provenance": provenance(
                "simulate",
                packages=("awkward", "fastjet", "numpy", "pythia8mc", "uproot"),
                settings=job.model_dump(),
            ),
        },
    )
    log.info(
        "%s: %d events, standing for %d", job.dataset, len(simulated.events), simulated.n_generated
    )


def main() -> None:
    """Entry point of ``python -m agc_pipeline.stages.simulate``."""
    options = command.parser(__doc__)
    options.add_argument("--output", type=Path, required=True, help="ROOT file to write")
    options.add_argument("--record", type=Path, required=True, help="JSON file to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
