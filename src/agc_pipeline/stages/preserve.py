"""Write the results in formats for others: models of ROOT and Combine, a HEPData submission."""

import logging
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline.files import atomic_path, read_json, write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.report.settings import ReportSettings
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, writes, writes_folder

if TYPE_CHECKING:
    from agc_pipeline.attempts import Missing
    from agc_pipeline.plan import Plan
    from agc_pipeline.preservation.root_names import Names


log = logging.getLogger(__name__)


class PreserveStage(Settings):
    """What the stage needs of the configuration: the words of the report."""

    report: ReportSettings


class PreserveOptions(Options):
    """What the stage is told beside its settings."""

    workspace: Path = reads("workspace.json", "pyhf workspace")
    fit: Path = reads("fit.json", "record of the fit")
    ranking: Path = reads("ranking.json", "record of the ranking")
    scan: Path = reads("scan.json", "record of the scan")
    histfactory: Path = writes_folder("histfactory", "folder for the XML")
    hs3: Path = writes_folder("hs3", "folder for HS3 JSON")
    combine: Path = writes_folder("combine", "folder for the datacard")
    # The folder of it would not be accepted: Snakemake leaves a file in folders.
    hepdata: Path = writes("hepdata.tar.gz", "submission to HEPData")
    output: Path = writes("preservation.json", "JSON record to write")


def configure(plan: "Plan") -> PreserveStage:
    """The words of the report."""
    return PreserveStage(report=plan.config.report)


def run(settings: PreserveStage, options: PreserveOptions) -> None:
    """Write all, read them back, and say what the formats of models cannot hold."""
    from agc_pipeline.attempts import attempt
    from agc_pipeline.inference import external, fit_records, workspace
    from agc_pipeline.inference.derived_records import RankingRecord, ScanRecord
    from agc_pipeline.inference.fit_records import FitRecord
    from agc_pipeline.preservation import datacard, hepdata, histfactory, hs3, pictures
    from agc_pipeline.preservation.datacard import NoPlaceError
    from agc_pipeline.preservation.tables import tables

    workspace.quieten()
    content = read_json(options.workspace)
    fit = fit_records.read(FitRecord, options.fit, content)
    ranking = fit_records.read(RankingRecord, options.ranking, content)
    scan = fit_records.read(ScanRecord, options.scan, content)
    keywords = {str(key): values for key, values in settings.report.keywords.items()}
    formats: tuple[tuple[str, Path, Callable[[Path], tuple[Names, list[str]]]], ...] = (
        ("HistFactory XML", options.histfactory, partial(histfactory.write, content)),
        ("HS3 JSON", options.hs3, lambda folder: hs3.write(content, folder / hs3.DOCUMENT)),
        ("Combine datacard", options.combine, partial(datacard.write, content)),
    )
    missing: list[Missing] = []
    lost: dict[str, list[str]] = {}
    read: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for title, target, write in formats:
            folder = Path(temporary, target.name)
            folder.mkdir()
            with attempt(title, missing):
                try:
                    names, lost[title] = write(folder)
                    write_json(folder / "names.json", names._asdict() | {"lost": lost[title]})
                except NoPlaceError as error:
                    lost[title] = [f"this model: {error.problem}"]
                    (folder / "missing.txt").write_text(f"{error}\n", encoding="utf-8")
            _replace(folder, target, next((m for m in missing if m.part == title), None))
        submission = Path(temporary, "hepdata")
        submission.mkdir()
        with attempt("HEPData tables", missing):
            hepdata_tables = tables(
                fit, ranking, scan, keywords, external.free_normalisations(content)
            )
            drawn = pictures.draw(hepdata_tables, fit, ranking, scan)
            with atomic_path(options.hepdata) as archive:
                hepdata.write(
                    hepdata_tables,
                    submission,
                    archive,
                    comment=settings.report.description,
                    workspace=options.workspace,
                    pictures=drawn,
                )
            read = hepdata.read(submission)
        failure = next((m for m in missing if m.part == "HEPData tables"), None)
        if failure is not None:
            _empty(submission, failure)
            with atomic_path(options.hepdata) as archive:
                hepdata.pack(submission, archive)
    record = {
        "workspace_digest": fit.workspace_digest,
        "lost": lost,
        "missing": [entry.model_dump() for entry in missing],
        "tables": {name: list(columns) for name, columns in read.items()},
        "provenance": provenance(
            "preserve",
            packages=("hepdata-lib", "hepdata-validator", "numpy", "pyhf", "uproot"),
            settings=settings.model_dump(),
            inputs=(options.workspace, options.fit, options.ranking, options.scan),
        ),
    }
    write_json(options.output, record)
    if read:
        log.info("%d tables for HEPData, valid", len(read))
    for title, entries in lost.items():
        for entry in entries:
            log.info("not in the %s: %s", title, entry)


def _replace(source: Path, target: Path, failure: "Missing | None") -> None:
    """Put a finished folder in its place; of a failure, one that only says why it is missing."""
    if failure is not None:
        _empty(source, failure)
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _empty(folder: Path, failure: "Missing") -> None:
    """Leave in a folder only why its content is missing."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "missing.txt").write_text(f"{failure.part}: {failure.reason}\n", encoding="utf-8")


STAGE = Stage(
    name="preserve",
    settings=PreserveStage,
    options=PreserveOptions,
    configure=configure,
    run=run,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
