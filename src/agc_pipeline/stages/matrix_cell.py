"""Run one cell of the matrix and compare it with the baseline; that it breaks is a result."""

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import stages
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import read_record, write_json
from agc_pipeline.matrix.settings import CellJob
from agc_pipeline.settings import suggestion, unknown
from agc_pipeline.stages import graph
from agc_pipeline.stages.description import Options, Stage, never, reads, uses, writes

if TYPE_CHECKING:
    from agc_pipeline.matrix.plan import MatrixPlan
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class CellOptions(Options):
    """What the stage is told beside its settings."""

    environment: Path = reads(
        lambda plan, cell: plan.environment_record(cell), "record of the environment"
    )
    package: Path = reads("package.json", "record of this package")
    reference: Path | None = reads(
        lambda plan, cell: plan.reference_record(cell), "record of the cell to compare with"
    )
    failures: Path = uses("failures/cells/{cell}", "file that counts how often it has no result")
    folder: Path = uses("runs/{cell}", "folder to run in")
    output: Path = writes("cells/{cell}.json", "record to write")


def configure(plan: "MatrixPlan", cell: str) -> CellJob:
    """The configuration of the cell's run.

    Raises:
        ConfigurationError: if it is not valid, if no rule makes its target, or if stages that are
            to be timed are unknown.
    """
    run_of_cell = plan.run_of(cell)
    _check_target(plan, cell, run_of_cell)
    _check_timed(plan, run_of_cell)
    axes, reference = plan.cells[cell].axes, plan.reference(cell)
    return CellJob(
        name=cell,
        failures=plan.failures("cells", cell, plan.cells[cell].environment),
        axes=axes,
        reference=None if reference is None else reference.name,
        same_axes=reference is not None and reference.axes == axes,
        configuration=plan.configuration(cell),
        snakefile=str(plan.project / "Snakefile"),
        target=plan.settings.target,
        timeout=plan.settings.timeout,
        tolerance=plan.settings.tolerance,
        timing=plan.settings.timing,
    )


def _check_target(plan: "MatrixPlan", cell: str, run_of_cell: "Plan") -> None:
    target = plan.settings.target
    path = str(Path(run_of_cell.folder, target))
    # Those of the matrix and the facility have plans of their own.
    rules = [
        stage
        for name, stage in stages.descriptions().items()
        if not name.startswith(("matrix_", "facility_"))
    ]
    if any(graph.writes(stage, run_of_cell, path) for stage in rules):
        return
    written = {output for stage in rules for output in graph.outputs(stage, run_of_cell)}
    folder = f"{run_of_cell.folder}/"
    names = [output.removeprefix(folder) for output in written if "{" not in output]
    raise ConfigurationError(
        f"no rule makes the target {target!r} in the results of the cell {cell} "
        f"({suggestion(target, names)})",
        place=plan.values.place("target"),
        remedy="name a file as a run writes it below its results, e.g. fit.json",
    )


def _check_timed(plan: "MatrixPlan", run_of_cell: "Plan") -> None:
    timed = set(plan.settings.timing.stages)
    if timed.issubset(stages.of_run(run_of_cell)):
        return
    # Other cells may have them.
    known = _stages(plan)
    if problem := unknown("stage", timed, known):
        raise ConfigurationError(
            problem,
            place=plan.values.place("timing", "stages"),
            remedy=f"name stages that the cells run: {', '.join(known)}; or none, as []",
        )


@lru_cache(maxsize=1)
def _stages(plan: "MatrixPlan") -> tuple[str, ...]:
    """Names of the stages that cells may have jobs of."""
    # Environments change none.
    cells = {tuple(cell.axes.items()): name for name, cell in plan.cells.items()}
    runs = [plan.run_of(name) for name in cells.values()]
    return tuple(sorted({name for run in runs for name in stages.of_run(run)}))


def run(settings: CellJob, options: CellOptions) -> None:
    """Run, and write the record of the cell."""
    from agc_pipeline.matrix import cell
    from agc_pipeline.matrix.records import CellRecord, EnvironmentRecord, PackageRecord
    from agc_pipeline.matrix.verdicts import verdict_on
    from agc_pipeline.measuring.commands import count_failure, locked

    reference = options.reference
    # A cell whose workflow was killed may still run, and ends before this one starts.
    with locked(options.folder.with_name(f".{settings.name}.lock")):
        record = cell.run(
            settings,
            read_record(EnvironmentRecord, options.environment, "an environment"),
            read_record(PackageRecord, options.package, "a package"),
            None if reference is None else read_record(CellRecord, reference, "a cell"),
            options.folder,
        )
    log.info("%s: %s: %s", settings.name, *verdict_on(record, settings.timing.slower))
    # Without its environment, it is run again once that is there.
    if record.failed is not None and record.environment.interpreter is not None:
        count_failure(options.failures, settings.failures)
    write_json(options.output, record.model_dump())


STAGE = Stage(
    name="matrix_cell",
    settings=CellJob,
    options=CellOptions,
    configure=configure,
    run=run,
    when=never,
    watched={"events": lambda plan, cell: plan.events_record(cell)},
)
main = STAGE.main

if __name__ == "__main__":
    main()
