"""Simulate one file of events in NanoAOD's form, with a record of what it stands for."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import analyses
from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings, explain
from agc_pipeline.stages.description import Options, Stage, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan
    from agc_pipeline.simulation.part import SimulationModule

log = logging.getLogger(__name__)


class SimulateStage(Settings):
    """What one simulation job needs.

    Attributes:
        analysis: its name.
        job: everything that the file follows from, the analysis' own.
    """

    analysis: str
    job: dict[str, Any]


class SimulateOptions(Options):
    """What the stage is told beside its settings."""

    output: Path = writes("simulated/{dataset}/{part}.root", "ROOT file to write")
    record: Path = writes("simulated/{dataset}/{part}.json", "JSON file to write")


def configure(plan: "Plan", dataset: str, part: str) -> SimulateStage:
    """Which part of the dataset a job makes."""
    job = plan.simulation.job(dataset, int(part))
    return SimulateStage(analysis=plan.config.analysis, job=job.model_dump())


def run(settings: SimulateStage, options: SimulateOptions) -> None:
    """Write the file, then its record.

    Raises:
        ConfigurationError: if the job is not one of the analysis.
    """
    from agc_pipeline.simulation import part

    module = part.module(analyses.load(settings.analysis))
    record = module.write(job_of(module, settings.job), options.output)
    write_record(options.record, record, module, settings.job)


def job_of(module: "SimulationModule", values: dict[str, Any]) -> Any:
    """A job of the analysis.

    Raises:
        ConfigurationError: if it is none.
    """
    from pydantic import ValidationError

    try:
        return module.JOB.model_validate(values)
    except ValidationError as error:
        raise explain(error, module.JOB, place="--settings, `job`") from error


def write_record(
    path: Path, record: dict[str, Any], module: "SimulationModule", values: dict[str, Any]
) -> None:
    """Write the record of a file, with what made it."""
    made_by = provenance("simulate", packages=module.PACKAGES, settings=values)
    write_json(path, {**record, "provenance": made_by})
    log.info("%d events, standing for %d", record["n_events"], record["n_generated"])


STAGE = Stage(
    name="simulate",
    settings=SimulateStage,
    options=SimulateOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.simulates,
    modules=lambda plan: (analyses.part_name(plan.analysis, "simulation"),),
    physics=False,
)
main = STAGE.main

if __name__ == "__main__":
    main()
