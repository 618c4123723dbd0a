"""The ``validation:`` part of the configuration."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from agc_pipeline.settings import AtMost, Settings

_TOLERANCE = "everything would be called equal"


class SameEvents(Settings):
    """Tolerances where the published histograms are of the same events.

    Attributes:
        weight_precision: difference in an event's relative weight that counts as rounding.
        moved_entries: events of a histogram that may be in the bin next to the published one, and
            events that may be gained or lost at a cut, for any size of the histogram.
        moved_fraction: further events, as a fraction of the entries.
        random_variance: for histograms published with unseeded random numbers, the variance of
            the difference over that of independent events.
    """

    weight_precision: Annotated[PositiveFloat, AtMost(1, _TOLERANCE)]
    moved_entries: Annotated[NonNegativeInt, AtMost(1e9, _TOLERANCE)]
    moved_fraction: Annotated[NonNegativeFloat, AtMost(1, _TOLERANCE)]
    random_variance: float = Field(gt=0, le=1)


class OtherEvents(Settings):
    """Tolerances where the events differ: simulation, parts of files, other file lists.

    Attributes:
        cdf_distance_max: largest distance of the two cumulative distributions, beyond
            fluctuations.
        acceptance_max: largest relative difference of the selected fraction, beyond
            fluctuations.
        entries_min: effective entries below which a histogram is not compared.
    """

    cdf_distance_max: Annotated[PositiveFloat, AtMost(1, _TOLERANCE)]
    acceptance_max: Annotated[PositiveFloat, AtMost(100, _TOLERANCE)]
    entries_min: Annotated[PositiveInt, AtMost(1e9, "nothing would be compared")]


class ValidationSettings(Settings):
    """Comparison of histograms with the published ones.

    Attributes:
        fail_on_disagreement: let the workflow fail if a histogram disagrees.
        p_value_min: probability below which a difference is no fluctuation.
        same_events: tolerances for the input of the published histograms.
        other_events: tolerances for all other input.
    """

    fail_on_disagreement: bool
    p_value_min: float = Field(gt=0, lt=1)
    same_events: SameEvents
    other_events: OtherEvents
