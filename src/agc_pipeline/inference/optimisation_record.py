"""Record of an optimisation of bins and thresholds."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field

from agc_pipeline.files import read_record
from agc_pipeline.inference.edges import Edge
from agc_pipeline.inference.template_gradients import TemplateGradients
from agc_pipeline.settings import Settings

Method: TypeAlias = Literal[
    "declared", "untuned", "gradient", "evolution", "cross entropy", "discriminant"
]
# Events, of which a part is none worth to be told as a share of a bin.
_ONE = 1.0

# By region.
Edges: TypeAlias = dict[str, tuple[Edge, ...]]


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


class SoftYields(Settings):
    """Expected events of a region where a search with sigmoids ended, and what is nearest to it.

    Attributes:
        edges: where the search ended, between those of the histogram.
        soft: in these bins, with sigmoids around edges and thresholds.
        steps: likewise, with steps in the same places.
        rounded: with the nearest edges of the histogram and values of thresholds.
    """

    edges: tuple[float, ...]
    soft: tuple[float, ...]
    steps: tuple[float, ...]
    rounded: tuple[float, ...]

    @property
    def by_sigmoids(self) -> tuple[float, ...]:
        """Bias of soft yields: their differences to those with steps, relative to these.

        In bins with less than one event, it is in events.
        """
        return _relative(self.soft, self.steps)

    @property
    def by_rounding(self) -> tuple[float, ...]:
        """Likewise the differences of rounded yields and those with steps.

        Where edges have become one, it is that of all bins together.
        """
        if len(self.steps) != len(self.rounded):
            return _relative((sum(self.rounded),), (sum(self.steps),))
        return _relative(self.rounded, self.steps)


def _relative(values: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    pairs = zip(values, others, strict=True)
    return tuple((value - other) / max(other, _ONE) for value, other in pairs)


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
        significance: expected, of what the parameter of interest multiplies; by the fit alone. None
            where a bin has nothing else.
        soft: expected uncertainty where edges and thresholds were before they were moved to those
            of the histograms; None where they were not.
        yields: soft ones there, and what rounding does to them, by region; None likewise.
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
    yields: dict[str, SoftYields] | None = None
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    judgement: Judgement | None = None

    @property
    def bins(self) -> dict[str, int]:
        """Number of bins by region."""
        return {name: len(edges) - 1 for name, edges in self.edges.items()}

    @property
    def by_sigmoids(self) -> float | None:
        """Largest relative difference of a bin's yields with sigmoids and with steps."""
        if self.yields is None:
            return None
        return max(abs(size) for of in self.yields.values() for size in of.by_sigmoids)

    @property
    def by_rounding(self) -> float | None:
        """The same of yields with the nearest edges and values that histograms have, and steps."""
        if self.yields is None:
            return None
        return max(abs(size) for of in self.yields.values() for size in of.by_rounding)

    @property
    def verdict(self) -> str:
        """One line on what it promises, and what is believed of it."""
        claim = f"{self.method}: expected uncertainty {self.uncertainty:.4f}"
        if self.method == "declared":
            return f"nothing promises more than the declared bins and the cuts of the run: {claim}"
        if self.unknown:
            claim += (
                f", in part by {' and '.join(self.unknown)}, of which no systematic knows: its "
                "uncertainty is larger"
            )
        if self.judgement is None:
            return f"{claim}; not judged: give an independent simulation with `optimise.judge`"
        gain = f"{self.judgement.gain:.1%} +- {self.judgement.gain_error:.1%}"
        verdict = {"better": "a gain", "none": "no gain beyond noise", "worse": "a loss"}
        return (
            f"{claim}; scatter in the independent simulation {self.judgement.scatter:.4f}, smaller "
            f"by {gain} than with the declared bins: {verdict[self.judgement.verdict]}"
        )


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


def loss(
    entry: Candidate, objective: Literal["uncertainty", "significance"], *, noise: bool
) -> float:
    """What is smallest for the best candidate, in the unit of an uncertainty.

    Args:
        entry: the candidate.
        objective: the expected uncertainty, or the inverse of the expected significance.
        noise: whether with the statistics of varied templates.
    """
    if objective == "uncertainty" or not entry.significance:
        return entry.uncertainty if noise else entry.fit
    return math.hypot(1 / entry.significance, entry.templates if noise else 0.0)


class OptimisationRecord(Settings):
    """What `snakemake optimise` gives.

    Attributes:
        analysis: its name.
        candidates: the declared bins and the cuts of the run, and those of each method.
        trials: values of thresholds that were tried, by name; the first is that of the run.
        objective: what was optimised.
        noise: whether with the statistics of varied templates.
        best: method whose ``loss`` is smallest.
        fits: the whole fit with the bins and thresholds of each candidate.
        gradients: what each template does to the expected uncertainty of the best.
        provenance: of the file that holds the record.
    """

    analysis: str
    candidates: tuple[Candidate, ...]
    trials: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    objective: Literal["uncertainty", "significance"]
    noise: bool
    best: Method
    fits: dict[Method, WholeFit]
    gradients: TemplateGradients
    provenance: dict[str, Any]

    @property
    def chosen(self) -> Candidate:
        """The best candidate."""
        return next(entry for entry in self.candidates if entry.method == self.best)

    @property
    def verdict(self) -> str:
        """One line on the candidates."""
        return verdict(self.candidates, self.best)


def verdict(candidates: Sequence[Candidate], best: Method) -> str:
    """One line on the best candidate, and on those that the judge prefers.

    Args:
        candidates: of an optimisation.
        best: method of the one that promises most.
    """
    chosen = next(entry for entry in candidates if entry.method == best)
    gains = [
        f"{entry.method} ({entry.judgement.gain:.1%} +- {entry.judgement.gain_error:.1%})"
        for entry in candidates
        if entry.judgement is not None and entry.judgement.verdict == "better"
    ]
    if not gains or chosen.judgement is None or chosen.judgement.verdict == "better":
        return chosen.verdict
    return f"{chosen.verdict}; the judge finds a gain in {' and '.join(gains)}"


def read(path: Path) -> OptimisationRecord:
    """Read ``optimise.json``.

    Raises:
        InputError: if the file is missing or is something else.
    """
    return read_record(
        OptimisationRecord,
        path,
        "the record of an optimisation",
        missing="run `snakemake optimise` again, or leave `report.optimisation` out",
    )
