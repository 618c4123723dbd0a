"""The ``fit:`` part of the configuration.

It has parts, because they serve different rules: a change in how the minimum is found makes a new
fit, a change in the model makes a new workspace.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from agc_pipeline.declaration import Analysis, Systematic
from agc_pipeline.inference.edges import Edge
from agc_pipeline.settings import AtMost, EachOnce, Falling, Settings, cost, unknown


class Pruning(Settings):
    """Modifiers that are left out of the model because they do next to nothing.

    Attributes:
        normalisation: relative change of a sample's yield under which its normalisation is not
            varied; zero keeps everything.
        shape: relative change under which, if no bin has a larger one, the shape is not varied.
    """

    normalisation: float = Field(ge=0, lt=1)
    shape: float = Field(ge=0, lt=1)


class Treatment(Settings):
    """What is done with the templates of a systematic before they enter the model.

    Attributes:
        smoothing: of the ratio to the nominal template, see ``inference.treatment``.
        symmetrise: take half of the difference between up and down for both.
    """

    smoothing: Literal["none", "linear", "353QH"] = "none"
    symmetrise: bool = False

    @property
    def nothing(self) -> bool:
        """Whether templates stay as they are."""
        return self.smoothing == "none" and not self.symmetrise


def treatment_problems(
    treatments: Mapping[str, Treatment], systematics: Iterable[Systematic]
) -> Iterator[str]:
    """Treatments that no systematic can have."""
    declared = {systematic.name: systematic for systematic in systematics}
    if problem := unknown("systematic", treatments, declared):
        yield problem
    for name, treatment in treatments.items():
        if name not in declared:
            continue
        if declared[name].up is None and not treatment.nothing:
            yield f"{name!r} has no templates"
        elif declared[name].down is None and treatment.symmetrise:
            yield f"{name!r} has no template down to be symmetrised with: it is mirrored"


def pair_problems(pairs: Iterable[tuple[str, str]], analysis: Analysis) -> Iterator[str]:
    """Parameters that no model of an analysis can have.

    Statistical factors of bins are not known before the model is.
    """
    names = {name for pair in pairs for name in pair if not name.startswith("staterror_")}
    known = {free.name for free in analysis.free} | {
        systematic.parameter(region.name, process)
        for systematic in analysis.systematics
        for region in analysis.regions
        for process in systematic.acts_on
        if systematic.in_region(region.name)
    }
    if problem := unknown("parameter", names, known):
        yield problem


class ModelSettings(Settings):
    """What the workspace holds; the rest follows from the declaration of the analysis.

    Attributes:
        edges: bin edges of the fit by name of the region, in place of the declared ones; the first
            may be -.inf and the last .inf, for bins with all events below and above the histogram.
        data: what is fitted: "observed" collision data, the "pseudodata" histograms, or "asimov"
            data, the expectation before the fit: the sum of the nominal templates, times the
            nominal values of their free normalisations.
        missing_datasets: "error" refuses a run without all datasets of the analysis, and
            variations that too few events cannot describe; "drop" leaves out the samples and
            systematics concerned, and lists them in the result.
        pruning: what is too small to be kept.
        treatments: smoothing and symmetrising of templates, by name of the systematic.
    """

    edges: dict[str, tuple[Edge, ...]] = Field(default_factory=dict)
    data: Literal["observed", "pseudodata", "asimov"]
    missing_datasets: Literal["error", "drop"]
    pruning: Pruning
    treatments: dict[str, Treatment] = Field(default_factory=dict)


class ModelStage(Settings):
    """What a stage that builds a model needs of the configuration.

    Attributes:
        analysis: name of the package in ``agc_pipeline.analyses``.
        model: ``fit.model``.
        selection: whose regions are fitted; None is those that are declared so.
        blinded: whether the histograms have the expectation in place of data in blinded windows.
        pseudodata: whether simulated events stand in the place of collision data.
    """

    analysis: str
    model: ModelSettings
    selection: str | None = None
    blinded: bool = False
    pseudodata: bool = False


class MinimiserSettings(Settings):
    """How the minimum is found.

    Attributes:
        method: "exact" takes Newton steps with exact derivatives, "cabinetry" is cabinetry's own
            fit at its defaults, to which the other settings do not apply.
        max_distance: largest estimated distance to the minimum of -2 ln L, dimensionless.
        max_iterations: steps after which the fit gives up.
        starts: places to start from, of which the first is that of the model and the others are
            random; the lowest minimum counts.
    """

    method: Literal["exact", "cabinetry"]
    max_distance: float = Field(gt=0, le=1e-14)
    max_iterations: Annotated[PositiveInt, AtMost(1e5, "a fit that converges takes some ten")]
    starts: Annotated[PositiveInt, AtMost(1e4, cost(0.05))]


class NoiseSettings(Settings):
    """The statistical uncertainty of varied templates.

    Attributes:
        in_total: whether it is part of the uncertainty of the result.
        warn_above: its share of the uncertainty of the fit above which it is told: of 0.3, the
            uncertainty with it would be larger by 4 %.
    """

    in_total: bool
    warn_above: float = Field(gt=0, le=100)


class ScanSettings(Settings):
    """Profile of the likelihood.

    Attributes:
        reach: of the scan of the parameter of interest, in units of its uncertainty.
        points: of the scan.
        minos: asymmetric uncertainties of "all" parameters or of the one of interest, "poi".
        pairs: parameters that are scanned two at a time, each pair as a list of two names.
        pair_points: of each of them, so that a pair takes the square of this.
    """

    reach: Annotated[PositiveFloat, AtMost(100, "no likelihood is known as far out")]
    points: Annotated[int, Field(ge=3), AtMost(1e4, cost(0.1))]
    minos: Literal["all", "poi"]
    pairs: tuple[tuple[str, str], ...] = ()
    pair_points: Annotated[int, Field(ge=3), AtMost(200, cost(20))] = 21

    @field_validator("pairs")
    @classmethod
    def _different(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for first, second in pairs:
            if first == second:
                raise ValueError(f"{first!r} is paired with itself")
        if len({frozenset(pair) for pair in pairs}) < len(pairs):
            raise ValueError("a pair is listed twice")
        return pairs


class ToySettings(Settings):
    """Pseudo-experiments.

    Attributes:
        count: number of them; 0 is none.
        seed: of their random numbers.
    """

    count: Annotated[NonNegativeInt, AtMost(1e6, cost(0.015))]
    seed: Annotated[int, Field(ge=0, lt=2**63)]


Statistic = Literal["q", "qtilde"]


class ToyTestSettings(Settings):
    """Pseudo-experiments for significance, CLs and upper limit.

    Attributes:
        count: number of them for each of three: observed significance, expected significance, and
            CLs with limits; 0 is none.
        seed: of their random numbers.
    """

    count: Annotated[NonNegativeInt, AtMost(1e5, "as many give a limit to two per mille")]
    seed: Annotated[int, Field(ge=0, lt=2**63)]


class LimitSettings(Settings):
    """Upper limit and significance.

    Attributes:
        confidence: level of it.
        statistic: "qtilde", for which a strength below zero is none, or "q", for which the bounds
            of the parameter of interest must have some.
        points: strengths at which CLs is listed.
        max_significance: standard deviations of the observed signal from which on an upper limit
            makes no sense.
        toys: pseudo-experiments for all of it, beside the asymptotic formulae.
    """

    confidence: float = Field(gt=0, lt=1)
    statistic: Statistic
    points: Annotated[int, Field(ge=3), AtMost(1e4, cost(0.1))]
    max_significance: Annotated[PositiveFloat, AtMost(100, "no data have such a signal")]
    toys: ToyTestSettings


class SpendingSettings(Settings):
    """What more simulated events are wanted for.

    Attributes:
        wished: expected uncertainty of the parameter of interest, with the statistics of varied
            templates, that the fewest additional events are looked for; None follows from
            ``reduction``.
        reduction: of the expected uncertainty, relative, for which they are without ``wished``.
    """

    wished: Annotated[PositiveFloat, AtMost(1e9, "no result is so uncertain")] | None
    reduction: float = Field(gt=0, lt=1)


_Bins = Annotated[PositiveInt, AtMost(1000, "no histogram has more bins")]
_Width = Annotated[PositiveFloat, AtMost(1e4, "no edge is seen through such a sigmoid")]


_Value = Annotated[float, Field(ge=-1e9), AtMost(1e9, "no event has as much")]


class DiscriminantSettings(Settings):
    """How discriminants of `snakemake optimise` are trained.

    Attributes:
        features: names of those that the analysis declares; None is all that some systematic knows
            of.
        trees: at most, of each of the two models of a pair.
        depth: of each tree.
        step: mean square root change of the scores, before the sigmoid, by the first tree.
        leaf: share of the weight of all events that a leaf needs.
        patience: trees without an improvement on events that take no part in training, after which
            it stops.
        widths: of the sigmoids around the edges of bins while trees are added, one after the other
            and each smaller than the last, in units of the score.
    """

    features: Annotated[tuple[str, ...], Field(min_length=1)] | None
    trees: Annotated[int, Field(ge=2), AtMost(1e5, "every event is scored by all of them")]
    depth: Annotated[PositiveInt, AtMost(12, "no sample has events for as many leaves")]
    step: Annotated[PositiveFloat, AtMost(10, "scores would be 0 or 1")]
    leaf: float = Field(gt=0, lt=0.5)
    patience: Annotated[PositiveInt, AtMost(1e5, "there are no more trees")]
    widths: Annotated[
        tuple[Annotated[PositiveFloat, AtMost(1, "scores are between 0 and 1")], ...],
        Field(min_length=1),
        Falling,
    ]


# Those that train a discriminant.
TRAINED: tuple[Literal["cross entropy", "discriminant"], ...] = ("cross entropy", "discriminant")


class OptimisationSettings(Settings):
    """How `snakemake optimise` looks for bin edges of the fit and thresholds of cuts.

    Attributes:
        thresholds: values by name of the threshold, from that of the run or tighter; None is what
            the analysis declares, as far as it is not looser than the run, and {} leaves all cuts
            as they are.
        reference: value by name of the thresholds that others are compared with, where it is not
            that of the run: the cuts of the analysis, in a run that is looser.
        objective: what is optimised: the expected uncertainty of the parameter of interest, or the
            expected significance of what it multiplies.
        bins: numbers of bins that are tried, in each region.
        overflow: whether bins take in the events that are below and above the histograms, if any.
        methods: "gradient" moves edges with sigmoids downhill, "evolution" is scipy's differential
            evolution on the edges of the histograms; "discriminant" trains a model on the expected
            uncertainty, whose score is the observable, and "cross entropy" the same model to tell
            signal from background.
        discriminant: how these are trained.
        noise: whether the statistics of varied templates are part of what is minimised.
        widths: of the sigmoids, one after the other and each smaller than the last, in units of the
            mean width of the histograms' bins, and of the step from one value of a threshold to the
            next.
        starts: of "gradient", the first with equal widths of bins.
        population: of "evolution", for each coordinate.
        generations: of "evolution".
        seed: of random numbers.
        judge: folder of the results of a run with other simulated events, which judges; None is
            none.
        throws: of the statistics of the judge, for errors.
        toys: pseudo-experiments of the whole fit with the best bins; 0 is none.
    """

    thresholds: dict[str, Annotated[tuple[_Value, ...], Field(min_length=1), EachOnce]] | None
    reference: dict[str, _Value]
    objective: Literal["uncertainty", "significance"]
    bins: Annotated[tuple[_Bins, ...], Field(min_length=1), EachOnce]
    overflow: bool
    methods: Annotated[
        tuple[Literal["gradient", "evolution", "cross entropy", "discriminant"], ...],
        Field(min_length=1),
        EachOnce,
    ]
    discriminant: DiscriminantSettings
    noise: bool
    widths: Annotated[tuple[_Width, ...], Field(min_length=1), Falling]
    starts: Annotated[PositiveInt, AtMost(1e4, cost(1.0))]
    population: Annotated[PositiveInt, AtMost(1e3, cost(1.0))]
    generations: Annotated[PositiveInt, AtMost(1e5, cost(0.1))]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    judge: Annotated[str, Field(min_length=1)] | None
    throws: Annotated[int, Field(ge=2), AtMost(1e5, cost(0.01))]
    toys: Annotated[NonNegativeInt, AtMost(1e6, cost(0.015))]


class FitSettings(Settings):
    """The statistical model, its fit, and what is derived from it.

    Attributes:
        model: what the workspace holds.
        minimiser: how the minimum is found.
        compare: fit with the other method as well, and say what differs.
        template_noise: the statistical uncertainty of varied templates.
        scan: profile of the likelihood.
        toys: pseudo-experiments.
        limit: upper limit.
        spending: what more simulated events are wanted for.
    """

    model: ModelSettings
    minimiser: MinimiserSettings
    compare: bool
    template_noise: NoiseSettings
    scan: ScanSettings
    toys: ToySettings
    limit: LimitSettings
    spending: SpendingSettings
