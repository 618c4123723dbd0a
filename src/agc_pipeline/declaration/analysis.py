"""What an analysis tells the rest of the pipeline about itself.

Everything else is generic. Names of histograms, parameters of the statistical model, the list of
validation and the texts of the report follow from the declaration; the functions of its regions and
systematics fill the histograms.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, assert_never

from pydantic import Field, PositiveFloat

from agc_pipeline.declaration.features import EDGES, LABEL, OBSERVABLE, Feature
from agc_pipeline.declaration.layout import NANOAOD, Layout
from agc_pipeline.declaration.selection import (
    Column,
    Count,
    Cut,
    EventCut,
    Factors,
    Objects,
    Requirement,
    columns_of,
)
from agc_pipeline.declaration.thresholds import Threshold
from agc_pipeline.settings import AtMost, Settings

Kind = Literal["object", "weight", "sample", "normalisation"]
# Relative effect on a yield: of both signs, or down and up.
Effect: TypeAlias = float | tuple[float, float]
# Function of events and ``physics.selection``; see ``Region`` and ``Variation`` for what it gives.
EventFunction: TypeAlias = Callable[[Any, Any], Any]
Columns: TypeAlias = Mapping[str, tuple[str, ...]]

NOMINAL = "nominal"
# It imports this module.
_LOADER = "agc_pipeline.analyses"
# First entry of every cutflow.
ALL_EVENTS = "all"

Luminosity = Annotated[PositiveFloat, AtMost(1e9, "no collider delivers as much, in 1/pb")]
SumOfWeights = Annotated[PositiveFloat, AtMost(1e30, "no generator has as large weights")]
# 100 mb is all that protons do.
CrossSection = Annotated[PositiveFloat, AtMost(1e12, "protons are not as large, in pb")]
# Of cuts, in GeV; half of what the LHC collides.
Momentum = Annotated[PositiveFloat, AtMost(7000, "no particle has as much, in GeV")]
Pseudorapidity = Annotated[PositiveFloat, AtMost(10, "no detector reaches as far")]


class Physics(Settings):
    """What every analysis has in the ``physics:`` part of its configuration.

    Attributes:
        luminosity_per_pb: integrated luminosity, one number or one for each era.
        cross_sections_pb: by the names that the datasets of the declaration give.
        sums_of_weights: sums of generator weights that all files of a dataset together must state:
            files of another production, or missing ones, are an error. What ServiceX delivers
            states none, and is normalised to them.
        selection: of the analysis' own: cuts, and sizes of the variations computed from events.
    """

    luminosity_per_pb: Luminosity | Annotated[dict[str, Luminosity], Field(min_length=1)]
    cross_sections_pb: dict[str, CrossSection]
    sums_of_weights: dict[str, SumOfWeights] = Field(default_factory=dict)
    selection: Settings

    def luminosity(self, era: str | None) -> float:
        """Luminosity of an era in 1/pb; of None, that of all eras."""
        if isinstance(self.luminosity_per_pb, dict):
            eras = self.luminosity_per_pb
            return sum(eras.values()) if era is None else eras[era]
        return self.luminosity_per_pb


@dataclass(frozen=True)
class Process:
    """A physics process: its name in histograms, and its title in models and plots."""

    name: str
    title: str


@dataclass(frozen=True)
class Fill:
    """A process that a dataset fills, where it is not the only one or not with all its events.

    Attributes:
        process: its name.
        mask: of the events, ``events * bool``; None is all. No event may be in those of two
            processes without a ``weight``, where it would count twice; events in none are left
            out, and the report says how many.
        weight: factor on the events' weights, ``events``; None is 1.
    """

    process: str
    mask: EventFunction | None = None
    weight: EventFunction | None = None


@dataclass(frozen=True)
class Dataset:
    """A set of input files.

    Attributes:
        name: in file lists and paths.
        fills: the processes that it fills; of data none, they are the observation.
        kind: collision data, or simulation, which is normalised by its cross section.
        variation: "nominal", or the variation of kind "sample" that it stands for.
        replaces: name of the nominal dataset that a variation stands in for; None is the only
            one of its process.
        era: of the luminosity; None is all.
        cross_section: name in ``physics.cross_sections_pb``; None is the first process.
        unit: typical size of its events' weights, to within a factor of some ten; single weights
            may be smaller by six orders of magnitude. Sums are exact in units of it. None follows
            from the generator weights of its first files, and is 1 where events are counted.
    """

    name: str
    fills: tuple[str | Fill, ...] = ()
    kind: Literal["simulation", "data"] = "simulation"
    variation: str = NOMINAL
    replaces: str | None = None
    era: str | None = None
    cross_section: str | None = None
    unit: float | None = None

    @property
    def filled(self) -> tuple[Fill, ...]:
        """The processes that it fills, in full."""
        return tuple(fill if isinstance(fill, Fill) else Fill(fill) for fill in self.fills)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes that it fills."""
        return tuple(fill.process for fill in self.filled)

    @property
    def cross_section_name(self) -> str:
        """Its name in ``physics.cross_sections_pb``."""
        return self.cross_section or self.processes[0]

    @property
    def may_be_partial(self) -> bool:
        """Whether the events of some files can be scaled to those of all.

        Collision data cannot: the luminosity is that of all their files.
        """
        return self.kind == "simulation"


