"""Content of the page of an optimisation."""

from pathlib import Path
from typing import Any

from agc_pipeline.declaration import Analysis
from agc_pipeline.inference.optimisation_record import OptimisationRecord
from agc_pipeline.inference.template_gradients import TemplateGradients
from agc_pipeline.report.figures import optimisation as figures
from agc_pipeline.report.figures.sensitivity import CHANGE, gradient_rows, gradients
from agc_pipeline.report.style import Gallery

# Templates in the map of derivatives.
_ROWS = 20


def values(
    record: OptimisationRecord,
    derivatives: TemplateGradients,
    analysis: Analysis,
    verdict: str,
    folder: Path,
) -> dict[str, Any]:
    """Values of the template; draws the figures.

    Args:
        record: of the optimisation.
        derivatives: of the expected uncertainty with the best bins and thresholds.
        analysis: the declaration.
        verdict: in one sentence.
        folder: of the figures.
    """
    gallery = Gallery(folder, partial=False)
    candidates = record.candidates
    best = next(entry for entry in candidates if entry.method == record.best)
    regions = {name: analysis.region(name).label for name in candidates[0].edges}
    titles = {process.name: process.title for process in analysis.processes}
    pictures = [
        gallery.picture(
            "searches",
            lambda: figures.searches(candidates),
            caption="Expected uncertainty against the step of the search. Jumps are where sigmoids "
            "get steeper, starts are others, or edges and thresholds move to those of histograms.",
            alternative="Expected uncertainty of each method, falling with the steps.",
            numbers={entry.method: entry.losses for entry in candidates},
        ),
        gallery.picture(
            "edges",
            lambda: figures.edges([e for e in candidates if not e.features], regions),
            caption="Bin edges of the fit, before and after.",
            alternative="Bin edges of each candidate in each region.",
            numbers={entry.method: entry.edges for entry in candidates},
        ),
        gallery.picture(
            "templates",
            lambda: figures.templates(candidates[0], best, regions, titles),
            caption="Expected events before and after, by the width of the bins.",
            alternative="Stacked templates with the declared and with the best bins.",
            numbers={entry.method: entry.contents for entry in (candidates[0], best)},
        ),
    ]
    if rows := gradient_rows(derivatives, _ROWS):
        bins = {analysis.region(name).title: n for name, n in best.bins.items()}
        pictures.append(
            gallery.picture(
                "gradients",
                lambda: gradients(rows, bins),
                caption=f"Change of the expected uncertainty of the fit for {CHANGE:.0%} more "
                f"content in a bin of a template, with the bins and thresholds of {best.method}.",
                alternative=f"Map of derivatives; the largest effects are by {rows[0].title}.",
                numbers={
                    row.title: {name: values.tolist() for name, values in row.effects.items()}
                    for row in rows
                },
            )
        )
    return {
        "title": "Optimisation",
        "subtitle": f"{analysis.name}: bins and thresholds by the expected uncertainty",
        "partial": False,
        "left_out": (),
        "record": record,
        "verdict": verdict,
        "pictures": pictures,
        "run": {name: tried[0] for name, tried in record.trials.items()},
        "thresholds": {entry.name: entry for entry in analysis.thresholds},
    }
