"""Section of an optimisation: in the report of a run with its bins and cuts, and a page alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agc_pipeline.declaration import Analysis, Feature, Threshold
from agc_pipeline.inference.derived_records import LimitRecord, SensitivityRecord
from agc_pipeline.inference.edges import beyond, rounding
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.optimisation_record import Candidate, OptimisationRecord
from agc_pipeline.report.figures import optimisation as figures
from agc_pipeline.report.figures.sensitivity import CHANGE, gradient_rows, gradients
from agc_pipeline.report.style import Gallery, Picture

# Templates in the map of derivatives.
_ROWS = 20
# Relative difference of a promised and an obtained uncertainty that is none.
_SAME = 1e-6


@dataclass(frozen=True)
class PromiseRow:
    """A number that was promised, and that of the run; None where it has none."""

    title: str
    promised: float | None
    obtained: float | None


@dataclass(frozen=True)
class Promise:
    """What a run has of what an optimisation promised.

    Attributes:
        candidate: whose bins and cuts the run has; the best one if it has others.
        rows: the first decides.
        differences: bins and cuts of the run that are not those of the optimisation, in words.
    """

    candidate: Candidate
    rows: tuple[PromiseRow, ...]
    differences: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the expected uncertainty is the promised one."""
        first = self.rows[0]
        if first.promised is None or first.obtained is None:
            return False
        return math.isclose(first.promised, first.obtained, rel_tol=_SAME)


@dataclass(frozen=True)
class Optimisation:
    """What the template shows.

    Attributes:
        record: of the optimisation.
        best: the candidate with the smallest expected uncertainty.
        pictures: figures.
        thresholds: that were tried, by name.
        features: of discriminants, by name; none without.
        promise: beside a run; None on a page alone.
    """

    record: OptimisationRecord
    best: Candidate
    pictures: tuple[Picture, ...]
    thresholds: dict[str, Threshold]
    features: dict[str, Feature]
    promise: Promise | None = None


def section(
    gallery: Gallery,
    analysis: Analysis,
    record: OptimisationRecord,
    promise: Promise | None = None,
) -> Optimisation:
    """The section; draws its figures.

    Args:
        gallery: where the figures go.
        analysis: the declaration.
        record: of the optimisation.
        promise: beside a run.
    """
    return Optimisation(
        record,
        record.chosen,
        tuple(_pictures(gallery, analysis, record)),
        {t.name: t for t in analysis.thresholds if t.name in record.trials},
        {
            feature.name: feature
            for feature in analysis.features
            if any(feature.name in entry.features for entry in record.candidates)
        },
        promise,
    )


def _pictures(
    gallery: Gallery, analysis: Analysis, record: OptimisationRecord
) -> Iterator[Picture]:
    candidates, best = record.candidates, record.chosen
    regions = {name: analysis.region(name) for name in candidates[0].edges}
    titles = {process.name: process.title for process in analysis.processes}
    if any(entry.losses for entry in candidates):
        yield gallery.picture(
            "optimisation_searches",
            lambda: figures.searches(record),
            caption=f"What is minimised, {figures.LOSSES[record.objective]}"
            + (" with the statistics of varied templates" if record.noise else "")
            + ", against the step of the search. Jumps are where sigmoids get steeper, starts are "
            "others, or edges and thresholds move to those of histograms.",
            alternative=f"{figures.LOSSES[record.objective]} of each method, falling with steps.",
            numbers={entry.method: entry.losses for entry in candidates},
        )
    trained = [entry for entry in candidates if entry.method == "discriminant" and entry.training]
    if trained:
        curves = trained[0].training
        yield gallery.picture(
            "optimisation_training",
            lambda: figures.training(curves, candidates[0].uncertainty),
            caption="Expected uncertainty with each tree of a discriminant, after the first ones, "
            "which are those of cross entropy: of the events for its training, with soft bins, and "
            "of the others, with hard ones, which decide after which tree to stop.",
            alternative="Expected uncertainty of the events for training and of the others, "
            "against the number of trees.",
            numbers=curves,
        )
    arrows = any(any(beyond(edges)) for entry in candidates for edges in entry.edges.values())
    yield gallery.picture(
        "optimisation_edges",
        lambda: figures.edges(candidates, regions),
        caption="Bin edges of the fit, before and after."
        + (" Arrows: the bin has all events beyond." if arrows else ""),
        alternative="Bin edges of each candidate in each region.",
        numbers={entry.method: entry.model_dump()["edges"] for entry in candidates},
    )
    yield gallery.picture(
        "optimisation_templates",
        lambda: figures.templates(candidates[0], best, regions, titles),
        caption="Expected events before and after, by the width of the bins.",
        alternative="Stacked templates with the declared and with the best bins.",
        numbers={entry.method: entry.contents for entry in (candidates[0], best)},
    )
    if rows := gradient_rows(record.gradients, _ROWS):
        bins = {analysis.region(name).title: n for name, n in best.bins.items()}
        yield gallery.picture(
            "optimisation_gradients",
            lambda: gradients(rows, bins),
            caption=f"Change of the expected uncertainty of the fit for {CHANGE:.0%} more "
            f"content in a bin of a template, with the bins and thresholds of {best.method}.",
            alternative=f"Map of derivatives; the largest effects are by {rows[0].title}.",
            numbers={
                row.title: {name: values.tolist() for name, values in row.effects.items()}
                for row in rows
            },
        )


