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

import math
from collections.abc import Mapping, Sequence, Set
from functools import reduce
from typing import Any

import numpy as np

from agc_pipeline.columnar.function_values import check_each
from agc_pipeline.columnar.selection import (
    Preselection,
    Preselector,
    Stored,
    aligned,
    check_factors,
    passes,
    wide,
)
from agc_pipeline.declaration import Analysis, Count, Dataset, EventCut, Variation
from agc_pipeline.declaration.analysis import root_objects
from agc_pipeline.declaration.layout import Layout
from agc_pipeline.declaration.selection import Column, Objects
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.columns import Array, Collection, Columns, read_only


class Base:
    """The preselected events of a range with their loose objects, before any variation.

    Args:
        columns: of the range.
        events: positions in the range, in rising order.
        stored: name of declared objects that are not among others, to what passes loosely.
        layout: of the input.
    """

    def __init__(
        self, columns: Columns, events: Array, stored: Mapping[str, Stored], layout: Layout
    ) -> None:
        self.columns = columns
        self.events = events
        self.layout = layout
        self._stored = stored
        self._aligned: dict[str, Stored] = {}
        self._flat: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self.events)

    def stored(self, name: str) -> Stored:
        """Declared objects of these events as they pass most loosely."""
        if name not in self._aligned:
            self._aligned[name] = aligned(self._stored[name], self.events)
        return self._aligned[name]

    def has(self, name: str) -> bool:
        """Whether a column of the event needs no reading."""
        return name in self._flat

    def field(self, name: str, field: str) -> Array:
        """A field of declared objects, of all that pass loosely."""
        return self.stored(name)[field]

    def flat(self, name: str) -> Array:
        """A column with one value an event."""
        if name not in self._flat:
            self._flat[name] = wide(self.columns.flat((name,), self.events)[name])
        return self._flat[name]


class Part:
    """The columns of a base, read for some of its events only where the base has not read them.

    Values stand where they would in the base; those of other events are undefined.

    Args:
        base: of the events.
        events: their positions in it, in rising order.
    """

    def __init__(self, base: Base, events: Array) -> None:
        self._base = base
        self._events = events
        self._stored: dict[str, Stored] = {}
        self._read: dict[tuple[str, str], Array] = {}

    def field(self, name: str, field: str) -> Array:
        """A field of declared objects: as many values as the base has objects."""
        stored = self._base.stored(name)
        if stored.has(field):
            return stored[field]
        if (name, field) not in self._read:
            if name not in self._stored:
                self._stored[name] = stored.at(self._events)
            part = self._stored[name]
            self._read[name, field] = _spread(part[field], part.places, stored.n_objects)
        return self._read[name, field]

    def flat(self, name: str) -> Array:
        """A column with one value an event: as many values as the base has events."""
        if self._base.has(name):
            return self._base.flat(name)
        if ("", name) not in self._read:
            columns = self._base.columns.flat((name,), self._base.events[self._events])
            values = wide(columns[name])
            self._read["", name] = _spread(values, self._events, len(self._base))
        return self._read["", name]


def _spread(values: Array, places: Array, n: int) -> Array:
    spread = np.empty(n, values.dtype)
    spread[places] = values
    return spread


class Record:
    """A single record of events such as MET: fields with one value an event.

    Args:
        name: of the record.
        source: of its columns.
        layout: of the input.
        events: positions in the base; None is all of them.
        changed: columns that are others under a variation, by their branches, for all events of
            the base.
    """

    def __init__(
        self,
        name: str,
        source: Base | Part,
        layout: Layout,
        events: Array | None = None,
        changed: Mapping[str, Array] | None = None,
    ) -> None:
        self._name = name
        self._source = source
        self._layout = layout
        self._events = events
        self._changed = changed or {}

    def __getitem__(self, field: str) -> Array:
        """The values of a field: ``events``."""
        branch = self._layout.branch(self._name, field)
        values = self._changed.get(branch)
        if values is None:
            values = self._source.flat(branch)
        return read_only(values if self._events is None else values.take(self._events))

    def __getattr__(self, field: str) -> Array:
        """The values of a field."""
        if field.startswith("_"):
            raise AttributeError(field)
        return self[field]


