"""Simulate the events of a dataset for the matrix."""

from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.simulation.settings import SimulationJob
from agc_pipeline.stages.description import Stage, never, writes
from agc_pipeline.stages.simulate import SimulateOptions, run

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


class MatrixSimulateOptions(SimulateOptions):
    """What the stage is told beside its settings."""

    output: Path = writes("simulated/{dataset}.root", "ROOT file to write")
    record: Path = writes("simulated/{dataset}.json", "JSON file to write")


def configure(plan: "MatrixPlan", dataset: str) -> SimulationJob:
    """One small file of the dataset."""
    inputs = plan.settings.inputs
    return SimulationJob(
        dataset=dataset,
        seed=inputs.seed,
        muon_identification=plan.config.simulation.muon_identification,
        first_chunk=0,
        n_chunks=1,
        showers=inputs.showers,
    )


STAGE = Stage(
    name="matrix_simulate",
    settings=SimulationJob,
    options=MatrixSimulateOptions,
    configure=configure,
    run=run,
    when=never,
)
main = STAGE.main

if __name__ == "__main__":
    main()
