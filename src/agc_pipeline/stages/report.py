"""Draw the figures and write the report page."""

import gc
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import stages
from agc_pipeline.code import data
from agc_pipeline.files import read_json, write_json
from agc_pipeline.provenance import file_digest
from agc_pipeline.report.settings import ReportStage
from agc_pipeline.stages import graph
from agc_pipeline.stages.description import (
    Options,
    Source,
    Stage,
    reads,
    uses,
    writes,
    writes_folder,
)

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)

# Files of a run beside its report, as far as a run has them.
BESIDE = {
    "figures": "the figures as PDF and SVG, and their numbers as JSON",
    "tables": "the tables as CSV and LaTeX",
    "histograms.root": "histograms of all regions, processes and variations",
    "closure.json": "events of every file, cutflow and weight of each dataset",
    "validation.json": "each histogram against the published one, bin by bin",
    "validation.html": "the same for people",
    "workspace.json": "the model for pyhf and cabinetry",
    "model.json": "what was left out of the model",
    "checks.json": "what the checks of the model found",
    "fit.json": "parameters, correlations and yields",
    "ranking.json": "impacts on the parameter of interest",
    "scan.json": "profile likelihood and MINOS uncertainties",
    "toys.json": "pseudo-experiments",
    "limit.json": "limit and significance",
    "sensitivity.json": "derivatives of the results by all templates",
    "optimise": "bins and cuts by the expected uncertainty",
    "propagated.json": "the fit in other distributions",
    "training.json": "what the models can do",
    "performance.json": "events, bytes and times of the histograms",
    "histfactory": "the model as HistFactory XML",
    "hs3": "the model as HS3 JSON",
    "combine": "the model as datacard of Combine",
    "hepdata.tar.gz": "tables for HEPData",
    "fileset.json": "the inputs as coffea reads them",
    "benchmarks": "times and memory of every job",
    "logs": "logs of every job",
}

# Seconds that the machine and the services are asked for.
_PROBES_TIMEOUT = 2.5


def _unless_external(name: str) -> Source:
    """A file that a run from a workspace does not have, nor anything of what comes before it."""
    return lambda plan: [] if plan.external else f"{plan.folder}/{name}"


class ReportOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path | None = reads(_unless_external("histograms.root"), "histograms, if any")
    closure: Path | None = reads(_unless_external("closure.json"), "closure record, if any")
    validation: Path | None = reads(
        lambda plan: f"{plan.folder}/validation.json" if plan.validated else [],
        "validation, if any",
    )
    propagated: Path | None = reads(
        _unless_external("propagated.json"), "fit in all distributions, if any"
    )
    workspace: Path = reads("workspace.json", "pyhf workspace")
    checks: Path = reads("checks.json", "record of the checks")
    fit: Path = reads("fit.json", "record of the fit")
    ranking: Path = reads("ranking.json", "record of the ranking")
    scan: Path = reads("scan.json", "record of the scan")
    toys: Path = reads("toys.json", "record of the toys")
    limit: Path = reads("limit.json", "record of the limit")
    sensitivity: Path = reads("sensitivity.json", "record of the derivatives by templates")
    preservation: Path | None = reads(
        "preservation.json", "record of the formats for others", default=None
    )
    cost: Path | None = reads(
        lambda plan: f"{plan.folder}/performance.json" if plan.fills else [],
        "cost of the histograms, if filled",
    )
    training: Path | None = reads(
        lambda plan: f"{plan.folder}/training.json" if plan.trains else [],
        "record of the training, if there was one",
    )
    # Snakemake would optimise again, with its own bins: the digest is among the settings.
    optimisation: Path | None = uses(
        lambda plan: plan.config.report.optimisation or [],
        "record of an optimisation, if one is shown",
        default=None,
    )
    benchmarks: tuple[Path, ...] = uses("benchmarks", "Snakemake's benchmarks: folders", default=())
    dask: tuple[Path, ...] = uses("dask", "Dask's performance reports: folders", default=())
    output: Path = writes("report.html", "HTML page to write")
    missing: Path = writes("missing.json", "JSON list of what failed and is left out")
    summary: Path = writes("summary.json", "JSON record of the result in short")
    figures: Path = writes_folder("figures", "folder for the figures")
    tables: Path = writes_folder("tables", "folder for the tables")


