"""Write the results in formats for others: HistFactory XML and a HEPData submission."""

import argparse
import logging
import shutil
import tempfile
from pathlib import Path

from agc_pipeline.files import atomic_path, read_json, write_json
from agc_pipeline.inference import fit_records, workspace
from agc_pipeline.inference.derived_records import RankingRecord, ScanRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.preservation import hepdata, histfactory
from agc_pipeline.preservation.tables import tables
from agc_pipeline.provenance import provenance
from agc_pipeline.report.settings import ReportSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class PreserveStage(Settings):
    """What the stage needs of the configuration: the words of the report."""

    report: ReportSettings


def stage(arguments: argparse.Namespace) -> None:
    """Write both, read them back, and say what XML cannot hold."""
    workspace.quieten()
    settings = command.settings(PreserveStage, arguments.settings)
    content = read_json(arguments.workspace)
    fit = fit_records.read(FitRecord, arguments.fit, content)
    ranking = fit_records.read(RankingRecord, arguments.ranking, content)
    scan = fit_records.read(ScanRecord, arguments.scan, content)
    with tempfile.TemporaryDirectory() as temporary:
        xml, submission = Path(temporary, "histfactory"), Path(temporary, "hepdata")
        xml.mkdir()
        histfactory.write(content, xml)
        differences = histfactory.differences(content, histfactory.read(xml))
        submission.mkdir()
        hepdata_tables = tables(fit, ranking, scan, settings.report.keywords)
        with atomic_path(arguments.archive) as archive:
            hepdata.write(
                hepdata_tables,
                submission,
                archive,
                comment=settings.report.description,
                workspace=arguments.workspace,
            )
        read = hepdata.read(submission)
        _replace(xml, arguments.histfactory)
        _replace(submission, arguments.hepdata)
    record = {
        "workspace_digest": fit.workspace_digest,
        "lost_in_xml": differences,
        "tables": {name: list(columns) for name, columns in read.items()},
        "provenance": provenance(
            "preserve",
            packages=("hepdata-lib", "hepdata-validator", "numpy", "pyhf", "uproot"),
            settings=settings.model_dump(),
            inputs=(arguments.workspace, arguments.fit, arguments.ranking, arguments.scan),
        ),
    }
    write_json(arguments.output, record)
    log.info("%d tables for HEPData, valid", len(read))
    for difference in differences:
        log.info("not in the XML: %s", difference)


def _replace(source: Path, target: Path) -> None:
    """Put a finished folder in its place."""
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--fit", type=Path, required=True, help="record of the fit")
    options.add_argument("--ranking", type=Path, required=True, help="record of the ranking")
    options.add_argument("--scan", type=Path, required=True, help="record of the scan")
    options.add_argument("--histfactory", type=Path, required=True, help="folder for the XML")
    options.add_argument("--hepdata", type=Path, required=True, help="folder for the submission")
    options.add_argument("--archive", type=Path, required=True, help="the submission as one file")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
