"""From the bins of the histograms to those of the fit."""

import hist
import numpy as np
from cabinetry.histo import Histogram

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.edges import Edges, not_among


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
            f"{name}: {not_among(unknown, fine)}",
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
