"""Deliver an input of a facility's measurement, for all points of the ladder to read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline.files import write_json
from agc_pipeline.measuring.commands import ALL_CORES, count_failure, locked
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, has_threads, never, reads, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.facility.plan import FacilityPlan


class InputStage(Settings):
    """What the delivery needs.

    Attributes:
        name: of the input.
        failures: how often it was delivered without a result, see ``PointJob``.
        configuration: of the run.
        dataset: in whose place files of the sample are; None without the sample.
        datasets: that are delivered.
        n_files: of each of them.
        files_per_job: of each batch.
        n_events: in each file of the sample.
        snakefile: absolute path.
        timeout: seconds.
    """

    name: str
    failures: int
    configuration: dict[str, Any]
    dataset: str | None
    datasets: tuple[str, ...]
    n_files: int
    files_per_job: int
    n_events: int
    snakefile: str
    timeout: float


class InputOptions(Options):
    """What the stage is told beside its settings."""

    sample: tuple[Path, ...] = reads(
        lambda plan, source: plan.sample_files if plan.uses_sample(source) else [],
        "files of the sample",
        default=(),
    )
    failures: Path = uses("failures/{source}", "file that counts how often it has no result")
    folder: Path = uses("inputs/{source}", "folder to run in")
    lock: Path = uses("lock", "file that is locked while something is measured")
    cores: int = has_threads("that the delivery may use")
    output: Path = writes("inputs/{source}.json", "record to write")


def configure(plan: "FacilityPlan", source: str) -> InputStage:
    """The configuration of the delivery.

    Raises:
        PipelineError: if it is not valid, or does not have the files that points read.
    """
    settings, values = plan.settings, plan.inner(source)
    with plan.located(source):
        plan.check_files(source)
    return InputStage(
        name=source,
        failures=plan.failures(source),
        configuration=values,
        dataset=settings.sample.dataset if plan.uses_sample(source) else None,
        datasets=settings.datasets,
        n_files=plan.n_files,
        files_per_job=settings.files_per_job,
        n_events=settings.sample.events,
        snakefile=str(plan.project / "Snakefile"),
        timeout=settings.timeout,
    )


def run(settings: InputStage, options: InputOptions) -> None:
    """List the sample, as many links to its files as are needed, and deliver."""
    from agc_pipeline.facility import point

    options.folder.mkdir(parents=True, exist_ok=True)
    if settings.dataset is not None:
        links = options.folder / "files"
        links.mkdir(exist_ok=True)
        files = {}
        for number in range(settings.n_files):
            link = links / f"{number:05d}.root"
            link.unlink(missing_ok=True)
            os.link(options.sample[number % len(options.sample)], link)
            files[str(link.absolute())] = {"num_entries": settings.n_events}
        # Where `{sample}` of the configuration points to.
        write_json(options.folder / "sample.json", {settings.dataset: {"files": files}})
    with locked(options.lock):
        record = point.deliver(
            settings.name,
            settings.configuration,
            settings.datasets,
            -(-settings.n_files // settings.files_per_job),
            options.folder,
            snakefile=settings.snakefile,
            timeout=settings.timeout,
            cores=min(options.cores, len(os.sched_getaffinity(0))),
        )
    if record.problem is not None:
        count_failure(options.failures, settings.failures)
    write_json(options.output, record.model_dump())


STAGE = Stage(
    name="facility_input",
    settings=InputStage,
    options=InputOptions,
    configure=configure,
    run=run,
    when=never,
    events={"files": lambda plan, source: plan.files_of(source)},
    threads=lambda _: ALL_CORES,
)
main = STAGE.main

if __name__ == "__main__":
    main()
