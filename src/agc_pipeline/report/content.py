"""Everything that the report shows, collected from the files of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import yaml

from agc_pipeline import analyses
from agc_pipeline.analyses.base import NOMINAL, Analysis
from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.columnar.performance import PARTS, PerformanceRecord
from agc_pipeline.doctor.findings import Finding
from agc_pipeline.errors import InputError
from agc_pipeline.inference import declaration
from agc_pipeline.inference.outcomes import (
    CheckRecord,
    LimitRecord,
    PropagationRecord,
    RankingRecord,
    ScanRecord,
    ToyRecord,
)
from agc_pipeline.inference.records import FitRecord
from agc_pipeline.learning.records import TrainingRecord
from agc_pipeline.provenance import digest
from agc_pipeline.report import (
    assigned,
    comparison,
    distributions,
    learning,
    page,
    parameters,
    statistics,
    systematics,
    tables,
)
from agc_pipeline.report.prediction import Expectation, expectations
from agc_pipeline.report.runtimes import Runtime
from agc_pipeline.report.settings import ReportStage
from agc_pipeline.report.style import Picture
from agc_pipeline.validation.results import ValidationResult


@dataclass(frozen=True)
class Run:
    """The results of a run.

    Attributes:
        checks: content of ``checks.json``.
        fit: content of ``fit.json``.
        ranking: content of ``ranking.json``.
        scan: content of ``scan.json``.
        toys: content of ``toys.json``.
        limit: content of ``limit.json``.
        runtimes: of its jobs.
        performance: cost of its histograms; None if they were not filled.
        findings: what the machine offers of that which the run uses.
        dask_reports: addresses of Dask's performance reports, relative to the page.
        closure: content of ``closure.json``; None, as those below, if the run starts from a
            workspace.
        validation: content of ``validation.json``.
        propagated: content of ``propagated.json``.
        histograms: content of ``histograms.root``.
        training: content of ``training.json``; None if no models were trained.
    """

    checks: CheckRecord
    fit: FitRecord
    ranking: RankingRecord
    scan: ScanRecord
    toys: ToyRecord
    limit: LimitRecord
    runtimes: Sequence[Runtime]
    performance: PerformanceRecord | None
    findings: Sequence[Finding]
    dask_reports: Sequence[str] = ()
    closure: Closure | None = None
    validation: ValidationResult | None = None
    propagated: PropagationRecord | None = None
    histograms: Mapping[str, hist.Hist] | None = None
    training: TrainingRecord | None = None

    @property
    def partial(self) -> bool:
        """Whether files were left out."""
        return self.fit.partial or (self.closure is not None and self.closure.partial)


def values(settings: ReportStage, run: Run, figures: Path) -> dict[str, Any]:
    """What the template of the report uses; draws the figures.

    Args:
        settings: the report's part of the configuration.
        run: the results.
        figures: folder for the figures.

    Raises:
        InputError: if the closure record does not have the dataset whose cross section is measured.
    """
    if settings.analysis is None:
        analysis = declaration.analysis(run.fit)
    else:
        analysis = analyses.load(settings.analysis)
    names = {"pseudodata": "Pseudodata", "asimov": "Asimov data", "observed": "Data"}
    data_label = names[run.fit.data]
    datasets = {} if run.closure is None else tables.accounts(analysis, run.closure)
    return {
        "title": settings.report.title,
        "subtitle": _subtitle(settings, run, datasets),
        "partial": run.partial,
        "left_out": () if run.closure is None else run.closure.left_out,
        "report": settings.report,
        "data_label": data_label,
        "poi": run.fit.poi,
        "reference_pb": _reference(analysis, settings.measured, run.closure),
        "fit": run.fit,
        "checks": run.checks,
        "breakdown": tables.breakdown_rows(run.fit),
        "minos": {entry.parameter: entry for entry in run.scan.intervals},
        "ranking": run.ranking,
        "toys": run.toys,
        "limit": run.limit,
        "statistics": _statistics(settings, run, figures),
        "overview": distributions.draw_overview(
            expectations(analysis, run.fit.channels, run.fit.yields), figures, partial=run.partial
        ),
        "propagated": _propagated(settings, run, analysis, figures, data_label),
        "assigned": _assigned(settings, run, analysis, figures, data_label),
        "distributions": _distributions(settings, run, analysis, figures, data_label),
        "systematics": _systematics(run, analysis, figures),
        "pulls": _pulls(run, analysis, figures),
        "correlations": _correlations(settings, run, analysis, figures),
        "yields": tables.yield_rows(analysis, run.fit),
        "datasets": datasets,
        "cuts": tables.cuts(datasets),
        "validation": run.validation,
        "comparisons": _comparisons(run, analysis, figures),
        "training": _training(run, figures),
        "runtimes": run.runtimes,
        "dask_reports": run.dask_reports,
        "performance": run.performance,
        "parts": PARTS,
        "findings": run.findings,
        "made_by": _made_by(run),
        "software": _software(run),
        "configuration": text(settings.configuration),
        "configuration_digest": digest(settings.configuration),
    }


def _subtitle(settings: ReportStage, run: Run, datasets: Mapping[str, DatasetAccount]) -> str:
    if run.closure is None:
        path = settings.configuration.get("input", {}).get("path", "unknown")
        return f"Workspace {path}: {len(run.fit.channels)} channels"
    kind = settings.configuration.get("input", {}).get("kind", "unknown")
    words = {
        "simulated": "Simulated input",
        "published": "Published histograms as input",
        "files": "Input files listed in the configuration",
        "fileset": "Input files listed in a fileset",
    }
    events = sum(entry.events_processed for entry in datasets.values())
    return f"{words.get(kind, kind)}: {page.count(events)} events of {len(datasets)} datasets"


def _reference(analysis: Analysis, process: str, closure: Closure | None) -> float | None:
    """Cross section that the normalisation of 1 stands for, pb; None if that is not known."""
    if closure is None:
        return None
    name = analysis.dataset_name(process, NOMINAL)
    if name not in closure.datasets:
        raise InputError(
            f"no dataset {name!r}, whose cross section is measured",
            place="closure.json",
            remedy="add it to the input, or measure another process with `fit.model.poi.process`",
        )
    return closure.datasets[name].xsec_pb


def _statistics(settings: ReportStage, run: Run, folder: Path) -> dict[str, Picture | None]:
    """Figures of ranking, scan, pseudo-experiments and limit, as far as there is something."""
    largest = sorted(run.ranking.rows, key=lambda row: -row.size)[: settings.report.ranked]
    return {
        "ranking": statistics.draw_ranking(largest, run.ranking.poi, folder, partial=run.partial)
        if largest
        else None,
        "scan": statistics.draw_scan(run.scan, folder, partial=run.partial)
        if run.fit.poi.uncertainty > 0
        else None,
        "toys": statistics.draw_toys(run.toys, folder, partial=run.partial)
        if any(pull.parameter == run.toys.poi.name for pull in run.toys.pulls)
        else None,
        "limit": statistics.draw_limit(run.limit, folder, partial=run.partial),
    }


def _nuisances(run: Run, analysis: Analysis) -> list[str]:
    """Parameters of the fit that are systematics of the analysis."""
    return [
        systematic.name for systematic in analysis.systematics if systematic.name in run.fit.labels
    ]


def _distributions(
    settings: ReportStage, run: Run, analysis: Analysis, folder: Path, data_label: str
) -> list[Picture]:
    """The fitted distributions before and after the fit, on one scale."""
    found = expectations(analysis, run.fit.channels, run.fit.yields)
    return [
        _distribution(
            settings, run, analysis, folder, data_label, expectation=expectation, beside=found
        )
        for expectation in found
    ]


def _propagated(
    settings: ReportStage, run: Run, analysis: Analysis, folder: Path, data_label: str
) -> list[Picture]:
    """Other distributions after the fit."""
    if run.propagated is None:
        return []
    # The optional ones have a figure of their own.
    names = {region.name for region in analysis.regions}
    channels = {
        title: channel
        for title, channel in run.propagated.channels.items()
        if channel.region in names
    }
    return [
        _distribution(
            settings,
            run,
            analysis,
            folder,
            data_label,
            expectation=expectation,
            beside=[expectation],
            name=f"{expectation.region}_propagated",
        )
        for expectation in expectations(analysis, channels, run.propagated.yields)
        if expectation.moment == "post-fit"
    ]


def _assigned(
    settings: ReportStage, run: Run, analysis: Analysis, folder: Path, data_label: str
) -> list[Picture]:
    """The optional regions, beside their rivals and at a glance."""
    if run.propagated is None or not settings.parts:
        return []
    extended = analysis.extended(settings.parts)
    found = expectations(extended, run.propagated.channels, run.propagated.yields)
    optional = extended.regions[len(analysis.regions) :]
    names = {region.name for region in optional}
    shown = [entry for entry in found if entry.region in names]
    (measured,) = (p.title for p in analysis.processes if p.name == settings.measured)
    rivals = [
        assigned.draw_rivals(
            region, found, measured, folder, label=_corner(settings), partial=run.partial
        )
        for region in optional
        if region.rival is not None
    ]
    pictures = [picture for picture in rivals if picture is not None]
    if shown:
        pictures.append(
            assigned.draw_grid(
                shown,
                analysis,
                folder,
                label=_corner(settings),
                data_label=data_label,
                partial=run.partial,
            )
        )
    return pictures


def _training(run: Run, folder: Path) -> dict[str, Any] | None:
    """The record of the training, names of its rows, and its figures."""
    record = run.training
    if record is None:
        return None
    return {
        "record": record,
        "names": [learning.size_name(row, record.rows, record.words.size) for row in record.rows],
        "pictures": learning.draw(record, folder, partial=run.partial),
    }


def _distribution(
    settings: ReportStage,
    run: Run,
    analysis: Analysis,
    folder: Path,
    data_label: str,
    *,
    expectation: Expectation,
    beside: Sequence[Expectation],
    name: str | None = None,
) -> Picture:
    """One figure, with room for the largest bin of its region among those that stand beside it."""
    return distributions.draw(
        expectation,
        analysis,
        folder,
        label=_corner(settings),
        data_label=data_label,
        highest=max(
            max((other.total + other.uncertainty).max(), other.data.max())
            for other in beside
            if other.region == expectation.region
        ),
        partial=run.partial,
        name=name,
    )


def _corner(settings: ReportStage) -> str:
    """Luminosity and energy; nothing for a workspace, which does not say."""
    if settings.analysis is None:
        return settings.report.energy
    luminosity = settings.luminosity_per_pb / 1000
    return rf"{luminosity:.3g} fb$^{{-1}}$ ({settings.report.energy})"


def _systematics(run: Run, analysis: Analysis, folder: Path) -> list[Picture]:
    histograms = run.histograms
    if histograms is None:
        return []
    drawn = [
        systematics.draw(region, analysis, histograms, folder, partial=run.partial)
        for region in analysis.regions
    ]
    return [picture for picture in drawn if picture is not None]


def _comparisons(run: Run, analysis: Analysis, folder: Path) -> list[Picture]:
    """Published and own histograms; where these are of the same events, there is no difference."""
    validation, closure, histograms = run.validation, run.closure, run.histograms
    if validation is None or closure is None or histograms is None:
        return []
    if validation.mode.same_events:
        return []
    drawn = [
        comparison.draw(
            region,
            analysis,
            histograms,
            closure,
            folder,
            n_files=validation.mode.n_files,
            partial=run.partial,
        )
        for region in analysis.regions
    ]
    return [picture for picture in drawn if picture is not None]


def _pulls(run: Run, analysis: Analysis, folder: Path) -> Picture | None:
    rows = {row.parameter: row.pull for row in run.ranking.rows}
    pulls = {
        name: pull for name in _nuisances(run, analysis) if (pull := rows.get(name)) is not None
    }
    if not pulls:
        return None
    return parameters.draw_pulls(pulls, folder, partial=run.partial)


def _correlations(settings: ReportStage, run: Run, analysis: Analysis, folder: Path) -> Picture:
    fitted = run.fit.results()
    names = parameters.correlated(
        fitted, [run.fit.poi.name, *_nuisances(run, analysis)], settings.report.correlation_min
    )
    return parameters.draw_correlations(fitted, names, folder, partial=run.partial)


def _made_by(run: Run) -> list[Mapping[str, Any]]:
    """Records of making, in the order of the workflow."""
    records = (
        run.closure,
        run.validation,
        run.checks,
        run.fit,
        run.ranking,
        run.scan,
        run.toys,
        run.limit,
        run.propagated,
        run.training,
    )
    return [record.provenance for record in records if record is not None and record.provenance]


def _software(run: Run) -> dict[str, str]:
    """Versions of the packages; several, if stages ran with different ones."""
    versions: dict[str, dict[str, None]] = {}
    for record in _made_by(run):
        for name, version in record["software"].items():
            versions.setdefault(name, {})[version] = None
    return {name: ", ".join(found) for name, found in sorted(versions.items())}


def text(configuration: Mapping[str, Any]) -> str:
    """The configuration as YAML, lists of plain values on one line."""
    return yaml.safe_dump(
        dict(configuration), sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
