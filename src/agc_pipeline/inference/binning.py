"""From the bins of the histograms to those of the fit."""

from typing import TYPE_CHECKING, Any, TypeAlias

import hist
import numpy as np
import numpy.typing as npt

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.edges import Edges, not_among

if TYPE_CHECKING:
    from cabinetry.histo import Histogram

Array: TypeAlias = npt.NDArray[Any]


def rebin(histogram: hist.Hist, edges: Edges | None, *, name: str) -> "Histogram":
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
    from cabinetry.histo import Histogram

    indices = _kept(histogram, edges, name)
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
    fine = np.asarray(histogram.axes[0].edges, dtype=np.float64)
    return Histogram.from_arrays(fine[indices], merged[0], np.sqrt(merged[1]))


def rebin_migration(histogram: hist.Hist, edges: Edges | None, *, name: str) -> Array:
    """The same for both axes of a histogram of the unvaried and the varied observable.

    Returns:
        Sums over the merged bins, unvaried ``bins`` by varied ``bins``.

    Raises:
        ModelError: if an edge is not one of the histogram, or a content is not finite.
    """
    indices = _kept(histogram, edges, name)
    values = histogram.values()
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


def _kept(histogram: hist.Hist, edges: Edges | None, name: str) -> Array:
    """Positions of the edges of merged bins among those of a histogram."""
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
            f"{name}: {not_among(unknown, fine)}",
            place="fit edges of the region, or `fit.model.edges`",
            remedy="choose among the edges of the histogram",
        )
    return np.asarray(indices)
