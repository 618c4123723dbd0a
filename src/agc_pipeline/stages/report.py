"""Draw the figures and write the report page."""

import argparse
import logging
import os
from pathlib import Path

from agc_pipeline.analyses.base import JET_ASSIGNMENT
from agc_pipeline.columnar import closure, performance
from agc_pipeline.doctor.examine import examine
from agc_pipeline.files import read_json, write_text
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import results
from agc_pipeline.inference.outcomes import (
    CheckRecord,
    LimitRecord,
    PropagationRecord,
    RankingRecord,
    ScanRecord,
    ToyRecord,
)
from agc_pipeline.inference.records import FitRecord
from agc_pipeline.learning import training_record
from agc_pipeline.report import content, page, runtimes
from agc_pipeline.stages import command
from agc_pipeline.validation import results as validation

log = logging.getLogger(__name__)

# Seconds that the machine and the services are asked for.
_PROBES_TIMEOUT = 2.5


def stage(arguments: argparse.Namespace) -> None:
    """Write one self-contained HTML file; its figures as PDF and PNG, their numbers as JSON."""
    # It tells of every font table that it leaves out of a PDF.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    settings = command.settings(content.ReportStage, arguments.settings)
    workspace = read_json(arguments.workspace)
    propagated = None
    if arguments.propagated is not None:
        propagated = results.read(PropagationRecord, arguments.propagated, workspace)
    run = content.Run(
        checks=results.read(CheckRecord, arguments.checks, workspace),
        fit=results.read(FitRecord, arguments.fit, workspace),
        ranking=results.read(RankingRecord, arguments.ranking, workspace),
        scan=results.read(ScanRecord, arguments.scan, workspace),
        toys=results.read(ToyRecord, arguments.toys, workspace),
        limit=results.read(LimitRecord, arguments.limit, workspace),
        runtimes=runtimes.collect(arguments.benchmarks, settings.rules),
        dask_reports=[
            os.path.relpath(path, arguments.output.parent)
            for folder in arguments.dask
            for path in sorted(folder.rglob("*.html"))
        ],
        closure=None if arguments.closure is None else closure.read(arguments.closure),
        validation=None if arguments.validation is None else validation.read(arguments.validation),
        propagated=propagated,
        histograms=None if arguments.histograms is None else read_root(arguments.histograms),
        training=None if arguments.training is None else training_record.read(arguments.training),
        performance=None if arguments.cost is None else performance.read(arguments.cost),
        findings=examine(
            settings.configuration,
            learned=JET_ASSIGNMENT,
            include_unused=False,
            timeout=_PROBES_TIMEOUT,
        ),
    )
    values = content.values(settings, run, arguments.figures)
    write_text(arguments.output, page.render("report.html.j2", values))
    log.info("%s", arguments.output)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    # A run that starts from a workspace has none of these.
    for name in ("histograms", "closure", "validation", "propagated"):
        options.add_argument(f"--{name}", type=Path, nargs="?", help=f"{name} of the run, if any")
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    for name in ("checks", "fit", "ranking", "scan", "toys", "limit"):
        options.add_argument(f"--{name}", type=Path, required=True, help=f"record of the {name}")
    options.add_argument(
        "--benchmarks", type=Path, nargs="*", default=[], help="Snakemake's benchmarks: folders"
    )
    options.add_argument(
        "--dask", type=Path, nargs="*", default=[], help="Dask's performance reports: folders"
    )
    options.add_argument("--cost", type=Path, help="cost of the histograms, if filled")
    options.add_argument("--training", type=Path, help="record of the training, if there was one")
    options.add_argument("--output", type=Path, required=True, help="HTML page to write")
    options.add_argument("--figures", type=Path, required=True, help="folder for the figures")
    command.run(stage, options)


if __name__ == "__main__":
    main()
