"""The small pipeline in an environment: imports, run, and why one of them fails."""

import json
import re
from pathlib import Path

import yaml

from agc_pipeline.files import read_json, write_text
from agc_pipeline.matrix import warned
from agc_pipeline.matrix.commands import Outcome, run
from agc_pipeline.matrix.environments import failed
from agc_pipeline.matrix.place import Place
from agc_pipeline.matrix.records import CellRecord, Measured, Step
from agc_pipeline.matrix.settings import CellJob


def run_pipeline(job: CellJob, record: CellRecord, place: Place) -> CellRecord:
    """Import everything, then run the pipeline; the record says how far it came.

    Args:
        job: the cell.
        record: of it, so far.
        place: where to run.
    """
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


def _run(job: CellJob, command: list[str], step: Step, place: Place) -> Outcome:
    return run(
        command,
        Path(str(step.log)),
        timeout=job.timeout,
        environment=place.variables,
        folder=place.folder,
    )


def _measured(place: Place) -> tuple[Measured, ...]:
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
