"""Record of an optimisation of bins and thresholds."""

from typing import Any, Literal, TypeAlias

from pydantic import Field

from agc_pipeline.settings import Settings

Method: TypeAlias = Literal[
    "declared", "untuned", "gradient", "evolution", "cross entropy", "discriminant"
]
# By region.
Edges: TypeAlias = dict[str, tuple[float, ...]]


class Judgement(Settings):
    """What bins and thresholds are worth in an independent simulation.

    Attributes:
        scatter: of the estimator there.
        error: of it, by the statistics of that simulation.
        gain: relative to the declared bins and the cuts of the run.
        gain_error: of it, likewise.
        verdict: "none" where the gain is within two of its errors.
    """

    scatter: float
    error: float
    gain: float
    gain_error: float
    verdict: Literal["better", "none", "worse"]


class Candidate(Settings):
    """Bins and thresholds, and what they promise.

    Attributes:
        method: that they are from; "declared" are those of a run without it, "untuned" are these
            with one bin more on either side, where the histograms have events there.
        edges: by region.
        contents: expected events of each process in their bins, likewise.
        thresholds: values by name.
        unknown: thresholds with other values than declared, and features of a discriminant, of
            which no systematic knows.
        features: of the discriminant that is the observable of all regions, with their shares in
            what its trees gained; none without a discriminant.
        training: expected uncertainties with the trees of its models, by what they are trained and
            judged on.
        uncertainty: expected, with the statistics of varied templates.
        fit: expected, of the fit alone.
        templates: by the statistics of varied templates.
        significance: expected, of what the parameter of interest multiplies; by the fit alone.
        soft: expected uncertainty where edges and thresholds were before they were moved to those
            of the histograms; None where they were not.
        bias: largest relative difference of soft and hard yields in a bin, likewise.
        losses: of the search, step by step, as uncertainties.
        seconds: of CPU that it took.
        judgement: None without an independent simulation.
    """

    method: Method
    edges: Edges
    contents: dict[str, dict[str, tuple[float, ...]]] = Field(default_factory=dict)
    thresholds: dict[str, float] = Field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    features: dict[str, float] = Field(default_factory=dict)
    training: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    uncertainty: float
    fit: float
    templates: float
    significance: float | None = None
    soft: float | None = None
    bias: float | None = None
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    judgement: Judgement | None = None

    @property
    def bins(self) -> dict[str, int]:
        """Number of bins by region."""
        return {name: len(edges) - 1 for name, edges in self.edges.items()}


class WholeFit(Settings):
    """The whole fit with some bins, of the data that the model expects.

    Attributes:
        uncertainty: of the parameter of interest.
        significance: expected; None where the uncertainty is optimised.
        toys: pseudo-experiments that converged.
        bias: mean of the best fits minus the truth, in units of the uncertainty of that mean.
        coverage: share whose interval of one standard deviation has the truth; None without any.
    """

    uncertainty: float
    significance: float | None = None
    toys: int
    bias: float | None
    coverage: float | None


class OptimisationRecord(Settings):
    """What `snakemake optimise` gives.

    Attributes:
        candidates: the declared bins and the cuts of the run, and those of each method.
        trials: values of thresholds that were tried, by name; the first is that of the run.
        best: method with the smallest expected uncertainty.
        fits: the whole fit with the declared bins and the best ones.
        provenance: of the file that holds the record.
    """

    candidates: tuple[Candidate, ...]
    trials: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    best: Method
    fits: dict[Method, WholeFit]
    provenance: dict[str, Any]
