"""Comparison of the histograms and the fit of a cell with those of the baseline."""

from collections.abc import Mapping
from typing import Any

import hist
import numpy as np

from agc_pipeline.histograms import contents
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
        edges = [[axis.edges.tolist() for axis in each.axes] for each in (histogram, reference)]
        if edges[0] != edges[1]:
            differences.append(Difference(name=name, what="different bin edges"))
            continue
        pairs = list(zip(contents(histogram), contents(reference), strict=True))
        equal = all(np.array_equal(a, b) for a, b in pairs)
        exact &= equal
        close = np.logical_and.reduce([np.isclose(a, b, rtol=tolerance, atol=0) for a, b in pairs])
        if not equal and not close.all():
            a, b = (values.ravel() for values in pairs[0])
            differences.append(Difference(name=name, what=_bins(a, b, ~close.ravel())))
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