def promise(
    analysis: Analysis,
    record: OptimisationRecord,
    fit: FitRecord,
    sensitivity: SensitivityRecord,
    limit: LimitRecord,
    *,
    selection: Mapping[str, Any],
) -> Promise:
    """What a run has of what an optimisation promised.

    Args:
        analysis: the declaration.
        record: of the optimisation.
        fit: of the run.
        sensitivity: likewise.
        limit: likewise.
        selection: ``physics.selection`` of the run.
    """
    others = {
        entry.method: tuple(_differences(analysis, entry, fit, selection))
        for entry in (record.chosen, *record.candidates)
    }
    method = next((name for name, differences in others.items() if not differences), record.best)
    best = next(entry for entry in record.candidates if entry.method == method)
    promised, spending = record.fits[method], sensitivity.spending
    rows = [
        PromiseRow(
            "Expected uncertainty of the fit",
            promised.uncertainty,
            sensitivity.values.get("uncertainty"),
        ),
        PromiseRow(
            "Expected by the statistics of varied templates",
            best.templates,
            None if spending is None else spending.templates,
        ),
        PromiseRow(
            "Expected of both", best.uncertainty, None if spending is None else spending.uncertainty
        ),
    ]
    if promised.significance is not None:
        # What is expected for other data depends on the parameters that were fitted.
        title = "Expected significance"
        if fit.data != "asimov":
            title += ", obtained with the parameters that fit the data"
        rows.append(PromiseRow(title, promised.significance, limit.expected_significance))
    if fit.poi is not None:
        rows.append(PromiseRow("Uncertainty of the fit of the data", None, fit.poi.uncertainty))
    return Promise(best, tuple(rows), others[method])


def _differences(
    analysis: Analysis, best: Candidate, fit: FitRecord, selection: Mapping[str, Any]
) -> Iterator[str]:
    channels = {channel.region: channel for channel in fit.channels.values()}
    for name, edges in best.edges.items():
        if name not in channels:
            yield f"the region {name} is not in the fit"
        elif not _same(edges, [channels[name].bins[0][0], *(b for _, b in channels[name].bins)]):
            yield f"other bins in {name}"
    for threshold in analysis.thresholds:
        wished = best.thresholds.get(threshold.name)
        if wished is not None and not math.isclose(threshold.of(selection), wished):
            own = threshold.of(selection)
            yield f"{threshold.stated(own)} in place of {wished:g}"


def _same(edges: Sequence[float], others: Sequence[float]) -> bool:
    rounded = rounding(others)
    return len(edges) == len(others) and all(
        a == b or abs(a - b) <= rounded for a, b in zip(edges, others, strict=True)
    )
