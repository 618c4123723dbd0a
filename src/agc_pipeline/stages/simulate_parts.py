"""Take the events of simulated datasets that are parts of another one, from one of its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import analyses
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, reads, writes
from agc_pipeline.stages.simulate import job_of, write_record

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan
    from agc_pipeline.simulation.part import SimulationModule


class SimulatePartsStage(Settings):
    """What one job needs.

    Attributes:
        analysis: its name.
        jobs: everything that each of the files follows from, the analysis' own.
    """

    analysis: str
    jobs: tuple[dict[str, Any], ...]


def _paths(plan: "Plan", suffix: str) -> list[str]:
    names = plan.simulated_parts
    return [f"{plan.folder}/simulated/{name}/{{part}}.{suffix}" for name in names]


class SimulatePartsOptions(Options):
    """What the stage is told beside its settings."""

    source: Path = reads(
        lambda plan, part: plan.simulated_source(part),
        "ROOT file whose events are taken; its record is beside it",
    )
    output: tuple[Path, ...] = writes(
        lambda plan: [
            f"{plan.folder}/simulated/{name}/{{part}}.root" for name in plan.simulated_parts
        ],
        "ROOT files to write",
    )
    record: tuple[Path, ...] = writes(
        lambda plan: [
            f"{plan.folder}/simulated/{name}/{{part}}.json" for name in plan.simulated_parts
        ],
        "JSON files to write",
    )


def configure(plan: "Plan", part: str) -> SimulatePartsStage:
    """Which part of the datasets a job makes."""
    jobs = (plan.simulation.job(dataset, int(part)) for dataset in plan.simulated_parts)
    return SimulatePartsStage(
        analysis=plan.config.analysis, jobs=tuple(job.model_dump() for job in jobs)
    )


def run(settings: SimulatePartsStage, options: SimulatePartsOptions) -> None:
    """Write the files, then their records.

    Raises:
        ConfigurationError: if a job is not one of the analysis.
        InputError: if the file is damaged.
    """
    from agc_pipeline.simulation import part

    module = part.module(analyses.load(settings.analysis))
    write(module, settings.jobs, options.source, options.output, options.record)


def write(
    module: "SimulationModule",
    values: Sequence[dict[str, Any]],
    source: Path,
    outputs: Sequence[Path],
    paths: Sequence[Path],
) -> None:
    """Take the events of several jobs from one file.

    Args:
        module: of the analysis.
        values: what the jobs follow from.
        source: the file whose events are taken.
        outputs: files to write.
        paths: of their records.

    Raises:
        ConfigurationError: if a job is not one of the analysis.
        InputError: if the file is damaged.
    """
    jobs = [job_of(module, job) for job in values]
    records = module.write_subsets(jobs, source, outputs)
    for path, record, job in zip(paths, records, values, strict=True):
        write_record(path, record, module, job)


STAGE = Stage(
    name="simulate_parts",
    settings=SimulatePartsStage,
    options=SimulatePartsOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.simulates and bool(plan.simulated_parts),
    modules=lambda plan: (analyses.part_name(plan.analysis, "simulation"),),
    physics=False,
)
main = STAGE.main

if __name__ == "__main__":
    main()
