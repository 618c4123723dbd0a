"""Comparison of the histograms and the fit of a cell with those of the baseline."""

from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np

from agc_pipeline.histograms import contents
from agc_pipeline.matrix.records import Difference, Equality

_BINS_SHOWN = 5
# Of values that differ: of an uncertainty two fewer. Nineteen tell any two numbers apart.
_DIGITS = range(6, 20)


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
            differences.append(Difference(name=name, what=_bins(pairs, ~close.ravel())))
    further = sorted(ours.keys() - theirs.keys())
    return _equality("histograms", len(theirs), differences, exact=exact, further=len(further))


def _bins(pairs: Sequence[tuple[Any, Any]], differing: Any) -> str:
    """Which bins differ; 0 is the underflow.

    Args:
        pairs: contents, then variances, of both histograms.
        differing: which bins.
    """
    indices = np.flatnonzero(differing)
    flat = [(ours.ravel()[indices], theirs.ravel()[indices]) for ours, theirs in pairs]
    contents_apart, variances_apart = (_relative(ours, theirs) for ours, theirs in flat)
    texts = []
    for place, index in enumerate(indices[:_BINS_SHOWN]):
        other = int(variances_apart[place] > contents_apart[place])
        ours, theirs = ([values[place]] for values in flat[other])
        texts.append(f"bin {index}: {'variance ' if other else ''}{_apart(ours, theirs)}")
    if len(indices) > _BINS_SHOWN:
        texts.append(f"and {len(indices) - _BINS_SHOWN} more bins")
    largest = max(contents_apart.max(), variances_apart.max())
    if np.isfinite(largest):
        texts.append(f"largest relative difference {largest:.2g}")
    return "; ".join(texts)


def _relative(ours: Any, theirs: Any) -> Any:
    """Differences as a share of the baseline; infinite of NaN, and where only the baseline is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(ours == theirs, 0.0, np.abs(ours - theirs) / np.abs(theirs))
    return np.where(np.isnan(shares), np.inf, shares)


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """A value of each, or with its uncertainty, with as many digits as tell them apart."""
    texts = ["", ""]
    for digits in _DIGITS:
        texts = [
            " \u00b1 ".join(f"{value:.{digits - 2 * i}g}" for i, value in enumerate(values))
            for values in (ours, theirs)
        ]
        if texts[0] != texts[1]:
            break
    return " instead of ".join(texts)


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
            what = _apart((value, error), (bestfit, uncertainty))
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