@dataclass(frozen=True)
class Region:
    """A selection with the observable that is histogrammed in it.

    The functions take events and ``physics.selection``. What the events are, ``Analysis.events``
    says.

    Attributes:
        name: short name, first part of histogram names.
        title: name of the channel in the statistical model.
        observable: name of the observable.
        label: axis label with unit, in matplotlib's mathtext.
        edges: bin edges in the unit of the observable; under- and overflow are kept as well.
        mask: the events in the region, ``events * bool``.
        values: the observable of events in the region, ``events * float64``.
        fit_edges: those of ``edges`` that the bins of the fit have; None is all. The first may be
            minus infinity and the last infinity, for bins with underflow and overflow.
        blinded: lower and upper bound of the observable, where data are not shown as long as the
            configuration says ``blinded``.
        fitted: whether it is a channel of the fit; the fit is propagated to the others.
        selection: name of what it selects together with other regions, for the key ``selection``
            of the configuration, which says which of them are fitted; None if there is one only.
        rival: region with the same quantity, reconstructed in another way; None if there is none.
        window: whether the fit may leave bins on either side out where its edges are optimised.
    """

    name: str
    title: str
    observable: str
    label: str
    edges: tuple[float, ...]
    mask: EventFunction | None = None
    values: EventFunction | None = None
    fit_edges: tuple[float, ...] | None = None
    blinded: tuple[float, float] | None = None
    fitted: bool = True
    selection: str | None = None
    rival: str | None = None
    window: bool = False


def statistical_factor(title: str) -> str:
    """Name of the statistical factors of the region with a title, as cabinetry has it."""
    return "staterror_" + title.replace(" ", "-")


@dataclass(frozen=True)
class Change:
    """A column that an object variation changes.

    Attributes:
        column: collection and field, e.g. ("Jet", "pt").
        values: function of the objects as they are selected most loosely, of the events, and of
            ``physics.selection``, that gives the varied values, ``objects * float64``.
        factors: function of ``physics.selection`` that gives the smallest and the largest factor
            on the column: how far preselection and query are loosened. Values beyond are an error.
    """

    column: Column
    values: Callable[[Any, Any, Any], Any]
    factors: Callable[[Any], Factors]


@dataclass(frozen=True)
class Variation:
    """One shift of a source of uncertainty, with the function that computes it.

    Without any function it is a dataset of its own.

    Attributes:
        name: last part of histogram names.
        weight: weights relative to the nominal of the selected events, ``events`` or one number.
        changes: columns that it changes, where events are columns.
        records: the varied events, where events are records.
    """

    name: str
    weight: EventFunction | None = None
    changes: tuple[Change, ...] = ()
    records: EventFunction | None = None

    @property
    def kind(self) -> Kind:
        """Kind of the source."""
        if self.changes or self.records is not None:
            return "object"
        return "sample" if self.weight is None else "weight"


