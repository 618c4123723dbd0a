"""From relative-weight histograms of each dataset to the normalised templates."""

from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np

from agc_pipeline import histograms
from agc_pipeline.analyses.base import Analysis, Region, Template
from agc_pipeline.columnar.batch import Batch
from agc_pipeline.errors import ClosureError


def event_weight(batch: Batch, xsec_pb: float, luminosity_per_pb: float) -> float:
    """Weight of one event: cross section times luminosity over generated events.

    Only complete files count, so that a partial result is renormalised.

    Raises:
        ClosureError: if the files stand for no generated events.
    """
    generated = sum(file.generated for file in batch.files if file.closed)
    if generated == 0:
        raise ClosureError(
            "the files stand for 0 generated events",
            place=f"dataset {batch.dataset}",
            remedy="correct `n_events` of its files",
        )
    return xsec_pb * luminosity_per_pb / generated


def models(batches: Sequence[Batch]) -> str | None:
    """Digest of the models that assigned the jets; None if they were not assigned.

    Raises:
        ClosureError: if they are not the same in all datasets.
    """
    found = {batch.dataset: batch.models for batch in batches}
    different = set(found.values())
    if len(different) > 1:
        told = "; ".join(f"{name}: {digest or 'none'}" for name, digest in found.items())
        raise ClosureError(
            "the datasets were not histogrammed with the same models",
            place=told,
            remedy="delete the histograms of the others and run again",
        )
    return different.pop() if different else None


def templates(
    analysis: Analysis, batches: Mapping[str, tuple[Batch, float]]
) -> dict[str, hist.Hist]:
    """All templates that the datasets give, normalised, and the pseudodata if all of its parts are.

    Args:
        analysis: its regions, variations and recipe of the pseudodata.
        batches: dataset name to the histograms and the weight of one event.

    Returns:
        Name to a histogram of the observable with ``Weight`` storage.
    """
    made = {}
    for region in analysis.regions:
        filled = {
            (batch.process, batch.variation): _rows(batch, region.name, weight)
            for batch, weight in batches.values()
        }
        for (process, _), rows in filled.items():
            for variation, (contents, variances) in rows.items():
                name = Template(region.name, process, variation).name
                made[name] = _histogram(region, contents, variances)
        if all(dataset in filled for dataset in analysis.pseudodata):
            parts = [
                (share, *filled[dataset][dataset[1]])
                for dataset, share in analysis.pseudodata.items()
            ]
            made[analysis.pseudodata_name(region.name)] = _histogram(
                region,
                np.sum([share * contents for share, contents, _ in parts], axis=0),
                np.sum([share**2 * variances for share, _, variances in parts], axis=0),
            )
    return made


def _rows(batch: Batch, region: str, weight: float) -> dict[str, tuple[Any, Any]]:
    """Normalised contents and variances with flow, for each variation."""
    histogram = histograms.from_json(batch.histograms[region])
    view = histogram.view(flow=True)
    return {
        variation: (view["value"][row] * weight, view["variance"][row] * weight**2)
        for row, variation in enumerate(histogram.axes["variation"])
    }


def _histogram(region: Region, contents: Any, variances: Any) -> hist.Hist:
    axis = hist.axis.Variable(region.edges, name=region.observable, label=region.label)
    histogram = hist.Hist(axis, storage=hist.storage.Weight())
    view = histogram.view(flow=True)
    view["value"] = contents
    view["variance"] = variances
    return histogram