class Shift:
    """What a variation does to the loose objects of a base.

    Args:
        base: of the events.
        passing: name of declared objects to a mask of the loose ones, where it is another than
            without the variation.
        changed: changed columns of declared objects, by their name.
        flat: changed columns with one value an event, by their branches.
        moving: columns that some variation changes.
    """

    def __init__(
        self,
        base: Base,
        passing: Mapping[str, Array],
        changed: Mapping[str, Mapping[str, Array]],
        flat: Mapping[str, Array],
        moving: Set[Column],
    ) -> None:
        self.base = base
        self.flat = flat
        self.moving = moving
        self._changed = changed
        self._passing = passing
        self._numbers: dict[str, Array] = {}

    def mask(self, objects: Objects) -> Array | None:
        """Which of the loose objects pass as declared ones; None is all."""
        mask = self._passing.get(objects.name)
        if mask is None and objects.base is not None:
            mask = self.base.stored(objects.root.name)[objects.name]
        return mask

    def numbers(self, objects: Objects) -> Array:
        """Number of declared objects of each event of the base: ``int64``."""
        if objects.name not in self._numbers:
            stored = self.base.stored(objects.root.name)
            mask = self.mask(objects)
            self._numbers[objects.name] = (
                np.diff(stored.offsets) if mask is None else stored.count(mask)
            )
        return self._numbers[objects.name]

    def field(self, source: Base | Part, objects: Objects, field: str) -> Array:
        """A field of all loose objects; which pass as others among them is one, too."""
        changed = self._changed.get(objects.name, {})
        if field in changed:
            return changed[field]
        if field in self._passing and field != objects.name:
            return self._passing[field]
        return source.field(objects.name, field)


