"""One cell: the small pipeline in an environment, and how it compares with the baseline."""

import json
import os
import re
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from agc_pipeline import histograms
from agc_pipeline.files import read_json, write_text
from agc_pipeline.matrix import compare, environments, timing, warned
from agc_pipeline.matrix.commands import Outcome, run
from agc_pipeline.matrix.environments import TAIL, failed
from agc_pipeline.matrix.records import (
    CellRecord,
    EnvironmentRecord,
    Equality,
    Measured,
    PackageRecord,
    Step,
    Timing,
)
from agc_pipeline.matrix.settings import TimingSettings, ToleranceSettings
from agc_pipeline.provenance import digest
from agc_pipeline.settings import Settings
from agc_pipeline.stages import measure


class CellJob(Settings):
    """What a cell is told.

    Attributes:
        name: of the cell.
        axes: axis to the name of its value.
        reference: cell to compare with; None for the baseline.
        same_axes: whether only the environment differs from the reference.
        configuration: of its run.
        snakefile: absolute path.
        target: file in the results.
        timeout: seconds for the run.
        tolerance: of results.
        timing: of stages.
    """

    name: str
    axes: dict[str, str]
    reference: str | None
    same_axes: bool
    configuration: dict[str, Any]
    snakefile: str
    target: str
    timeout: float
    tolerance: ToleranceSettings
    timing: TimingSettings


@dataclass(frozen=True)
class _Place:
    """Where a cell runs.

    Attributes:
        interpreter: of its environment.
        variables: environment variables.
        folder: working directory.
    """

    interpreter: str
    variables: dict[str, str]
    folder: Path

    @property
    def results(self) -> Path:
        """Folder of the results."""
        return self.folder / "results"

    @property
    def measures(self) -> Path:
        """Folder of the records of stages."""
        return self.folder / "measures"


