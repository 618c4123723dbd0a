"""Regions and bin edges of the fit."""

import math
from collections.abc import Iterable, Iterator, Mapping

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.settings import unknown

Edges = tuple[float, ...]


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
        others = [edge for edge in values if not _among(edge, regions[name].edges)]
        if others:
            yield f"`fit.model.edges.{name}`: {not_among(others, regions[name].edges)}"


def not_among(others: Iterable[float], edges: Iterable[float]) -> str:
    """The edges that are not among others, as a message."""
    return (
        f"{', '.join(f'{edge:g}' for edge in others)} is not among the bin edges "
        f"{', '.join(f'{edge:g}' for edge in edges)}"
    )


def _among(value: float, edges: Iterable[float]) -> bool:
    return any(math.isclose(value, edge, rel_tol=1e-5, abs_tol=1e-8) for edge in edges)
