"""From the bins of the histograms to those of the fit."""

from collections.abc import Iterator, Mapping

import hist
import numpy as np
from cabinetry.histo import Histogram

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.errors import ModelError

Edges = tuple[float, ...]


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
    for name, values in edges.items():
        if name not in regions:
            yield (
                f"`fit.model.edges` names the unknown region {name}; the regions are "
                f"{', '.join(regions)}"
            )
            continue
        if len(values) < 2 or list(values) != sorted(set(values)):
            yield f"`fit.model.edges.{name}` needs two or more edges in ascending order"
        unknown = [edge for edge in values if not np.isclose(edge, regions[name].edges).any()]
        if unknown:
            yield f"`fit.model.edges.{name}`: {_not_among(unknown, regions[name].edges)}"


def rebin(histogram: hist.Hist, edges: Edges | None, *, name: str) -> Histogram:
    """Merge bins; those below the first and above the last edge are dropped, and so is the flow.

    Args:
        histogram: one-dimensional with ``Weight`` storage.
        edges: of the merged bins, which are edges of the histogram; None keeps its bins.
        name: of the histogram, for errors.

    Returns:
        cabinetry's histogram: contents and variances are sums over the merged bins.

    Raises:
        ModelError: if an edge is not one of the histogram, or a content is not finite.
    """
    fine = np.asarray(histogram.axes[0].edges, dtype=np.float64)
    coarse = fine if edges is None else np.asarray(edges, dtype=np.float64)
    if len(coarse) < 2 or not np.all(np.diff(coarse) > 0):
        raise ModelError(
            f"the fit edges of {name} are not two or more in ascending order",
            place="fit edges of the region, or `fit.model.edges`",
            remedy="correct them",
        )
    indices = np.argmin(np.abs(fine[:, np.newaxis] - coarse), axis=0)
    unknown = coarse[~np.isclose(fine[indices], coarse)]
    if unknown.size:
        raise ModelError(
            f"{name}: {_not_among(unknown, fine)}",
            place="fit edges of the region, or `fit.model.edges`",
            remedy="choose among the edges of the histogram",
        )
    variances = histogram.variances()
    if variances is None or not np.all(np.isfinite([histogram.values(), variances])):
        raise ModelError(
            f"histogram {name} has bins without finite content and variance",
            place="histograms",
            remedy="fill it again, with sums of squared weights",
        )
    merged = [
        np.add.reduceat(sums[: indices[-1]], indices[:-1])
        for sums in (histogram.values(), variances)
    ]
    return Histogram.from_arrays(fine[indices], merged[0], np.sqrt(merged[1]))


def _not_among(unknown: Iterator[float] | np.ndarray | list[float], edges: object) -> str:
    """The edges that are not among others, as a message."""
    return (
        f"{', '.join(f'{edge:g}' for edge in unknown)} is not among the bin edges "
        f"{', '.join(f'{edge:g}' for edge in np.asarray(edges))}"
    )
