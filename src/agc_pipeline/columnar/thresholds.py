"""Histograms of a dataset for every combination of values of thresholds.

Thresholds with an ``observed`` column are cells of the histograms, in addition to the bins of the
observable, and each event is filled once; what passes a value is the sum of the cells from there
on. For the others, events are selected and filled once for each value, by the functions that any
run has: physics is not written again.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agc_pipeline.columnar import region_files, runner
from agc_pipeline.columnar.executors import InThisProcess
from agc_pipeline.columnar.filling import Array, bins_of, require_numbers
from agc_pipeline.columnar.function_values import check_each
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.columnar.settings import HistogramSettings
from agc_pipeline.declaration import Analysis, Dataset, Region
from agc_pipeline.declaration.thresholds import Trial, changed
from agc_pipeline.delivery.manifest import Delivered
from agc_pipeline.delivery.readable import readable
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.settings import Format, NetworkSettings

# Fills events of a selection: what ``Processing`` gives of all files, summed.
Fill = Callable[[Processing], Mapping[str, Any]]


class Scan(NamedTuple):
    """Sums of relative weights in a region, for all combinations of values, with flow.

    Attributes:
        variations: of the dataset, its own first.
        contents: (values of each threshold ..., variations, bins).
        variances: likewise.
        moving: variations that redo the selection.
        migrations: products of unvaried and varied weights, (values ..., moving, bins, bins).
    """

    variations: tuple[str, ...]
    contents: Array
    variances: Array
    moving: tuple[str, ...]
    migrations: Array


# By process and region.
Scans = Mapping[tuple[str, str], Scan]


@dataclass(frozen=True)
class _Cells:
    """The observable of a region together with what thresholds are compared with, as one number.

    Attributes:
        region: whose observable it is.
        trials: of ``observed`` thresholds.
        dataset: name of that which is filled, for messages.
    """

    region: Region
    trials: tuple[Trial, ...]
    dataset: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each threshold, and of bins with flow."""
        return (*(len(trial.values) for trial in self.trials), len(self.region.edges) + 1)

    def __call__(self, events: Any, selection: Any) -> Array:
        """The number of the cell of each event, in the middle of its bin: ``events * float64``.

        Raises:
            AnalysisError: if an event does not pass what it was selected by, or its observable is
                NaN.
        """
        if self.region.values is None:
            raise TypeError(f"the region {self.region.name} has no observable")
        observable = np.asarray(self.region.values(events, selection), np.float64)
        place = f"dataset {self.dataset}, region {self.region.name}"
        require_numbers(observable, None, place)
        places = [_passed(trial, events, selection, self.region) for trial in self.trials]
        places.append(bins_of(np.array(self.region.edges), observable))
        if not len(observable):
            return np.zeros(0)
        return np.ravel_multi_index(tuple(places), self.shape) + 0.5


def _passed(trial: Trial, events: Any, selection: Any, region: Region) -> Array:
    """Number of the tightest value that each event passes."""
    threshold = trial.threshold
    if threshold.observed is None:
        raise TypeError(f"the threshold {threshold.name} has no column")
    if not threshold.selects(region.name):
        return np.full(len(events), len(trial.values) - 1)
    # As cuts compare: single-precision values in double precision.
    observed = np.asarray(threshold.observed(events, selection), np.float64)
    check_each(observed, len(events), "events", threshold.observed)
    passed = sum(np.asarray(threshold.passes(observed, value), np.int64) for value in trial.values)
    place: Array = np.asarray(passed) - 1
    if np.any(place < 0):
        raise AnalysisError(
            f"events of the region {region.name} do not pass {threshold.stated(trial.values[0])}, "
            "by which they were selected",
            place=f"threshold {threshold.name}",
            remedy=f"let `observed` give what `physics.selection.{threshold.key}` is compared with",
        )
    return place


def of_fit(analysis: Analysis) -> Analysis:
    """The same with the regions of the fit only, which thresholds are optimised for."""
    regions = tuple(region for region in analysis.regions if region.fitted)
    return replace(analysis, regions=regions, learned=None)


def of_values(analysis: Analysis, values: Mapping[str, tuple[float, ...]]) -> tuple[Trial, ...]:
    """The thresholds of an analysis with values by name, in the order of the axes of scans."""
    tried = [Trial(t, values[t.name]) for t in analysis.thresholds if t.name in values]
    return tuple(sorted(tried, key=lambda trial: trial.threshold.observed is not None))


def of_files(
    files: Sequence[Delivered],
    execution: HistogramSettings,
    *,
    kind: Format | None,
    metadata: Path | None,
    network: NetworkSettings,
    allow_partial: bool,
) -> Fill:
    """What fills the events of delivered files, in this process.

    Args:
        files: entries of manifests.
        execution: how histograms are filled.
        kind: format of the files.
        metadata: folder of the metadata of files; None has none.
        network: how files on servers are read.
        allow_partial: leave out files that cannot be read.
    """

    def fill(processing: Processing) -> Mapping[str, Any]:
        specification = runner.Specification(
            processing,
            reader=execution.reader,
            chunk_size=execution.chunk_size,
            chunk_bytes=execution.chunk_bytes,
            cache=metadata,
            kind=kind,
            network=network,
        )
        executor = InThisProcess()
        return runner.run(
            readable(files), specification, executor, allow_partial=allow_partial
        ).output

    return fill


