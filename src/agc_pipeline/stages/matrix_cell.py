"""Run one cell of the matrix and compare it with the baseline; that it breaks is a result."""

import argparse
import logging
from pathlib import Path

from agc_pipeline.files import read_record
from agc_pipeline.matrix import cell
from agc_pipeline.matrix.environments import locked
from agc_pipeline.matrix.pipeline import CellJob
from agc_pipeline.matrix.records import CellRecord, EnvironmentRecord, PackageRecord
from agc_pipeline.matrix.verdicts import verdict_on
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> CellRecord:
    """Run, and give the record of the cell."""
    job = command.settings(CellJob, arguments.settings)
    reference = arguments.reference
    # A cell whose workflow was killed may still run, and ends before this one starts.
    with locked(arguments.folder.with_name(f".{job.name}.lock")):
        record = cell.run(
            job,
            read_record(EnvironmentRecord, arguments.environment, "an environment"),
            read_record(PackageRecord, arguments.package, "a package"),
            None if reference is None else read_record(CellRecord, reference, "a cell"),
            arguments.folder,
        )
    log.info("%s: %s: %s", job.name, *verdict_on(record, job.timing.slower))
    return record


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--environment", type=Path, required=True, help="record of it")
    options.add_argument("--package", type=Path, required=True, help="record of this package")
    options.add_argument("--reference", type=Path, help="record of the cell to compare with")
    options.add_argument("--folder", type=Path, required=True, help="folder to run in")
    command.record(stage, options)


if __name__ == "__main__":
    main()
