"""The small pipeline in an environment: imports, run, warnings, and the reason for a failure."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from agc_pipeline.files import read_json, write_text
from agc_pipeline.matrix.environments import compiled_code, failed
from agc_pipeline.matrix.records import (
    CellRecord,
    EnvironmentRecord,
    PackageRecord,
    StageRecord,
    Step,
)
from agc_pipeline.matrix.settings import CellJob
from agc_pipeline.measuring import process
from agc_pipeline.measuring.commands import CommandResult, run

_WARNING = re.compile(r"^(?P<path>[^:\n]+):\d+: (?P<kind>\w*Warning): (?P<text>.+)$", re.MULTILINE)
_PREFIX = re.compile(r"^.*/(?:site-packages|lib/python\d+\.\d+|agc_pipeline(?=/))/?")
# Addresses in memory, and folders of a cell.
_VARYING = re.compile(r"0x[0-9a-f]+|(?<![\w:/.-])/\S+/")


@dataclass(frozen=True)
class Place:
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


def place_of(environment: EnvironmentRecord, package: PackageRecord, folder: Path) -> Place:
    """Where a cell runs, with environment variables that isolate it from other installations.

    Args:
        environment: that is installed.
        package: this package.
        folder: of the cell.
    """
    interpreter = str(environment.interpreter)
    folder = folder.absolute()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "SNAKEMAKE"))
    }
    return Place(
        interpreter,
        inherited
        | {
            "PATH": f"{Path(interpreter).parent}:{os.environ['PATH']}",
            "PYTHONPATH": package.path,
            "PYTHONNOUSERSITE": "1",
            "PYTHONWARNINGS": "default",
            "NUMBA_CACHE_DIR": str(compiled_code(environment)),
            process.FOLDER: str(folder / "measures"),
        },
        folder,
    )


def run_pipeline(job: CellJob, record: CellRecord, place: Place) -> CellRecord:
    """Import all stages, then run the pipeline; the record holds each step.

    Args:
        job: the cell.
        record: of it, so far.
        place: where to run.
    """
    imports = Step(name="import", log=str(place.folder / "import.log"))
    command = [place.interpreter, "-m", "agc_pipeline.matrix.worker", "--import"]
    # A working directory of its own: Python looks for modules there first.
    place.measures.mkdir()
    imported = _run(job, command, imports, place)
    if not imported.succeeded:
        problem = failed(imports, imported, "does not import").model_copy(
            update={"problem": _import_problem(imported)}
        )
        return record.model_copy(update={"steps": (*record.steps, problem)})
    values = place.folder / "configuration.yaml"
    content = job.configuration | {"results": str(place.results)}
    write_text(values, yaml.safe_dump(content, sort_keys=False), private=True)
    pipeline = Step(name="run", log=str(place.folder / "run.log"))
    command = [place.interpreter, "-m", "snakemake", "--snakefile", job.snakefile]
    command += ["--workflow-profile", "none", "--cores", "1", "--scheduler", "greedy"]
    command += ["--logger", "agc", "--nocolor", "--configfile", str(values)]
    result = _run(job, [*command, "--", str(place.results / job.target)], pipeline, place)
    if not result.succeeded:
        pipeline = failed(pipeline, result, "does not run").model_copy(
            update={"problem": _run_problem(result)}
        )
    logs = [path.read_text(errors="replace") for path in place.results.rglob("logs/**/*.log")]
    return record.model_copy(
        update={
            "steps": (*record.steps, imports, pipeline),
            "results": str(place.results),
            "import_seconds": json.loads(imported.output.splitlines()[-1])["cpu_seconds"],
            "stages": _stage_records(place),
            "warnings": collect_warnings([imported.output, *logs]),
        }
    )


def _run(job: CellJob, command: list[str], step: Step, place: Place) -> CommandResult:
    return run(
        command,
        Path(str(step.log)),
        timeout=job.timeout,
        environment=place.variables,
        folder=place.folder,
    )


def _stage_records(place: Place) -> tuple[StageRecord, ...]:
    return tuple(
        StageRecord.model_validate(read_json(path))
        for path in sorted(place.measures.glob("*.json"))
    )


def _import_problem(result: CommandResult) -> str:
    if result.code is None:
        return f"imports did not finish within {result.seconds:.0f} s"
    # The report of the worker, or the last line of a crash.
    last = (result.output.strip().splitlines() or [f"status {result.code}"])[-1]
    if last.startswith("{"):
        last = json.loads(last)["problem"]
    return f"does not import: {' '.join(last.split())}"


def _run_problem(result: CommandResult) -> str:
    """The first error in the output."""
    rules = re.findall(r"^[\d:]{8} failed +(\w+)", result.output, re.MULTILINE)
    rule = f" in `{rules[0]}`" if rules else ""
    if result.code is None:
        return f"did not finish within {result.seconds:.0f} s{rule}"
    return f"does not run{rule}: {result.error or f'status {result.code}'}"


def collect_warnings(outputs: Iterable[str]) -> tuple[str, ...]:
    """Warnings of Python in outputs, each once, sorted: ``path: Category: text``.

    Line numbers and prefixes of paths are removed, so that environments can be compared.
    """
    warnings = set()
    for output in outputs:
        for match in _WARNING.finditer(output):
            path = _PREFIX.sub("", match["path"])
            text = _VARYING.sub("", match["text"]).strip()
            warnings.add(f"{path}: {match['kind']}: {text}")
    return tuple(sorted(warnings))
