"""Draw the figures and write the report page."""

import argparse
import logging
import os
from pathlib import Path

from agc_pipeline.columnar import closure, performance
from agc_pipeline.files import read_json, write_text
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import results
from agc_pipeline.inference.records import FitRecord
from agc_pipeline.report import content, page, runtimes
from agc_pipeline.stages import command
from agc_pipeline.validation import results as validation

log = logging.getLogger(__name__)


def stage(arguments: argparse.Namespace) -> None:
    """Write one self-contained HTML file, and the figures in it as PDF and PNG."""
    # It tells of every font table that it leaves out of a PDF.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    settings = command.settings(content.ReportStage, arguments.settings)
    run = content.Run(
        closure=closure.read(arguments.closure),
        fit=results.read(FitRecord, arguments.fit, read_json(arguments.workspace)),
        validation=validation.read(arguments.validation),
        histograms=read_root(arguments.histograms),
        runtimes=runtimes.collect(arguments.benchmarks, settings.rules),
        dask_reports=[
            os.path.relpath(path, arguments.output.parent)
            for folder in arguments.dask
            for path in sorted(folder.rglob("*.html"))
        ],
        performance=None if arguments.cost is None else performance.read(arguments.cost),
    )
    values = content.values(settings, run, arguments.figures)
    write_text(arguments.output, page.render("report.html.j2", values))
    log.info("%s", arguments.output)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="histogram file")
    options.add_argument("--closure", type=Path, required=True, help="closure record")
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--fit", type=Path, required=True, help="record of the fit")
    options.add_argument("--validation", type=Path, required=True, help="record of the validation")
    options.add_argument(
        "--benchmarks", type=Path, nargs="*", default=[], help="Snakemake's benchmarks: folders"
    )
    options.add_argument(
        "--dask", type=Path, nargs="*", default=[], help="Dask's performance reports: folders"
    )
    options.add_argument("--cost", type=Path, help="cost of the histograms, if filled")
    options.add_argument("--output", type=Path, required=True, help="HTML page to write")
    options.add_argument("--figures", type=Path, required=True, help="folder for the figures")
    command.run(stage, options)


if __name__ == "__main__":
    main()