class Events:
    """Some events, with the objects that pass under a variation.

    Args:
        shift: what the variation does.
        events: positions in its base, in rising order.
        source: of their columns.
        objects: declared ones by name.
        dataset: name of the dataset.
    """

    def __init__(
        self,
        shift: Shift,
        events: Array,
        source: Base | Part,
        objects: Mapping[str, Objects],
        dataset: str,
    ) -> None:
        self._shift = shift
        self._base = shift.base
        self._events = events
        self._source = source
        self._objects = objects
        self._collections: dict[str, Collection] = {}
        self.metadata = {"dataset": dataset}

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, name: str) -> Any:
        """Declared objects, a single record, or a column of the event."""
        if name in self._objects:
            return self._collection(name)
        layout, changed = self._base.layout, self._shift.flat
        if name in layout.records:
            return Record(name, self._source, layout, self._events, changed)
        return Record("", self._source, layout, self._events, changed)[name]

    def __getattr__(self, name: str) -> Any:
        """Declared objects, a single record, or a column of the event."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def count(self, name: str) -> Array:
        """Number of declared objects of each event: ``events * int64``."""
        return self._shift.numbers(self._objects[name]).take(self._events)

    def take(self, events: Array) -> "Events":
        """Some of the events, by their positions in rising order."""
        dataset = self.metadata["dataset"]
        return Events(self._shift, self._events[events], self._source, self._objects, dataset)

    def collection(self, name: str, fields: Sequence[str]) -> Collection:
        """All stored objects of a collection, with these of its fields.

        Raises:
            AnalysisError: for a field that variations change: they do so to declared objects.
        """
        for field in fields:
            if (name, field) in self._shift.moving:
                raise AnalysisError(
                    f"{name}.{field} of all stored objects is asked for, and variations change it "
                    "for declared objects only",
                    place=f"events.collection({name!r}, ...)",
                    remedy="declare objects with a loose cut, and use theirs",
                )
        events = self._base.events[self._events]
        return self._base.columns.collection(name, fields, events)

    def _collection(self, name: str) -> Collection:
        if name not in self._collections:
            entry = self._objects[name]
            stored = self._base.stored(entry.root.name)
            objects, offsets = stored.objects(self._events, self._shift.mask(entry))
            shift, source = self._shift, self._source
            # Without these events: they would keep each other, and all columns that were read.
            self._collections[name] = Collection(
                offsets, {}, lambda field: shift.field(source, entry.root, field).take(objects)
            )
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
        changed, flat = self._changed(base, variation)
        passing: dict[str, Array] = {}
        for root in self._varied:
            stored = base.stored(root.name)
            varied = changed.get(root.name, {})

            def values(
                name: str, varied: Mapping[str, Array] = varied, stored: Stored = stored
            ) -> Array:
                return varied[name] if name in varied else stored[name]

            for entry in self.objects.values():
                # Declared more than once, objects of one name are equal.
                if entry.root.name != root.name:
                    continue
                cuts = [cut for cut in entry.cuts if self._moves(entry.collection, cut)]
                masks = [passes(values, cuts, stored.n_objects)] if cuts else []
                if entry.base is not None:
                    masks.append(stored[entry.name])
                    masks += [passing[entry.base.name]] if entry.base.name in passing else []
                if masks:
                    passing[entry.name] = reduce(np.logical_and, masks)
        return Shift(base, passing, changed, flat, self.preselector.changed)

    def _changed(
        self, base: Base, variation: Variation
    ) -> tuple[dict[str, dict[str, Array]], dict[str, Array]]:
        """The changed columns of declared objects, and by their branches those of the events."""
        changed: dict[str, dict[str, Array]] = {}
        flat: dict[str, Array] = {}
        for change in variation.changes:
            collection, name = change.column
            roots = [root for root in self._roots if root.collection == collection]
            events = Unvaried(base)
            factors = change.factors(self.selection)
            for key in [root.name for root in roots] or [collection]:
                target: Any = base.stored(key) if roots else Record(collection, base, self._layout)
                values = np.asarray(change.values(target, events, self.selection), np.float64)
                of = "objects" if roots else "events"
                check_each(values, len(target[name]), of, change.values)
                check_factors(
                    values, target[name], factors, variation=variation.name, column=change.column
                )
                if roots:
                    changed.setdefault(key, {})[name] = values
                else:
                    flat[self._layout.branch(collection, name)] = values
        return changed, flat

    def selected(self, shift: Shift) -> Array:
        """Positions in the base of the events that meet all requirements under a variation."""
        base = shift.base
        mask = np.ones(len(base), np.bool_)
        for requirement in self._open:
            match requirement:
                case Count():
                    numbers: Any = sum(shift.numbers(entry) for entry in requirement.objects)
                    mask &= numbers >= requirement.at_least
                    if requirement.at_most < math.inf:
                        mask &= numbers <= requirement.at_most
                    if requirement.comparison == "!=":
                        mask &= numbers != requirement.number
                case EventCut():
                    record = Record(requirement.record, base, self._layout, None, shift.flat)
                    mask &= passes(record.__getitem__, (requirement.cut,), len(base))
        return np.flatnonzero(mask)

    def events(self, events: Array, shift: Shift, source: Base | Part | None = None) -> Events:
        """Events with their objects under a variation.

        Args:
            events: positions in the base of the variation.
            shift: what the variation does.
            source: of their columns; None is the base.
        """
        return Events(shift, events, source or shift.base, self.objects, self.dataset.name)


class Unvaried:
    """Columns of preselected events, for the functions of object variations."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, name: str) -> Any:
        """A single record, or a column of the event."""
        if name in self._base.layout.records:
            return Record(name, self._base, self._base.layout)
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
