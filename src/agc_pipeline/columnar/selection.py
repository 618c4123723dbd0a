"""The preselection: which events some variation may select, cheap columns first.

It follows from the requirements that an analysis declares. Cuts on columns that variations change
are loosened as far as these reach, the others are exact.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from agc_pipeline.columnar.function_values import check_each
from agc_pipeline.compiling import kernel
from agc_pipeline.declaration import ALL_EVENTS, Analysis, Count, Cut, Dataset, EventCut, Objects
from agc_pipeline.declaration.selection import Column
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.columns import Array, Collection, Columns, offsets_of
from agc_pipeline.readers.failures import ImpossibleValue

# Whether a comparison passes what is above, at and below the bound, and what is not a number.
_PASSES = {
    ">": (True, False, False, False),
    ">=": (True, True, False, False),
    "<": (False, False, True, False),
    "<=": (False, True, True, False),
    "==": (False, True, False, False),
    "!=": (True, False, True, True),
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@kernel
def _apply(
    mask: Array, values: Array, bound: float, absolute: bool, passes: tuple[bool, bool, bool, bool]
) -> None:
    """Clear the mask where values, widened to double precision, do not pass a cut."""
    above, at, below, undefined = passes
    # Without branches, the loop is compiled to instructions for several values at a time.
    for i in range(len(mask)):
        value = np.float64(values[i])
        if absolute:
            value = abs(value)
        mask[i] &= (
            (above & (value > bound))
            | (at & (value == bound))
            | (below & (value < bound))
            | (undefined & np.isnan(value))
        )


def passes(values: Callable[[str], Array], cuts: Sequence[Cut], n: int) -> Array:
    """Mask of what passes cuts: ``n * bool``.

    Args:
        values: gives the values of a field.
        cuts: all of them must pass.
        n: number of values.
    """
    mask = np.ones(n, np.bool_)
    for cut in cuts:
        passed = _PASSES[cut.comparison]
        _apply(mask, values(cut.name), float(cut.bound), cut.absolute, passed)
    return mask


def wide(values: Array) -> Array:
    """Single-precision values in double precision, others as they are."""
    return values.astype(np.float64) if values.dtype == np.float32 else values


class Stored(Collection):
    """Objects of some events of a range, whose other fields are read from the file when needed.

    Args:
        columns: of the range.
        name: of the collection.
        events: positions in the range, ``events``.
        offsets: of the objects, ``events + 1``.
        position: gives that of each object among those of its event in the file.
        before: fields that were read before, to functions that give their values.
        computed: name of a field to the function that computes it of the objects.
        parent: the same objects of more events, and the positions of these objects there.
    """

    def __init__(
        self,
        columns: Columns,
        name: str,
        events: Array,
        offsets: Array,
        position: Callable[[], Array],
        before: Mapping[str, Callable[[], Array]],
        computed: Mapping[str, Any],
        parent: "tuple[Stored, Array] | None" = None,
    ) -> None:
        super().__init__(offsets, {})
        self.before = before
        self.columns = columns
        self.name = name
        self.abs_events = events
        self._position = position
        self.computed = computed
        self.parent = parent

    @cached_property
    def position(self) -> Array:
        """Position of each object among those of its event in the file."""
        return self._position()

    @property
    def n_objects(self) -> int:
        """Number of objects of all events."""
        return int(self.offsets[-1])

    def lookup(self, field: str) -> Array:
        """See ``Collection``: of a parent that has it, computed, or read from the file."""
        if field in self.before:
            return self.before[field]()
        if self.parent is not None and self.parent[0].has(field):
            return self.parent[0][field].take(self.parent[1])
        if field in self.computed:
            values: Array = self.computed[field](self)
            return values
        stored = self.columns.collection(self.name, (field,), self.abs_events)
        place = np.repeat(stored.offsets[:-1], np.diff(self.offsets)) + self.position
        return wide(stored[field].take(place))

    def has(self, field: str) -> bool:
        """Whether a field needs no reading."""
        return (
            field in self.fields
            or field in self.before
            or (self.parent is not None and self.parent[0].has(field))
        )

    @property
    def places(self) -> Array:
        """Positions of these objects among those of the parent."""
        if self.parent is None:
            raise TypeError("these objects are not some of others")
        return self.parent[1]

    def at(self, events: Array) -> "Stored":
        """The objects of some of the events, which read other fields for these only."""
        objects, offsets = self.objects(events)
        return Stored(
            self.columns,
            self.name,
            self.abs_events[events],
            offsets,
            lambda: self.position.take(objects),
            {},
            self.computed,
            (self, objects),
        )


@dataclass
class Preselection:
    """The events of a range that some variation may select, and their objects.

    Attributes:
        columns: of the range.
        events: positions in the range, in rising order.
        stored: name of declared objects that are not among others, to what passes loosely.
        cutflow: events behind each nominal cut, in order.
    """

    columns: Columns
    events: Array
    stored: dict[str, Stored] = field(default_factory=dict)
    cutflow: dict[str, int] = field(default_factory=dict)


class Preselector:
    """Applies the requirements of an analysis to ranges of events of a dataset.

    Args:
        analysis: the declaration.
        selection: ``physics.selection``.
        dataset: that the events are of.
    """

    def __init__(self, analysis: Analysis, selection: Any, dataset: Dataset) -> None:
        self.requirements = analysis.requirements(selection, dataset)
        self.changed = analysis.changed_columns
        self.factors = {column: analysis.factors(column, selection) for column in self.changed}

    def moves(self, collection: str, cut: Cut) -> bool:
        """Whether some variation changes what a cut compares."""
        return (collection, cut.name) in self.changed

    def loosest(self, collection: str, cuts: Sequence[Cut]) -> tuple[Cut, ...]:
        """The cuts on stored values that pass whatever some variation passes."""
        return tuple(cut.loosest(self._factors((collection, cut.name))) for cut in cuts)

    def tightest(self, collection: str, cuts: Sequence[Cut]) -> tuple[Cut, ...]:
        """The cuts on stored values that pass only what every variation passes."""
        return tuple(cut.tightest(self._factors((collection, cut.name))) for cut in cuts)

    def _factors(self, column: Column) -> tuple[float, float]:
        return self.factors.get(column, (1.0, 1.0))

    def __call__(self, columns: Columns) -> Preselection:
        """The events of a range that some variation may select."""
        state = Preselection(columns, np.arange(columns.n_events))
        state.cutflow[ALL_EVENTS] = columns.n_events
        nominal = np.ones(columns.n_events, np.bool_)
        for number, requirement in enumerate(self.requirements):
            counted = any(later.label is not None for later in self.requirements[number:])
            match requirement:
                case Count():
                    possible, exact = self._count(state, requirement, counted=counted)
                case EventCut():
                    possible, exact = self._event_cut(state, requirement)
            nominal = (nominal & exact)[possible]
            state.events = state.events[possible]
            if requirement.label is not None:
                state.cutflow[requirement.label] = int(np.count_nonzero(nominal))
        return state

    def _count(
        self, state: Preselection, requirement: Count, *, counted: bool
    ) -> tuple[Array, Array]:
        """Positions of the events that may pass, and a mask of those that do nominally."""
        n = len(state.events)
        loose = np.zeros(n, np.int32)
        nominal, tight = loose, loose
        moving = any(
            self.moves(objects.collection, cut)
            for objects in requirement.objects
            for cut in objects.all_cuts
        )
        if moving:
            nominal, tight = loose.copy(), loose.copy()
        n_min = max(1, requirement.at_least) if len(requirement.objects) == 1 else 1
        for objects in requirement.objects:
            stored, place = self._stored(state, objects.root, n_min)
            mask = self._flag(stored, objects)
            loose[place] += _numbers(stored, mask)
            if not moving:
                continue
            cuts = tuple(c for c in objects.all_cuts if self.moves(objects.collection, c))

            def number(
                cuts: Sequence[Cut], stored: Stored = stored, mask: Array | None = mask
            ) -> Array:
                exact = passes(stored.__getitem__, cuts, stored.n_objects)
                return stored.count(exact if mask is None else mask & exact)

            if counted:
                nominal[place] += number(cuts)
            if requirement.at_most < math.inf:
                tight[place] += number(self.tightest(objects.collection, cuts))
        if not moving:
            exact = _COMPARE[requirement.comparison](loose, requirement.number)
            return np.flatnonzero(exact), exact
        possible = np.flatnonzero((loose >= requirement.at_least) & (tight <= requirement.at_most))
        if not counted:
            # Nothing counts the events that pass it nominally.
            return possible, np.ones(n, np.bool_)
        return possible, _COMPARE[requirement.comparison](nominal, requirement.number)

    def _stored(self, state: Preselection, objects: Objects, n_min: int) -> tuple[Stored, Array]:
        """What passes loosely of declared objects, of the events that have enough of them.

        Returns:
            The objects, and the positions of their events among those that are left.
        """
        if objects.name in state.stored:
            stored = state.stored[objects.name]
            inside, place = shared(stored.abs_events, state.events)
            if len(inside) < len(stored):
                stored = state.stored[objects.name] = stored.at(inside)
            return stored, place
        cuts = self.loosest(objects.collection, objects.cuts)
        columns, name = state.columns, objects.collection
        wanted = None if len(state.events) == columns.n_events else state.events
        collection = columns.collection(name, (cuts[0].name,), wanted)
        mask = passes(collection.__getitem__, cuts[:1], collection.offsets[-1])
        local = collection.events(mask, n_min=n_min)
        events = state.events[local]
        collection = collection.extended(passes=mask).take(local)
        rest = [cut for cut in cuts[1:] if cut.name != cuts[0].name]
        read = collection
        if rest:
            read = columns.collection(name, tuple(dict.fromkeys(c.name for c in rest)), events)

        def values(field: str) -> Array:
            return read[field] if field in read.fields else collection[field]

        def taken(field: str) -> Array:
            return wide(values(field).take(objects_))

        mask = collection["passes"] & passes(values, cuts[1:], collection.offsets[-1])
        enough = collection.events(mask, n_min=n_min)
        objects_, offsets = collection.objects(enough, mask)
        state.stored[objects.name] = Stored(
            columns,
            name,
            events[enough],
            offsets,
            lambda: collection.positions().take(objects_),
            {field: partial(taken, field) for field in dict.fromkeys(cut.name for cut in cuts)},
            {
                name: _Guarded(function, name, self._moving_fields(objects.collection))
                for name, function in objects.columns.items()
            },
        )
        return state.stored[objects.name], local[enough]

    def _moving_fields(self, collection: str) -> frozenset[str]:
        return frozenset(field for name, field in self.changed if name == collection)

    def _flag(self, stored: Stored, objects: Objects) -> Array | None:
        """Which of the stored objects pass loosely as ones that are among them; None is all."""
        if objects.base is None:
            return None
        if objects.name not in stored.fields:
            cuts = self.loosest(objects.collection, objects.cuts)
            mask = passes(stored.__getitem__, cuts, stored.n_objects)
            base = self._flag(stored, objects.base)
            stored.fields[objects.name] = mask if base is None else base & mask
        return stored.fields[objects.name]

    def _event_cut(self, state: Preselection, requirement: EventCut) -> tuple[Array, Array]:
        record, cut = requirement.record, requirement.cut
        name = f"{record}_{cut.name}" if record else cut.name
        values = state.columns.flat((name,), state.events)[name]
        (loosest,) = self.loosest(record, (cut,))
        possible = passes(lambda _: values, (loosest,), len(values))
        return np.flatnonzero(possible), passes(lambda _: values, (cut,), len(values))


def _numbers(stored: Stored, mask: Array | None) -> Array:
    return np.diff(stored.offsets) if mask is None else stored.count(mask)


def aligned(stored: Stored, events: Array) -> Stored:
    """The objects of exactly these events of the range, none where there are none stored.

    Args:
        stored: of some events.
        events: positions in the range, in rising order.
    """
    inside, place = shared(stored.abs_events, events)
    part = stored if len(inside) == len(stored) else stored.at(inside)
    if len(place) == len(events):
        return part
    counts = np.zeros(len(events), np.int64)
    counts[place] = np.diff(part.offsets)
    return Stored(
        part.columns,
        part.name,
        events,
        offsets_of(counts),
        lambda: part.position,
        part.before,
        part.computed,
        part.parent,
    )


@kernel
def shared(one: Array, other: Array) -> tuple[Array, Array]:
    """Positions in either of two rising arrays of the values that are in both."""
    n_max = min(len(one), len(other))
    in_one, in_other = np.empty(n_max, np.int64), np.empty(n_max, np.int64)
    i, j, n = 0, 0, 0
    while i < len(one) and j < len(other):
        if one[i] < other[j]:
            i += 1
        elif one[i] > other[j]:
            j += 1
        else:
            in_one[n], in_other[n] = i, j
            i, j, n = i + 1, j + 1, n + 1
    return in_one[:n], in_other[:n]


class _Guarded:
    """The function of a computed column, which may not read what variations change.

    Args:
        function: of the objects.
        name: of the column.
        moving: fields that variations change.
    """

    def __init__(self, function: Any, name: str, moving: frozenset[str]) -> None:
        self.function = function
        self.name = name
        self.moving = moving

    def __call__(self, stored: Stored) -> Array:
        """The values of the column."""
        values = np.asarray(self.function(_Guard(self, stored)))
        check_each(values, stored.n_objects, "objects", self.function)
        return values


class _Guard:
    """Objects as the function of a computed column sees them."""

    def __init__(self, column: _Guarded, stored: Stored) -> None:
        self._column = column
        self._stored = stored

    def __getitem__(self, field: str) -> Array:
        if field in self._column.moving:
            raise AnalysisError(
                f"the computed column {self._column.name} reads {field}, which variations change",
                place="objects",
                remedy="compute it in the function of the observable",
            )
        return self._stored[field]

    def __getattr__(self, field: str) -> Array:
        return self[field]


@kernel
def _beyond(values: Array, unvaried: Array, low: float, high: float) -> int:
    """Position of the first value that is not between both multiples; -1 if all are."""
    for i in range(len(values)):
        one, other = unvaried[i] * low, unvaried[i] * high
        room = 1e-9 * abs(unvaried[i])
        if not min(one, other) - room <= values[i] <= max(one, other) + room:
            return i
    return -1


def check_factors(
    values: Array, unvaried: Array, factors: tuple[float, float], *, variation: str, column: Column
) -> None:
    """Refuse a variation that goes farther than it is declared to: the skim would lose events.

    Raises:
        AnalysisError: naming the variation and a value.
        ImpossibleValue: if a value is not finite before.
    """
    low, high = factors
    i = _beyond(values, unvaried, low, high)
    if i >= 0 and not np.isfinite(unvaried[i]):
        raise ImpossibleValue(f"a value of {'_'.join(filter(None, column))} is {unvaried[i]:g}")
    if i >= 0:
        raise AnalysisError(
            f"the variation {variation} makes {values[i]:g} of {'.'.join(column)} = "
            f"{unvaried[i]:g}, beyond its declared factors {low:g} to {high:g}",
            place=f"declaration of the variation {variation}",
            remedy="declare the factors that it can have: preselection and skims follow from them",
        )
