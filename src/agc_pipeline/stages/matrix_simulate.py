"""Simulate the events of a dataset for the matrix."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.simulation.settings import SimulationJob, SimulationSettings
from agc_pipeline.stages.description import Stage, never, writes
from agc_pipeline.stages.simulate import SimulateOptions, SimulateStage, run

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


class MatrixSimulateOptions(SimulateOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("simulated/{dataset}.root", "ROOT file to write")
    record: Path = writes("simulated/{dataset}.json", "JSON file to write")


def configure(plan: "MatrixPlan", dataset: str) -> SimulateStage:
    """One small file of the dataset.

    Raises:
        ConfigurationError: if the analysis does not simulate so.
    """
    inputs, simulation = plan.settings.inputs, plan.config.simulation
    if not isinstance(simulation, SimulationSettings):
        raise ConfigurationError(
            f"the analysis {plan.config.analysis} has no events to simulate for the matrix",
            place="analysis",
            remedy="choose an analysis with a simulation",
        )
    job = SimulationJob(
        dataset=dataset,
        seed=inputs.seed,
        muon_identification=simulation.muon_identification,
        first_chunk=0,
        n_chunks=1,
        showers=inputs.showers,
    )
    return SimulateStage(analysis=plan.config.analysis, job=job.model_dump())


STAGE = Stage(
    name="matrix_simulate",
    settings=SimulateStage,
    options=MatrixSimulateOptions,
    configure=configure,
    run=run,
    when=never,
    modules=lambda plan: (
        (analyses.part_name(plan.analysis, "simulation"),)
        if "simulation" in plan.config.parts
        else ()
    ),
    physics=False,
)
main = STAGE.main

if __name__ == "__main__":
    main()
