"""One cell: the small pipeline in an environment, compared with the baseline."""

import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from agc_pipeline import histograms
from agc_pipeline.files import read_json
from agc_pipeline.matrix import compare, timing
from agc_pipeline.matrix.environments import TAIL
from agc_pipeline.matrix.pipeline import place_of, run_pipeline
from agc_pipeline.matrix.records import (
    CellRecord,
    EnvironmentRecord,
    Equality,
    PackageRecord,
    Step,
    Timing,
)
from agc_pipeline.matrix.settings import CellJob, ToleranceSettings
from agc_pipeline.measuring import process
from agc_pipeline.provenance import digest


def run(
    job: CellJob,
    environment: EnvironmentRecord,
    package: PackageRecord,
    reference: CellRecord | None,
    folder: Path,
) -> CellRecord:
    """Run a cell; a failure is no error but part of the record.

    Args:
        job: the cell.
        environment: to run in.
        package: this package.
        reference: record of the cell to compare with.
        folder: to run in; its content is removed.
    """
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    record = CellRecord(
        name=job.name,
        axes=job.axes,
        reference=job.reference,
        same_axes=job.same_axes,
        finished="",
        seconds=0,
        cpu_seconds=0,
        environment=environment,
        package=package.digest,
        configuration=digest(job.configuration),
        untested=environment.unavailable,
        steps=environment.steps,
    )
    if _is_reference(job, environment, reference):
        record = record.model_copy(update={"same_environment": True})
    elif environment.interpreter is not None:
        place = place_of(environment, package, folder)
        record = _compared(job, run_pipeline(job, record, place), reference, package)
    return record.model_copy(
        update={
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": time.monotonic() - started,
            "cpu_seconds": process.cpu_seconds(),
        }
    )


def _is_reference(
    job: CellJob, environment: EnvironmentRecord, reference: CellRecord | None
) -> bool:
    """Whether the reference, which runs, is the same cell under another name.

    This is the case for the newest release of a package as long as it is the locked one.
    """
    return (
        reference is not None
        and job.same_axes
        and reference.results is not None
        and reference.failed is None
        and reference.environment.digest == environment.digest
    )


def _compared(
    job: CellJob, record: CellRecord, reference: CellRecord | None, package: PackageRecord
) -> CellRecord:
    if record.failed is not None:
        return record
    if job.reference is None:
        return _timed(job, record, None, package)
    if reference is None or reference.results is None or reference.failed is not None:
        untested = f"no reference to compare with: {job.reference} does not run"
        return record.model_copy(update={"untested": untested})
    ours, theirs = Path(str(record.results)), Path(reference.results)
    compared = record.model_copy(
        update={
            "new_warnings": tuple(sorted(set(record.warnings) - set(reference.warnings))),
            "histograms": _histograms(ours, theirs, job.tolerance),
            "fit": _fit(ours, theirs, job.tolerance),
        }
    )
    return _timed(job, compared, reference, package)


def _histograms(ours: Path, theirs: Path, tolerance: ToleranceSettings) -> Equality:
    return compare.histograms(
        histograms.read_root(ours / "histograms.root"),
        histograms.read_root(theirs / "histograms.root"),
        tolerance=tolerance.histograms,
    )


def _fit(ours: Path, theirs: Path, tolerance: ToleranceSettings) -> Equality | None:
    """None where the cells run without a fit."""
    paths = [folder / "fit.json" for folder in (ours, theirs)]
    if not all(path.exists() for path in paths):
        return None
    return compare.fit(*map(read_json, paths), tolerance=tolerance.fit)


def _timed(
    job: CellJob, record: CellRecord, reference: CellRecord | None, package: PackageRecord
) -> CellRecord:
    """The record with times of stages and of the reference, by a worker in each environment."""
    logs = Path(str(record.results)).parent
    timings: list[Timing] = []
    with ExitStack() as stack:
        worker = stack.enter_context(_worker(job, record, package, logs / "timing.log"))
        baseline = None
        if reference is not None:
            log_file = logs / "timing-baseline.log"
            baseline = stack.enter_context(_worker(job, reference, package, log_file))
        try:
            for name in job.timing.stages:
                ours = timing.longest(record.stages, name)
                if ours is None:
                    continue
                theirs = None if reference is None else timing.matching(ours, reference.stages)
                pair = None if baseline is None or theirs is None else (baseline, theirs)
                timings.append(timing.time_stage(job.timing.repeats, (worker, ours), pair))
        except timing.RepetitionError as error:
            if error.worker is not worker:
                return record.model_copy(update={"untested": f"{job.reference}: {error}"})
            lines = worker.log.read_text(errors="replace").strip().splitlines()
            problem = Step(
                name="time", problem=str(error), log=str(worker.log), tail="\n".join(lines[-TAIL:])
            )
            return record.model_copy(update={"steps": (*record.steps, problem)})
    return record.model_copy(update={"timings": tuple(timings)})


def _worker(
    job: CellJob, record: CellRecord, package: PackageRecord, log_file: Path
) -> timing.Worker:
    folder = Path(str(record.results)).parent
    place = place_of(record.environment, package, folder)
    # Repetitions are measured from outside.
    variables = {k: v for k, v in place.variables.items() if k != process.FOLDER}
    return timing.Worker(place.interpreter, variables, log_file, job.timeout)
