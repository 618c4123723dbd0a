"""From events to the histograms of all variations: the one way, whatever the reader.

An analysis whose events are "columns" has its columns read when its functions ask for them; one
whose events are "records" is given coffea's NanoEvents. Either way the requirements, masks,
observables and weights of the declaration are applied, and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agc_pipeline.code import PACKAGE, module_path, sources
from agc_pipeline.columnar.events import Base, Events, Part, Shift, Shifts
from agc_pipeline.columnar.filling import Entries, Migrations, Sums, product
from agc_pipeline.columnar.function_values import array_of, check_each, check_real, mask_of
from agc_pipeline.columnar.records import RecordSelection
from agc_pipeline.columnar.repeats import Sample, sample
from agc_pipeline.declaration import ALL_EVENTS, NOMINAL, Analysis, Dataset, Region, Variation
from agc_pipeline.declaration.analysis import EventFunction
from agc_pipeline.declaration.folder import code_files, data_files
from agc_pipeline.delivery.preselected import SkimContent
from agc_pipeline.errors import AnalysisError
from agc_pipeline.readers.clock import Clock
from agc_pipeline.readers.columns import Array, Columns

# Name under which the histograms of collision data stand among those of processes.
DATA = "data"


class Group(NamedTuple):
    """Regions that share a mask.

    Attributes:
        mask: of the events.
        regions: each with the function of its observable.
        learned: regions of learned observables, all computed at once.
    """

    mask: EventFunction
    regions: tuple[Region, ...]
    learned: tuple[Region, ...]


@dataclass(frozen=True)
class Processing:
    """What is filled from the events of a dataset, and how.

    Attributes:
        analysis: the declaration, without learned regions.
        selection: ``physics.selection``.
        dataset: that the events are of.
        scoring: computes learned observables; None is without.
        blinded: whether data in blinded windows are left out.
        unit: of weights, see ``columnar.filling``.
        discriminant: computes the observable of regions that have no function of their own, see
            ``learning.discriminant``; None is without.
        filler: takes the selected events; None fills histograms.
    """

    analysis: Analysis
    selection: Any
    dataset: Dataset
    scoring: Any = None
    blinded: bool = False
    unit: float = 1.0
    discriminant: Any = None
    filler: "Callable[[Processing, Clock], Filler] | None" = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The analysis comes first: what else is pickled may be of its modules.
        values = self.selection.model_dump()
        others = {
            name: getattr(self, name)
            for name in ("scoring", "blinded", "unit", "discriminant", "filler")
        }
        return (_rebuilt, (self.analysis, values, self.dataset.name, others))

    # What follows from the declaration is the same for all chunks, and had once.
    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions that are filled."""
        return (*self.analysis.regions, *self._learned)

    @property
    def _learned(self) -> tuple[Region, ...]:
        learned = self.analysis.learned
        return () if self.scoring is None or learned is None else learned.regions

    @cached_property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """Collection (or "") to the fields that are read."""
        return self.analysis.columns(self.dataset, self.selection, learned=self.scoring is not None)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The regions by mask, in order."""
        masks = dict.fromkeys(region.mask for region in self.regions if region.mask is not None)
        return tuple(
            Group(
                mask,
                tuple(region for region in self.analysis.regions if region.mask is mask),
                tuple(region for region in self._learned if region.mask is mask),
            )
            for mask in masks
        )

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes that are filled."""
        return (DATA,) if self.dataset.kind == "data" else self.dataset.processes

    @cached_property
    def variations(self) -> tuple[Variation, ...]:
        """All variations that are filled, the dataset's own first."""
        return self.analysis.variations(self.dataset)

    @cached_property
    def shifts(self) -> tuple[Variation, ...]:
        """The dataset's own variation, then those that redo the selection."""
        own, *others = self.variations
        return (own, *(v for v in others if v.kind == "object"))

    @cached_property
    def weights(self) -> tuple[Variation, ...]:
        """The variations that reweight the nominal selection."""
        return tuple(v for v in self.variations if v.kind == "weight")

    @cached_property
    def acting(self) -> Mapping[EventFunction, frozenset[str]]:
        """Mask of a group to the variations with templates in it; the dataset's own is in all."""
        return {
            group.mask: frozenset(
                variation.name
                for variation in self.variations
                if variation.name == self.dataset.variation
                or any(
                    self.analysis.acts_on(variation.name, process, region.name)
                    for process in self.processes
                    for region in (*group.regions, *group.learned)
                )
            )
            for group in self.groups
        }

    @cached_property
    def _event_selection(self) -> Shifts:
        return Shifts(self.analysis, self.selection, self.dataset)

    def empty(self) -> dict[str, Any]:
        """The output for no events."""
        return self._filler(Clock()).output({ALL_EVENTS: 0, **self._labels()})

    def _filler(self, clock: Clock) -> "Filler":
        return (self.filler or Filler)(self, clock)

    def _labels(self) -> dict[str, int]:
        requirements = self.analysis.requirements(self.selection, self.dataset)
        return {r.label: 0 for r in requirements if r.label is not None}

    def preselect(self, columns: Columns) -> tuple[Array, dict[str, int]]:
        """Positions of the events that some variation may select, and the cutflow up to there.

        Args:
            columns: of a range of events.
        """
        preselection = self._event_selection.preselector(columns)
        return preselection.events, preselection.cutflow

    def preselect_records(self, events: Any) -> tuple[Array, dict[str, int]]:
        """The same for events that are records.

        Of data that may be blinded, all that meet the requirements: from a number of events that
        are in some region, those in the windows would follow by subtraction.
        """
        selection = RecordSelection(self.analysis, self.selection, self.dataset)
        if self.dataset.kind == "data" and self.analysis.blinded:
            _, positions, cutflow = selection.selected(events, self.shifts[0])
            return positions, cutflow
        return selection.preselect(
            events,
            {
                shift: [mask for mask, acting in self.acting.items() if shift.name in acting]
                for shift in self.shifts
            },
        )

    def nominal(self, columns: Columns, mask: EventFunction) -> Events:
        """The unvaried events of a region, e.g. to train models on.

        Args:
            columns: of a range of events.
            mask: of the region.
        """
        selection = self._event_selection
        base = selection.base(selection.preselector(columns))
        shift = selection.shift(base, Variation(NOMINAL))
        positions = selection.selected(shift)
        view = selection.events(positions, shift)
        return view.take(np.flatnonzero(mask_of(mask, view, self.selection, len(view))))

    def process(self, columns: Columns) -> dict[str, Any]:
        """Histograms and cutflow of a range of events whose columns are read as needed.

        Args:
            columns: of the range.
        """
        with columns.clock.part("physics"):
            filler = self._filler(columns.clock)
            selection = self._event_selection
            preselection = selection.preselector(columns)
            base = selection.base(preselection)
            varied = {v.name: selection.shift(base, v) for v in self.shifts}
            selected = {name: selection.selected(shift) for name, shift in varied.items()}
            in_group = {
                name: {
                    number: events[mask_of(group.mask, view, self.selection, len(events))]
                    for number, group in enumerate(self.groups)
                    if name in self.acting[group.mask]
                }
                for name, events in selected.items()
                for view in (selection.events(events, varied[name]),)
            }
            for positions in in_group.values():
                self._require_exclusive(len(base), positions)
            for number, group in enumerate(self.groups):
                parts = {
                    name: positions[number]
                    for name, positions in in_group.items()
                    if number in positions
                }
                for variation, events in _views(selection, base, varied, parts):
                    filler.fill(group, variation, events, parts[variation])
            return filler.output(preselection.cutflow)

    def process_records(self, events: Any, clock: Clock | None = None) -> dict[str, Any]:
        """Histograms and cutflow of events that are records.

        Args:
            events: coffea's NanoEvents.
            clock: takes the time.
        """
        clock = clock or Clock()
        with clock.part("physics"):
            filler = self._filler(clock)
            selection = RecordSelection(self.analysis, self.selection, self.dataset)
            cutflow: dict[str, int] = {}
            for variation in self.shifts:
                varied, positions, flow = selection.selected(events, variation)
                cutflow = cutflow or flow
                in_group = {
                    number: np.flatnonzero(mask_of(group.mask, varied, self.selection, len(varied)))
                    for number, group in enumerate(self.groups)
                    if variation.name in self.acting[group.mask]
                }
                self._require_exclusive(len(varied), in_group)
                for number, part in in_group.items():
                    filler.fill(self.groups[number], variation.name, varied[part], positions[part])
            return filler.output(cutflow)

    @cached_property
    def _channels(self) -> tuple[tuple[tuple[int, str], ...], ...]:
        """Regions that are fitted together, each with the number of its group.

        None for other fillers than that of histograms, to which an event may count several times.
        """
        channels: dict[str | None, list[tuple[int, str]]] = {}
        for number, group in enumerate(self.groups):
            for region in group.regions:
                if region.fitted and self.filler is None:
                    channels.setdefault(region.selection, []).append((number, region.name))
        return tuple(tuple(regions) for regions in channels.values() if len(regions) > 1)

    def _require_exclusive(self, n_events: int, in_group: Mapping[int, Array]) -> None:
        """Refuse events that are in two regions of one fit, which takes regions as independent.

        Args:
            n_events: in the range.
            in_group: number of a group to the positions of its events; others are not filled.

        Raises:
            AnalysisError: naming the regions and the number of events.
        """
        for regions in self._channels:
            region_of = np.full(n_events, -1)
            for place, (number, name) in enumerate(regions):
                if number not in in_group:
                    continue
                events = in_group[number]
                taken = region_of[events]
                if (taken >= 0).any():
                    other = taken.max()
                    n_common = int(np.count_nonzero(taken == other))
                    raise AnalysisError(
                        f"{n_common} events are in the region {name} and in {regions[other][1]}: "
                        "the fit has both, and takes their events for independent",
                        place=f"analysis {self.analysis.name}, dataset {self.dataset.name}",
                        remedy="let the mask of one leave out the events of the other, or declare "
                        "one with `fitted=False`",
                    )
                region_of[events] = place


