"""All histograms of a run against the published ones."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import hist
import numpy as np

from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import NOMINAL, Analysis, Template
from agc_pipeline.errors import InputError
from agc_pipeline.validation import compare, published
from agc_pipeline.validation.compare import Agreement, Comparison, Side
from agc_pipeline.validation.mode import find_mode
from agc_pipeline.validation.results import Mode, TemplateResult, ValidationResult
from agc_pipeline.validation.settings import ValidationSettings
from agc_pipeline.validation.summary import judge, pseudodata


def validate(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    closure: Closure,
    settings: ValidationSettings,
    made_by: Mapping[str, Any],
) -> ValidationResult:
    """Compare every histogram of the datasets that the run has.

    Args:
        analysis: the declaration.
        histograms: content of ``histograms.root``.
        closure: accounts of the run.
        settings: tolerances.
        made_by: provenance to keep in the result.

    Raises:
        InputError: if a histogram is missing or has other bins than published.
    """
    chosen = find_mode(analysis, closure)
    reference = published.load(analysis, chosen.n_files)
    results = {}
    for template in analysis.templates():
        dataset = published.dataset_of(analysis, template)
        if dataset in closure.datasets:
            _check_bins(template.name, histograms, reference)
            entry = closure.datasets[dataset]
            results[template] = _compare(
                chosen,
                ours=_side(histograms[template.name], entry.weight, entry.n_generated),
                theirs=_side(
                    reference[template.name],
                    published.weights(analysis, chosen.n_files)[dataset],
                    published.read(analysis, chosen.n_files).n_generated[dataset],
                ),
                random=published.read(analysis, chosen.n_files).histograms[template.name].random,
                settings=settings,
            )
    templates = [
        TemplateResult(
            name=template.name,
            region=template.region,
            process=template.process,
            shift=_shift(analysis, template),
            comparison=comparison,
        )
        for template, comparison in results.items()
    ]
    templates += pseudodata(analysis, histograms, results)
    counts = Counter(result.comparison.agreement for result in templates)
    verdict, summary = judge(counts)
    return ValidationResult(
        verdict=verdict,
        summary=summary,
        mode=chosen,
        partial=closure.partial,
        counts={agreement: counts[agreement] for agreement in Agreement},
        templates=tuple(templates),
        not_compared=tuple(
            name
            for name in published.weights(analysis, chosen.n_files)
            if name not in closure.datasets
        ),
        provenance=dict(made_by),
    )


def _compare(
    chosen: Mode,
    *,
    ours: Side,
    theirs: Side,
    random: bool,
    settings: ValidationSettings,
) -> Comparison:
    if chosen.same_events:
        return compare.same_events(
            ours,
            theirs,
            random=random,
            tolerances=settings.same_events,
            p_value_min=settings.p_value_min,
        )
    return compare.other_events(
        ours, theirs, tolerances=settings.other_events, p_value_min=settings.p_value_min
    )


def _side(histogram: hist.Hist, weight: float, n_generated: float) -> Side:
    return Side(
        contents=histogram.values(flow=True) / weight,
        variances=histogram.variances(flow=True) / weight**2,
        n_generated=n_generated,
    )


def _check_bins(
    name: str, histograms: Mapping[str, hist.Hist], reference: Mapping[str, hist.Hist]
) -> None:
    if name not in histograms:
        raise InputError(
            f"no histogram {name!r}, although its dataset was processed",
            place="histograms.root",
            remedy="delete the file and run again",
        )
    ours, theirs = (source[name].axes[0].edges for source in (histograms, reference))
    if not np.array_equal(ours, theirs):
        raise InputError(
            f"histogram {name!r} has {len(ours) - 1} bins from {ours[0]:g} to {ours[-1]:g}, "
            f"published are {len(theirs) - 1} from {theirs[0]:g} to {theirs[-1]:g}",
            place="histograms.root",
            remedy="delete the file and run again",
        )


def _shift(analysis: Analysis, template: Template) -> str:
    """Which variation a template is, in words."""
    for systematic in analysis.systematics:
        if template.process not in systematic.processes:
            continue
        up, down = systematic.up, systematic.down
        if up is not None and template.variation == up.name:
            return f"{systematic.name}, up" if down else systematic.name
        if down is not None and template.variation == down.name:
            return f"{systematic.name}, down"
    return NOMINAL
