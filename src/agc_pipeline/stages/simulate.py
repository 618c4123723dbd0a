"""Simulate one file of events in NanoAOD's form, with a record of what it stands for."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.simulation.settings import SimulationJob
from agc_pipeline.stages.description import (
    Options,
    Stage,
    writes,
)

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class SimulateOptions(Options):
    """What the stage is told beside its settings."""

    output: Path = writes("simulated/{dataset}/{part}.root", "ROOT file to write")
    record: Path = writes("simulated/{dataset}/{part}.json", "JSON file to write")


def configure(plan: "Plan", dataset: str, part: str) -> SimulationJob:
    """Which part of the dataset a job makes."""
    return plan.config.simulation.job(dataset, int(part))


def run(settings: SimulationJob, options: SimulateOptions) -> None:
    """Write the file, then its record."""
    from agc_pipeline.simulation import nanoaod, production

    simulated = production.simulate(settings)
    nanoaod.write(options.output, simulated.events, n_generated=simulated.n_generated)
    write_json(
        options.record,
        {
            "n_events": len(simulated.events),
            "n_generated": simulated.n_generated,
            "content_hash": nanoaod.content_hash(simulated.events),
            "provenance": provenance(
                "simulate",
                packages=("awkward", "fastjet", "numpy", "pythia8mc", "uproot"),
                settings=settings.model_dump(),
            ),
        },
    )
    log.info(
        "%s: %d events, standing for %d",
        settings.dataset,
        len(simulated.events),
        simulated.n_generated,
    )


STAGE = Stage(
    name="simulate",
    settings=SimulationJob,
    options=SimulateOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.simulates,
)
main = STAGE.main

if __name__ == "__main__":
    main()
