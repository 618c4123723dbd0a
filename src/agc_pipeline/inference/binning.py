"""From the bins of the histograms to those of the fit."""

import hist
import numpy as np
from cabinetry.histo import Histogram

from agc_pipeline.errors import ModelError
from agc_pipeline.inference.settings import Rebinning


def rebin(histogram: hist.Hist, rebinning: Rebinning | None, *, name: str) -> Histogram:
    """Drop the bins below the lowest edge, the under- and the overflow, and merge the rest.

    Args:
        histogram: one-dimensional with ``Weight`` storage.
        rebinning: lowest edge and number of bins to merge; None keeps the bins.
        name: of the histogram, for errors.

    Returns:
        cabinetry's histogram: contents and variances are sums over the merged bins.

    Raises:
        ModelError: if an edge is not on a boundary of bins, or a content is not finite.
    """
    edges = histogram.axes[0].edges
    rebinning = rebinning or Rebinning(lowest_edge=edges[0], merge=1)
    first = int(np.argmin(np.abs(edges - rebinning.lowest_edge)))
    if not np.isclose(edges[first], rebinning.lowest_edge):
        raise ModelError(
            f"lowest edge {rebinning.lowest_edge:g} is between the bin edges of {name}",
            place="fit.model.rebinning.lowest_edge",
            remedy=f"choose one of {', '.join(f'{edge:g}' for edge in edges[:-1])}",
        )
    n_bins = len(edges) - 1 - first
    if n_bins == 0 or n_bins % rebinning.merge:
        raise ModelError(
            f"the {n_bins} bins of {name} from {edges[first]:g} to {edges[-1]:g} cannot be merged "
            f"by {rebinning.merge}",
            place="fit.model.rebinning",
            remedy="choose `merge` and `lowest_edge` such that no bin is left over",
        )
    variances = histogram.variances()
    if variances is None or not np.all(np.isfinite([histogram.values(), variances])):
        raise ModelError(
            f"histogram {name} has bins without finite content and variance",
            place="histograms",
            remedy="fill it again, with sums of squared weights",
        )
    merged = [
        sums[first:].reshape(-1, rebinning.merge).sum(axis=1)
        for sums in (histogram.values(), variances)
    ]
    return Histogram.from_arrays(edges[first :: rebinning.merge], merged[0], np.sqrt(merged[1]))