def skim_content(
    analysis: Analysis, selection: Any, dataset: Dataset, *, learned: bool
) -> SkimContent:
    """What the skims of a dataset hold.

    Args:
        analysis: the declaration.
        selection: ``physics.selection``.
        dataset: that the files are of.
        learned: with the columns of learned observables.
    """
    processing = Processing(analysis, selection, dataset)
    records = analysis.events == "records"
    generated = analysis.generated if dataset.kind == "simulation" else None
    columns = analysis.columns(dataset, selection, learned=learned)
    return SkimContent(
        columns=columns,
        layout=analysis.layout,
        preselect=processing.preselect_records if records else processing.preselect,
        records=records,
        generated=generated,
        description={
            "selection": selection.model_dump() if records else None,
            "requirements": analysis.preselection(selection, dataset),
            "layout": analysis.layout.description(columns),
        },
        # Masks of records are functions: there is no telling what they do without their code.
        code=(*sources(__name__), *(_files(analysis) if records else ())),
        # The sum of weights, too, is a function; what it reads may have been bound anywhere.
        weighing=() if generated is None else tuple(_files(analysis)),
    )


def _files(analysis: Analysis) -> list[str]:
    """Files that decide what functions of an analysis do, this package apart."""
    folder = analysis.folder
    if folder is None or analysis.module is None:
        return []
    package = module_path(PACKAGE).parent
    imported = (path for path in sources(analysis.module) if not Path(path).is_relative_to(package))
    return sorted({*imported, *map(str, code_files(folder)), *map(str, data_files(folder))})