def scan(
    analysis: Analysis,
    selection: Mapping[str, Any],
    dataset: Dataset,
    trials: Sequence[Trial],
    *,
    unit: float,
    fill: Fill,
) -> Scans:
    """Fill the histograms of a dataset for all combinations.

    Args:
        analysis: with the regions that are wanted.
        selection: ``physics.selection`` of the run.
        dataset: that the events are of.
        trials: with thresholds without ``observed`` first.
        unit: of the weights.
        fill: reads and fills the events.
    """
    selected = [trial for trial in trials if trial.threshold.observed is None]
    observed = tuple(trial for trial in trials if trial.threshold.observed is not None)
    cells = {region.name: _Cells(region, observed, dataset.name) for region in analysis.regions}
    parted = replace(
        analysis,
        learned=None,
        regions=tuple(
            replace(
                region,
                values=cells[region.name],
                edges=tuple(map(float, range(math.prod(cells[region.name].shape) + 1))),
                fit_edges=None,
                blinded=None,
            )
            for region in analysis.regions
        ),
    )
    parts = []
    for values in itertools.product(*(trial.values for trial in selected)):
        pairs = [(trial.threshold, value) for trial, value in zip(selected, values, strict=True)]
        settings = analysis.selection(changed(selection, pairs))
        output = fill(Processing(parted, settings, dataset, unit=unit))
        parts.append(_summed(output, cells))
    sizes = tuple(len(trial.values) for trial in selected)
    return {
        key: Scan(
            first.variations,
            _joined([part[key].contents for part in parts], sizes),
            _joined([part[key].variances for part in parts], sizes),
            first.moving,
            _joined([part[key].migrations for part in parts], sizes),
        )
        for key, first in parts[0].items()
    }


def _joined(parts: Sequence[Array], sizes: tuple[int, ...]) -> Array:
    return np.stack(parts).reshape(*sizes, *parts[0].shape)


def _summed(output: Mapping[str, Any], cells: Mapping[str, _Cells]) -> dict[tuple[str, str], Scan]:
    """What passes each value, of histograms of cells."""
    scans = {}
    for process, regions in output["histograms"].items():
        for name, contents in regions.items():
            shape = cells[name].shape
            parts = contents.parts()
            variations = tuple(parts[0].axes["variation"])
            n = len(variations)
            views = [part.view(flow=True) for part in parts]
            # There is nothing beyond the cells. Both parts are exact, and their sum is not.
            sums = [
                np.add(
                    *(
                        _from_there_on(view[kind][:n, 1:-1].reshape(n, *shape), len(shape) - 1)
                        for view in views
                    )
                )
                for kind in ("value", "variance")
            ]
            moving: tuple[str, ...] = ()
            migrations = np.zeros((*shape[:-1], 0, shape[-1], shape[-1]))
            moved = output["migrations"].get(process, {}).get(name)
            if moved is not None:
                parts = moved.parts()
                moving = tuple(parts[0].axes["variation"])
                products = [part.view(flow=True)[: len(moving), 1:-1, 1:-1] for part in parts]
                migrations = np.add(
                    *(
                        _migrations(content.reshape(len(moving), *shape, *shape), len(shape) - 1)
                        for content in products
                    )
                )
            scans[process, name] = Scan(variations, sums[0], sums[1], moving, migrations)
    return scans


def _from_there_on(content: Array, n: int) -> Array:
    """Sums over the cells from each value on, (values ..., variations, bins)."""
    for axis in range(1, n + 1):
        content = np.flip(np.cumsum(np.flip(content, axis), axis), axis)
    return np.moveaxis(content, 0, -2)


def _migrations(content: Array, n: int) -> Array:
    """The same of products, for events that pass a value both without and with a variation.

    Args:
        content: (variations, unvaried cells ..., bins, varied cells ..., bins).
        n: number of thresholds.

    Returns:
        (values ..., variations, unvaried bins, varied bins).
    """
    for axis in (*range(1, n + 1), *range(n + 2, 2 * n + 2)):
        content = np.flip(np.cumsum(np.flip(content, axis), axis), axis)
    for left in range(n, 0, -1):
        content = np.diagonal(content, axis1=1, axis2=left + 2)
    return np.moveaxis(content, (0, 1, 2), (-3, -2, -1))


def write(path: Path, scans: Scans, seconds: float) -> None:
    """Write the scans of a dataset, and the CPU time that they took, atomically."""
    region_files.write(path, region_files.Content(scans, {}, seconds))


def read(path: Path) -> tuple[Scans, float]:
    """Read the scans of a dataset, and the CPU time that they took.

    Raises:
        InputError: if there are none, or the file is damaged.
    """
    content = region_files.read(path, Scan, "scan of thresholds")
    return content.parts, content.seconds
