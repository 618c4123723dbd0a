"""Columns of events that are in memory: awkward arrays, and coffea's NanoEvents."""

from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np

from agc_pipeline.declaration.analysis import Columns
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.columns import Array, Collection, offsets_of


class ArrayColumns:
    """Columns of a range of events that were read before.

    Args:
        arrays: names of branches to their arrays, ``events * {"Jet_pt": var * float32, ...}``.
        layout: of the branches.
        clock: takes the time.
    """

    def __init__(self, arrays: Any, layout: Layout, clock: Clock | None = None) -> None:
        self.n_events = len(arrays)
        self.clock = clock or Clock()
        self._arrays = arrays
        self._layout = layout

    def flat(self, names: Sequence[str], events: Array) -> dict[str, Array]:
        """See ``Columns``."""
        return {name: ak.to_numpy(self._branch(name))[events] for name in names}

    def collection(
        self, name: str, fields: Sequence[str], events: Array | None = None
    ) -> Collection:
        """See ``Columns``."""
        lists = {field: self._field(name, field) for field in fields}
        if events is not None:
            lists = {field: values[events] for field, values in lists.items()}
        return collection(name, lists)

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


def collection(name: str, lists: dict[str, ak.Array]) -> Collection:
    """A collection of lists, which must be equally long in all fields.

    Raises:
        ValueError: naming two fields that differ.
    """
    first = next(iter(lists))
    offsets = offsets_of(ak.to_numpy(ak.num(lists[first])))
    fields = {}
    for field, values in lists.items():
        if field != first and not np.array_equal(ak.to_numpy(ak.num(values)), np.diff(offsets)):
            raise ValueError(f"{name}_{field} and {name}_{first} differ in list lengths")
        fields[field] = ak.to_numpy(ak.flatten(values))
    return Collection(offsets, fields)