def _rebuilt(
    analysis: Analysis, selection: Mapping[str, Any], dataset: str, others: Mapping[str, Any]
) -> Processing:
    settings = analysis.selection(selection)
    return Processing(analysis, settings, analysis.dataset(dataset), **others)


def _views(
    selection: Shifts, base: Base, varied: Mapping[str, Shift], parts: Mapping[str, Array]
) -> Iterator[tuple[str, Events]]:
    """The events of a group of regions under each variation.

    What its observables read is read once, for the events that some variation has there.
    """
    somewhere = np.zeros(len(base), np.bool_)
    for positions in parts.values():
        somewhere[positions] = True
    part = Part(base, np.flatnonzero(somewhere))
    for name, positions in parts.items():
        yield name, selection.events(positions, varied[name], part)


class Filler:
    """Sums of weights of all regions and variations of a range of events.

    Args:
        processing: what is filled.
        clock: takes the time.
    """

    def __init__(self, processing: Processing, clock: Clock) -> None:
        self._processing = processing
        self._clock = clock
        self._own = processing.dataset.variation
        variations = [v.name for v in processing.variations]
        self._sums = {
            process: {
                region.name: Sums(
                    region.edges,
                    variations,
                    processing.unit,
                    place_of(processing.dataset, process, region),
                )
                for region in processing.regions
            }
            for process in processing.processes
        }
        self._selected = {region.name: 0 for region in processing.analysis.regions}
        # Of these, the events that the masks of all processes leave out.
        self._unassigned = dict(self._selected)
        others = processing.shifts[1:]
        self._migrations = {
            process: {
                region.name: Migrations(region.edges, [v.name for v in others], processing.unit)
                for region in processing.analysis.regions
            }
            for process in processing.processes
            if others
        }
        # Of the dataset's own variation, by process and region.
        self._unvaried: dict[tuple[str, str], Entries] = {}
        # Of blinded data, by region: which events are left out, and which are not.
        self._hidden: dict[str, Array] = {}
        self._open: dict[str, Array] = {}
        # Of events that are shown.
        self._sample = Sample()

    def fill(self, group: Group, variation: str, events: Any, positions: Array) -> None:
        """Fill the regions of a group under a variation of its selection.

        Args:
            group: of regions.
            variation: the dataset's own comes first.
            events: in the regions, varied.
            positions: of these events in the range, ascending.
        """
        values = dict(self._values(group, events))
        if variation == self._own:
            shown = {region: self._shown(region, observed) for region, observed in values.items()}
            self._selected |= {
                region.name: _n_of(shown[region], len(positions)) for region in group.regions
            }
            self._follow_blinded(shown, positions)
            self._follow_identity(shown, events)
        weights = self._weights(group, variation, events)
        processes = list(self._processes(events))
        if variation == self._own:
            n_unassigned = _n_in_none([mask for _, mask, _ in processes])
            self._unassigned |= {region.name: n_unassigned for region in group.regions}
        for process, mask, factor in processes:
            with self._clock.part("fill"):
                for region, observed in values.items():
                    passing = _both(mask, self._shown(region, observed))
                    theirs = {
                        shift: _weights_of(weight, factor, passing)
                        for shift, weight in weights.items()
                    }
                    bins = self._sums[process][region.name].fill(
                        observed if passing is None else observed[passing], theirs
                    )
                    if process in self._migrations and region not in group.learned:
                        at = positions if passing is None else positions[passing]
                        self._follow(
                            process, region, variation, Entries(at, bins, theirs[variation])
                        )

    def _follow(self, process: str, region: Region, variation: str, entries: Entries) -> None:
        """Add what has moved from where under a variation of the selection."""
        if variation == self._own:
            self._unvaried[process, region.name] = entries
        else:
            self._migrations[process][region.name].fill(
                variation, self._unvaried[process, region.name], entries
            )

    def _follow_blinded(self, shown: Mapping[Region, Array | None], positions: Array) -> None:
        """Keep which data regions leave out, and which they show."""
        if not self._blinds:
            return
        for region, mask in shown.items():
            self._open[region.name] = positions if mask is None else positions[mask]
            if mask is not None:
                self._hidden[region.name] = positions[~mask]

    def _follow_identity(self, shown: Mapping[Region, Array | None], events: Any) -> None:
        """Keep some identities of events, which tell whether another file has them, too."""
        names = self._processing.analysis.layout.identity
        identity = [np.asarray(array_of(events[name])) for name in names]
        for region, mask in shown.items():
            parts = identity if mask is None else [column[mask] for column in identity]
            self._sample += sample(parts, region.name)

    def _exposed(self) -> dict[str, dict[str, int]]:
        """Region to the regions whose blinded data it shows, and how many of them."""
        common = {
            shown: {
                blinded: len(np.intersect1d(events, others, assume_unique=True))
                for blinded, others in self._hidden.items()
                if blinded != shown
            }
            for shown, events in self._open.items()
        }
        return {
            shown: {blinded: n for blinded, n in numbers.items() if n}
            for shown, numbers in common.items()
            if any(numbers.values())
        }

    @property
    def _blinds(self) -> bool:
        return self._processing.blinded and self._processing.dataset.kind == "data"

    def _shown(self, region: Region, observed: Array) -> Array | None:
        """Mask of the data outside of a blinded window; None is all."""
        if not self._blinds or region.blinded is None:
            return None
        low, high = region.blinded
        # NaN is in no window, and refused where it is filled.
        return ~((observed >= low) & (observed < high))

    def _values(self, group: Group, events: Any) -> Iterable[tuple[Region, Array]]:
        for region in group.regions:
            values = region.values or self._score(region)
            observed = _doubles(values(events, self._processing.selection), values)
            if observed.shape != (len(events),):
                raise AnalysisError(
                    f"an observable of {len(events)} events has the shape {observed.shape}",
                    place=f"region {region.name}",
                    remedy="return one number for each event",
                )
            yield region, observed
        if group.learned:
            observables = self._processing.scoring.observables(events, self._processing.selection)
            yield from zip(group.learned, observables, strict=True)

    def _score(self, region: Region) -> EventFunction:
        """The discriminant that is the observable of a region."""
        processing = self._processing
        if processing.discriminant is None:
            raise AnalysisError(
                f"the observable of the region {region.name} is a discriminant, and no model "
                "computes it here",
                place=f"analysis {processing.analysis.name}",
                remedy="fill it by a run, or take the configuration without `discriminant`",
            )
        score: EventFunction = processing.discriminant.of(processing.analysis, region.name)
        return score

    def _weights(self, group: Group, variation: str, events: Any) -> dict[str, Array | None]:
        """Variation to the weights of the events; None is 1 for each."""
        processing = self._processing
        nominal = None
        if processing.dataset.kind == "simulation" and processing.analysis.weight is not None:
            nominal = _numbers(processing.analysis.weight, events, processing.selection)
        weights: dict[str, Array | None] = {variation: nominal}
        if variation == NOMINAL and processing.dataset.kind == "simulation":
            for shift in processing.weights:
                if shift.weight is not None and shift.name in processing.acting[group.mask]:
                    factor = _numbers(shift.weight, events, processing.selection)
                    weights[shift.name] = factor if nominal is None else nominal * factor
        return weights

    def _processes(self, events: Any) -> Iterator[tuple[str, Array | None, Array | None]]:
        """Processes with the events that are theirs, and a factor on their weights."""
        processing = self._processing
        if processing.dataset.kind == "data":
            yield DATA, None, None
            return
        # Events that some process has with their whole weight.
        whole: list[tuple[str, Array]] = []
        for entry in processing.dataset.filled:
            mask = factor = None
            if entry.mask is not None:
                mask = mask_of(entry.mask, events, processing.selection, len(events))
                if entry.weight is None:
                    self._require_shared_out(entry.process, mask, whole)
                    whole.append((entry.process, mask))
            if entry.weight is not None:
                factor = _numbers(entry.weight, events, processing.selection)
            yield entry.process, mask, factor

    def _require_shared_out(
        self, process: str, mask: Array, whole: Iterable[tuple[str, Array]]
    ) -> None:
        """Refuse events that count with their whole weight in two processes of a dataset.

        Args:
            process: that is filled.
            mask: of its events.
            whole: other processes, with the masks of theirs.

        Raises:
            AnalysisError: naming the processes and the number of events.
        """
        for other, theirs in whole:
            if n_common := int(np.count_nonzero(mask & theirs)):
                raise AnalysisError(
                    f"{n_common} of {len(mask)} events of a chunk are of the process {other} and "
                    f"of {process}, and count twice",
                    place=f"analysis {self._processing.analysis.name}, dataset "
                    f"{self._processing.dataset.name}",
                    remedy="let the mask of one `Fill` leave out the events of the other, or share "
                    "their weights out with the `weight` of both",
                )

    def output(self, cutflow: Mapping[str, int]) -> dict[str, Any]:
        """Sums of all regions, the cutflow of preselection and regions, and events of no process.

        ``filling.complete`` makes histograms of the sums, once all chunks are added.
        """
        with self._clock.part("fill"):
            return {
                "histograms": self._sums,
                "migrations": self._migrations,
                "preselection": dict(cutflow),
                "selected": dict(self._selected),
                "unassigned": dict(self._unassigned),
                "exposed": self._exposed(),
                "sample": self._sample,
            }


