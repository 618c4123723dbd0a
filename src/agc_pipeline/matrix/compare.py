"""Comparison of the histograms and the fit of a cell with those of the baseline."""

from collections.abc import Mapping
from typing import Any

import hist
import numpy as np

from agc_pipeline.matrix.records import Difference, Equality

_BINS_SHOWN = 5


def histograms(
    ours: Mapping[str, hist.Hist], theirs: Mapping[str, hist.Hist], *, tolerance: float
) -> Equality:
    """Compare bin by bin, with under- and overflow; further histograms of the cell are ignored.

    Args:
        ours: of the cell.
        theirs: of the baseline.
        tolerance: relative difference of contents or variances that counts as rounding.
    """
    exact = True
    differences = []
    for name, reference in theirs.items():
        if name not in ours:
            differences.append(Difference(name=name, what="missing"))
            continue
        histogram = ours[name]
        if not np.array_equal(histogram.axes[0].edges, reference.axes[0].edges):
            differences.append(Difference(name=name, what="different bin edges"))
            continue
        a, b = histogram.view(flow=True), reference.view(flow=True)
        equal = np.array_equal(a.value, b.value) and np.array_equal(a.variance, b.variance)
        exact &= equal
        close = np.isclose(a.value, b.value, rtol=tolerance, atol=0)
        close &= np.isclose(a.variance, b.variance, rtol=tolerance, atol=0)
        if not equal and not close.all():
            differences.append(Difference(name=name, what=_bins(a.value, b.value, ~close)))
    further = sorted(ours.keys() - theirs.keys())
    return _equality("histograms", len(theirs), differences, exact=exact, further=len(further))


def _bins(ours: Any, theirs: Any, differing: Any) -> str:
    """Which bins differ; 0 is the underflow."""
    indices = np.flatnonzero(differing)
    texts = [
        f"bin {index}: {ours[index]:.6g} instead of {theirs[index]:.6g}"
        for index in indices[:_BINS_SHOWN]
    ]
    if len(indices) > _BINS_SHOWN:
        texts.append(f"and {len(indices) - _BINS_SHOWN} more bins")
    return "; ".join(texts)


def fit(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, tolerance: float) -> Equality:
    """Compare parameters and their uncertainties.

    Args:
        ours: content of ``fit.json`` of the cell.
        theirs: of the baseline.
        tolerance: difference relative to the baseline's uncertainty that counts as rounding.
    """
    values, references = _parameters(ours), _parameters(theirs)
    exact = values == references
    differences = []
    for name, (bestfit, uncertainty) in references.items():
        if name not in values:
            differences.append(Difference(name=name, what="missing"))
            continue
        value, error = values[name]
        allowed = tolerance * (uncertainty or 1.0)
        shifts = (abs(value - bestfit), abs(error - uncertainty))
        # NaN does not agree.
        if not all(shift <= allowed for shift in shifts):
            what = (
                f"{value:.6g} \u00b1 {error:.4g} instead of {bestfit:.6g} \u00b1 {uncertainty:.4g}"
            )
            differences.append(Difference(name=name, what=what))
    further = len(values.keys() - references.keys())
    return _equality("parameters", len(references), differences, exact=exact, further=further)


def _parameters(content: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    columns = zip(content["bestfit"], content["uncertainty"], strict=True)
    return dict(zip(content["labels"], columns, strict=True))


def _equality(
    what: str, total: int, differences: list[Difference], *, exact: bool, further: int
) -> Equality:
    more = f"; {further} further ones" if further else ""
    if differences:
        summary = f"{len(differences)} of {total} {what} differ{more}"
        return Equality(grade="different", summary=summary, differences=tuple(differences))
    if exact:
        return Equality(grade="bit", summary=f"all {total} {what} equal to the bit{more}")
    return Equality(grade="tolerance", summary=f"all {total} {what} within the tolerance{more}")
