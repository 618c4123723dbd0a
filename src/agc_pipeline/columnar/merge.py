"""From relative-weight histograms of each dataset to the normalised templates."""

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import hist
import numpy as np

from agc_pipeline.columnar.batch import Batch
from agc_pipeline.columnar.processing import DATA
from agc_pipeline.declaration import ALL_EVENTS, NOMINAL, Analysis, Region, Template
from agc_pipeline.errors import ClosureError

# Files state sums in single precision, and tables with fewer digits.
_SUM_PRECISION = 1e-5


def event_weight(
    batch: Batch,
    xsec_pb: float | None,
    luminosity_per_pb: float,
    sum_of_weights: float | None = None,
) -> float:
    """Factor on the relative weights: cross section times luminosity over generated events.

    Generated events count with their weights where these are known. Only complete files count, so
    that a partial result is renormalised.

    Args:
        batch: all files of a dataset.
        xsec_pb: cross section; None for collision data, which count as they are.
        luminosity_per_pb: of the data.
        sum_of_weights: of generated events; None is what the files state.

    Raises:
        ClosureError: if the files stand for no generated events.
    """
    if xsec_pb is None:
        return 1.0
    closed = [file for file in batch.files if file.closed]
    weighted = [file.sum_of_weights for file in closed if file.sum_of_weights is not None]
    if weighted and len(weighted) != len(closed):
        raise ClosureError(
            "some files have a sum of generator weights, and some have none",
            place=f"dataset {batch.dataset}",
            remedy="deliver all files of the dataset again",
        )
    if sum_of_weights is None:
        generated = math.fsum(weighted) if weighted else sum(file.generated for file in closed)
    else:
        generated = sum_of_weights
    if generated <= 0:
        raise ClosureError(
            f"the files stand for {generated:g} generated events",
            place=f"dataset {batch.dataset}",
            remedy="correct `n_events` or the sum of weights of its files",
        )
    return xsec_pb * luminosity_per_pb / generated


def check_sums(analysis: Analysis, batch: Batch, *, blinded: bool = False) -> None:
    """Compare the contents of all bins of a region with the events that were selected there.

    Only where every event counts as 1 and is of one process: elsewhere they are not the same.

    Args:
        analysis: its regions.
        batch: all files of a dataset.
        blinded: whether data in blinded windows are left out.

    Raises:
        ClosureError: naming the region and both numbers.
    """
    dataset = analysis.dataset(batch.dataset)
    parted = any(entry.mask is not None or entry.weight is not None for entry in dataset.filled)
    if dataset.kind == "simulation" and (parted or analysis.weight is not None):
        return
    for process, regions in batch.contents("histograms").items():
        for region in analysis.regions:
            hidden = blinded and dataset.kind == "data" and region.blinded is not None
            if hidden or region.name not in regions or region.name not in batch.cutflow:
                continue
            (contents, variances) = _rows(regions[region.name], 1.0)[dataset.variation]
            selected = batch.cutflow[region.name]
            if not contents.sum() == variances.sum() == selected:
                raise ClosureError(
                    f"the histogram of {process} in {region.name} has {contents.sum():.17g} events "
                    f"(squared weights {variances.sum():.17g}), and {selected} were selected",
                    place=f"dataset {batch.dataset}",
                    remedy="delete its folder in `histograms/` of the results and run again",
                )


def shown_cutflow(analysis: Analysis, batch: Batch) -> dict[str, int]:
    """The cutflow of blinded data: events of the files, and of regions outside of their windows.

    Args:
        analysis: its regions.
        batch: all files of a dataset of data.
    """
    shown = {ALL_EVENTS, *(region.name for region in analysis.regions)}
    return {cut: number for cut, number in batch.cutflow.items() if cut in shown}


def check_sum_of_weights(batch: Batch, expected: float) -> None:
    """Compare the sum of generator weights of all files of a dataset with the configured one.

    Args:
        batch: all files of a dataset.
        expected: sum of weights.

    Raises:
        ClosureError: if it is another one, or if the files state none.
    """
    weighted = [file.sum_of_weights for file in batch.files if file.sum_of_weights is not None]
    total = math.fsum(weighted) if weighted else None
    if total is None or not math.isclose(total, expected, rel_tol=_SUM_PRECISION):
        stated = "no sum of generator weights" if total is None else f"{total:.8g}"
        raise ClosureError(
            f"the files state {stated}, and `physics.sums_of_weights` has {expected:.8g}",
            place=f"dataset {batch.dataset}",
            remedy="list all files of the dataset and no others, or correct "
            "`physics.sums_of_weights`",
        )


def models(batches: Sequence[Batch]) -> str | None:
    """Digest of the models of learned observables; None if there are none.

    Raises:
        ClosureError: if they are not the same in all datasets.
    """
    digests = {batch.dataset: batch.models for batch in batches}
    different = set(digests.values())
    if len(different) > 1:
        raise ClosureError(
            "the datasets were not histogrammed with the same models",
            place="; ".join(f"{name}: {digest or 'none'}" for name, digest in digests.items()),
            remedy="delete the histograms of the others and run again",
        )
    return different.pop() if different else None


Rows = tuple[Any, Any]


