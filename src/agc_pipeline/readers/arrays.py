"""Columns of events that are in memory: awkward arrays, and coffea's NanoEvents."""

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.columns import (
    Array,
    Collection,
    ListLengths,
    check_finite,
    offsets_of,
)


class ArrayColumns:
    """Columns of a range of events that were read before.

    Args:
        arrays: names of branches to their arrays, ``events * {"Jet_pt": var * float32, ...}``.
        layout: of the branches.
        clock: takes the time.
        first: the first event of the range in its file, for errors.

    Raises:
        Disagreement: where the columns of a collection do not have the same lists.
        ImpossibleValue: where a momentum is not finite.
    """

    def __init__(
        self, arrays: Any, layout: Layout, clock: Clock | None = None, *, first: int = 0
    ) -> None:
        self.n_events = len(arrays)
        self.clock = clock or Clock()
        self._arrays = arrays
        self._layout = layout
        self._first = first
        self._lengths = ListLengths(self.n_events, first)

    def flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """See ``Columns``."""
        values = {name: ak.to_numpy(self._branch(name))[events] for name in names}
        for name in filter(self._layout.is_momentum, names):
            check_finite(name, values[name], None, events, first=self._first)
        return values

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """See ``Columns``."""
        lists = {field: self._field(name, field) for field in fields}
        if events is not None:
            lists = {field: values[events] for field, values in lists.items()}
        if name not in self._lengths and self._layout.counters:
            counter = self._layout.counter(name)
            if counter in self._arrays.fields:
                self._lengths.compare(name, counter, ak.to_numpy(self._arrays[counter]))
        named = {field: self._layout.branch(name, field) for field in fields}
        read = collection(name, lists, named, self._lengths, events)
        check_collection(read, named, self._layout, events, first=self._first)
        return read

    def compare_lists(self, columns: Columns) -> None:
        """Compare the lists of all columns of each collection, also of those that nobody asked for.

        Args:
            columns: collection to the names of its fields.
        """
        for name, fields in columns.items():
            if self._layout.is_collection(name):
                self.collection(name, fields)

    def _branch(self, name: str) -> ak.Array:
        return self._arrays[name]

    def _field(self, collection: str, field: str) -> ak.Array:
        return self._arrays[self._layout.branch(collection, field)]


class EventColumns(ArrayColumns):
    """The same of NanoEvents, or of records of their shape, as in ``events.Jet.pt``."""

    def _branch(self, name: str) -> ak.Array:
        record, _, field = name.partition("_")
        if record in self._layout.records:
            return self._arrays[record][field]
        return self._arrays[name]

    def _field(self, collection: str, field: str) -> ak.Array:
        return self._arrays[collection][field]


def grouped(arrays: Any, columns: Columns, layout: Layout) -> ak.Array:
    """Flat branches as one record of columns, collections and single records.

    Args:
        arrays: ``events * {"Jet_pt": var * float32, "MET_pt": float32, ...}``.
        columns: collection, record (or "") to the names of its fields.
        layout: of the branches.

    Returns:
        ``events * {run, ..., Jet: var * {pt, ...}, MET: {pt, ...}, ...}``.
    """
    record = {name: arrays[name] for name in columns.get("", ())}
    for name, fields in columns.items():
        if name:
            record[name] = ak.zip(
                {field: arrays[layout.branch(name, field)] for field in fields},
                depth_limit=None if layout.is_collection(name) else 1,
            )
    return ak.zip(record, depth_limit=1)


def check_collection(
    read: Collection,
    named: Mapping[str, str],
    layout: Layout,
    events: Array | None,
    *,
    first: int,
) -> None:
    """Refuse momenta of a collection that are not finite.

    Args:
        read: with its fields.
        named: field to the name of its branch.
        layout: says which are momenta.
        events: positions in the range of the events that were read; None is all.
        first: the first event of the range in the file.

    Raises:
        ImpossibleValue: naming the branch and the event.
    """
    for field, branch in named.items():
        if layout.is_momentum(branch):
            check_finite(branch, read[field], read.offsets, events, first=first)


def collection(
    name: str,
    lists: Mapping[str, ak.Array],
    named: Mapping[str, str],
    lengths: ListLengths,
    events: Array | None,
) -> Collection:
    """A collection of lists, which must be equally long in all fields.

    Args:
        name: of the collection.
        lists: field to its lists.
        named: field to the name of its branch.
        lengths: of all columns of the range that were read before.
        events: positions in the range of the events that the lists are of; None is all.

    Raises:
        Disagreement: naming two branches that differ.
    """
    counts = np.empty(0, np.int64)
    fields = {}
    for field, values in lists.items():
        counts = ak.to_numpy(ak.num(values))
        lengths.compare(name, named[field], counts, events)
        fields[field] = ak.to_numpy(ak.flatten(values))
    return Collection(offsets_of(counts), fields)
