"""Features of events in regions, and rows of them with all weights of a dataset.

A model whose score is the observable of a region is trained on rows: one for each event and each
variation that redoes the selection, with the weights of all others. They are made by the functions
that any run has.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agc_pipeline.columnar import region_files
from agc_pipeline.columnar.filling import Array, not_finite
from agc_pipeline.columnar.processing import Filler, Group, Processing, place_of
from agc_pipeline.columnar.thresholds import Fill
from agc_pipeline.declaration import Analysis, Dataset, Feature
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.clock import Clock


def matrix(features: Sequence[Feature], events: Any, selection: Any) -> Array:
    """The features of events of a region: ``events * features``, single precision.

    Args:
        features: functions of events.
        events: of the region.
        selection: ``physics.selection``.

    Raises:
        AnalysisError: if a function does not give one finite number, or NaN, for each event.
    """
    columns = np.empty((len(events), len(features)), np.float32)
    for number, feature in enumerate(features):
        values = np.asarray(feature.values(events, selection))
        if values.shape != (len(events),) or np.isinf(values).any():
            raise AnalysisError(
                f"a feature of {len(events)} events has the shape {values.shape}"
                if values.shape != (len(events),)
                else "a feature is infinite",
                place=f"feature {feature.name}",
                remedy="return one number for each event; NaN is a missing one",
            )
        columns[:, number] = values
    return columns


def numbers(analysis: Analysis, events: Any) -> Array:
    """Numbers of events, whose parity says which model scores them: ``events * int64``."""
    return np.asarray(events[analysis.layout.identity[-1]]).astype(np.int64)


class RegionRows(NamedTuple):
    """Rows of a process in a region: those of the dataset's own variation, then all others.

    Attributes:
        features: ``rows * features``, single precision.
        numbers: of the events.
        shifts: number of the variation of the selection, 0 is the dataset's own.
        partners: place of the same event among the rows of the dataset's own variation; -1 where
            it is not in the region without the variation, and in these rows themselves.
        weights: relative: without and with each variation of weights, ``rows * (1 + weights)``.
    """

    features: Array
    numbers: Array
    shifts: Array
    partners: Array
    weights: Array


class Rows(NamedTuple):
    """Rows of a dataset.

    Attributes:
        shifts: names of the variations of the selection, its own first.
        weights: names of the variations of weights.
        parts: by process and region.
    """

    shifts: tuple[str, ...]
    weights: tuple[str, ...]
    parts: Mapping[tuple[str, str], RegionRows]


class _Entries(NamedTuple):
    """Rows of a process in a region under one variation of the selection, of a chunk.

    Attributes:
        process: its name.
        region: its name.
        shift: number of the variation.
        rows: of these events.
    """

    process: str
    region: str
    shift: int
    rows: RegionRows


class RowFiller(Filler):
    """Takes rows in place of histograms.

    Args:
        features: functions of events.
        processing: what is filled.
        clock: takes the time.
    """

    def __init__(self, features: Sequence[Feature], processing: Processing, clock: Clock) -> None:
        super().__init__(processing, clock)
        self._features = features
        self._entries: list[_Entries] = []
        # Positions of the events of the dataset's own variation.
        self._positions: dict[tuple[str, str], Array] = {}

    def fill(self, group: Group, variation: str, events: Any, positions: Array) -> None:
        """See ``Filler``."""
        processing = self._processing
        columns = matrix(self._features, events, processing.selection)
        of_events = numbers(processing.analysis, events)
        weights = self._weights(group, variation, events)
        shift = [each.name for each in processing.shifts].index(variation)
        for process, mask, factor in self._processes(events):
            table = np.zeros((len(events), 1 + len(processing.weights)))
            names = (variation, *(w.name for w in processing.weights))
            for number, name in enumerate(names):
                if name in weights:
                    weight = weights[name]
                    table[:, number] = (1.0 if weight is None else weight) * (
                        1.0 if factor is None else factor
                    )
            taken = slice(None) if mask is None else mask
            for number, name in enumerate(names):
                if not np.isfinite(table[taken, number]).all():
                    place = place_of(processing.dataset, process, group.regions[0])
                    raise not_finite(table[taken, number], name, place)
            for region in group.regions:
                partners = np.full(len(positions[taken]), -1)
                if shift == 0:
                    self._positions[process, region.name] = positions[taken]
                else:
                    own = self._positions[process, region.name]
                    _, ours, theirs = np.intersect1d(
                        own, positions[taken], assume_unique=True, return_indices=True
                    )
                    partners[theirs] = ours
                rows = RegionRows(
                    columns[taken],
                    of_events[taken],
                    np.full(len(partners), shift),
                    partners,
                    table[taken],
                )
                self._entries.append(_Entries(process, region.name, shift, rows))

    def output(self, cutflow: Mapping[str, int]) -> dict[str, Any]:  # noqa: ARG002
        """The rows, and no sums."""
        return {"rows": self._entries, "histograms": {}}


def rows(
    analysis: Analysis,
    selection: Mapping[str, Any],
    dataset: Dataset,
    features: Sequence[Feature],
    *,
    fill: Fill,
) -> Rows:
    """The rows of a dataset.

    Args:
        analysis: with the regions that are wanted.
        selection: ``physics.selection``.
        dataset: that the events are of.
        features: functions of events.
        fill: reads the events.
    """
    processing = Processing(
        analysis, analysis.selection(selection), dataset, filler=partial(RowFiller, features)
    )
    collected: dict[tuple[str, str], list[RegionRows]] = {
        (process, region.name): [_no_rows(len(features), 1 + len(processing.weights))]
        for process in dataset.processes
        for region in analysis.regions
    }
    # Where the rows of the dataset's own variation begin in a chunk, and where they end.
    first = dict.fromkeys(collected, 0)
    last = dict.fromkeys(collected, 0)
    for process, region, shift, part in fill(processing).get("rows", ()):
        key = (process, region)
        if shift == 0:
            first[key], last[key] = last[key], last[key] + len(part.numbers)
        moved = np.where(part.partners < 0, -1, part.partners + first[key])
        collected[key].append(part._replace(partners=moved))
    return Rows(
        tuple(shift.name for shift in processing.shifts),
        tuple(weight.name for weight in processing.weights),
        {key: _ordered(parts) for key, parts in collected.items()},
    )


def _no_rows(n_features: int, n_weights: int) -> RegionRows:
    nothing = np.zeros(0, np.int64)
    return RegionRows(
        np.zeros((0, n_features), np.float32), nothing, nothing, nothing, np.zeros((0, n_weights))
    )


def _ordered(parts: Sequence[RegionRows]) -> RegionRows:
    """All of them, those of the dataset's own variation first; partners are places in these."""
    whole = RegionRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    order = np.argsort(whole.shifts, kind="stable")
    return RegionRows(*(column[order] for column in whole))


def write(path: Path, rows: Rows, seconds: float) -> None:
    """Write the rows of a dataset, and the CPU time that they took, atomically."""
    names = {"shifts": rows.shifts, "weights": rows.weights}
    region_files.write(path, region_files.Content(rows.parts, names, seconds))


def read(path: Path) -> tuple[Rows, float]:
    """Read the rows of a dataset, and the CPU time that they took.

    Raises:
        InputError: if there are none, or the file is damaged.
    """
    content = region_files.read(path, RegionRows, "rows of features", "shifts", "weights")
    return Rows(**content.names, parts=content.parts), content.seconds