@dataclass(frozen=True)
class Systematic:
    """A source of uncertainty, and the variations or effects that measure it.

    Attributes:
        name: name of the nuisance parameter.
        processes: names of the processes that it acts on.
        up: variation shifted up; None for a normalisation.
        down: variation shifted down; None means that ``up`` is mirrored about the nominal.
        effects: of a normalisation, by process: 0.03 is 3 % of both signs, (-0.02, 0.03) down and
            up.
        regions: names of those that it acts on; None is all.
        correlated: one parameter for all, or one for each region or process.
        group: of sources whose contributions to the uncertainty are given together; None is a
            group of its own.
    """

    name: str
    processes: tuple[str, ...] = ()
    up: Variation | None = None
    down: Variation | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)
    regions: tuple[str, ...] | None = None
    correlated: Literal["all", "regions", "processes"] = "all"
    group: str | None = None

    @property
    def kind(self) -> Kind:
        """Whether selection, weights, datasets or only yields are varied."""
        return "normalisation" if self.up is None else self.up.kind

    @property
    def acts_on(self) -> tuple[str, ...]:
        """Names of the processes that it acts on."""
        return tuple(self.effects) if self.up is None else self.processes

    @property
    def shifts(self) -> tuple[Variation, ...]:
        """The variations that have histograms of their own."""
        return tuple(shift for shift in (self.up, self.down) if shift is not None)

    @property
    def variations(self) -> tuple[str, ...]:
        """Names of these."""
        return tuple(shift.name for shift in self.shifts)

    def in_region(self, region: str) -> bool:
        """Whether it acts on a region."""
        return self.regions is None or region in self.regions

    def parameter(self, region: str, process: str) -> str:
        """Name of its parameter for a process in a region.

        Where regions or processes are not correlated, it has theirs.
        """
        match self.correlated:
            case "all":
                return self.name
            case "regions":
                return f"{self.name} {region}"
            case "processes":
                return f"{self.name} {process}"
            case _:
                assert_never(self.correlated)

    def effect(self, process: str) -> tuple[float, float]:
        """Relative effect of a normalisation on a process, down and up."""
        effect = self.effects[process]
        return effect if isinstance(effect, tuple) else (-effect, effect)


@dataclass(frozen=True)
class Free:
    """A normalisation that only the data constrain.

    Attributes:
        name: of the parameter.
        processes: names of those whose yields it multiplies.
        nominal: its value before the fit.
        bounds: lowest and highest value that the fit may try.
    """

    name: str
    processes: tuple[str, ...]
    nominal: float = 1.0
    bounds: tuple[float, float] = (0.0, 10.0)


@dataclass(frozen=True)
class Learned:
    """Observables from models that are trained on simulated events: a part that a run may have.

    Its name is the key of the configuration that switches it on, and of its part of ``physics:``.

    Attributes:
        name: of the part.
        title: in the report.
        regions: one for each observable; they share a mask, and have no ``values``.
        trained_on: name of the dataset that models are trained on.
        reads: columns that it needs beside those of the selection.
        scorer: function of the part's ``physics:`` settings, the folder of the models and
            ``learning.settings.ScoringSettings`` that gives what computes the observables, a
            ``Scoring``.
        training: full name of the module that makes examples of events, see ``Training``.
        convention: what the names of the observables do not say of how they are computed; models
            whose card has another are refused.
    """

    name: str
    title: str
    regions: tuple[Region, ...]
    trained_on: str
    reads: Columns
    scorer: Callable[[Any, Path, Any], Any]
    training: str
    convention: str = ""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the observables, in the order of the models' columns."""
        return tuple(region.observable for region in self.regions)


@dataclass(frozen=True)
class Template:
    """Identity of one histogram of (region, process, variation)."""

    region: str
    process: str
    variation: str

    @property
    def name(self) -> str:
        """Name in the histogram file; the nominal has no suffix."""
        suffix = "" if self.variation == NOMINAL else f"_{self.variation}"
        return f"{self.region}_{self.process}{suffix}"

    @property
    def migration(self) -> str:
        """Name in the histogram file of what has moved from which bin to which."""
        return f"{self.name}_migration"


def nothing(*_: Any) -> tuple[()]:
    """No requirements."""
    return ()


def no_columns(_: Dataset) -> Columns:
    """No columns beside those of the requirements: what a dataset's functions need by default."""
    return {}


