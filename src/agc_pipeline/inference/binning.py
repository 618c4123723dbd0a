"""From the bins of the histograms to those of the fit."""

from typing import TYPE_CHECKING, Any, TypeAlias

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.edges import Edges, beyond, drawn, not_among, rounding

if TYPE_CHECKING:
    from cabinetry.histo import Histogram

Array: TypeAlias = npt.NDArray[Any]


def rebin(histogram: hist.Hist, edges: Edges | None, *, name: str) -> "Histogram":
    """Merge bins; those below the first and above the last edge are dropped.

    So is the flow, unless the first or last edge is infinite.

    Args:
        histogram: one-dimensional with ``Weight`` storage.
        edges: of the merged bins, which are edges of the histogram or infinite; None keeps its
            bins.
        name: of the histogram, for errors.

    Returns:
        cabinetry's histogram: contents and variances are sums over the merged bins, and edges are
        finite, see ``edges.drawn``.

    Raises:
        ModelError: if an edge is not one of the histogram, or a content is not finite.
    """
    from cabinetry.histo import Histogram

    indices, fine, flow = _kept(histogram, edges, name)
    values, variances = histogram.values(flow=flow), histogram.variances(flow=flow)
    if variances is None or not np.all(np.isfinite([values, variances])):
        raise ModelError(
            f"histogram {name} has bins without finite content and variance",
            place="histograms",
            remedy="fill it again, with sums of squared weights",
        )
    merged = [np.add.reduceat(sums[: indices[-1]], indices[:-1]) for sums in (values, variances)]
    bins: Array = fine[indices]
    if flow:
        bins = np.array(drawn(bins.tolist(), histogram.axes[0].edges.tolist()))
    return Histogram.from_arrays(bins, merged[0], np.sqrt(merged[1]))


def rebin_migration(histogram: hist.Hist, edges: Edges | None, *, name: str) -> Array:
    """The same for both axes of a histogram of the unvaried and the varied observable.

    Returns:
        Sums over the merged bins, unvaried ``bins`` by varied ``bins``.

    Raises:
        ModelError: if an edge is not one of the histogram, or a content is not finite.
    """
    indices, _, flow = _kept(histogram, edges, name)
    values = histogram.values(flow=flow)
    if not np.isfinite(values).all():
        raise ModelError(
            f"histogram {name} has bins without finite content",
            place="histograms",
            remedy="fill it again",
        )
    merged: Array = values[: indices[-1], : indices[-1]]
    for axis in (0, 1):
        merged = np.add.reduceat(merged, indices[:-1], axis=axis)
    return merged


def outside(histogram: hist.Hist, edges: Edges | None) -> str:
    """Events that are beyond the edges, for people; empty if there are none.

    Args:
        histogram: one-dimensional with ``Weight`` storage.
        edges: as for ``rebin``.
    """
    axis = histogram.axes[0]
    if not (axis.traits.underflow and axis.traits.overflow):
        return ""
    bounds = axis.edges if edges is None else edges
    lower, values = np.concatenate([[-np.inf], axis.edges]), histogram.values(flow=True)
    below, above = values[lower < bounds[0]].sum(), values[lower >= bounds[-1]].sum()
    if not (below or above):
        return ""
    return (
        f"{below + above:.6g} expected events are selected outside its edges: {below:.6g} below "
        f"{bounds[0]:g} and {above:.6g} above {bounds[-1]:g}"
    )


def _kept(histogram: hist.Hist, edges: Edges | None, name: str) -> tuple[Array, Array, bool]:
    """Positions of the edges of merged bins among those of a histogram, these, and if with flow."""
    fine = np.asarray(histogram.axes[0].edges, dtype=np.float64)
    flow = any(beyond(edges))
    if flow:
        _require_flow(histogram, name)
        fine = np.concatenate([[-np.inf], fine, [np.inf]])
    coarse = fine if edges is None else np.asarray(edges, dtype=np.float64)
    if len(coarse) < 2 or not np.all(np.diff(coarse) > 0):
        raise ModelError(
            f"the fit edges of {name} are not two or more in ascending order",
            place="fit edges of the region, or `fit.model.edges`",
            remedy="correct them",
        )
    same = fine[:, np.newaxis] == coarse
    with np.errstate(invalid="ignore"):
        distances = np.where(same, 0.0, np.abs(fine[:, np.newaxis] - coarse))
    indices = np.argmin(distances, axis=0)
    unknown = coarse[distances.min(axis=0) > rounding(fine.tolist())]
    if unknown.size:
        raise ModelError(
            f"{name}: {not_among(unknown, fine)}",
            place="fit edges of the region, or `fit.model.edges`",
            remedy="choose among the edges of the histogram",
        )
    return np.asarray(indices), fine, flow


def _require_flow(histogram: hist.Hist, name: str) -> None:
    """Check that a histogram has bins for what is beyond its edges.

    Raises:
        ModelError: if it has none.
    """
    if not all(axis.traits.underflow and axis.traits.overflow for axis in histogram.axes):
        raise ModelError(
            f"histogram {name} has no bins for what is beyond its edges",
            place="fit edges of the region, or `fit.model.edges`",
            remedy="take finite edges",
        )
