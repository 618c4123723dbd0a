"""What an analysis tells the rest of the pipeline about itself.

Everything else is generic. The declaration (regions, processes, variations) is light and serves
inference, validation and the report; the modules that work on events serve delivery and
histograms, and are loaded only there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import PositiveFloat

from agc_pipeline.settings import Settings

Kind = Literal["object", "weight", "sample", "normalisation"]

NOMINAL = "nominal"
# Name of the optional regions of assigned jets.
JET_ASSIGNMENT = "jet_assignment"
# First entry of every cutflow.
ALL_EVENTS = "all"


class Physics(Settings):
    """What every analysis has in the ``physics:`` part of its configuration.

    ``cross_sections_pb`` are for each process, in pb; ``luminosity_per_pb`` in 1/pb. The
    selection is the analysis' own: cuts, and sizes of the variations computed from events.
    """

    luminosity_per_pb: PositiveFloat
    cross_sections_pb: dict[str, PositiveFloat]
    selection: Settings


@dataclass(frozen=True)
class Region:
    """A selection with the observable that is histogrammed in it.

    Attributes:
        name: short name, first part of histogram names.
        title: name of the channel in the statistical model.
        observable: name of the observable.
        label: axis label with unit, in matplotlib's mathtext.
        edges: bin edges in GeV; under- and overflow are kept as well.
        fitted: whether it is a channel of the fit; the fit is propagated to the others.
        rival: region with the same quantity, found in another way; None if there is none.
    """

    name: str
    title: str
    observable: str
    label: str
    edges: tuple[float, ...]
    fitted: bool = True
    rival: str | None = None


@dataclass(frozen=True)
class Process:
    """A physics process: its name in histograms, and its title in models and plots."""

    name: str
    title: str


@dataclass(frozen=True)
class Systematic:
    """A source of uncertainty and the variations that measure it.

    Attributes:
        name: name of the nuisance parameter.
        kind: "object" redoes selection and observables, "weight" reweights the nominal
            selection, "sample" is a dataset of its own, "normalisation" scales the template.
        processes: names of the processes it acts on.
        up: variation shifted up; None for kind "normalisation".
        down: variation shifted down; None means that ``up`` is mirrored about the nominal.
        relative: size of a normalisation uncertainty; None for the other kinds.
        group: of sources whose contributions to the uncertainty are given together; None is a
            group of its own.
    """

    name: str
    kind: Kind
    processes: tuple[str, ...]
    up: str | None
    down: str | None = None
    relative: float | None = None
    group: str | None = None

    @property
    def variations(self) -> tuple[str, ...]:
        """The variations that have histograms of their own."""
        return tuple(shift for shift in (self.up, self.down) if shift is not None)


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


@dataclass(frozen=True)
class Analysis:
    """One analysis, declared once: names and files everywhere else derive from it.

    Attributes:
        name: name of its package in ``agc_pipeline.analyses``.
        settings: model of its ``physics:`` configuration.
        regions: in the order of the statistical model.
        processes: in the order of plots, from the bottom of the stack.
        datasets: the pairs of process and variation that have input of their own.
        systematics: every source of uncertainty.
        pseudodata: for the pseudodata, the weight of each dataset in the sum.
        optional: regions that only some runs have, by what they have them for.
        trained_on: process and variation of the dataset that models are trained on; None if the
            analysis has no models.
    """

    name: str
    settings: type[Physics]
    regions: tuple[Region, ...]
    processes: tuple[Process, ...]
    datasets: tuple[tuple[str, str], ...]
    systematics: tuple[Systematic, ...]
    pseudodata: Mapping[tuple[str, str], float]
    optional: Mapping[str, tuple[Region, ...]] = field(default_factory=dict)
    trained_on: tuple[str, str] | None = None

    def extended(self, parts: Iterable[str]) -> "Analysis":
        """The same with the optional regions of ``parts``, behind the others."""
        more = tuple(region for part in parts for region in self.optional[part])
        return replace(self, regions=self.regions + more)

    def selection(self, values: Mapping[str, object]) -> Settings:
        """The ``physics.selection`` of the configuration, validated."""
        return self._part("selection", values)

    def assignment(self, values: Mapping[str, object]) -> Settings:
        """The ``physics.jet_assignment`` of the configuration, validated."""
        return self._part("jet_assignment", values)

    def _part(self, name: str, values: Mapping[str, object]) -> Settings:
        model = self.settings.model_fields[name].annotation
        if not (isinstance(model, type) and issubclass(model, Settings)):
            raise TypeError(f"{self.settings.__name__}.{name} must be a Settings model")
        return model.model_validate(values)

    def dataset_name(self, process: str, variation: str) -> str:
        """Name of a dataset, as in file lists."""
        return f"{process}__{variation}"

    def variations(self, process: str, variation: str) -> tuple[str, ...]:
        """Variations that the dataset of ``process`` and ``variation`` fills, its own first.

        The alternative datasets fill only themselves; the nominal one fills every object and
        weight variation that acts on its process.
        """
        if variation != NOMINAL:
            return (variation,)
        return (
            NOMINAL,
            *(
                shift
                for systematic in self.systematics
                if systematic.kind in ("object", "weight") and process in systematic.processes
                for shift in systematic.variations
            ),
        )

    def templates(self) -> tuple[Template, ...]:
        """Every histogram filled from events, without the pseudodata."""
        return tuple(
            Template(region.name, process, filled)
            for region in self.regions
            for process, variation in self.datasets
            for filled in self.variations(process, variation)
        )

    def pseudodata_name(self, region: str) -> str:
        """Name of the pseudodata histogram of a region."""
        return f"{region}_pseudodata"


class Preselection(Protocol):
    """The module ``agc_pipeline.analyses.NAME.preselection``: what delivery must keep.

    Attributes:
        COLUMNS: collection (or "" for event columns) to the names of the fields that are read.
    """

    COLUMNS: Mapping[str, tuple[str, ...]]

    def preselect(self, selection: Any, events: Any) -> tuple[Any, dict[str, int]]:
        """Mask of the events that some variation may select, and the cutflow up to there."""


class Query(Settings):
    """What a transformation service is asked for: the same for every input file.

    Attributes:
        cut: condition for an event, in uproot's expression language with awkward's functions;
            a reducer has an explicit ``axis``.
        columns: collection (or "" for event columns) to the names of the fields.
    """

    cut: str
    columns: dict[str, tuple[str, ...]]


class Querying(Protocol):
    """The module ``agc_pipeline.analyses.NAME.query``: the preselection for a service."""

    def query(self, selection: Any) -> Query:
        """A query that keeps at least the events that ``preselect`` keeps."""


class Histogramming(Protocol):
    """The module ``agc_pipeline.analyses.NAME.processor``: from events to histograms."""

    def processor(
        self, selection: Any, process: str, variation: str, assignment: Any = None
    ) -> Any:
        """A coffea processor for a dataset of this process and variation.

        Where an ``Assignment`` is given, it fills the regions of that, too.

        Its output has ``histograms`` (region to histogram of variation and observable, see
        ``columnar.filling``), ``preselection`` and ``selected`` (cut to number of events); its
        method ``empty()`` gives the output for no events.
        """


class CompiledProcessor(Protocol):
    """A processor that reads columns as it needs them, and gives what the coffea processor gives.

    Its histograms have the same bits. It is sent to other processes, with its settings only.
    """

    def process(self, columns: Any) -> dict[str, Any]:
        """Histograms and cutflow of a range of events, given as ``columnar.columns.Columns``."""


class Compiled(Protocol):
    """The module ``agc_pipeline.analyses.NAME.compiled``, which an analysis need not have.

    It reads some of the columns of the preselection.
    """

    def processor(
        self, selection: Any, process: str, variation: str, assignment: Any = None
    ) -> CompiledProcessor:
        """The processor for a dataset of this process and variation."""


class Assignment(Protocol):
    """Assigns jets to partons by a model. It is sent to other processes, as processors are.

    Attributes:
        regions: one for each observable.
        digest: of the model.
        files: of the model.
    """

    @property
    def digest(self) -> str: ...  # noqa: D102

    @property
    def files(self) -> tuple[Path, ...]: ...  # noqa: D102

    @property
    def regions(self) -> tuple[Region, ...]: ...  # noqa: D102

    def observables(self, jets: Any, leptons: Any, numbers: Any) -> Any:
        """The observables of some events: ``regions * events``, double precision.

        Args:
            jets: good jets, packed; what they are, the analysis knows.
            leptons: one for each event.
            numbers: of the events.
        """


class Assigning(Protocol):
    """The module ``agc_pipeline.analyses.NAME.jet_assignment.assign``, if it has one."""

    def assignment(self, settings: Any, models: Any, scoring: Any) -> Assignment:
        """The assignment by a pair of models.

        Args:
            settings: ``physics.jet_assignment``.
            models: folder of the models.
            scoring: ``learning.settings.ScoringSettings``.

        Raises:
            InputError: if a model is missing, or not the right one.
        """


class Training(Protocol):
    """The module ``agc_pipeline.analyses.NAME.jet_assignment.training``: what models learn from.

    Attributes:
        COLUMNS: collection (or "" for event columns) to the names of the fields that are read.
        FEATURES: names of what the models are given.
        WORDING: what their answers are called.
    """

    COLUMNS: Mapping[str, tuple[str, ...]]
    FEATURES: tuple[str, ...]
    WORDING: Any

    def examples(self, selection: Any, assignment: Any, events: Any) -> Any:
        """The events whose truth is known, as ``learning.examples.Examples``."""
