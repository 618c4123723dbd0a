"""Section of the validation: the histograms of the run beside the published ones."""

from collections.abc import Mapping

import hist
import numpy as np

from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import NOMINAL, Analysis, Region, Template
from agc_pipeline.report import figures
from agc_pipeline.report.figures import Acceptance
from agc_pipeline.report.run import Run
from agc_pipeline.report.style import Gallery, Picture
from agc_pipeline.validation import published


def comparisons(gallery: Gallery, analysis: Analysis, run: Run) -> list[Picture]:
    """Comparison in each region; none if the published histograms are of the same events."""
    if run.validation is None or run.closure is None or run.histograms is None:
        return []
    mode = run.validation.mode
    yields = isinstance(published.read(analysis, mode.n_files), published.PublishedYields)
    if mode.same_events or yields:
        return []
    pictures = [
        comparison(gallery, analysis, region, run.histograms, run.closure, n_files=mode.n_files)
        for region in analysis.regions
    ]
    return [picture for picture in pictures if picture is not None]


def comparison(
    gallery: Gallery,
    analysis: Analysis,
    region: Region,
    histograms: Mapping[str, hist.Hist],
    closure: Closure,
    *,
    n_files: int,
) -> Picture | None:
    """The nominal histogram of each process beside the published one.

    Args:
        gallery: where the files go.
        analysis: gives the processes.
        region: which region.
        histograms: of the run, by name.
        closure: accounts of the run.
        n_files: files per dataset of the published histograms; -1 is all.

    Returns:
        None if the run has none of the histograms.
    """
    panels = acceptances(analysis, region, histograms, closure, n_files=n_files)
    if not panels:
        return None
    return gallery.picture(
        f"{region.name}_published",
        lambda: figures.acceptance(region, panels),
        caption=f"{region.title}: fraction of the generated events that is selected in each "
        "bin, in this run and in the published histograms, with statistical uncertainties. The "
        "lower panels show the ratio of this run to the published histograms.",
        alternative=f"Distributions of {region.observable} in {region.title} in this run and "
        f"as published, for {', '.join(panels)}.",
        numbers={
            "edges": region.edges,
            "processes": {
                title: {
                    name: {"fraction": entry.fraction, "uncertainty": entry.uncertainty}
                    for name, entry in (("run", run), ("published", reference))
                }
                for title, (run, reference) in panels.items()
            },
        },
    )


def acceptances(
    analysis: Analysis,
    region: Region,
    histograms: Mapping[str, hist.Hist],
    closure: Closure,
    *,
    n_files: int,
) -> dict[str, tuple[Acceptance, Acceptance]]:
    """Acceptance in this run and as published, by title of the process.

    Processes of several datasets are left out: they have no number of generated events.
    """
    reference = published.load(analysis, n_files)
    weights = published.weights(analysis, n_files)
    generated = published.counts(analysis, n_files).n_generated
    panels = {}
    for process in reversed(analysis.processes):
        template = Template(region.name, process.name, NOMINAL)
        sources = analysis.sources(template)
        if len(sources) != 1 or template.name not in histograms or template.name not in reference:
            continue
        name = sources[0][0].name
        if name in closure.datasets:
            account = closure.datasets[name]
            generated_events = (
                account.n_generated if account.sum_of_weights is None else account.sum_of_weights
            )
            panels[process.title] = (
                _acceptance(histograms[template.name], account.weight * generated_events),
                _acceptance(reference[template.name], weights[name] * generated[name]),
            )
    return panels


def _acceptance(histogram: hist.Hist, generated: float) -> Acceptance:
    return Acceptance(histogram.values() / generated, np.sqrt(histogram.variances()) / generated)
