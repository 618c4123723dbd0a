"""Events as the functions of regions and systematics see them: what passes, under a variation.

Where an analysis declares its events as "columns", its functions are given ``Events``::

    events["jets"]            the declared objects "jets" that pass under the variation
    events["jets"]["pt"]      their pt, one after the other: float64, in the unit of the file
    events["jets"].sum("pt")  sums for each event
    events.count("jets")      numbers of objects of each event
    events["MET"]["pt"]       a field of a single record, one for each event
    events["run"]             a column of the event

Attributes do the same: ``events.jets.pt``. What is not needed is never read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agc_pipeline.columnar.selection import (
    Preselection,
    Preselector,
    Stored,
    aligned,
    check_factors,
    flags,
    passes,
    wide,
)
from agc_pipeline.declaration import Analysis, Count, Dataset, EventCut, Variation
from agc_pipeline.declaration.analysis import root_objects
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.declaration.selection import Objects
from agc_pipeline.readers.columns import Array, Collection, Columns


class Record:
    """A single record of events such as MET: fields with one value an event."""

    def __init__(
        self, name: str, base: "Base", events: Array, changed: Mapping[str, Array]
    ) -> None:
        self._name = name
        self._base = base
        self._events = events
        self._changed = changed

    def __getitem__(self, field: str) -> Array:
        """The values of a field: ``events``."""
        if field in self._changed:
            return self._changed[field].take(self._events)
        return self._base.flat(self._base.layout.branch(self._name, field)).take(self._events)

    def __getattr__(self, field: str) -> Array:
        """The values of a field."""
        if field.startswith("_"):
            raise AttributeError(field)
        return self[field]


class Base:
    """Some events of a range with their loose objects, before any variation.

    Args:
        columns: of the range.
        events: positions in the range, in rising order.
        stored: name of declared objects that are not among others, to what passes loosely.
        layout: of the input.
        parent: the same for more events, and the positions of these events there.
    """

    def __init__(
        self,
        columns: Columns,
        events: Array,
        stored: Mapping[str, Stored],
        layout: Layout,
        parent: "tuple[Base, Array] | None" = None,
    ) -> None:
        self.columns = columns
        self.events = events
        self.layout = layout
        self._stored = stored
        self._aligned: dict[str, Stored] = {}
        self._flat: dict[str, Array] = {}
        self._parent = parent

    def __len__(self) -> int:
        return len(self.events)

    def stored(self, name: str) -> Stored:
        """Declared objects of these events as they pass most loosely."""
        if name not in self._aligned:
            if self._parent is None:
                self._aligned[name] = aligned(self._stored[name], self.events)
            else:
                self._aligned[name] = self._parent[0].stored(name).at(self._parent[1])
        return self._aligned[name]

    def flat(self, name: str) -> Array:
        """A column with one value an event."""
        if name not in self._flat:
            if self._parent is not None and name in self._parent[0]._flat:
                self._flat[name] = self._parent[0]._flat[name].take(self._parent[1])
            else:
                self._flat[name] = wide(self.columns.flat((name,), self.events)[name])
        return self._flat[name]

    def at(self, events: Array) -> "Base":
        """Some of the events, which read other columns for these only."""
        return Base(self.columns, self.events[events], {}, self.layout, (self, events))


@dataclass(frozen=True)
class Shift:
    """What a variation does to the loose objects of a base.

    Attributes:
        passing: name of declared objects to a mask of the loose ones.
        changed: changed columns of collections and records, by declared objects or record.
    """

    passing: Mapping[str, Array]
    changed: Mapping[str, Mapping[str, Array]]


class Events:
    """Some events, with the objects that pass under a variation.

    Args:
        base: loose objects of at least these events.
        events: positions in the base, in rising order.
        shift: what the variation does.
        objects: declared ones by name.
        dataset: name of the dataset.
    """

    def __init__(
        self,
        base: Base,
        events: Array,
        shift: Shift,
        objects: Mapping[str, Objects],
        dataset: str,
    ) -> None:
        self._base = base
        self._events = events
        self._shift = shift
        self._objects = objects
        self._collections: dict[str, Collection] = {}
        self.metadata = {"dataset": dataset}

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, name: str) -> Any:
        """Declared objects, a single record, or a column of the event."""
        if name in self._objects:
            return self._collection(name)
        if name in self._base.layout.records or name in self._shift.changed:
            return Record(name, self._base, self._events, self._shift.changed.get(name, {}))
        return self._base.flat(name).take(self._events)

    def __getattr__(self, name: str) -> Any:
        """Declared objects, a single record, or a column of the event."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def count(self, name: str) -> Array:
        """Number of declared objects of each event: ``events * int64``."""
        entry = self._objects[name]
        if entry.base is None:
            return np.diff(self._collection(name).offsets)
        root = self._collection(entry.root.name)
        return root.count(root[name])

    def take(self, events: Array) -> "Events":
        """Some of the events, by their positions in rising order."""
        dataset = self.metadata["dataset"]
        return Events(self._base, self._events[events], self._shift, self._objects, dataset)

    def collection(self, name: str, fields: Sequence[str]) -> Collection:
        """All stored objects of a collection, with these of its fields."""
        events = self._base.events[self._events]
        return self._base.columns.collection(name, fields, events)

    def _collection(self, name: str) -> Collection:
        if name not in self._collections:
            root = self._objects[name].root.name
            stored = self._base.stored(root)
            varied: Collection = stored
            fields = {
                sub: mask
                for sub, mask in self._shift.passing.items()
                if sub != root and self._objects[sub].root.name == root
            } | dict(self._shift.changed.get(root, {}))
            if fields:
                varied = stored.extended(**fields)
            mask = self._shift.passing.get(name)
            if mask is None and name != root:
                mask = stored[name]
            self._collections[name] = varied.take(self._events, mask)
        return self._collections[name]


