"""Simulate the events of a dataset for the matrix."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from agc_pipeline import analyses
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.layers import Layer, Values
from agc_pipeline.settings import explain
from agc_pipeline.stages import simulate, simulate_parts
from agc_pipeline.stages.description import Stage, never, reads, writes
from agc_pipeline.stages.simulate import SimulateOptions, SimulateStage

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan


class MatrixSimulateOptions(SimulateOptions):
    """What the stage is told beside its settings."""

    source: tuple[Path, ...] = reads(
        lambda plan, analysis, dataset: plan.simulated_source(analysis, dataset),
        "ROOT file whose events are taken, if none are generated; its record is beside it",
        default=(),
    )
    output: Path = writes("simulated/{analysis}/{dataset}.root", "ROOT file to write")
    record: Path = writes("simulated/{analysis}/{dataset}.json", "JSON file to write")


def configure(plan: "MatrixPlan", analysis: str, dataset: str) -> SimulateStage:
    """The first file of the dataset.

    Raises:
        ConfigurationError: if the analysis does not simulate it.
    """
    simulation = plan.base(analysis).simulation
    if simulation is None:
        raise ConfigurationError(
            f"the analysis {analysis} has no events to simulate for the matrix",
            place=plan.values.place("inputs", analysis),
            remedy="choose an analysis with a simulation",
        )
    key = ("inputs", analysis, "simulation")
    values = Values(
        Layer(simulation.model_dump(), place=None),
        plan.values.below(key, plan.inputs(analysis).simulation),
    )
    try:
        small = type(simulation).model_validate(values)
    except ValidationError as error:
        place = plan.values.place(*key)
        raise explain(error, type(simulation), place=place, origin=values.origin) from error
    return SimulateStage(analysis=analysis, job=small.job(dataset, 0).model_dump())


def run(settings: SimulateStage, options: MatrixSimulateOptions) -> None:
    """Write the file, then its record.

    Raises:
        ConfigurationError: if the job is not one of the analysis.
    """
    if not options.source:
        simulate.run(settings, options)
        return
    from agc_pipeline.simulation import part

    module = part.module(analyses.load(settings.analysis))
    simulate_parts.write(
        module, [settings.job], options.source[0], [options.output], [options.record]
    )


def _modules(plan: "MatrixPlan") -> tuple[str, ...]:
    analyses_with_events = (plan.base(name).declaration for name in plan.settings.inputs)
    return tuple(
        analyses.part_name(analysis, "simulation")
        for analysis in analyses_with_events
        if "simulation" in analyses.parts(analysis)
    )


STAGE = Stage(
    name="matrix_simulate",
    settings=SimulateStage,
    options=MatrixSimulateOptions,
    configure=configure,
    run=run,
    when=never,
    modules=_modules,
    physics=False,
)
main = STAGE.main

if __name__ == "__main__":
    main()