def templates(
    analysis: Analysis, batches: Mapping[str, tuple[Batch, float]], *, blinded: bool = False
) -> dict[str, hist.Hist]:
    """All templates that the datasets give, normalised, with data and pseudodata.

    A template is there if all datasets are of which it is the sum, and so are data and pseudodata;
    of variations that redo the selection, also what has moved from which bin to which.

    Args:
        analysis: its regions, variations and recipe of the pseudodata.
        batches: dataset name to the histograms and the factor on relative weights.
        blinded: put the expectation in place of the data in blinded windows.

    Returns:
        Name to a histogram of the observable with ``Weight`` storage; of what has moved, to one of
        the unvaried and the varied observable, which has products of weights.
    """
    rows = {
        (name, process, region, variation): contents
        for name, (batch, weight) in batches.items()
        for process, regions in batch.contents("histograms").items()
        for region, histogram in regions.items()
        for variation, contents in _rows(histogram, weight).items()
    }
    regions = {region.name: region for region in analysis.regions}
    merged = {}
    for template in analysis.templates():
        parts = [
            rows.get((dataset.name, template.process, template.region, variation))
            for dataset, variation in analysis.sources(template)
        ]
        complete = [part for part in parts if part is not None]
        if complete and len(complete) == len(parts):
            merged[template.name] = _histogram(regions[template.region], _sum(complete))
    merged |= _migrations(analysis, batches, rows, present=merged.keys())
    for region in analysis.regions:
        merged |= _observed(analysis, region, rows, merged, blinded=blinded)
    return merged


def _migrations(
    analysis: Analysis,
    batches: Mapping[str, tuple[Batch, float]],
    rows: Mapping[tuple[str, str, str, str], Rows],
    *,
    present: Container[str],
) -> dict[str, hist.Hist]:
    """Sums of products of unvaried and varied weights, for variations that redo the selection.

    Datasets have no events in common, so that their covariances add up. Of one that the variation
    does not touch, nothing moves.
    """
    moved = {
        (name, process, region, variation): histogram.view(flow=True)[row] * weight**2
        for name, (batch, weight) in batches.items()
        for process, regions in batch.contents("migrations").items()
        for region, histogram in regions.items()
        for row, variation in enumerate(histogram.axes["variation"])
    }
    regions = {region.name: region for region in analysis.regions}
    merged = {}
    for template in analysis.templates():
        if template.name not in present:
            continue
        keys = [
            (dataset.name, template.process, template.region, variation)
            for dataset, variation in analysis.sources(template)
        ]
        if not any(key in moved for key in keys):
            continue
        edges = regions[template.region].edges
        histogram = hist.Hist(
            hist.axis.Variable(edges, name="nominal"),
            hist.axis.Variable(edges, name="varied"),
            storage=hist.storage.Double(),
        )
        histogram.view(flow=True)[...] = np.sum(
            [moved[key] if key in moved else np.diag(rows[key][1]) for key in keys], axis=0
        )
        merged[template.migration] = histogram
    return merged


def _observed(
    analysis: Analysis,
    region: Region,
    rows: Mapping[tuple[str, str, str, str], Rows],
    merged: Mapping[str, hist.Hist],
    *,
    blinded: bool,
) -> dict[str, hist.Hist]:
    """Data and pseudodata of a region, as far as all of their datasets are there."""
    observed = {}
    shares = []
    for name, share in analysis.pseudodata.items():
        dataset = analysis.dataset(name)
        for process in dataset.processes:
            part = rows.get((name, process, region.name, dataset.variation))
            shares.append(None if part is None else (share * part[0], share**2 * part[1]))
    complete = [part for part in shares if part is not None]
    if complete and len(complete) == len(shares):
        observed[analysis.pseudodata_name(region.name)] = _histogram(region, _sum(complete))
    data = [rows.get((d.name, DATA, region.name, NOMINAL)) for d in analysis.data]
    counts = [part for part in data if part is not None]
    if counts and len(counts) == len(data):
        histogram = _histogram(region, _sum(counts))
        if blinded and region.blinded is not None:
            expected = [
                merged[name] * analysis.factor_before_fit(process.name)
                for process in analysis.processes
                if (name := Template(region.name, process.name, NOMINAL).name) in merged
            ]
            _blind(histogram, region, expected)
        observed[analysis.data_name(region.name)] = histogram
    return observed


def _blind(data: hist.Hist, region: Region, expected: Sequence[hist.Hist]) -> None:
    """Put the expectation into all bins that overlap with the blinded window, in place.

    Data are counts: where weights of either sign leave an expectation below zero, none stand there.
    """
    if region.blinded is None:
        return
    low, high = region.blinded
    edges = np.array(region.edges)
    hidden = np.concatenate(
        ([low < edges[0]], (edges[:-1] < high) & (edges[1:] > low), [high > edges[-1]])
    )
    view = data.view(flow=True)
    total = np.zeros(hidden.shape)
    for histogram in expected:
        total += histogram.view(flow=True)["value"]
    for quantity in ("value", "variance"):
        view[quantity][hidden] = np.maximum(total, 0.0)[hidden]


def _rows(histogram: hist.Hist, weight: float) -> dict[str, Rows]:
    """Normalised contents and variances with flow, for each variation."""
    view = histogram.view(flow=True)
    return {
        variation: (view["value"][row] * weight, view["variance"][row] * weight**2)
        for row, variation in enumerate(histogram.axes["variation"])
    }


def _sum(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return (
        np.sum([contents for contents, _ in parts], axis=0),
        np.sum([variances for _, variances in parts], axis=0),
    )


def _histogram(region: Region, rows: Rows) -> hist.Hist:
    axis = hist.axis.Variable(region.edges, name=region.observable, label=region.label)
    histogram = hist.Hist(axis, storage=hist.storage.Weight())
    view = histogram.view(flow=True)
    view["value"], view["variance"] = rows
    return histogram