def configure(plan: "Plan") -> ReportStage:
    """The report shows the whole configuration."""
    shown = plan.config.report.optimisation
    return ReportStage(
        analysis=None if plan.external else plan.config.analysis,
        learned=plan.assigns,
        generated=plan.generated,
        luminosity_per_pb=plan.config.physics.luminosity(None),
        rules=stages.of_run(plan),
        edges=graph.edges(plan),
        optimisation=None if shown is None else file_digest(Path(shown)),
        configuration=plan.config.shown(),
        report=plan.config.report,
    )


def run(settings: ReportStage, options: ReportOptions) -> None:
    """Write one self-contained HTML file, and its figures and tables as files."""
    from agc_pipeline.attempts import Missing
    from agc_pipeline.columnar import closure, performance
    from agc_pipeline.doctor.examine import examine
    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference import fit_records, optimisation_record
    from agc_pipeline.inference.derived_records import (
        LimitRecord,
        PropagationRecord,
        RankingRecord,
        ScanRecord,
        SensitivityRecord,
        ToyRecord,
    )
    from agc_pipeline.inference.fit_records import CheckRecord, FitRecord
    from agc_pipeline.learning import training_record
    from agc_pipeline.report import content, page, runtimes
    from agc_pipeline.report.run import Run
    from agc_pipeline.validation import results as validation

    # Figures are many small objects that refer to each other: looking for those that nothing else
    # refers to takes a tenth of the time and frees little before the end of the job.
    gc.disable()
    # It logs every font table that it leaves out of a PDF.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    workspace = read_json(options.workspace)
    propagated = None
    if options.propagated is not None:
        propagated = fit_records.read(PropagationRecord, options.propagated, workspace)
    preserved: dict[str, Any] = {"missing": (), "lost": {}}
    if options.preservation is not None:
        preserved = read_json(options.preservation)
    run = Run(
        checks=fit_records.read(CheckRecord, options.checks, workspace),
        fit=fit_records.read(FitRecord, options.fit, workspace),
        ranking=fit_records.read(RankingRecord, options.ranking, workspace),
        scan=fit_records.read(ScanRecord, options.scan, workspace),
        toys=fit_records.read(ToyRecord, options.toys, workspace),
        limit=fit_records.read(LimitRecord, options.limit, workspace),
        sensitivity=fit_records.read(SensitivityRecord, options.sensitivity, workspace),
        runtimes=runtimes.collect(options.benchmarks, settings.rules),
        jobs=runtimes.timeline(options.benchmarks, settings.rules),
        dask_reports=[
            os.path.relpath(path, options.output.parent)
            for folder in options.dask
            for path in sorted(folder.rglob("*.html"))
        ],
        closure=None if options.closure is None else closure.read(options.closure),
        validation=None if options.validation is None else validation.read(options.validation),
        propagated=propagated,
        histograms=None if options.histograms is None else read_root(options.histograms),
        training=None if options.training is None else training_record.read(options.training),
        optimisation=None
        if options.optimisation is None
        else optimisation_record.read(options.optimisation),
        unpreserved=[Missing.model_validate(entry) for entry in preserved["missing"]],
        lost=preserved["lost"],
        performance=None if options.cost is None else performance.read(options.cost),
        findings=examine(
            settings.configuration,
            learned=_learned(settings.analysis),
            include_unused=False,
            timeout=_PROBES_TIMEOUT,
        ),
    )
    values = content.values(settings, run, options.figures)
    write_json(options.missing, [entry.model_dump() for entry in values["missing"]])
    write_json(options.summary, content.summary(values, run).model_dump(mode="json"))
    place = options.output.parent
    values |= {
        "of_figures": os.path.relpath(options.figures, place),
        "guide": page.guide(place),
        "beside": {name: what for name, what in BESIDE.items() if (place / name).exists()},
    }
    page.write(options.output, "report.html.j2", values, options.tables)
    log.info("%s", options.output)


def _learned(analysis: str | None) -> str | None:
    """Key of the configuration of the learned observables of an analysis, if it has any."""
    from agc_pipeline import analyses

    learned = None if analysis is None else analyses.load(analysis).learned
    return None if learned is None else learned.name


STAGE = Stage(
    name="report",
    settings=ReportStage,
    options=ReportOptions,
    configure=configure,
    run=run,
    watched={"templates": lambda _: data("report/templates/*")},
)
main = STAGE.main

if __name__ == "__main__":
    main()