def make(
    job: CellJob,
    environment: EnvironmentRecord,
    package: PackageRecord,
    reference: CellRecord | None,
    folder: Path,
) -> CellRecord:
    """Run a cell; that it breaks is not an error but what the record says.

    Args:
        job: the cell.
        environment: to run in.
        package: this package.
        reference: record of the cell to compare with.
        folder: to run in; what is there is removed.
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
    if _nothing_differs(job, environment, reference):
        record = record.model_copy(update={"same_environment": True})
    elif environment.interpreter is not None:
        place = _place(environment, package, folder)
        record = _compared(job, _ran(job, record, place), reference, package)
    return record.model_copy(
        update={
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": time.monotonic() - started,
            "cpu_seconds": measure.cpu_seconds(),
        }
    )


def _nothing_differs(
    job: CellJob, environment: EnvironmentRecord, reference: CellRecord | None
) -> bool:
    """Whether the reference, which runs, is the same cell by another name.

    That is so for the newest release of a package as long as it is the locked one.
    """
    return (
        reference is not None
        and job.same_axes
        and reference.results is not None
        and reference.failed is None
        and reference.environment.digest == environment.digest
    )


def _place(environment: EnvironmentRecord, package: PackageRecord, folder: Path) -> _Place:
    interpreter = str(environment.interpreter)
    folder = folder.absolute()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "SNAKEMAKE"))
    }
    return _Place(
        interpreter,
        kept
        | {
            "PATH": f"{Path(interpreter).parent}:{os.environ['PATH']}",
            "PYTHONPATH": package.path,
            "PYTHONNOUSERSITE": "1",
            "PYTHONWARNINGS": "default",
            "NUMBA_CACHE_DIR": str(environments.compiled_code(environment)),
            measure.FOLDER: str(folder / "measures"),
        },
        folder,
    )


def _ran(job: CellJob, record: CellRecord, place: _Place) -> CellRecord:
    """Import everything, then run the pipeline."""
    probe = Step(name="import", log=str(place.folder / "import.log"))
    command = [place.interpreter, "-m", "agc_pipeline.matrix.probe"]
    # A working directory of its own: Python looks for modules there first.
    place.measures.mkdir()
    imported = _run(job, command, probe, place)
    if not imported.well:
        problem = failed(probe, imported, "does not import").model_copy(
            update={"problem": _import_problem(imported)}
        )
        return record.model_copy(update={"steps": (*record.steps, problem)})
    values = place.folder / "configuration.yaml"
    content = job.configuration | {"results": str(place.results)}
    write_text(values, yaml.safe_dump(content, sort_keys=False))
    pipeline = Step(name="run", log=str(place.folder / "run.log"))
    command = [place.interpreter, "-m", "snakemake", "--snakefile", job.snakefile]
    command += ["--workflow-profile", "none", "--cores", "1", "--scheduler", "greedy"]
    command += ["--quiet", "rules", "reason", "host", "--nocolor", "--configfile", str(values)]
    done = _run(job, [*command, "--", str(place.results / job.target)], pipeline, place)
    if not done.well:
        pipeline = failed(pipeline, done, "does not run").model_copy(
            update={"problem": _run_problem(done)}
        )
    logs = [path.read_text(errors="replace") for path in place.results.rglob("logs/**/*.log")]
    return record.model_copy(
        update={
            "steps": (*record.steps, probe, pipeline),
            "results": str(place.results),
            "import_seconds": json.loads(imported.output.splitlines()[-1])["cpu_seconds"],
            "stages": _measured(place),
            "warnings": warned.collect([imported.output, *logs]),
        }
    )


def _run(job: CellJob, command: list[str], step: Step, place: _Place) -> Outcome:
    return run(
        command,
        Path(str(step.log)),
        timeout=job.timeout,
        environment=place.variables,
        folder=place.folder,
    )


def _measured(place: _Place) -> tuple[Measured, ...]:
    return tuple(
        Measured.model_validate(read_json(path)) for path in sorted(place.measures.glob("*.json"))
    )


def _import_problem(outcome: Outcome) -> str:
    if outcome.code is None:
        return f"imports are not ready after {outcome.seconds:.0f} s"
    # The probe's own last word, or that of a crash.
    last = (outcome.output.strip().splitlines() or [f"status {outcome.code}"])[-1]
    if last.startswith("{"):
        last = json.loads(last)["problem"]
    return f"does not import: {' '.join(last.split())}"


def _run_problem(outcome: Outcome) -> str:
    """The first error that a stage told, else the last line of a traceback."""
    rules = re.findall(r"^Error in rule (\w+):", outcome.output, re.MULTILINE)
    where = f" in `{rules[0]}`" if rules else ""
    if outcome.code is None:
        return f"not ready after {outcome.seconds:.0f} s{where}"
    for pattern in (r"^error: (.+)$", r"^((?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*)$"):
        found = re.findall(pattern, outcome.output, re.MULTILINE)
        if found:
            return f"does not run{where}: {found[0]}"
    return f"does not run{where}: status {outcome.code}"


def _compared(
    job: CellJob, record: CellRecord, reference: CellRecord | None, package: PackageRecord
) -> CellRecord:
    if record.failed is not None:
        return record
    if job.reference is None:
        return _timed(job, record, None, package)
    if reference is None or reference.results is None or reference.failed is not None:
        untested = f"there is nothing to compare with: {job.reference} does not run"
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
    """None where the target of the cells is made without a fit."""
    paths = [folder / "fit.json" for folder in (ours, theirs)]
    if not all(path.exists() for path in paths):
        return None
    return compare.fit(*map(read_json, paths), tolerance=tolerance.fit)


def _timed(
    job: CellJob, record: CellRecord, reference: CellRecord | None, package: PackageRecord
) -> CellRecord:
    """The record with times of stages against the reference's, by a worker in each environment."""
    logs = Path(str(record.results)).parent
    found: list[Timing] = []
    with ExitStack() as stack:
        here = stack.enter_context(_worker(job, record, package, logs / "timing.log"))
        there = None
        if reference is not None:
            log_file = logs / "timing-baseline.log"
            there = stack.enter_context(_worker(job, reference, package, log_file))
        try:
            for name in job.timing.stages:
                ours = timing.longest(record.stages, name)
                if ours is None:
                    continue
                theirs = None if reference is None else timing.matching(ours, reference.stages)
                pair = None if there is None or theirs is None else (there, theirs)
                found.append(timing.time_stage(job.timing.repeats, (here, ours), pair))
        except timing.RepetitionError as error:
            if error.worker is not here:
                return record.model_copy(update={"untested": f"{job.reference}: {error}"})
            lines = here.log.read_text(errors="replace").strip().splitlines()
            problem = Step(
                name="time", problem=str(error), log=str(here.log), tail="\n".join(lines[-TAIL:])
            )
            return record.model_copy(update={"steps": (*record.steps, problem)})
    return record.model_copy(update={"timings": tuple(found)})


def _worker(
    job: CellJob, record: CellRecord, package: PackageRecord, log_file: Path
) -> timing.Worker:
    folder = Path(str(record.results)).parent
    place = _place(record.environment, package, folder)
    # Repetitions are measured from outside.
    variables = {k: v for k, v in place.variables.items() if k != measure.FOLDER}
    return timing.Worker(place.interpreter, variables, log_file, job.timeout)