@dataclass(frozen=True)
class Analysis:
    """One analysis, declared once: names and files everywhere else derive from it.

    Attributes:
        name: of the analysis, as in the configuration.
        settings: model of its ``physics:`` configuration.
        regions: in the order of the statistical model.
        processes: in the order of plots, from the bottom of the stack.
        datasets: its inputs.
        systematics: every source of uncertainty.
        free: free normalisations; the first is the parameter of interest.
        pseudodata: for the pseudodata, the weight of each dataset in the sum.
        events: what the functions of regions and systematics are given: "columns" are
            ``columnar.events.Events``, which read compressed columns as they are asked for;
            "records" are coffea's NanoEvents.
        requirements: function of ``physics.selection`` and the dataset that gives what an event
            must have, whatever its region, in the order in which to look; preselection, query and
            cutflow follow from it. Without any, the preselection is every event in some region
            under some variation, and of data of an analysis with blinded windows every event.
        derived: function from events to events with what functions of several regions need, such as
            the leptons that pass; computed once for each variation that redoes the selection. Only
            where events are records.
        reads: function of the dataset that gives the columns beside those of the requirements.
        weight: relative weights of simulated events, e.g. a product of columns; None is 1.
        weight_reads: columns that it needs; they are not asked of data.
        generated: function of an open ROOT file that gives the sum of generator weights that it
            stands for, to which cross sections are normalised; None is the number of events.
        layout: of the input files.
        learned: observables from models, which only some runs have.
        thresholds: cuts whose values may be optimised.
        features: functions of events that a discriminant may be made of.
        folder: with all its files; None for a declaration without events.
        reference: what it is loaded by, see ``agc_pipeline.analyses.load``.
        module: full name of its package; None if it was not loaded.
    """

    name: str
    settings: type[Physics]
    regions: tuple[Region, ...]
    processes: tuple[Process, ...]
    datasets: tuple[Dataset, ...]
    systematics: tuple[Systematic, ...]
    free: tuple[Free, ...] = ()
    pseudodata: Mapping[str, float] = field(default_factory=dict)
    events: Literal["columns", "records"] = "records"
    requirements: Callable[[Any, Dataset], tuple[Requirement, ...]] = nothing
    derived: EventFunction | None = None
    reads: Callable[[Dataset], Columns] = no_columns
    weight: EventFunction | None = None
    weight_reads: Columns = field(default_factory=dict)
    generated: Callable[[Any], float] | None = None
    layout: Layout = NANOAOD
    learned: Learned | None = None
    thresholds: tuple[Threshold, ...] = ()
    features: tuple[Feature, ...] = ()
    folder: Path | None = None
    reference: str | None = None
    module: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process may not find the modules of a folder outside of the package by their
        # names: it loads the analysis first.
        if self.reference is None:
            return (_rebuilt, ({name: getattr(self, name) for name in self.__dataclass_fields__},))
        return (_loaded, (self.reference, import_module(_LOADER).archive_name(self.reference)))

    def with_learned(self) -> Self:
        """The same with the regions of its learned observables, behind the others."""
        more = () if self.learned is None else self.learned.regions
        return replace(self, regions=self.regions + more)

    @property
    def blinded(self) -> bool:
        """Whether some region has a window in which data can be blinded."""
        return any(region.blinded is not None for region in self.with_learned().regions)

    @property
    def selections(self) -> tuple[str, ...]:
        """Names of the selections of its regions; none if there is one only."""
        names = (region.selection for region in self.regions if region.selection is not None)
        return tuple(dict.fromkeys(names))

    def with_selection(self, name: str | None) -> Self:
        """The same with a fit of the regions of one selection.

        Args:
            name: of the selection; None leaves the declaration as it is.
        """
        if name is None:
            return self
        regions = (replace(region, fitted=region.selection == name) for region in self.regions)
        return replace(self, regions=tuple(regions))

    def with_discriminant(self, names: Iterable[str]) -> Self:
        """The same with a discriminant as the observable of some regions.

        What computes it is no part of a declaration: the regions have no ``values``.

        Args:
            names: of the regions.
        """
        scored = set(names)
        return replace(
            self,
            regions=tuple(
                replace(
                    region,
                    observable=OBSERVABLE,
                    label=LABEL,
                    edges=EDGES,
                    values=None,
                    fit_edges=None,
                    # Nobody knows where it has what was blinded.
                    blinded=None if region.blinded is None else (EDGES[0], 2 * EDGES[-1]),
                    window=False,
                )
                if region.name in scored
                else region
                for region in self.regions
            ),
        )

    @property
    def fitted_thresholds(self) -> tuple[Threshold, ...]:
        """Thresholds that select events of the fit."""
        fitted = [region.name for region in self.regions if region.fitted]
        return tuple(t for t in self.thresholds if any(map(t.selects, fitted)))

    def dataset(self, name: str) -> Dataset:
        """The dataset of a name.

        Raises:
            KeyError: if there is none.
        """
        return {dataset.name: dataset for dataset in self.datasets}[name]

    def region(self, name: str) -> Region:
        """The region of a name."""
        return {region.name: region for region in self.regions}[name]

    def selection(self, values: Mapping[str, object]) -> Settings:
        """The ``physics.selection`` of the configuration, validated."""
        return self._part("selection", values)

    def learned_settings(self, values: Mapping[str, object]) -> Settings:
        """The part of ``physics:`` of the learned observables, validated."""
        if self.learned is None:
            raise TypeError(f"{self.name} has no learned observables")
        return self._part(self.learned.name, values)

    def _part(self, name: str, values: Mapping[str, object]) -> Settings:
        model = self.settings.model_fields[name].annotation
        if not (isinstance(model, type) and issubclass(model, Settings)):
            raise TypeError(f"{self.settings.__name__}.{name} must be a Settings model")
        return model.model_validate(values)

    def factor_before_fit(self, process: str) -> float:
        """What the free normalisations multiply the yields of a process with before the fit."""
        return math.prod(free.nominal for free in self.free if process in free.processes)

    @property
    def data(self) -> tuple[Dataset, ...]:
        """The datasets of collision data."""
        return tuple(dataset for dataset in self.datasets if dataset.kind == "data")

    def variations(self, dataset: Dataset) -> tuple[Variation, ...]:
        """Variations that a dataset fills, its own first.

        Data and the alternative datasets fill only themselves; a nominal one fills every object and
        weight variation that acts on a process of its own.
        """
        own = Variation(dataset.variation)
        if dataset.kind == "data" or dataset.variation != NOMINAL:
            return (own,)
        return (
            own,
            *(
                shift
                for systematic in self.systematics
                if not set(systematic.processes).isdisjoint(dataset.processes)
                for shift in systematic.shifts
                if shift.kind in ("object", "weight")
            ),
        )

    def acts_on(self, variation: str, process: str, region: str) -> bool:
        """Whether a variation has a template of a process in a region."""
        return variation == NOMINAL or any(
            variation in systematic.variations
            and process in systematic.processes
            and systematic.in_region(region)
            for systematic in self.systematics
        )

    def templates(self) -> tuple[Template, ...]:
        """Every histogram of simulated events, without the pseudodata, each once."""
        return tuple(
            dict.fromkeys(
                Template(region.name, process, shift.name)
                for region in self.regions
                for dataset in self.datasets
                if dataset.kind == "simulation"
                for process in dataset.processes
                for shift in self.variations(dataset)
                if self.acts_on(shift.name, process, region.name)
            )
        )

    def sources(self, template: Template) -> tuple[tuple[Dataset, str], ...]:
        """The datasets whose sum a template is, with the variation that is taken of each.

        A dataset that a variation replaces is left out for the one that stands for it; one that the
        variation does not touch counts as it is.
        """
        filling = [d for d in self.datasets if template.process in d.processes]
        replaced = {
            self.replaced_by(dataset).name: dataset
            for dataset in filling
            if dataset.variation == template.variation != NOMINAL
        }
        pairs = []
        for dataset in filling:
            if dataset.variation != NOMINAL:
                continue
            if dataset.name in replaced:
                pairs.append((replaced[dataset.name], template.variation))
                continue
            names = {shift.name for shift in self.variations(dataset)}
            pairs.append((dataset, template.variation if template.variation in names else NOMINAL))
        return tuple(pairs)

    def replaced_by(self, dataset: Dataset) -> Dataset:
        """The nominal dataset that an alternative one stands in for.

        Raises:
            KeyError: if it is not known which.
        """
        if dataset.replaces is not None:
            return self.dataset(dataset.replaces)
        nominal = [
            other
            for other in self.datasets
            if other.variation == NOMINAL
            and other.kind == "simulation"
            and set(other.processes) & set(dataset.processes)
        ]
        if len(nominal) != 1:
            raise KeyError(dataset.name)
        return nominal[0]

    def factors(self, column: Column, selection: Any) -> Factors:
        """Smallest and largest factor on a column under any variation, 1 included."""
        pairs = [
            change.factors(selection)
            for systematic in self.systematics
            for shift in systematic.shifts
            for change in shift.changes
            if change.column == column
        ]
        return min(1.0, *(low for low, _ in pairs)) if pairs else 1.0, (
            max(1.0, *(high for _, high in pairs)) if pairs else 1.0
        )

    @property
    def changed_columns(self) -> frozenset[Column]:
        """The columns that some variation changes."""
        return frozenset(
            change.column
            for systematic in self.systematics
            for shift in systematic.shifts
            for change in shift.changes
        )

    def columns(self, dataset: Dataset, selection: Any, *, learned: bool = False) -> Columns:
        """Collection (or "" for columns of the event) to the fields that are read of a dataset.

        Args:
            dataset: whose files are read.
            selection: ``physics.selection``.
            learned: with those of the learned observables.
        """
        sources: list[Columns] = [
            self.layout.identity_columns,
            columns_of(self.requirements(selection, dataset)),
            self.reads(dataset),
        ]
        if dataset.kind == "simulation":
            sources.append(self.weight_reads)
        if learned and self.learned is not None:
            sources.append(self.learned.reads)
        columns = union(sources)
        if self.events == "columns":
            return columns
        complete = self.layout.complete
        return union([columns, {name: complete[name] for name in columns if name in complete}])

    def preselection(self, selection: Any, dataset: Dataset) -> list[dict[str, Any]]:
        """What the preselection of a dataset does and counts, as JSON: skims depend on it."""

        def cuts(collection: str, entries: Iterable[Cut]) -> list[list[Any]]:
            rows = []
            for cut in entries:
                factors = self.factors((collection, cut.name), selection)
                # The nominal one is that of the cutflow, and does not follow from the others.
                bounds = (cut.bound, cut.loosest(factors).bound, cut.tightest(factors).bound)
                rows.append([cut.field, cut.comparison, *bounds])
            return rows

        description: list[dict[str, Any]] = []
        for requirement in self.requirements(selection, dataset):
            label = requirement.label
            match requirement:
                case Count():
                    objects = [
                        [entry.collection, cuts(entry.collection, entry.all_cuts)]
                        for entry in requirement.objects
                    ]
                    number = [requirement.comparison, requirement.number]
                    description.append({"objects": objects, "number": number, "label": label})
                case EventCut():
                    row = cuts(requirement.record, (requirement.cut,))
                    description.append({"record": requirement.record, "cuts": row, "label": label})
        return description

    def pseudodata_name(self, region: str) -> str:
        """Name of the pseudodata histogram of a region."""
        return f"{region}_pseudodata"

    def data_name(self, region: str) -> str:
        """Name of the histogram of the collision data of a region."""
        return f"{region}_data"


def union(sources: Iterable[Columns]) -> dict[str, tuple[str, ...]]:
    """All fields of all collections, in the order of their first mention."""
    fields: dict[str, dict[str, None]] = {}
    for source in sources:
        for collection, names in source.items():
            fields.setdefault(collection, {}).update(dict.fromkeys(names))
    return {collection: tuple(names) for collection, names in fields.items()}


def root_objects(requirements: tuple[Requirement, ...]) -> tuple[Objects, ...]:
    """Declared objects that requirements name, those that others are among first."""
    objects: dict[str, Objects] = {}

    def add(entry: Objects) -> None:
        if entry.base is not None:
            add(entry.base)
        objects.setdefault(entry.name, entry)

    for requirement in requirements:
        for entry in getattr(requirement, "objects", ()):
            add(entry)
    return tuple(objects.values())


def _rebuilt(values: dict[str, Any]) -> Analysis:
    return Analysis(**values)


def _loaded(reference: str, archive: str | None) -> Analysis:
    load: Callable[[str, str | None], Analysis] = import_module(_LOADER).load_sent
    return load(reference, archive)