class Shifts:
    """Computes what variations do to the loose objects of preselected events.

    Args:
        analysis: the declaration.
        selection: ``physics.selection``.
        dataset: that the events are of.
    """

    def __init__(self, analysis: Analysis, selection: Any, dataset: Dataset) -> None:
        self.selection = selection
        self.dataset = dataset
        self.preselector = Preselector(analysis, selection, dataset)
        self.objects = {entry.name: entry for entry in root_objects(self.preselector.requirements)}
        self._layout = analysis.layout
        self._roots = [entry for entry in self.objects.values() if entry.base is None]
        collections = {collection for collection, _ in self.preselector.changed}
        # The others are the same under every variation.
        self._varied = [root for root in self._roots if root.collection in collections]
        # Requirements that a variation can make an event fail or pass.
        self._open = [
            requirement
            for requirement in self.preselector.requirements
            if any(self._moves(column, cut) for column, cut in _cuts(requirement))
        ]

    def _moves(self, collection: str, cut: Any) -> bool:
        return self.preselector.moves(collection, cut)

    def base(self, preselection: Preselection) -> Base:
        """The preselected events."""
        return Base(preselection.columns, preselection.events, preselection.stored, self._layout)

    def shift(self, base: Base, variation: Variation) -> Shift:
        """What a variation does to the objects of preselected events.

        Raises:
            AnalysisError: if it changes a column beyond what it declares.
        """
        changed = self._changed(base, variation)
        passing: dict[str, Array] = {}
        for root in self._varied:
            stored = base.stored(root.name)
            loose = flags(stored, [entry for entry in self.objects.values() if entry.root is root])
            varied = changed.get(root.name, {})

            def values(
                name: str, varied: Mapping[str, Array] = varied, stored: Stored = stored
            ) -> Array:
                return varied[name] if name in varied else stored[name]

            for entry in self.objects.values():
                if entry.root is not root:
                    continue
                cuts = [cut for cut in entry.cuts if self._moves(entry.collection, cut)]
                mask = loose[entry.name]
                if cuts:
                    mask = mask & passes(values, cuts, len(mask))
                if entry.base is not None:
                    mask = mask & passing[entry.base.name]
                passing[entry.name] = mask
        return Shift(passing, changed)

    def _changed(self, base: Base, variation: Variation) -> dict[str, dict[str, Array]]:
        changed: dict[str, dict[str, Array]] = {}
        for change in variation.changes:
            collection, name = change.column
            roots = [root for root in self._roots if root.collection == collection]
            events = Unvaried(base)
            factors = change.factors(self.selection)
            for key in [root.name for root in roots] or [collection]:
                target: Any = (
                    base.stored(key)
                    if roots
                    else Record(collection, base, np.arange(len(base)), {})
                )
                values = np.asarray(change.values(target, events, self.selection), np.float64)
                check_factors(
                    values, target[name], factors, variation=variation.name, column=change.column
                )
                changed.setdefault(key, {})[name] = values
        return changed

    def selected(self, base: Base, shift: Shift) -> Array:
        """Positions in the base of the events that meet all requirements under a variation."""
        mask = np.ones(len(base), np.bool_)
        for requirement in self._open:
            match requirement:
                case Count():
                    numbers = sum(
                        self._numbers(base, entry, shift) for entry in requirement.objects
                    )
                    mask &= (numbers >= requirement.at_least) & (numbers <= requirement.at_most)
                    if requirement.comparison == "!=":
                        mask &= numbers != requirement.number
                case EventCut():
                    record = Record(
                        requirement.record,
                        base,
                        np.arange(len(base)),
                        shift.changed.get(requirement.record, {}),
                    )
                    mask &= passes(record.__getitem__, (requirement.cut,), len(base))
        return np.flatnonzero(mask)

    def _numbers(self, base: Base, entry: Objects, shift: Shift) -> Any:
        stored = base.stored(entry.root.name)
        mask = shift.passing.get(entry.name)
        if mask is None:
            mask = flags(stored, (entry,))[entry.name]
        return stored.count(mask)

    def events(self, base: Base, events: Array, shift: Shift) -> Events:
        """Events with their objects under a variation."""
        return Events(base, events, shift, self.objects, self.dataset.name)

    def restricted(self, base: Base, part: Base, shift: Shift) -> Shift:
        """The same for the objects of some of the events of a base."""
        objects = {root.name: part.stored(root.name).parent for root in self._varied}
        indices = {name: parent[1] for name, parent in objects.items() if parent is not None}
        events = np.searchsorted(base.events, part.events)
        return Shift(
            {
                name: mask.take(indices[self.objects[name].root.name])
                for name, mask in shift.passing.items()
            },
            {
                name: {
                    field: values.take(indices.get(name, events))
                    for field, values in fields.items()
                }
                for name, fields in shift.changed.items()
            },
        )


class Unvaried:
    """Columns of preselected events, for the functions of object variations."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, name: str) -> Any:
        """A single record, or a column of the event."""
        if name in self._base.layout.records:
            return Record(name, self._base, np.arange(len(self._base)), {})
        return self._base.flat(name)

    def __getattr__(self, name: str) -> Any:
        """A single record, or a column of the event."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]


def _cuts(requirement: Any) -> list[tuple[str, Any]]:
    if isinstance(requirement, Count):
        return [(entry.collection, cut) for entry in requirement.objects for cut in entry.all_cuts]
    return [(requirement.record, requirement.cut)]
