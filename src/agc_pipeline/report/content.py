"""Everything that the report shows, collected from the results of a run."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import yaml

from agc_pipeline import analyses
from agc_pipeline.declaration import Analysis
from agc_pipeline.formatting import decimals
from agc_pipeline.inference import external
from agc_pipeline.inference.problem import NO_INTEREST
from agc_pipeline.provenance import digest
from agc_pipeline.readers.clock import PARTS
from agc_pipeline.report.facts import TOY_FACTS, facts, grouped
from agc_pipeline.report.parameter_titles import Titles, titled, titles
from agc_pipeline.report.run import Run
from agc_pipeline.report.sections import (
    distributions,
    inputs,
    learned,
    optimisation,
    statistics,
    validation,
    workflow,
)
from agc_pipeline.report.settings import ReportStage
from agc_pipeline.report.style import Gallery, Label
from agc_pipeline.report.summary import Summary, headlines
from agc_pipeline.report.texts import DataText, data_text
from agc_pipeline.report.yields import row_decimals, yield_rows
from agc_pipeline.secrets import without_secrets


class Labels(TypedDict):
    """Words on figures of distributions."""

    label: Label
    data_label: str


def values(settings: ReportStage, run: Run, folder: Path) -> dict[str, Any]:
    """Values of the template of the report; draws the figures.

    Args:
        settings: the report's part of the configuration.
        run: the results.
        folder: for the figures.

    Raises:
        InputError: if the closure record lacks the process whose cross section is measured.
    """
    if settings.analysis is None:
        analysis = external.analysis(run.fit)
    else:
        analysis = analyses.load(settings.analysis)
    names, told = titles(run.fit), facts(run)
    label = figure_label(settings, run)
    gallery = Gallery(folder, run.partial, label)
    yields = yield_rows(analysis, run.fit)
    data = data_text(run.fit.data, settings.report.texts, external=settings.analysis is None)
    inputs_shown = _input_values(settings, run, analysis, gallery)
    poi = run.fit.poi
    # The words of the configuration are not about somebody else's workspace.
    quantity = (
        settings.report.quantity if settings.analysis is not None or poi is None else poi.name
    )
    content = {
        "title": settings.report.title,
        "partial": run.partial,
        "report": settings.report,
        "selection": settings.configuration.get("selection"),
        "data": data,
        "poi": run.fit.poi,
        "no_interest": NO_INTEREST,
        "fit": run.fit,
        "headlines": headlines(run, quantity, inputs_shown["reference_pb"]),
        "facts": told,
        "fact_groups": grouped(told),
        "toy_facts": TOY_FACTS,
        "titled": partial(titled, names=names),
        "checks": run.checks,
        "lost": run.lost,
        "yields": yields,
        "yield_decimals": row_decimals(yields),
        "windows": {
            title: channel.window for title, channel in run.fit.channels.items() if channel.window
        },
        "validation": run.validation,
        "comparisons": validation.comparisons(gallery, analysis, run),
        **inputs_shown,
        **_distribution_values(settings, run, analysis, gallery, data),
        **_statistics_values(settings, run, analysis, gallery, names),
        "optimisation": _optimisation(settings, run, analysis, gallery),
        **_provenance_values(settings, run, gallery),
    }
    # Only now it is known which figures could be drawn.
    return content | {"missing": [*run.missing, *gallery.missing]}


def figure_label(settings: ReportStage, run: Run) -> Label:
    """What stands above the figures: experiment, status, luminosity and energy."""
    if settings.analysis is None:
        return Label(beam=settings.beam)
    experiment, status = settings.report.label.of(run.fit.data, generated=settings.generated)
    return Label(experiment, status, settings.beam)


def summary(content: Mapping[str, Any], run: Run) -> Summary:
    """What of the content of the report is told in short.

    Args:
        content: values of the template.
        run: the results.
    """
    return Summary(
        title=content["title"],
        data=run.fit.data,
        headlines=content["headlines"],
        facts=tuple(content["facts"]),
        closure=None if run.closure is None else not run.closure.partial,
        validation=None if run.validation is None else run.validation.verdict,
        missing=tuple(content["missing"]),
        workspace_digest=run.fit.workspace_digest,
    )


def _input_values(
    settings: ReportStage, run: Run, analysis: Analysis, gallery: Gallery
) -> dict[str, Any]:
    if run.closure is None:
        path = settings.configuration.get("input", {}).get("path", "unknown")
        return {
            "blinded": {},
            "subtitle": f"Workspace {path}: {len(run.fit.channels)} channels",
            "left_out": (),
            "reference_pb": None,
            "datasets": {},
            "cuts": [],
            "cutflow": None,
        }
    datasets = inputs.accounts(analysis, run.closure)
    return {
        "blinded": inputs.blinded(settings.configuration, analysis, datasets),
        "subtitle": inputs.summary(settings.configuration, datasets),
        "left_out": run.closure.left_out,
        "reference_pb": inputs.reference_cross_section(analysis, run.closure),
        "datasets": datasets,
        "cuts": inputs.cuts(datasets),
        "cutflow": inputs.cutflow(gallery, analysis, datasets),
    }


def _distribution_values(
    settings: ReportStage, run: Run, analysis: Analysis, gallery: Gallery, data: DataText
) -> dict[str, Any]:
    labels = Labels(label=gallery.label, data_label=data.label)
    texts, propagated, histograms = settings.report.texts, run.propagated, run.histograms
    systematics = [
        distributions.systematics(gallery, analysis, region, histograms or {})
        for region in analysis.regions
    ]
    single = [distributions.single_templates(gallery, run.fit, title) for title in run.fit.channels]
    return {
        "distributions": distributions.fitted(gallery, analysis, run.fit, **labels),
        "overview": distributions.overview(gallery, analysis, run.fit),
        "propagated": []
        if propagated is None
        else distributions.propagated(gallery, analysis, propagated, **labels),
        "learned": None
        if propagated is None or not settings.learned
        else learned.section(gallery, analysis, propagated, texts, **labels),
        "systematics": [picture for picture in systematics if picture is not None],
        "single_templates": [picture for picture in single if picture is not None],
        "training": None
        if run.training is None
        else learned.training(gallery, analysis, run.training, texts),
    }


def _statistics_values(
    settings: ReportStage, run: Run, analysis: Analysis, gallery: Gallery, names: Titles
) -> dict[str, Any]:
    report = settings.report
    ranked = statistics.ranked_rows(run.ranking, report.ranked)
    return {
        "free": statistics.free_normalisations(analysis, run.fit),
        "breakdown": statistics.breakdown_rows(run.fit),
        "minos": {entry.parameter: entry for entry in run.scan.intervals},
        "ranking": run.ranking,
        "toys": run.toys,
        "limit": run.limit,
        "sensitivity": run.sensitivity,
        "spending": run.sensitivity.spending,
        "pulls": statistics.pulls(gallery, run.fit, run.ranking),
        "correlations": statistics.correlations(gallery, run.fit, report.correlation_min, names),
        "statistics": {
            "ranking": statistics.ranking(gallery, run.ranking, report.ranked, names),
            "ranked": ranked,
            "ranked_places": decimals([row.postfit_up for row in ranked]),
            "scan": statistics.scan(gallery, run.scan),
            "planes": statistics.planes(gallery, run.scan, names),
            "toys": statistics.toys(gallery, run.toys),
            "limit": statistics.limit(gallery, run.limit),
            "gradients": statistics.gradients(
                gallery, run.fit, run.sensitivity, report.ranked, names
            ),
        },
    }


def _optimisation(
    settings: ReportStage, run: Run, analysis: Analysis, gallery: Gallery
) -> optimisation.Optimisation | None:
    """What the bins and cuts of the run are from, and whether they do as was promised."""
    if run.optimisation is None:
        return None
    selection = settings.configuration["physics"]["selection"]
    promise = optimisation.promise(
        *(analysis, run.optimisation, run.fit, run.sensitivity, run.limit), selection=selection
    )
    # Of candidates, all but those with a discriminant have the declared observables.
    declared = analyses.load(analyses.without_discriminant(str(settings.analysis)))
    return optimisation.section(gallery, declared, run.optimisation, promise)


def _provenance_values(settings: ReportStage, run: Run, gallery: Gallery) -> dict[str, Any]:
    return {
        "runtimes": run.runtimes,
        "timeline": workflow.timeline(gallery, run.jobs),
        "stage_graph": workflow.stage_graph(gallery, settings.edges, run.runtimes),
        "dask_reports": run.dask_reports,
        "performance": run.performance,
        "parts": PARTS,
        "findings": run.findings,
        "provenances": run.provenances,
        "software": run.software,
        "configuration": text(settings.configuration),
        "configuration_digest": digest(settings.configuration),
    }


def text(configuration: Mapping[str, Any]) -> str:
    """The configuration as YAML, lists of plain values on one line."""
    shown = yaml.safe_dump(
        dict(configuration), sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    return without_secrets(shown)
