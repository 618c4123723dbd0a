"""Cuts of the tight selection that may be optimised.

Those on single leptons are not among them: with fewer tight leptons an event of five may become one
of four, which a looser selection does not have.
"""

from functools import partial

from agc_pipeline.declaration import Threshold

from .leptons import d0_significance, leading_pt

# The region of the task has none of these cuts.
CHANNELS = ("4e", "2e2mu", "4mu")


def _pt(place: str, number: int, values: tuple[float, ...]) -> Threshold:
    """The cut on the pt of a lepton, by its number in falling pt."""
    return Threshold(
        f"pt of the {place} lepton",
        f"tight.leading_pt_min.{number}",
        ">",
        values,
        observed=partial(leading_pt, number),
        parameters=("Lepton momentum scale",),
        unit="GeV",
        regions=CHANNELS,
    )


THRESHOLDS = (
    _pt("first", 0, (25.0, 30.0, 35.0, 40.0)),
    _pt("third", 2, (10.0, 12.0, 14.0, 16.0)),
    # No systematic of the public inputs is one of impact parameters.
    Threshold(
        "significance of d0",
        "tight.d0_significance_max",
        "<=",
        (5.0, 4.0, 3.0),
        observed=d0_significance,
        regions=CHANNELS,
    ),
)
