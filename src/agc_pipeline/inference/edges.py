"""Regions and bin edges of the fit.

A first edge of minus infinity takes in what is below the histogram (underflow), a last one of
infinity what is above it (overflow).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, AllowInfNan, PlainSerializer

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.settings import unknown

Edges = tuple[float, ...]
# Of the histogram, which a bin beyond it is drawn as at most.
_WIDEST = 0.1
# Of the narrowest bin: edges with a few digits are meant to be those of the histogram.
_ROUNDED = 1e-3


def _number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("an edge is a number, or .inf for what is beyond the histogram")
    return value


def _stated(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


# As part of settings and records. JSON has no infinite numbers: there they are "inf" and "-inf".
Edge = Annotated[
    float,
    AllowInfNan(True),
    AfterValidator(_number),
    PlainSerializer(_stated, return_type=float | str),
]


def rounding(edges: Sequence[float]) -> float:
    """By how much an edge may be rounded where it is written: a part of the narrowest bin."""
    finite = [float(edge) for edge in edges if math.isfinite(edge)]
    return _ROUNDED * min((b - a for a, b in pairwise(finite)), default=0.0)


def fitted_regions(analysis: Analysis) -> dict[str, Region]:
    """The regions of the fit by name, in the order of the declaration."""
    return {region.name: region for region in analysis.regions if region.fitted}


def fit_edges(region: Region, edges: Mapping[str, Edges]) -> Edges | None:
    """Bin edges of the fit in a region; None keeps the bins of the histograms.

    Args:
        region: with edges of its own, or None.
        edges: of the configuration, by name of the region; they replace those of the region.
    """
    return edges.get(region.name, region.fit_edges)


def beyond(edges: Sequence[float] | None) -> tuple[bool, bool]:
    """Whether the first bin takes in what is below the histogram, and the last what is above."""
    if not edges:
        return False, False
    return edges[0] == -math.inf, edges[-1] == math.inf


def drawn(edges: Sequence[float], fine: Sequence[float]) -> Edges:
    """Finite edges for axes and figures.

    What is below or above the histogram is in the bin beside it; where it has a bin of its own,
    that is drawn as wide as its neighbour, and not wider than a tenth of the histogram.

    Args:
        edges: of the fit.
        fine: of the histogram.
    """
    inner = [float(edge) for edge in edges if math.isfinite(edge)] or [float(fine[0])]
    result = [float(edge) for edge in edges]
    low, high = beyond(edges)
    most = (fine[-1] - fine[0]) * _WIDEST
    widths = [min(b - a, most) for a, b in pairwise(inner)]
    if low:
        own = abs(inner[0] - fine[0]) <= rounding(fine)
        width = widths[0] if widths else fine[1] - fine[0]
        result[0] = inner[0] - width if own and len(edges) > 2 else float(fine[0])
    if high:
        own = abs(inner[-1] - fine[-1]) <= rounding(fine)
        width = widths[-1] if widths else fine[-1] - fine[-2]
        result[-1] = inner[-1] + width if own and len(edges) > 2 else float(fine[-1])
    return tuple(result)


def edge_problems(analysis: Analysis, edges: Mapping[str, Edges]) -> Iterator[str]:
    """What is wrong with the fit edges of the configuration, which can be told without histograms.

    Args:
        analysis: the declaration.
        edges: by name of the region.
    """
    regions = {region.name: region for region in analysis.with_learned().regions}
    if problem := unknown("region", edges, regions, "fit.model.edges"):
        yield problem
    for name, values in edges.items():
        if name not in regions:
            continue
        if len(values) < 2 or list(values) != sorted(set(values)):
            yield f"`fit.model.edges.{name}` needs two or more edges in ascending order"
        others = [e for e in values if math.isfinite(e) and not _among(e, regions[name].edges)]
        if others:
            yield f"`fit.model.edges.{name}`: {not_among(others, regions[name].edges)}"


def infinite_problems(analysis: Analysis, edges: Mapping[str, Edges]) -> Iterator[str]:
    """Fit edges that need events beyond the histograms, where there are none.

    Args:
        analysis: the declaration.
        edges: by name of the region, in place of the declared ones.
    """
    for name, region in fitted_regions(analysis).items():
        if any(beyond(fit_edges(region, edges))):
            low, high = region.edges[0], region.edges[-1]
            yield (
                f"the fit edges of {name} are infinite, and what is published has no events beyond "
                f"{low:g} to {high:g}"
            )


def not_among(others: Iterable[float], edges: Iterable[float]) -> str:
    """The edges that are not among others, as a message."""
    return (
        f"{', '.join(f'{edge:g}' for edge in others)} is not among the bin edges "
        f"{', '.join(f'{edge:g}' for edge in edges)}"
    )


def _among(value: float, edges: Sequence[float]) -> bool:
    rounded = rounding(edges)
    return any(abs(value - edge) <= rounded for edge in edges)
