"""Summary of all comparisons: pseudodata and the overall verdict."""

from collections.abc import Mapping

import hist
import numpy as np

from agc_pipeline.declaration import NOMINAL, Analysis, Template
from agc_pipeline.validation.compare import Agreement, Comparison
from agc_pipeline.validation.published import pseudodata_templates
from agc_pipeline.validation.results import TemplateResult, Verdict

# Pseudodata are sums of other histograms, to rounding.
_SUM_PRECISION = 1e-9


def pseudodata_results(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    results: Mapping[Template, Comparison],
) -> list[TemplateResult]:
    """Comparison of pseudodata: they must be the sum of their parts, the worst of which counts."""
    order = list(Agreement)
    comparisons = []
    for region in analysis.regions:
        name = analysis.pseudodata_name(region.name)
        parts = pseudodata_templates(analysis, region.name)
        if name not in histograms or not results.keys() >= parts.keys():
            continue
        contents = histograms[name].values(flow=True)
        expected = sum(
            share * histograms[part.name].values(flow=True) for part, share in parts.items()
        )
        if np.allclose(contents, expected, rtol=_SUM_PRECISION, atol=0):
            agreement = max((results[part].agreement for part in parts), key=order.index)
            reason = "the sum of its parts, as good as the worst of them"
        else:
            agreement = Agreement.DISAGREEMENT
            reason = "not the sum of its parts"
        comparisons.append(
            TemplateResult(
                name=name,
                region=region.name,
                process="pseudodata",
                variation=NOMINAL,
                comparison=Comparison(
                    agreement=agreement,
                    reason=reason,
                    entries=None,
                    published_entries=None,
                    acceptance_ratio=None,
                    acceptance_uncertainty=None,
                ),
            )
        )
    return comparisons


def overall_verdict(counts: Mapping[Agreement, int]) -> tuple[Verdict, str]:
    """The verdict, and a sentence with its reason.

    Args:
        counts: number of histograms with each level of agreement.
    """
    total = sum(counts.values())
    if counts[Agreement.DISAGREEMENT]:
        return "disagrees", (
            f"{counts[Agreement.DISAGREEMENT]} of {total} histograms disagree with the published "
            "ones."
        )
    if counts[Agreement.TOO_FEW] == total:
        return "inconclusive", f"None of {total} histograms has enough entries to be compared."
    if counts[Agreement.EXACT] == total:
        return "agrees", f"All {total} histograms have the published entries in every bin."
    phrases = {
        Agreement.EXACT: "have the published entries in every bin",
        Agreement.MIGRATION: "differ by single events at bin edges or cuts",
        Agreement.STATISTICAL: "agree within statistical uncertainties",
        Agreement.SIMILAR: "agree within the tolerances",
        Agreement.TOO_FEW: "have too few entries to be compared",
    }
    parts = [
        f"{counts[agreement]} {text}" for agreement, text in phrases.items() if counts[agreement]
    ]
    return "agrees", f"None of {total} histograms disagrees: {', '.join(parts)}."
