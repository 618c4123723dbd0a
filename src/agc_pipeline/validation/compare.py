"""One histogram against its published version: numbers, and the class that follows from them."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from agc_pipeline.validation import statistics
from agc_pipeline.validation.settings import OtherEvents, SameEvents
from agc_pipeline.validation.statistics import ChiSquare, Floats


class Agreement(StrEnum):
    """How well a histogram agrees with the published one, from best to worst.

    ``TOO_FEW`` stands outside of this order: there are not enough entries to tell.
    """

    EXACT = "exact"
    MIGRATION = "migration"
    STATISTICAL = "statistical"
    SIMILAR = "similar"
    DISAGREEMENT = "disagreement"
    TOO_FEW = "too few entries"


@dataclass(frozen=True)
class Side:
    """A histogram in units of events of its dataset: contents over the dataset's weight.

    Attributes:
        contents: ``bins``, with under- and overflow.
        variances: ``bins``, of the contents.
        n_generated: generated events of the dataset.
    """

    contents: Floats
    variances: Floats
    n_generated: float

    @property
    def total(self) -> float:
        """Sum of the contents."""
        return float(self.contents.sum())

    @property
    def effective_entries(self) -> float:
        """Events of equal weight that would be as precise."""
        return statistics.effective_entries(self.contents, self.variances)


@dataclass(frozen=True)
class DifferingBin:
    """A bin with other contents than published; bin 0 is the underflow."""

    bin: int
    ours: float
    published: float


@dataclass(frozen=True)
class Comparison:
    """Result for one histogram.

    Attributes:
        agreement: the class.
        reason: the numbers that decided, in words.
        entries: contents over the dataset's weight, summed with flow bins; None for a sum over
            datasets.
        published_entries: the same of the published histogram.
        acceptance_ratio: selected fraction of generated events over the published one; None
            without published entries.
        acceptance_uncertainty: its statistical uncertainty; None where events are the same.
        moved: entries in the bin next to the published one; None where events are other ones.
        unpaired: entries gained or lost otherwise; None where events are other ones.
        chi_square: of entries, or of shapes; None where it was not needed.
        cdf_distance: of shapes; None where it was not needed.
        bins: those that differ, where events are the same.
    """

    agreement: Agreement
    reason: str
    entries: float | None
    published_entries: float | None
    acceptance_ratio: float | None
    acceptance_uncertainty: float | None
    moved: float | None = None
    unpaired: float | None = None
    chi_square: ChiSquare | None = None
    cdf_distance: float | None = None
    bins: tuple[DifferingBin, ...] = ()


def same_events(
    ours: Side, published: Side, *, random: bool, tolerances: SameEvents, p_value_min: float
) -> Comparison:
    """Compare histograms of the same events, entry by entry.

    Args:
        ours: the histogram of this run.
        published: the published one.
        random: the published one was drawn from an unseeded generator, so that entries differ
            by what fluctuates, which is less than for independent events.
        tolerances: what counts as rounding, and how many events may move.
        p_value_min: bound on the chi-square's probability.
    """
    difference = ours.contents - published.contents
    entries = np.maximum(ours.contents, published.contents)
    difference[np.abs(difference) <= tolerances.weight_precision * np.maximum(entries, 1)] = 0
    compared = _start(ours, published)
    if not difference.any():
        return replace(
            compared,
            agreement=Agreement.EXACT,
            reason="the same entries in every bin",
            moved=0.0,
            unpaired=0.0,
        )
    differing = tuple(
        DifferingBin(int(index), float(ours.contents[index]), float(published.contents[index]))
        for index in np.flatnonzero(difference)
    )
    steps = statistics.moves(difference / _mean_weight(published))
    compared = replace(compared, moved=steps.moved, unpaired=steps.unpaired, bins=differing)
    allowed = tolerances.moved_entries + tolerances.moved_fraction * published.effective_entries
    if random:
        found = statistics.chi_square(
            difference,
            tolerances.random_variance * (ours.variances + published.variances),
            ours.contents + published.contents,
            fixed=0,
        )
        return replace(
            compared,
            agreement=_fluctuation(found, p_value_min),
            reason=f"published with random numbers of its own: {_words(found)}",
            chi_square=found,
        )
    few = steps.moved <= allowed and steps.unpaired <= allowed
    return replace(
        compared,
        agreement=Agreement.MIGRATION if few else Agreement.DISAGREEMENT,
        reason=f"{steps.moved:.6g} entries in a neighbouring bin, {steps.unpaired:.6g} gained or "
        f"lost, of {published.total:.6g}; {allowed:.3g} of each may be rounding",
    )


def other_events(
    ours: Side, published: Side, *, tolerances: OtherEvents, p_value_min: float
) -> Comparison:
    """Compare histograms of different events: shapes and selected fractions.

    Args:
        ours: the histogram of this run.
        published: the published one.
        tolerances: how different detectors and generators may be.
        p_value_min: bound on the chi-square's probability.
    """
    compared = _start(ours, published)
    few = min(ours.effective_entries, published.effective_entries)
    if few < tolerances.entries_min or compared.acceptance_ratio is None:
        return replace(
            compared,
            agreement=Agreement.TOO_FEW,
            reason=f"{few:.3g} effective entries say too little",
        )
    ratio = compared.acceptance_ratio
    uncertainty = ratio * float(
        np.sqrt(1 / ours.effective_entries + 1 / published.effective_entries)
    )
    scale = ours.total / published.total
    found = statistics.chi_square(
        ours.contents - scale * published.contents,
        ours.variances + scale**2 * published.variances,
        ours.contents * ours.effective_entries / ours.total,
        fixed=1,
    )
    distance = statistics.cdf_distance(ours.contents, published.contents)
    fluctuation = statistics.cdf_fluctuation(ours.effective_entries, published.effective_entries)
    off, three_sigma = abs(ratio - 1), 3 * uncertainty
    if found.p_value >= p_value_min and off <= three_sigma:
        agreement = Agreement.STATISTICAL
    elif (
        distance <= tolerances.cdf_distance_max + fluctuation
        and off <= tolerances.acceptance_max + three_sigma
    ):
        agreement = Agreement.SIMILAR
    else:
        agreement = Agreement.DISAGREEMENT
    return replace(
        compared,
        agreement=agreement,
        acceptance_uncertainty=uncertainty,
        reason=f"{_words(found)}; cumulative shapes differ by {distance:.3f} "
        f"({fluctuation:.3f} may fluctuate), acceptance by {100 * off:.1f} % "
        f"({100 * three_sigma:.1f} % may fluctuate)",
        chi_square=found,
        cdf_distance=distance,
    )


def _start(ours: Side, published: Side) -> Comparison:
    """Totals and selected fractions; the class is still to be decided."""
    ratio = None
    if published.total > 0:
        ratio = (ours.total / ours.n_generated) / (published.total / published.n_generated)
    return Comparison(Agreement.TOO_FEW, "", ours.total, published.total, ratio, None)


def _mean_weight(side: Side) -> float:
    """Mean relative weight of an event, by which weighted contents become entries."""
    entries = side.effective_entries
    return side.total / entries if entries > 0 else 1.0


def _fluctuation(found: ChiSquare, p_value_min: float) -> Agreement:
    return Agreement.STATISTICAL if found.p_value >= p_value_min else Agreement.DISAGREEMENT


def _words(found: ChiSquare) -> str:
    if found.ndf == 0:
        return "too few entries for a chi-square"
    return (
        f"chi-square {found.value:.1f} for {found.ndf} degrees of freedom (p = {found.p_value:.2g})"
    )
