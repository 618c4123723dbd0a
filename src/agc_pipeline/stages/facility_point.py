"""Take one point of a facility's ladder; that it fails is a result."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.columnar.settings import SchedulerDask
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.facility.settings import Elsewhere, PointJob
from agc_pipeline.files import read_record, write_json
from agc_pipeline.formatting import duration
from agc_pipeline.measuring.commands import ALL_CORES, count_failure, locked
from agc_pipeline.provenance import digest
from agc_pipeline.stages import histogram
from agc_pipeline.stages.description import Options, Stage, has_threads, never, reads, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.facility.plan import FacilityPlan
    from agc_pipeline.plan import Plan

log = logging.getLogger(__name__)


class PointOptions(Options):
    """What the stage is told beside its settings."""

    delivered: Path = reads(
        lambda plan, point: f"{plan.folder}/inputs/{plan.points[point].input}.json",
        "record of the input",
    )
    folder: Path = uses("runs/{point}", "folder to work in")
    lock: Path = uses("lock", "file that is locked while something is measured")
    failures: Path = uses("failures/{point}", "file that counts how often it has no result")
    cores: int = has_threads("that nothing else uses meanwhile")
    output: Path = writes("points/{point}.json", "record to write")


def configure(plan: "FacilityPlan", point: str) -> PointJob:
    """The configuration of the point.

    Raises:
        PipelineError: if it is not valid, needs models that would have to be trained first, or if
            there is nothing that runs its workers.
    """
    settings, taken = plan.settings, plan.points[point]
    values = plan.inner(taken.input, taken.executor)
    inner = plan.run_of(taken.input, taken.executor)
    with plan.located(taken.input, taken.executor):
        plan.check_executor(point)
        if inner.trains:
            raise ConfigurationError(
                "the points would have to train models first",
                place=inner.learned.name,
                remedy="give the folder of a training as `learning.models`",
            )
    if taken.mode == "delivery" and inner.config.delivery.backend == "none":
        raise ConfigurationError(
            "there is no delivery to measure with `delivery.backend: none`",
            place=plan.values.place("sizes", "delivery"),
            remedy="set `run.delivery.backend`, or leave `sizes.delivery` out",
        )
    scoring = histogram.scoring(inner)
    options = settings.executors[taken.executor].snakemake
    execution = inner.config.histograms.model_copy(
        update={"workers": taken.workers if options is None else 1}
    )
    if options is None and isinstance(execution.dask, SchedulerDask):
        # It has the workers that it has.
        dask = execution.dask.model_copy(update={"limit": taken.workers})
        execution = execution.model_copy(update={"dask": dask})
    elsewhere: Elsewhere | None = "workers" if execution.elsewhere else None
    if plan.jobs_elsewhere(point):
        elsewhere = "jobs"
    return PointJob(
        name=point,
        failures=plan.failures(point),
        site=plan.site,
        executor=taken.executor,
        input=taken.input,
        mode=taken.mode,
        workers=taken.workers,
        repeat=taken.repeat,
        kind=_kind(inner),
        n_files=taken.n_files,
        datasets=settings.datasets,
        configuration=values,
        stage=histogram.configure(inner).model_dump(mode="json"),
        execution=execution.model_dump(mode="json"),
        network=inner.config.delivery.network.model_dump(mode="json"),
        models=inner.models_folder,
        scoring=None if scoring is None else scoring.model_dump(mode="json"),
        options=options,
        elsewhere=elsewhere,
        files_per_job=settings.files_per_job,
        snakefile=str(plan.project / "Snakefile"),
        timeout=settings.timeout,
    )


def _kind(run: "Plan") -> str:
    """Digest of what decides, beside files and workers, how much a point has to do."""
    histograms = run.config.histograms
    work = histogram.configure(run).model_dump(mode="json") | {
        # Its folder may be another elsewhere.
        "analysis": run.analysis.name,
        "backend": run.config.delivery.backend,
        "reader": histograms.reader,
        "chunk_size": histograms.chunk_size,
        "chunk_bytes": histograms.chunk_bytes,
        "files_per_job": run.files_per_job,
    }
    return digest(work)


def run(settings: PointJob, options: PointOptions) -> None:
    """Take the point, and write its record."""
    from agc_pipeline.facility import point
    from agc_pipeline.facility.records import InputRecord

    # One whose workflow was killed may still run, and ends before this one starts; so do others
    # where Snakemake counts no cores, as it does for batch systems.
    with locked(options.lock):
        delivered = read_record(InputRecord, options.delivered, "an input of a facility")
        record = point.measure(settings, delivered, options.folder)
    log.info("%s: %s", settings.name, record.problem or duration(record.wall, decimals=1))
    if record.problem is not None:
        count_failure(options.failures, settings.failures)
    write_json(options.output, record.model_dump())


STAGE = Stage(
    name="facility_point",
    settings=PointJob,
    options=PointOptions,
    configure=configure,
    run=run,
    when=never,
    threads=lambda _: ALL_CORES,
    modules=lambda _: (histogram.STAGE.module,),
)
main = STAGE.main

if __name__ == "__main__":
    main()
