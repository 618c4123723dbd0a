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
from agc_pipeline.errors import InputError
from agc_pipeline.inference.records import FitRecord
from agc_pipeline.provenance import digest
from agc_pipeline.report import comparison, distributions, page, parameters, systematics, tables
from agc_pipeline.report.prediction import expectations
from agc_pipeline.report.runtimes import Runtime
from agc_pipeline.report.settings import ReportSettings
from agc_pipeline.report.style import Picture
from agc_pipeline.settings import Settings
from agc_pipeline.validation.results import ValidationResult


class ReportStage(Settings):
    """What the report needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        report: words and looks.
        measured: process whose cross section the parameter of interest multiplies.
        luminosity_per_pb: integrated luminosity, 1/pb.
        rules: of the workflow, whose run times are shown.
        configuration: the whole of it, to be shown.
    """

    analysis: str
    report: ReportSettings
    measured: str
    luminosity_per_pb: float
    rules: tuple[str, ...]
    configuration: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The results of a run.

    Attributes:
        closure: content of ``closure.json``.
        fit: content of ``fit.json``.
        validation: content of ``validation.json``.
        histograms: content of ``histograms.root``.
        runtimes: of its jobs.
        performance: cost of its histograms; None if they were not filled.
        dask_reports: addresses of Dask's performance reports, relative to the page.
    """

    closure: Closure
    fit: FitRecord
    validation: ValidationResult
    histograms: Mapping[str, hist.Hist]
    runtimes: Sequence[Runtime]
    performance: PerformanceRecord | None
    dask_reports: Sequence[str] = ()

    @property
    def partial(self) -> bool:
        """Whether files were left out."""
        return self.closure.partial or self.fit.partial


def values(settings: ReportStage, run: Run, figures: Path) -> dict[str, Any]:
    """What the template of the report uses; draws the figures.

    Args:
        settings: the report's part of the configuration.
        run: the results.
        figures: folder for the figures.

    Raises:
        InputError: if the closure record does not have the dataset whose cross section is measured.
    """
    analysis = analyses.load(settings.analysis)
    data_label = {"pseudodata": "Pseudodata", "asimov": "Asimov data"}[run.fit.data]
    datasets = tables.accounts(analysis, run.closure)
    return {
        "title": settings.report.title,
        "subtitle": _subtitle(settings, datasets),
        "partial": run.partial,
        "left_out": run.closure.left_out,
        "report": settings.report,
        "data_label": data_label,
        "poi": run.fit.poi,
        "reference_pb": _reference(analysis, settings.measured, run.closure),
        "fit": run.fit,
        "distributions": _distributions(settings, run, analysis, figures, data_label),
        "systematics": _systematics(run, analysis, figures),
        "pulls": _pulls(run, analysis, figures),
        "correlations": _correlations(settings, run, analysis, figures),
        "yields": tables.yield_rows(analysis, run.fit),
        "datasets": datasets,
        "cuts": tables.cuts(datasets),
        "validation": run.validation,
        "comparisons": _comparisons(run, analysis, figures),
        "runtimes": run.runtimes,
        "dask_reports": run.dask_reports,
        "performance": run.performance,
        "parts": PARTS,
        "made_by": _made_by(run),
        "software": _software(run),
        "configuration": text(settings.configuration),
        "configuration_digest": digest(settings.configuration),
    }


def _subtitle(settings: ReportStage, datasets: Mapping[str, DatasetAccount]) -> str:
    kind = settings.configuration.get("input", {}).get("kind", "unknown")
    words = {
        "simulated": "Simulated input",
        "published": "Published histograms as input",
        "files": "Input files listed in the configuration",
        "fileset": "Input files listed in a fileset",
    }
    events = sum(entry.events_processed for entry in datasets.values())
    return f"{words.get(kind, kind)}: {page.count(events)} events of {len(datasets)} datasets"


def _reference(analysis: Analysis, process: str, closure: Closure) -> float:
    """Cross section that the normalisation of 1 stands for, pb."""
    name = analysis.dataset_name(process, NOMINAL)
    if name not in closure.datasets:
        raise InputError(
            f"no dataset {name!r}, whose cross section is measured",
            place="closure.json",
            remedy="add it to the input, or measure another process with `fit.model.poi.process`",
        )
    return closure.datasets[name].xsec_pb


def _nuisances(run: Run, analysis: Analysis) -> list[str]:
    """Parameters of the fit that are systematics of the analysis."""
    return [
        systematic.name for systematic in analysis.systematics if systematic.name in run.fit.labels
    ]


def _distributions(
    settings: ReportStage, run: Run, analysis: Analysis, folder: Path, data_label: str
) -> list[Picture]:
    luminosity = settings.luminosity_per_pb / 1000
    found = expectations(analysis, run.fit)
    return [
        distributions.draw(
            expectation,
            analysis,
            folder,
            label=rf"{luminosity:.3g} fb$^{{-1}}$ ({settings.report.energy})",
            data_label=data_label,
            highest=max(
                max((other.total + other.uncertainty).max(), other.data.max())
                for other in found
                if other.region == expectation.region
            ),
            partial=run.partial,
        )
        for expectation in found
    ]


def _systematics(run: Run, analysis: Analysis, folder: Path) -> list[Picture]:
    drawn = [
        systematics.draw(region, analysis, run.histograms, folder, partial=run.partial)
        for region in analysis.regions
    ]
    return [picture for picture in drawn if picture is not None]


def _comparisons(run: Run, analysis: Analysis, folder: Path) -> list[Picture]:
    """Published and own histograms; where these are of the same events, there is no difference."""
    if run.validation.mode.same_events:
        return []
    drawn = [
        comparison.draw(
            region,
            analysis,
            run.histograms,
            run.closure,
            folder,
            n_files=run.validation.mode.n_files,
            partial=run.partial,
        )
        for region in analysis.regions
    ]
    return [picture for picture in drawn if picture is not None]


def _pulls(run: Run, analysis: Analysis, folder: Path) -> Picture | None:
    names = _nuisances(run, analysis)
    if not names:
        return None
    return parameters.draw_pulls(run.fit.results(), names, folder, partial=run.partial)


def _correlations(settings: ReportStage, run: Run, analysis: Analysis, folder: Path) -> Picture:
    fitted = run.fit.results()
    names = parameters.correlated(
        fitted, [run.fit.poi.name, *_nuisances(run, analysis)], settings.report.correlation_min
    )
    return parameters.draw_correlations(fitted, names, folder, partial=run.partial)


def _made_by(run: Run) -> list[Mapping[str, Any]]:
    """Records of making, in the order of the workflow."""
    return [
        record
        for record in (run.closure.provenance, run.validation.provenance, run.fit.provenance)
        if record
    ]


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
