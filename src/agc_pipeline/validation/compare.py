"""Comparison of one histogram with its published version: numbers and level of agreement."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from agc_pipeline.validation import statistics
from agc_pipeline.validation.settings import OtherEvents, SameEvents
from agc_pipeline.validation.statistics import ChiSquare, Floats


class Agreement(StrEnum):
    """Agreement of a histogram with the published one, from best to worst.

    ``TOO_FEW`` is outside of this order: there are not enough entries for a comparison.
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

    def inner(self) -> "Side":
        """The same without under- and overflow."""
        return replace(self, contents=self.contents[1:-1], variances=self.variances[1:-1])

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
        agreement: the level of agreement.
        reason: the numbers that decided, as text.
        entries: contents over the dataset's weight, summed with flow bins; None for a sum over
            datasets.
        published_entries: the same of the published histogram.
        acceptance_ratio: selected fraction of generated events over the published one; None
            without published entries.
        acceptance_uncertainty: its statistical uncertainty; None if the events are the same.
        moved: entries in the bin next to the published one; None if the events differ.
        unpaired: entries gained or lost otherwise; None if the events differ.
        chi_square: of entries, or of shapes; None where it was not needed.
        cdf_distance: of shapes; None where it was not needed.
        bins: those that differ, if the events are the same.
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
        random: the published one was drawn from an unseeded generator, so that entries
            fluctuate, by less than for independent events.
        tolerances: rounding, and the number of events that may migrate.
        p_value_min: bound on the chi-square's probability.
    """
    difference = ours.contents - published.contents
    entries = np.maximum(ours.contents, published.contents)
    difference[np.abs(difference) <= tolerances.weight_precision * np.maximum(entries, 1)] = 0
    comparison = _start(ours, published)
    if not difference.any():
        return replace(
            comparison,
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
    comparison = replace(comparison, moved=steps.moved, unpaired=steps.unpaired, bins=differing)
    allowed = tolerances.moved_entries + tolerances.moved_fraction * published.effective_entries
    if random:
        chi_square = statistics.chi_square(
            difference,
            tolerances.random_variance * (ours.variances + published.variances),
            ours.contents + published.contents,
            fixed=0,
        )
        return replace(
            comparison,
            agreement=_fluctuation(chi_square, p_value_min),
            reason=f"published with random numbers of its own: {_chi_square_text(chi_square)}",
            chi_square=chi_square,
        )
    few = steps.moved <= allowed and steps.unpaired <= allowed
    return replace(
        comparison,
        agreement=Agreement.MIGRATION if few else Agreement.DISAGREEMENT,
        reason=f"{steps.moved:.6g} entries in a neighbouring bin, {steps.unpaired:.6g} gained or "
        f"lost, of {published.total:.6g}; up to {allowed:.3g} of each are attributed to rounding",
    )


def other_events(
    ours: Side, published: Side, *, tolerances: OtherEvents, p_value_min: float
) -> Comparison:
    """Compare histograms of different events: shapes and selected fractions.

    Args:
        ours: the histogram of this run.
        published: the published one.
        tolerances: for differences of detectors and generators.
        p_value_min: bound on the chi-square's probability.
    """
    comparison = _start(ours, published)
    few = min(ours.effective_entries, published.effective_entries)
    if few < tolerances.entries_min or comparison.acceptance_ratio is None:
        return replace(
            comparison,
            agreement=Agreement.TOO_FEW,
            reason=f"{few:.3g} effective entries are too few for a comparison",
        )
    ratio = comparison.acceptance_ratio
    uncertainty = ratio * float(
        np.sqrt(1 / ours.effective_entries + 1 / published.effective_entries)
    )
    scale = ours.total / published.total
    chi_square = statistics.chi_square(
        ours.contents - scale * published.contents,
        ours.variances + scale**2 * published.variances,
        ours.contents * ours.effective_entries / ours.total,
        fixed=1,
    )
    distance = statistics.cdf_distance(ours.contents, published.contents)
    fluctuation = statistics.cdf_fluctuation(ours.effective_entries, published.effective_entries)
    deviation, three_sigma = abs(ratio - 1), 3 * uncertainty
    if chi_square.p_value >= p_value_min and deviation <= three_sigma:
        agreement = Agreement.STATISTICAL
    elif (
        distance <= tolerances.cdf_distance_max + fluctuation
        and deviation <= tolerances.acceptance_max + three_sigma
    ):
        agreement = Agreement.SIMILAR
    else:
        agreement = Agreement.DISAGREEMENT
    return replace(
        comparison,
        agreement=agreement,
        acceptance_uncertainty=uncertainty,
        reason=f"{_chi_square_text(chi_square)}; cumulative shapes differ by {distance:.3f} "
        f"(up to {fluctuation:.3f} from fluctuations), acceptance by {100 * deviation:.1f} % "
        f"(up to {100 * three_sigma:.1f} % from fluctuations)",
        chi_square=chi_square,
        cdf_distance=distance,
    )


def _start(ours: Side, published: Side) -> Comparison:
    """Totals and selected fractions; the level of agreement is set later."""
    ratio = None
    if published.total > 0:
        ratio = (ours.total / ours.n_generated) / (published.total / published.n_generated)
    return Comparison(Agreement.TOO_FEW, "", ours.total, published.total, ratio, None)


def _mean_weight(side: Side) -> float:
    """Mean relative weight of an event, by which weighted contents become entries."""
    entries = side.effective_entries
    return side.total / entries if entries > 0 else 1.0


def _fluctuation(chi_square: ChiSquare, p_value_min: float) -> Agreement:
    return Agreement.STATISTICAL if chi_square.p_value >= p_value_min else Agreement.DISAGREEMENT


def _chi_square_text(chi_square: ChiSquare) -> str:
    if chi_square.ndf == 0:
        return "too few entries for a chi-square"
    return (
        f"chi-square {chi_square.value:.1f} for {chi_square.ndf} degrees of freedom "
        f"(p = {chi_square.p_value:.2g})"
    )