def place_of(dataset: Dataset, process: str, region: Region) -> str:
    """Where something is filled, for messages."""
    return f"dataset {dataset.name}, process {process}, region {region.name}"


def _doubles(values: Any, function: EventFunction) -> Array:
    """Numbers as ``float64``; what is missing is NaN, and not what is stored in its place."""
    values = array_of(values)
    check_real(values, function)
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(np.ma.asarray(values, np.float64), np.nan)
    return np.asarray(values, np.float64)


def _numbers(function: EventFunction, events: Any, selection: Any) -> Array:
    """Weights of events: ``events * float64``.

    Raises:
        AnalysisError: if there are more or less than events, other than one for all.
    """
    weights = _doubles(function(events, selection), function)
    if weights.ndim == 0:
        return np.full(len(events), weights)
    check_each(weights, len(events), "events", function)
    return weights


def _n_of(mask: Array | None, n_events: int) -> int:
    """Number of events in a mask; None is all of them."""
    return n_events if mask is None else int(np.count_nonzero(mask))


def _n_in_none(masks: Sequence[Array | None]) -> int:
    """Number of events that are in no mask; None is all events."""
    taken = [mask for mask in masks if mask is not None]
    return int(np.count_nonzero(~np.logical_or.reduce(taken))) if len(taken) == len(masks) else 0


def _both(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _weights_of(weight: Array | None, factor: Array | None, mask: Array | None) -> Array | None:
    weights = product(weight, factor)
    return weights if weights is None or mask is None else weights[mask]
